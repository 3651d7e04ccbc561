//! The link to the other hosts of a cloud: each host's /48 is routed there.
//!
//! It is one VXLAN device on which everything is known: nothing is asked and nothing is learned, which
//! host has which hardware address, and where it is, follows from the description. With WireGuard it
//! is the device of [`crate::wireguard`], which looks at where packets go.

use super::{CHANGE, add_address, forwarding};
use crate::error::{Error, Result};
use crate::netlink::{Netlink, link_error};
use crate::sysctl;
use futures_util::TryStreamExt;
use hc_spec::HostSpec;
use hc_spec::addr::{host_prefix, overlay_mac, overlay_v6};
use hc_spec::host::{Overlay, OverlayMode};
use netlink_packet_route::neighbour::{NeighbourFlags, NeighbourState};
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteMessage};
use rtnetlink::{LinkMessageBuilder, LinkUnspec, LinkVxlan, RouteMessageBuilder};
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr};

/// Name of the device.
const NAME: &str = super::OVERLAY;
/// UDP port between hosts, hc's own: those of VXLAN are in use by others.
const PORT: u16 = 24789;
/// The network of all hosts of a cloud; a host is in one cloud.
const VNI: u32 = 0x6863;
/// What VXLAN, or WireGuard, over IPv6 leaves of 1500 bytes.
const MTU: [u32; 2] = [1430, 1420];

/// Makes the link what a host's description says, or takes it away.
pub(super) async fn ensure(netlink: &Netlink, host: &HostSpec) -> Result<()> {
    let Some(overlay) = &host.overlay else { return remove(netlink).await };
    let index = device(netlink, host, overlay).await?;
    let mut wanted = BTreeSet::new();
    for (name, peer) in &overlay.peers {
        let (mac, near) = (overlay_mac(&host.cloud, name).0, overlay_v6(&host.cloud, name));
        let failed = |action| link_error(action, format!("host '{name}' at {}", peer.address));
        let plain = overlay.mode == OverlayMode::Plain;
        if plain {
            let mut entry = netlink.handle.neighbours().add_bridge(index, &mac).replace();
            entry = entry.destination(peer.address).flags(NeighbourFlags::Own);
            let added = entry.state(NeighbourState::Permanent).execute().await;
            added.map_err(failed("say where to find"))?;
            let entry = netlink.handle.neighbours().add(index, near.into());
            let entry = entry.link_layer_address(&mac).state(NeighbourState::Permanent);
            let added = entry.replace().execute().await;
            added.map_err(failed("add a neighbour entry for"))?;
        }
        let prefix = host_prefix(&host.cloud, name);
        let mut route = RouteMessageBuilder::<Ipv6Addr>::new()
            .output_interface(index)
            .destination_prefix(prefix, 48);
        if plain {
            route = route.gateway(near);
        }
        if let Some(network) = host.networks.keys().next() {
            // The host itself asks under an address that the other one knows.
            route = route.pref_source(host.place(network).gateway());
        }
        let added = netlink.handle.route().add(route.build()).replace().execute().await;
        added.map_err(failed("add the route to"))?;
        wanted.insert(prefix);
    }
    for (prefix, route) in routes(netlink, index).await? {
        if !wanted.contains(&prefix) {
            let gone = netlink.handle.route().del(route).execute().await;
            crate::netlink::unless(gone, libc::ESRCH)
                .map_err(link_error("remove the route to", prefix))?;
        }
    }
    Ok(())
}

/// Takes the link away, and the routes with it.
pub(super) async fn remove(netlink: &Netlink) -> Result<()> {
    netlink.delete(NAME).await.map(drop)
}

async fn device(netlink: &Netlink, host: &HostSpec, overlay: &Overlay) -> Result<u32> {
    let plain = overlay.mode == OverlayMode::Plain;
    if plain {
        vxlan(netlink, overlay).await?;
    }
    for setting in ["accept_ra", "accept_dad"] {
        sysctl::set(&format!("ipv6/conf/{NAME}/{setting}"), "0")?;
    }
    let missing = || Error::Link {
        action: "find the link to other hosts",
        what: NAME.into(),
        source: std::io::Error::from_raw_os_error(libc::ENODEV),
    };
    let index = netlink.index(NAME).await?.ok_or_else(missing)?;
    let mut settings =
        LinkMessageBuilder::<LinkUnspec>::new().index(index).mtu(MTU[usize::from(!plain)]).up();
    if plain {
        settings = settings.address(overlay_mac(&host.cloud, &host.host).0.to_vec());
    }
    let set = netlink.handle.link().change(settings.build()).set_flags(CHANGE).execute().await;
    set.map_err(link_error("set up the link to other hosts", NAME))?;
    forwarding::enable_bridge(NAME)?;
    add_address(netlink, index, overlay_v6(&host.cloud, &host.host).into(), 64, NAME).await?;
    Ok(index)
}

async fn vxlan(netlink: &Netlink, overlay: &Overlay) -> Result<()> {
    let make = || {
        let link = LinkVxlan::new(NAME, VNI).port(PORT).learning(false);
        let link = match overlay.address {
            IpAddr::V4(address) => link.local(address),
            IpAddr::V6(address) => link.local6(address).udp_zero_csum6_rx(false),
        };
        link.build()
    };
    let mut created = netlink.handle.link().add(make()).execute().await;
    if matches!(&created, Err(error) if crate::netlink::is(error, libc::EEXIST)) {
        // One that sends from another address is made anew; there is no changing that.
        if netlink.link(NAME).await?.is_some_and(|link| sends_from(&link, overlay.address)) {
            created = Ok(());
        } else {
            netlink.delete(NAME).await?;
            created = netlink.handle.link().add(make()).execute().await;
        }
    }
    created.map_err(link_error("create the link to other hosts", NAME))
}

fn sends_from(link: &netlink_packet_route::link::LinkMessage, address: IpAddr) -> bool {
    use netlink_packet_route::link::{InfoData, InfoVxlan, LinkAttribute, LinkInfo};
    let is = |info: &InfoVxlan| match info {
        InfoVxlan::Local(local) => IpAddr::V4(*local) == address,
        InfoVxlan::Local6(local) => IpAddr::V6(*local) == address,
        _ => false,
    };
    link.attributes.iter().any(|attribute| {
        let LinkAttribute::LinkInfo(infos) = attribute else { return false };
        infos
            .iter()
            .any(|info| matches!(info, LinkInfo::Data(InfoData::Vxlan(all)) if all.iter().any(is)))
    })
}

/// The /48s that are routed there.
async fn routes(netlink: &Netlink, index: u32) -> Result<Vec<(Ipv6Addr, RouteMessage)>> {
    let question = RouteMessageBuilder::<Ipv6Addr>::new().build();
    let all: Vec<RouteMessage> = netlink
        .handle
        .route()
        .get(question)
        .execute()
        .try_collect()
        .await
        .map_err(link_error("list", "routes"))?;
    let ours = all.into_iter().filter_map(|route| {
        let there = route.attributes.contains(&RouteAttribute::Oif(index));
        let prefix = route.attributes.iter().find_map(|attribute| match attribute {
            RouteAttribute::Destination(RouteAddress::Inet6(prefix)) => Some(*prefix),
            _ => None,
        })?;
        (there && route.header.destination_prefix_length == 48).then_some((prefix, route))
    });
    Ok(ours.collect())
}
