//! Interfaces, addresses, neighbours and routes, as the host says they are.

use crate::netlink::{
    Attribute, DEL_ADDRESS, GET_ADDRESS, GET_LINK, NEW_ADDRESS, NEW_LINK, NEW_NEIGHBOUR, NEW_ROUTE,
    Netlink, attributes,
};
use crate::sys::{self, Errno, at};
use crate::wire::{Identity, Interface, Route};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;

const LOOPBACK: u32 = 1;
const UP: u32 = 1;
const NODAD: u8 = 2;
const PERMANENT: u16 = 0x80;
const ONLINK: u32 = 4;
const SCOPE_LINK: u8 = 253;

/// Sets up what every machine has.
pub fn begin() {
    quiet("default");
    if let Ok(netlink) = Netlink::open() {
        // A machine without a loopback is one all the same.
        let _ = set_link(&netlink, LOOPBACK, true, &[]);
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
        indexes.push(index);
        if !identity.payload.init && is_new(&links, index, name) {
            continue;
        }
        // First all out of the way: names may change places. One that was given by hand is also one
        // that udev leaves alone, which an init may start.
        let aside = format!("hc-{index}\0");
        set_link(&netlink, index, false, &[])
            .and_then(|()| set_link(&netlink, index, false, &[(3, aside.as_bytes())]))
            .map_err(refused(format!("take {name} down")))?;
    }
    for (interface, index) in identity.interfaces.iter().zip(&indexes) {
        set_up_one(&netlink, interface, *index, again)?;
    }
    for route in &identity.routes {
        let of = identity.interfaces.iter().position(|i| i.name == route.interface);
        let shown = format!("{}/{}", route.to.ip, route.to.prefix);
        let index = of.map(|at| indexes[at]).ok_or_else(|| {
            format!("the route to {shown} is of an interface {} that is none", route.interface)
        })?;
        add_route(&netlink, route, index).map_err(refused(format!("add the route to {shown}")))?;
    }
    Ok(())
}

/// Whether a link is down, and called what it is to be called.
fn is_new(links: &[Vec<u8>], index: u32, name: &str) -> bool {
    const NAME: u16 = 3;
    links.iter().any(|link| {
        let flags =
            link.get(8..12).and_then(|flags| Some(u32::from_le_bytes(flags.try_into().ok()?)));
        link.get(4..8) == Some(&index.to_le_bytes())
            && flags.is_some_and(|flags| flags & UP == 0)
            && attributes(link, 16).any(|a| a.0 == NAME && a.1 == format!("{name}\0").as_bytes())
    })
}

/// By the address it was made with, or else has now.
fn find(links: &[Vec<u8>], mac: [u8; 6]) -> Option<u32> {
    const MADE_WITH: u16 = 54;
    const NOW: u16 = 1;
    let by = |number| {
        let link = links.iter().find(|link| attributes(link, 16).any(|a| a == (number, &mac[..])));
        link.and_then(|link| Some(u32::from_le_bytes(link.get(4..8)?.try_into().ok()?)))
    };
    by(MADE_WITH).or_else(|| by(NOW))
}

/// All addresses are known, and nobody needs asking.
fn quiet(name: &str) {
    say(name, &[("accept_ra", b"0"), ("accept_dad", b"0")]);
}

/// Routers are heard, and others asked whether an address is free. Their way to everybody is better than
/// that over the host.
fn listens(name: &str) {
    say(name, &[("accept_ra", b"1"), ("accept_dad", b"1"), ("ra_defrtr_metric", b"512")]);
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

fn set_up_one(
    netlink: &Netlink,
    interface: &Interface,
    index: u32,
    again: bool,
) -> Result<(), String> {
    let name = &interface.name;
    let refused = |what: &str| {
        let what = String::from(what);
        move |error: Errno| format!("{name}: cannot {what}: {error}")
    };
    let called = format!("{name}\0");
    let mtu = interface.mtu.unwrap_or(0).to_le_bytes();
    let with = [(3, called.as_bytes()), (1, &interface.mac[..]), (4, &mtu[..])];
    let count = if interface.mtu.is_some() { 3 } else { 2 };
    set_link(netlink, index, false, &with[..count]).map_err(refused("set name, MAC and MTU"))?;
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
    set_link(netlink, index, true, &[]).map_err(refused("set up"))?;
    for address in &interface.addresses {
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
