//! Interfaces, addresses, neighbours and routes, as the host says they are.

use crate::netlink::{
    Attribute, DEL_ADDRESS, GET_ADDRESS, GET_LINK, NEW_ADDRESS, NEW_LINK, NEW_NEIGHBOUR, NEW_ROUTE,
    Netlink, attributes,
};
use crate::sys::{self, Errno, at};
use crate::wire::{Address, Identity, Interface, Route};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv6Addr};

const LOOPBACK: u32 = 1;
const UP: u32 = 1;
/// An attribute of links.
const NAME: u16 = 3;
const NODAD: u8 = 2;
const PERMANENT: u16 = 0x80;
const ONLINK: u32 = 4;
const SCOPE_LINK: u8 = 253;

/// Sets up what every machine has: the loopback, and links that are up and say nothing. Nobody has an
/// address yet.
pub fn begin() {
    const ETHERNET: [u8; 2] = [1, 0];
    quiet("default");
    let Ok(netlink) = Netlink::open() else { return };
    // A machine without one of these is one all the same.
    let _ = set_link(&netlink, LOOPBACK, true, &[]);
    for link in netlink.all(GET_LINK, &[0; 16]).unwrap_or_default() {
        let name = attributes(&link, 16).find(|(number, _)| *number == NAME);
        let name = name.and_then(|(_, name)| name.strip_suffix(b"\0"));
        if let (Some(name), Some(index)) = (name, index_of(&link))
            && link.get(2..4) == Some(&ETHERNET)
        {
            quiet(&String::from_utf8_lossy(name));
            let _ = set_link(&netlink, index, true, &[]);
        }
    }
}

/// Sets everything up. An interface that was set up before is taken down first, with all its routes.
/// `again`: that may have been by this very function, with other addresses.
///
/// # Errors
/// A sentence: which device is not there, or what the kernel refused.
pub fn set_up(identity: &Identity, again: bool) -> Result<(), String> {
    let netlink = Netlink::open().map_err(|error| format!("cannot ask for links: {error}"))?;
    let refused = |what: String| move |error: Errno| format!("cannot {what}: {error}");
    let links = netlink.all(GET_LINK, &[0; 16]).map_err(refused("list the links".into()))?;
    let mut indexes = Vec::new();
    for interface in &identity.interfaces {
        let name = &interface.name;
        let index = find(&links, interface.device).ok_or_else(|| {
            let [a, b, c, d, e, f] = interface.device;
            format!("{name}: no device has the MAC {a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
        })?;
        // As `begin` left it, on a wire of hc's: it stays up, and becomes this machine's.
        let as_begun = !again && !identity.payload.init && !interface.neighbours.is_empty();
        let stays = as_begun
            && is_called(&links, index, name)
            && set_link_of(&netlink, interface, index, true, &[]).is_ok();
        indexes.push((index, stays));
        if stays {
            continue;
        }
        // First all out of the way: names may change places. One that was given by hand is also one
        // that udev leaves alone, which an init may start.
        let aside = format!("hc-{index}\0");
        set_link(&netlink, index, false, &[])
            .and_then(|()| set_link(&netlink, index, false, &[(3, aside.as_bytes())]))
            .map_err(refused(format!("take {name} down")))?;
    }
    for (interface, (index, stays)) in identity.interfaces.iter().zip(&indexes) {
        if !stays {
            bring_up(&netlink, interface, *index, again)?;
        }
        give_addresses(&netlink, interface, *index)?;
    }
    for route in &identity.routes {
        let of = identity.interfaces.iter().position(|i| i.name == route.interface);
        let shown = format!("{}/{}", route.to.ip, route.to.prefix);
        let index = of.map(|at| indexes[at].0).ok_or_else(|| {
            format!("the route to {shown} is of an interface {} that is none", route.interface)
        })?;
        add_route(&netlink, route, index).map_err(refused(format!("add the route to {shown}")))?;
    }
    Ok(())
}

/// Whether a link is called what it is to be called.
fn is_called(links: &[Vec<u8>], index: u32, name: &str) -> bool {
    let name = format!("{name}\0");
    let called = |link: &Vec<u8>| attributes(link, 16).any(|a| a == (NAME, name.as_bytes()));
    links.iter().any(|link| index_of(link) == Some(index) && called(link))
}

fn index_of(link: &[u8]) -> Option<u32> {
    link.get(4..8)?.first_chunk().copied().map(u32::from_le_bytes)
}

/// By the address it was made with, or else has now.
fn find(links: &[Vec<u8>], mac: [u8; 6]) -> Option<u32> {
    const MADE_WITH: u16 = 54;
    const NOW: u16 = 1;
    let by = |number| {
        let link = links.iter().find(|link| attributes(link, 16).any(|a| a == (number, &mac[..])));
        link.and_then(|link| index_of(link))
    };
    by(MADE_WITH).or_else(|| by(NOW))
}

/// All addresses are known, the one of the link too, and nobody needs asking.
fn quiet(name: &str) {
    say(name, &[("accept_ra", b"0"), ("accept_dad", b"0"), ("addr_gen_mode", b"1")]);
}

/// Routers are heard, and others asked whether an address is free. Their way to everybody is better than
/// that over the host.
fn listens(name: &str) {
    let metric = ("ra_defrtr_metric", &b"512"[..]);
    say(name, &[("accept_ra", b"1"), ("accept_dad", b"1"), ("addr_gen_mode", b"0"), metric]);
}

/// A kernel may be without IPv6, and without the newer of these.
fn say(name: &str, settings: &[(&str, &[u8])]) {
    for (setting, value) in settings {
        let path = format!("/proc/sys/net/ipv6/conf/{name}/{setting}");
        let _ = sys::open(&path, at::WRITE).and_then(|file| sys::write(&file, value));
    }
}

fn set_link(netlink: &Netlink, index: u32, up: bool, with: &[Attribute<'_>]) -> sys::Result<()> {
    let flags = if up { UP } else { 0 };
    let fixed = [0, index, flags, UP].map(u32::to_le_bytes).concat();
    netlink.set(NEW_LINK, &fixed, with)
}

/// Gives a link its MAC and its MTU.
fn set_link_of(
    netlink: &Netlink,
    interface: &Interface,
    index: u32,
    up: bool,
    with: &[Attribute<'_>],
) -> sys::Result<()> {
    const MAC: u16 = 1;
    const MTU: u16 = 4;
    let mtu = interface.mtu.map(u32::to_le_bytes);
    let own = [(MAC, &interface.mac[..])].into_iter();
    let own = own.chain(mtu.iter().map(|mtu| (MTU, &mtu[..])));
    set_link(netlink, index, up, &own.chain(with.iter().copied()).collect::<Vec<_>>())
}

/// Says what an interface could not be given.
fn refused<'a>(interface: &'a Interface, what: &str) -> impl FnOnce(Errno) -> String + use<'a> {
    let what = String::from(what);
    move |error| format!("{}: cannot {what}: {error}", interface.name)
}

/// Names a link that is down, and takes it up.
fn bring_up(
    netlink: &Netlink,
    interface: &Interface,
    index: u32,
    again: bool,
) -> Result<(), String> {
    let name = &interface.name;
    let refused = |what| refused(interface, what);
    let called = format!("{name}\0");
    set_link_of(netlink, interface, index, false, &[(NAME, called.as_bytes())])
        .map_err(refused("set name, MAC and MTU"))?;
    // Where nobody is known beforehand, the network is not hc's.
    if interface.neighbours.is_empty() {
        listens(name)
    } else {
        quiet(name)
    }
    let there = match again {
        true => netlink.all(GET_ADDRESS, &[0; 8]).map_err(refused("list addresses"))?,
        false => Vec::new(),
    };
    for address in there.iter().filter(|a| a.get(4..8) == Some(&index.to_le_bytes())) {
        let value = |number| attributes(address, 8).find(|(n, _)| *n == number);
        if let (Some(fixed), Some((_, ip))) = (address.get(..8), value(2).or(value(1))) {
            let gone = netlink.set(DEL_ADDRESS, fixed, &[(2, ip), (1, ip)]);
            gone.map_err(refused("remove an old address"))?;
        }
    }
    set_link(netlink, index, true, &[]).map_err(refused("set up"))
}

/// The address that a link has by its MAC (RFC 4291, appendix A).
fn of_link(mac: [u8; 6]) -> Address {
    let [a, b, c, d, e, f] = mac;
    let [first, second] = [[a ^ 2, b], [c, 0xff]].map(u16::from_be_bytes);
    let [third, fourth] = [[0xfe, d], [e, f]].map(u16::from_be_bytes);
    let ip = Ipv6Addr::new(0xfe80, 0, 0, 0, first, second, third, fourth);
    Address { ip: ip.into(), prefix: 64 }
}

/// Gives a link that is up its addresses and neighbours.
fn give_addresses(netlink: &Netlink, interface: &Interface, index: u32) -> Result<(), String> {
    let refused = |what: &str| refused(interface, what);
    // The kernel gives itself one where routers are heard.
    let own = (!interface.neighbours.is_empty()).then(|| of_link(interface.mac));
    for address in own.iter().chain(&interface.addresses) {
        let (family, ip) = raw(address.ip);
        let flags = if address.ip.is_ipv6() { NODAD } else { 0 };
        let fixed = [&[family, address.prefix, flags, 0][..], &index.to_le_bytes()].concat();
        let added = netlink.set(NEW_ADDRESS, &fixed, &[(2, &ip), (1, &ip)]);
        added.map_err(refused(&format!("add the address {}/{}", address.ip, address.prefix)))?;
    }
    for neighbour in &interface.neighbours {
        let (family, ip) = raw(neighbour.ip);
        let fixed =
            [&[family, 0, 0, 0][..], &index.to_le_bytes(), &PERMANENT.to_le_bytes(), &[0; 2]];
        let added = netlink.set(NEW_NEIGHBOUR, &fixed.concat(), &[(1, &ip), (2, &neighbour.mac)]);
        added.map_err(refused(&format!("add the neighbour {}", neighbour.ip)))?;
    }
    Ok(())
}

fn add_route(netlink: &Netlink, route: &Route, index: u32) -> sys::Result<()> {
    const MAIN: u8 = 254;
    const STATIC: u8 = 4;
    const UNICAST: u8 = 1;
    let (family, to) = raw(route.to.ip);
    let via = route.via.map(|ip| raw(ip).1);
    let scope = if via.is_none() && family == 2 { SCOPE_LINK } else { 0 };
    let flags = if via.is_some() { ONLINK } else { 0 };
    let fixed = [family, route.to.prefix, 0, 0, MAIN, STATIC, scope, UNICAST];
    let fixed = [&fixed[..], &flags.to_le_bytes()].concat();
    let index = index.to_le_bytes();
    let mut with: Vec<Attribute<'_>> = alloc::vec![(4, &index[..])];
    if route.to.prefix != 0 {
        with.push((1, &to));
    }
    with.extend(via.iter().map(|via| (5, via.as_slice())));
    netlink.set(NEW_ROUTE, &fixed, &with)
}

/// Family and bytes of an address.
fn raw(ip: IpAddr) -> (u8, Vec<u8>) {
    match ip {
        IpAddr::V4(ip) => (2, ip.octets().to_vec()),
        IpAddr::V6(ip) => (10, ip.octets().to_vec()),
    }
}
