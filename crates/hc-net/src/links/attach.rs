//! A container's link, a pair of interfaces: made, set up inside and out, and taken away.

use super::port::{Port, host_route, neighbour};
use super::{CHANGE, add_address};
use crate::error::{Error, Result};
use crate::netlink::{self, Netlink, is, link_error, unless};
use crate::{firewall, sysctl};
use hc_spec::Name;
use hc_spec::addr::Place;
use netlink_packet_route::link::{InfoData, InfoKind, InfoVeth};
use netlink_packet_route::route::RouteScope;
use rtnetlink::sys::Socket;
use rtnetlink::{LinkMessageBuilder, LinkUnspec, LinkVeth, RouteMessageBuilder};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, BorrowedFd};

/// A machine's place in one network, ready to use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attached {
    /// Name of the interface inside the machine: `eth` and the index.
    pub ifname: String,
    /// Its address, in a /64.
    pub v6: Ipv6Addr,
    /// Its other address, a /32 behind the gateway.
    pub v4: Ipv4Addr,
}

/// Connects a machine's network namespace to a network: link, addresses, routes, filter entries.
///
/// `index` counts the machine's networks; the first one (0) gets the default routes. A link that
/// an earlier run left under the same name is replaced.
///
/// # Errors
/// When the network is not set up on this host, or the kernel refuses.
pub async fn attach(
    netns: BorrowedFd<'_>,
    place: &Place<'_>,
    machine: &Name,
    index: u32,
) -> Result<Attached> {
    let ifname = format!("eth{index}");
    let inside = Netlink::over(enter(netns)?);
    let port = Port::prepare(place, machine).await?;
    create(&port, netns, &ifname).await?;
    port.set_up().await?;
    set_up_inside(&inside, place, machine, &ifname, index == 0).await?;
    port.carries().await?;
    Ok(Attached { ifname, v6: place.v6(machine), v4: place.v4(machine) })
}

/// Takes a machine out of a network: filter entries, routes, and the link if it is still there.
///
/// This waits for grace periods of the kernel, tens of milliseconds, so it belongs off the critical
/// path. A machine that stops or restarts need not wait for it: its link goes with its network
/// namespace, everything else is a function of its name and does no harm, and [`attach`] takes
/// over whatever it finds.
///
/// # Errors
/// When the kernel refuses.
pub async fn detach(place: &Place<'_>, machine: &Name) -> Result<()> {
    let outside = Netlink::here()?;
    firewall::forget_machine(place, machine)?;
    if let Some(bridge) = outside.index(&place.bridge()).await? {
        let (route, what) = (host_route(bridge, place, machine), place.v4(machine));
        let removed = outside.handle.route().del(route).execute().await;
        unless(removed, libc::ESRCH).map_err(link_error("remove the route to", what))?;
        for address in [IpAddr::from(place.v6(machine)), place.v4(machine).into()] {
            let mut entry = outside.handle.neighbours().add(bridge, address);
            let entry = std::mem::take(entry.message_mut());
            let removed = outside.handle.neighbours().del(entry).execute().await;
            unless(removed, libc::ENOENT)
                .map_err(link_error("remove the neighbour entry of", address))?;
        }
    }
    outside.delete(&place.link(machine)).await?;
    Ok(())
}

/// Opens a netlink socket in the machine's namespace.
fn enter(netns: BorrowedFd<'_>) -> Result<Socket> {
    inside(netns, || {
        // Defaults for the links to come: all addresses are known, nobody needs asking. Where
        // /proc/sys is not writable the packet filter still keeps advertisements out.
        for (name, value) in [("accept_ra", "0"), ("accept_dad", "0")] {
            let _ = sysctl::set(&format!("ipv6/conf/default/{name}"), value);
        }
        // The way to another host may swallow packets that are too large for it and say nothing: TCP
        // then finds out by itself.
        let _ = sysctl::set("ipv4/tcp_mtu_probing", "1");
        netlink::socket()
    })
}

/// Does something in the machine's namespace. That belongs to a thread, so a short-lived one goes
/// there; a socket stays where it was opened.
pub(super) fn inside<T: Send>(
    netns: BorrowedFd<'_>,
    what: impl FnOnce() -> std::io::Result<T> + Send,
) -> Result<T> {
    let error = |source| Error::System { action: "enter the machine's network namespace", source };
    let thread = |fd: BorrowedFd<'_>| {
        let kind = Some(rustix::thread::LinkNameSpaceType::Network);
        rustix::thread::move_into_link_name_space(fd, kind)?;
        what()
    };
    std::thread::scope(|scope| {
        let spawned = std::thread::Builder::new()
            .name("hc-netns".into())
            .stack_size(256 << 10)
            .spawn_scoped(scope, || thread(netns))?;
        spawned.join().unwrap_or_else(|_| Err(std::io::Error::other("the thread died")))
    })
    .map_err(error)
}

async fn create(port: &Port<'_>, netns: BorrowedFd<'_>, ifname: &str) -> Result<()> {
    let link = port.link();
    let peer = LinkMessageBuilder::<LinkUnspec>::new()
        .name(ifname)
        .mtu(port.mtu)
        .address(port.place.mac(port.machine).0.to_vec())
        .setns_by_fd(netns.as_raw_fd());
    let pair = LinkMessageBuilder::<LinkVeth>::new_with_info_kind(InfoKind::Veth)
        .name(link.as_str())
        .mtu(port.mtu)
        .controller(port.bridge)
        .set_info_data(InfoData::Veth(InfoVeth::Peer(peer.build())))
        .build();
    // A link of that name is what a killed supervisor left, or is just going away with its
    // namespace: delete it and try again.
    let mut leftover = false;
    loop {
        match port.outside.handle.link().add(pair.clone()).execute().await {
            Ok(()) => return Ok(()),
            Err(error) if is(&error, libc::EEXIST) => {
                if !port.outside.delete(&link).await? && leftover {
                    return Err(Error::InterfaceTaken {
                        machine: port.machine.clone(),
                        ifname: ifname.into(),
                    });
                }
                leftover = true;
            }
            Err(error) => return Err(link_error("create the link", link)(error)),
        }
    }
}

async fn set_up_inside(
    inside: &Netlink,
    place: &Place<'_>,
    machine: &Name,
    ifname: &str,
    first: bool,
) -> Result<()> {
    let lo = LinkMessageBuilder::<LinkUnspec>::new().name("lo").up().build();
    let set = inside.handle.link().change(lo).set_flags(CHANGE).execute().await;
    set.map_err(link_error("set up", "lo"))?;
    let gone = || Error::Link {
        action: "find",
        what: format!("{ifname} of '{machine}'"),
        source: std::io::Error::from_raw_os_error(libc::ENODEV),
    };
    let index = inside.index(ifname).await?.ok_or_else(gone)?;
    // Not while it was made: an end of a pair cannot go up before it has the other one.
    let up = LinkMessageBuilder::<LinkUnspec>::new().index(index).up().build();
    let set = inside.handle.link().change(up).set_flags(CHANGE).execute().await;
    set.map_err(link_error("set up", ifname))?;
    add_address(inside, index, place.v6(machine).into(), 64, ifname).await?;
    add_address(inside, index, place.v4(machine).into(), 32, ifname).await?;
    let gateway_mac = place.gateway_mac().0;
    for address in [IpAddr::from(place.gateway()), place.gateway_v4().into()] {
        neighbour(inside, index, address, &gateway_mac).await?;
    }
    if first {
        let v6 = RouteMessageBuilder::<Ipv6Addr>::new()
            .output_interface(index)
            .gateway(place.gateway())
            .build();
        let v4 = RouteMessageBuilder::<Ipv4Addr>::new()
            .output_interface(index)
            .gateway(place.gateway_v4())
            .onlink()
            .build();
        for route in [v6, v4] {
            let added = inside.handle.route().add(route).replace().execute().await;
            added.map_err(link_error("add a default route to", machine))?;
        }
    } else {
        let v4 = RouteMessageBuilder::<Ipv4Addr>::new()
            .output_interface(index)
            .destination_prefix(place.gateway_v4(), 32)
            .scope(RouteScope::Link)
            .build();
        let added = inside.handle.route().add(v4).replace().execute().await;
        added.map_err(link_error("add a route to the gateway to", machine))?;
    }
    Ok(())
}
