//! Routing between machines and the outside, without making the host a router for others.
//!
//! IPv4 decides by the setting of the interface a packet comes in on. IPv6 decided by one switch
//! for the whole host until Linux 6.17 added `force_forwarding` per interface; that switch also
//! makes the host ignore router advertisements, and so lose its own default route, unless
//! `accept_ra` is raised from 1 to 2 first. Machines on one bridge reach each other over IPv6
//! without any of this.
//!
//! What is switched on for an uplink passes only what is hc's, by the packet filter. It stays on
//! when the last network goes: whoever else needs it by then cannot be told apart.

use crate::error::Result;
use crate::netlink::{Netlink, link_error};
use crate::{firewall, sysctl};
use futures_util::TryStreamExt;
use netlink_packet_route::route::{RouteAttribute, RouteMessage, RouteType};
use rtnetlink::RouteMessageBuilder;
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr};

/// Lets packets that come in from machines be routed.
pub(super) fn enable_bridge(bridge: &str) -> Result<()> {
    enable(bridge)
}

/// Lets what comes in over the host's own links be routed to machines: answers, published ports.
pub(super) async fn enable_uplinks(netlink: &Netlink) -> Result<()> {
    for index in uplinks(netlink).await? {
        if let Some(name) = name_of(index) {
            if name == "lo" || name.starts_with("hc") {
                continue;
            }
            if sysctl::get(&format!("ipv4/conf/{name}/forwarding")).as_deref() == Some("0") {
                firewall::admit_uplink(&name)?;
            }
            enable(&name)?;
        }
    }
    if sysctl::get("ipv6/conf/all/force_forwarding").is_none()
        && sysctl::get("ipv6/conf/all/forwarding").as_deref() == Some("0")
    {
        for entry in std::fs::read_dir("/proc/sys/net/ipv6/conf").into_iter().flatten().flatten() {
            let name = entry.file_name();
            let accept = format!("ipv6/conf/{}/accept_ra", name.to_string_lossy());
            if sysctl::get(&accept).as_deref() == Some("1") {
                sysctl::set(&accept, "2")?;
            }
        }
        sysctl::set("ipv6/conf/all/forwarding", "1")?;
    }
    Ok(())
}

fn enable(interface: &str) -> Result<()> {
    sysctl::set(&format!("ipv4/conf/{interface}/forwarding"), "1")?;
    let forced = format!("ipv6/conf/{interface}/force_forwarding");
    if sysctl::get(&forced).is_some() { sysctl::set(&forced, "1") } else { Ok(()) }
}

async fn uplinks(netlink: &Netlink) -> Result<BTreeSet<u32>> {
    let mut found = BTreeSet::new();
    for question in [
        RouteMessageBuilder::<Ipv4Addr>::new().build(),
        RouteMessageBuilder::<Ipv6Addr>::new().build(),
    ] {
        let routes: Vec<RouteMessage> = netlink
            .handle
            .route()
            .get(question)
            .execute()
            .try_collect()
            .await
            .map_err(link_error("list", "routes"))?;
        let used = |route: &&RouteMessage| route.header.kind == RouteType::Unicast;
        for attribute in routes.iter().filter(used).flat_map(|route| &route.attributes) {
            match attribute {
                RouteAttribute::Oif(index) => {
                    found.insert(*index);
                }
                RouteAttribute::MultiPath(hops) => {
                    found.extend(hops.iter().map(|hop| hop.interface_index));
                }
                _ => {}
            }
        }
    }
    Ok(found)
}

fn name_of(index: u32) -> Option<String> {
    let mut buffer = [0; libc::IF_NAMESIZE];
    // SAFETY: the buffer is IF_NAMESIZE bytes long, as if_indextoname(3) asks for.
    let name = unsafe { libc::if_indextoname(index, buffer.as_mut_ptr()) };
    if name.is_null() {
        return None;
    }
    // SAFETY: on success the buffer holds a string that ends in a zero byte.
    let name = unsafe { std::ffi::CStr::from_ptr(name) };
    name.to_str().ok().map(str::to_owned)
}
