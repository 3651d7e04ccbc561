//! A container's link, a pair of interfaces: made, set up inside and out, and taken away.

use super::address;
use super::port::{Port, host_route, neighbour};
use crate::channel::{Change, Channel};
use crate::error::{Error, Result};
use crate::sysctl::Settings;
use crate::{firewall, netlink};
use hc_fs::Lingering;
use hc_spec::Name;
use hc_spec::addr::Place;
use netlink_packet_route::RouteNetlinkMessage as Message;
use netlink_packet_route::link::{InfoData, InfoKind, InfoVeth, LinkAttribute};
use netlink_packet_route::route::RouteScope;
use rtnetlink::{LinkMessageBuilder, LinkUnspec, LinkVeth, RouteMessageBuilder};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

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
/// an earlier run left under the same name is replaced. What is given beside takes long to close.
///
/// # Errors
/// When the network is not set up on this host, or the kernel refuses.
pub fn attach(
    netns: BorrowedFd<'_>,
    place: &Place<'_>,
    machine: &Name,
    index: u32,
) -> Result<(Attached, Lingering)> {
    let ifname = format!("eth{index}");
    let settings = Settings::fresh();
    let inside = within(netns, &settings)?;
    let (port, mut lingering) = Port::prepare(place, machine)?;
    create(&port, netns, &ifname)?;
    port.set_up(&settings)?;
    set_up_inside(&inside, place, machine, &ifname, index == 0)?;
    port.carries()?;
    hears(&inside, place.v6(machine))?;
    lingering.join(settings.into());
    Ok((Attached { ifname, v6: place.v6(machine), v4: place.v4(machine) }, lingering))
}

/// Takes machines out of networks: filter entries, routes, and the links that are still there.
///
/// This waits for grace periods of the kernel, tens of milliseconds, so it belongs off the critical
/// path. A machine that stops or restarts need not wait for it: see [`super::retire`].
///
/// # Errors
/// When the kernel refuses.
pub fn detach(machines: &[(Place<'_>, &Name)]) -> Result<()> {
    let outside = Channel::here()?;
    drop(firewall::forget_machines(machines)?);
    let mut changes = Vec::new();
    for (place, machine) in machines {
        changes.extend(forgotten(&outside, place, machine));
        let link = place.link(machine);
        if let Some(index) = outside.index(&link) {
            let gone = LinkMessageBuilder::<LinkUnspec>::new().index(index).build();
            // Its other end's namespace may go away in the meantime, and take it along.
            let gone = Change::to(Message::DelLink(gone)).unless(libc::ENODEV);
            changes.push(gone.doing("delete", link));
        }
    }
    outside.change(changes)
}

/// What the host knows of a machine besides its link, to be forgotten.
pub(super) fn forgotten(outside: &Channel, place: &Place<'_>, machine: &Name) -> Vec<Change> {
    let Some(bridge) = outside.index(&place.bridge()) else { return Vec::new() };
    let route = Message::DelRoute(host_route(bridge, place, machine));
    let route = Change::to(route).unless(libc::ESRCH);
    let mut changes = vec![route.doing("remove the route to", place.v4(machine))];
    for address in [IpAddr::from(place.v6(machine)), place.v4(machine).into()] {
        let entry = Message::DelNeighbour(neighbour(bridge, address, None));
        let entry = Change::to(entry).unless(libc::ENOENT);
        changes.push(entry.doing("remove the neighbour entry of", address));
    }
    changes
}

/// Connects to the routing tables of the machine's namespace.
fn within(netns: BorrowedFd<'_>, settings: &Settings) -> Result<Channel> {
    inside(netns, || {
        // Defaults for the links to come: all addresses are known, nobody needs asking. Where
        // /proc/sys is not writable the packet filter still keeps advertisements out.
        for (name, value) in [("accept_ra", "0"), ("accept_dad", "0")] {
            let _ = settings.put(&format!("ipv6/conf/default/{name}"), value);
        }
        // The way to another host may swallow packets that are too large for it and say nothing: TCP
        // then finds out by itself.
        let _ = settings.put("ipv4/tcp_mtu_probing", "1");
        netlink::socket()
    })
    .map(Channel::over)
}

/// Does something in the machine's namespace, which this thread enters and leaves for that: a socket
/// stays where it was opened.
pub(super) fn inside<T>(
    netns: BorrowedFd<'_>,
    what: impl FnOnce() -> std::io::Result<T>,
) -> Result<T> {
    use rustix::fs::{Mode, OFlags};
    use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
    let kind = Some(LinkNameSpaceType::Network);
    let gone = || -> std::io::Result<std::io::Result<T>> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let own = rustix::fs::open("/proc/thread-self/ns/net", flags, Mode::empty())?;
        move_into_link_name_space(netns, kind)?;
        let done = what();
        // Whatever this thread does next belongs to the host.
        move_into_link_name_space(own.as_fd(), kind)?;
        Ok(done)
    };
    gone()
        .flatten()
        .map_err(|source| Error::System { action: "enter the machine's network namespace", source })
}

fn create(port: &Port<'_>, netns: BorrowedFd<'_>, ifname: &str) -> Result<()> {
    let link = port.link();
    let peer = LinkMessageBuilder::<LinkUnspec>::new()
        .name(ifname)
        .mtu(port.mtu)
        .address(port.place.mac(port.machine).0.to_vec())
        .setns_by_fd(netns.as_raw_fd());
    let peer = one_queue(peer);
    let pair = LinkMessageBuilder::<LinkVeth>::new_with_info_kind(InfoKind::Veth)
        .name(link.as_str())
        .mtu(port.mtu)
        .controller(port.bridge)
        .set_info_data(InfoData::Veth(InfoVeth::Peer(peer.build())));
    let pair = one_queue(pair).build();
    let made = |link: &str| {
        let pair = Change::make(Message::NewLink(pair.clone())).doing("create the link", link);
        port.outside.change(vec![pair])
    };
    // A link of that name is what a killed supervisor left, or is just going away with its namespace.
    let (mut aside, mut again) = (None, false);
    loop {
        match made(&link) {
            Err(Error::Link { source, .. }) if source.raw_os_error() == Some(libc::EEXIST) => {
                match (port.put_aside()?, aside.take()) {
                    (Some(index), _) => aside = Some(index),
                    // Its other end is in this very namespace, and has the name there.
                    (None, Some(index)) => port.delete(index)?,
                    (None, None) if again => {
                        return Err(Error::InterfaceTaken {
                            machine: port.machine.clone(),
                            ifname: ifname.into(),
                        });
                    }
                    (None, None) => {}
                }
                again = true;
            }
            done => return done,
        }
    }
}

/// Waits until the machine takes packets to its address: the kernel makes the way to it in a work queue,
/// and what comes before that is dropped, so that a connection would be tried again only after a second.
fn hears(inside: &Channel, address: Ipv6Addr) -> Result<()> {
    for _ in 0..10_000 {
        if inside.is_local(address)? {
            break;
        }
        std::thread::sleep(std::time::Duration::from_micros(50));
    }
    Ok(())
}

/// An end of a pair has one queue in use if nobody says more. Unless it is asked for by number, the kernel makes
/// one for each processor and takes all but one away again, which costs a grace period an end.
fn one_queue<T>(end: LinkMessageBuilder<T>) -> LinkMessageBuilder<T> {
    end.append_extra_attribute(LinkAttribute::NumTxQueues(1))
        .append_extra_attribute(LinkAttribute::NumRxQueues(1))
}

fn set_up_inside(
    inside: &Channel,
    place: &Place<'_>,
    machine: &Name,
    ifname: &str,
    first: bool,
) -> Result<()> {
    let gone = || Error::Link {
        action: "find",
        what: format!("{ifname} of '{machine}'"),
        source: std::io::Error::from_raw_os_error(libc::ENODEV),
    };
    let index = inside.index(ifname).ok_or_else(gone)?;
    // Not while it was made: an end of a pair cannot go up before it has the other one.
    let up = LinkMessageBuilder::<LinkUnspec>::new().index(index).up().build();
    let mut changes = vec![Change::to(Message::SetLink(up)).doing("set up", ifname)];
    for (own, prefix) in [(IpAddr::from(place.v6(machine)), 64), (place.v4(machine).into(), 32)] {
        let added = Change::put(Message::NewAddress(address(index, own, prefix)));
        changes.push(added.doing("add the address", format!("{own}/{prefix} to {ifname}")));
    }
    let gateway_mac = place.gateway_mac().0;
    for address in [IpAddr::from(place.gateway()), place.gateway_v4().into()] {
        let entry = Message::NewNeighbour(neighbour(index, address, Some(&gateway_mac)));
        changes.push(Change::put(entry).doing("add a neighbour entry for", address));
    }
    let routes = if first {
        let v6 = RouteMessageBuilder::<Ipv6Addr>::new()
            .output_interface(index)
            .gateway(place.gateway())
            .build();
        let v4 = RouteMessageBuilder::<Ipv4Addr>::new()
            .output_interface(index)
            .gateway(place.gateway_v4())
            .onlink()
            .build();
        vec![v6, v4]
    } else {
        let v4 = RouteMessageBuilder::<Ipv4Addr>::new()
            .output_interface(index)
            .destination_prefix(place.gateway_v4(), 32)
            .scope(RouteScope::Link)
            .build();
        vec![v4]
    };
    for route in routes {
        let route = Change::put(Message::NewRoute(route));
        changes.push(route.doing("add the route to the gateway to", machine));
    }
    inside.change(changes)
}
