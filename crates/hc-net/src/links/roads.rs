//! Computers that are no hosts, on networks of this one: each has the address a machine of its name would
//! have, which is reached over WireGuard, and which the host answers for on the network's bridge.

use super::OVERLAY;
use crate::error::Result;
use crate::firewall;
use crate::netlink::{Netlink, link_error, unless};
use crate::sysctl;
use crate::wireguard::Known;
use futures_util::TryStreamExt;
use hc_spec::HostSpec;
use netlink_packet_route::neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourFlags};
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteMessage};
use rtnetlink::RouteMessageBuilder;
use std::collections::BTreeSet;
use std::net::Ipv6Addr;

/// Makes the ways to those that `known` has, takes others away, and lets them through the packet filter.
///
/// # Errors
/// When the kernel refuses.
pub async fn ensure_roads(host: &HostSpec, known: &Known) -> Result<()> {
    let netlink = Netlink::here()?;
    let Some(index) = netlink.index(OVERLAY).await? else { return Ok(()) };
    let here = known.peers.iter().filter(|(_, road)| host.networks.contains_key(&road.network));
    let here: Vec<_> = here.map(|(name, road)| (name, host.place(&road.network))).collect();
    let mut wanted = BTreeSet::new();
    for (name, place) in &here {
        let (address, bridge) = (place.v6(name), place.bridge());
        let route = RouteMessageBuilder::<Ipv6Addr>::new()
            .output_interface(index)
            .destination_prefix(address, 128)
            .build();
        let added = netlink.handle.route().add(route).replace().execute().await;
        added.map_err(link_error("add the route to", *name))?;
        // A host answers for others where it forwards for them, by default after most of a second.
        for (setting, value) in
            [("conf", "forwarding=1"), ("conf", "proxy_ndp=1"), ("neigh", "proxy_delay=0")]
        {
            let (setting, value) = (format!("ipv6/{setting}/{bridge}"), value);
            let (key, value) = value.split_once('=').unwrap_or((value, ""));
            sysctl::set(&format!("{setting}/{key}"), value)?;
        }
        if let Some(bridge) = netlink.index(&bridge).await? {
            let entry = netlink.handle.neighbours().add(bridge, address.into());
            let entry = entry.flags(NeighbourFlags::Proxy).replace().execute().await;
            entry.map_err(link_error("answer for", *name))?;
        }
        wanted.insert(address);
    }
    for (address, route) in routes(&netlink, index).await? {
        if !wanted.contains(&address) {
            let gone = netlink.handle.route().del(route).execute().await;
            unless(gone, libc::ESRCH).map_err(link_error("remove the route to", address))?;
        }
    }
    answers(&netlink, host, &wanted).await?;
    firewall::ensure_roads(host, &here)
}

/// No longer answers for what nobody is let in under.
async fn answers(netlink: &Netlink, host: &HostSpec, wanted: &BTreeSet<Ipv6Addr>) -> Result<()> {
    let listed = netlink.handle.neighbours().get().proxies().execute();
    let listed: Vec<_> = listed.try_collect().await.map_err(link_error("list", "neighbours"))?;
    let mut bridges = BTreeSet::new();
    for network in host.networks.keys() {
        bridges.extend(netlink.index(&host.place(network).bridge()).await?);
    }
    for entry in listed {
        let address = entry.attributes.iter().find_map(|attribute| match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(address)) => Some(*address),
            _ => None,
        });
        let ours = bridges.contains(&entry.header.ifindex);
        if let Some(address) = address.filter(|address| ours && !wanted.contains(address)) {
            let gone = netlink.handle.neighbours().del(entry).execute().await;
            unless(gone, libc::ENOENT).map_err(link_error("no longer answer for", address))?;
        }
    }
    Ok(())
}

/// The single addresses that are routed over a link.
async fn routes(netlink: &Netlink, index: u32) -> Result<Vec<(Ipv6Addr, RouteMessage)>> {
    let question = RouteMessageBuilder::<Ipv6Addr>::new().build();
    let all = netlink.handle.route().get(question).execute();
    let all: Vec<RouteMessage> = all.try_collect().await.map_err(link_error("list", "routes"))?;
    let ours = all.into_iter().filter_map(|route| {
        let there = route.attributes.contains(&RouteAttribute::Oif(index))
            && route.header.destination_prefix_length == 128
            && route.header.table == libc::RT_TABLE_MAIN;
        let address = route.attributes.iter().find_map(|attribute| match attribute {
            RouteAttribute::Destination(RouteAddress::Inet6(address)) => Some(*address),
            _ => None,
        })?;
        (there && address.octets()[0] == 0xfd).then_some((address, route))
    });
    Ok(ours.collect())
}
