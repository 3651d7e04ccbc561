//! The elements that follow from a host's description: networks, allowances, published ports.

use hc_spec::addr::Place;
use hc_spec::allow::{Allowance, Ports, Protocol, Side};
use hc_spec::{HostSpec, Name};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::net::IpAddr;

/// Sets and maps that are written whole.
const SETS: [(&str, &str); 25] = [
    ("set", "hc_same"),
    ("set", "hc_prefix6"),
    ("set", "hc_peer6"),
    ("set", "hc_peer4"),
    ("set", "hc_far_host"),
    ("set", "hc_far"),
    ("set", "hc_far_mm"),
    ("set", "hc_far_mn"),
    ("set", "hc_far_nm"),
    ("set", "hc_far_nn"),
    ("set", "hc_allow_mm6"),
    ("set", "hc_allow_mm4"),
    ("set", "hc_allow_mn6"),
    ("set", "hc_allow_mn4"),
    ("set", "hc_allow_nm6"),
    ("set", "hc_allow_nm4"),
    ("set", "hc_allow_nn"),
    ("set", "hc_outside_m6"),
    ("set", "hc_outside_m4"),
    ("set", "hc_outside_n"),
    ("set", "hc_host_m6"),
    ("set", "hc_host_m4"),
    ("set", "hc_host_n"),
    ("map", "hc_ports6"),
    ("map", "hc_ports4"),
];

/// Text for `nft` that makes these sets what `host` says, and leaves no other element in them.
pub(super) fn text(host: &HostSpec) -> String {
    let mut out = String::new();
    for (kind, set) in SETS {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "flush {kind} inet hc {set}");
    }
    let mut all: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let prefix = hc_spec::addr::host_prefix(&host.cloud, &host.host);
    all.entry("hc_prefix6").or_default().push(format!("{prefix}/48"));
    for network in host.networks.keys() {
        let bridge = host.place(network).bridge();
        all.entry("hc_same").or_default().push(format!("{bridge} . {bridge}"));
    }
    for ((set, key), reach) in reaches(host).into_iter().chain(far_reaches(host)) {
        let elements = reach.ranges().map(|range| format!("{key} . {range}"));
        all.entry(set).or_default().extend(elements);
    }
    let peers = host.overlay.iter().flat_map(|overlay| &overlay.peers);
    for (name, peer) in peers {
        let set = if peer.address.is_ipv6() { "hc_peer6" } else { "hc_peer4" };
        all.entry(set).or_default().push(peer.address.to_string());
        for network in &peer.networks {
            let gateway = Place { cloud: &host.cloud, host: name, network }.gateway();
            all.entry("hc_far_host").or_default().push(gateway.to_string());
        }
        for network in host.networks.keys().filter(|network| peer.networks.contains(*network)) {
            let far = Place { cloud: &host.cloud, host: name, network };
            let bridge = host.place(network).bridge();
            all.entry("hc_far").or_default().push(format!("{bridge} . {}/64", far.subnet()));
        }
    }
    for (machine, port) in host.published() {
        let Some(network) = &port.network else { continue };
        let place = host.place(network);
        let any: [IpAddr; 2] = [[0; 16].into(), [0; 4].into()];
        for (set, to, any) in [
            ("hc_ports6", IpAddr::from(place.v6(machine)), any[0]),
            ("hc_ports4", place.v4(machine).into(), any[1]),
        ] {
            let listen = port.listen.unwrap_or(any);
            if listen.is_ipv6() != to.is_ipv6() {
                continue;
            }
            let prefix = if listen.is_unspecified() { "/0" } else { "" };
            all.entry(set).or_default().push(format!(
                "{listen}{prefix} . {} . {} : {to} . {}",
                port.protocol, port.host, port.port
            ));
        }
    }
    for (set, elements) in all {
        let _ = writeln!(out, "add element inet hc {set} {{ {} }}", elements.join(", "));
    }
    out
}

/// The same for computers that are no hosts: each to its network and back, here and on other hosts.
pub(super) fn roads(host: &HostSpec, roads: &[(&Name, Place<'_>)]) -> String {
    let mut out = "flush set inet hc hc_road_from\nflush set inet hc hc_road_to\n".to_owned();
    for (name, place) in roads {
        let address = place.v6(name);
        let peers = host.overlay.iter().flat_map(|overlay| &overlay.peers);
        let far = peers.filter(|(_, peer)| peer.networks.contains(place.network));
        let far = far.map(|(host, _)| Place { host, ..*place }.subnet());
        for subnet in std::iter::once(place.subnet()).chain(far) {
            let _ = writeln!(
                out,
                "add element inet hc hc_road_from {{ {address} . {subnet}/64 }}\n\
                 add element inet hc hc_road_to {{ {subnet}/64 . {address} }}"
            );
        }
    }
    out
}

/// What is reached between two sides: disjoint ranges of ports, or everything.
#[derive(Debug, Clone, Default)]
struct Reach {
    any: bool,
    ports: BTreeSet<(Protocol, u16, u16)>,
}

impl Reach {
    fn add(&mut self, ports: &[Ports]) {
        self.any |= ports.is_empty();
        self.ports.extend(ports.iter().map(|p| (p.protocol, p.first, p.last)));
    }

    fn ranges(&self) -> impl Iterator<Item = String> {
        let mut merged: Vec<(Protocol, u16, u16)> = Vec::new();
        for &(protocol, first, last) in &self.ports {
            match merged.last_mut() {
                // They come in order of where they begin.
                Some(before) if before.0 == protocol && first <= before.2.saturating_add(1) => {
                    before.2 = before.2.max(last);
                }
                _ => merged.push((protocol, first, last)),
            }
        }
        let everything = self.any.then(|| "0-255 . 0-65535".to_owned());
        let some = merged.into_iter().filter(|_| !self.any);
        everything.into_iter().chain(some.map(|(protocol, first, last)| match last == first {
            true => format!("{protocol} . {first}"),
            false => format!("{protocol} . {first}-{last}"),
        }))
    }
}

/// One end of an allowance as the rules see it.
enum End {
    Machine { v6: String, v4: String },
    Network(String),
    Outside,
    Host,
}

fn end(host: &HostSpec, side: &Side) -> Option<End> {
    let known = |network: &Name| host.networks.contains_key(network);
    Some(match side {
        Side::Machine(machine, network) if known(network) => {
            let place = host.place(network);
            End::Machine { v6: place.v6(machine).to_string(), v4: place.v4(machine).to_string() }
        }
        Side::Network(network) if known(network) => End::Network(host.place(network).bridge()),
        Side::Outside => End::Outside,
        Side::Host => End::Host,
        // Written out before a description gets here; what it means cannot be told any more.
        Side::Short(_) | Side::Machine(..) | Side::Network(_) | Side::Far(..) => return None,
    })
}

/// Set and key of everything that may be reached.
fn reaches(host: &HostSpec) -> BTreeMap<(&'static str, String), Reach> {
    let mut all: BTreeMap<(&'static str, String), Reach> = BTreeMap::new();
    for Allowance { from, to, ports } in &host.allow {
        let (Some(from), Some(to)) = (end(host, from), end(host, to)) else { continue };
        let mut add = |set, key: String| all.entry((set, key)).or_default().add(ports);
        match (from, to) {
            (End::Machine { v6, v4 }, End::Machine { v6: to6, v4: to4 }) => {
                add("hc_allow_mm6", format!("{v6} . {to6}"));
                add("hc_allow_mm4", format!("{v4} . {to4}"));
            }
            (End::Machine { v6, v4 }, End::Network(to)) => {
                add("hc_allow_mn6", format!("{v6} . {to}"));
                add("hc_allow_mn4", format!("{v4} . {to}"));
            }
            (End::Network(from), End::Machine { v6, v4 }) => {
                add("hc_allow_nm6", format!("{from} . {v6}"));
                add("hc_allow_nm4", format!("{from} . {v4}"));
            }
            (End::Network(from), End::Network(to)) => add("hc_allow_nn", format!("{from} . {to}")),
            (End::Outside, End::Machine { v6, v4 }) => {
                add("hc_outside_m6", v6);
                add("hc_outside_m4", v4);
            }
            (End::Outside, End::Network(to)) => add("hc_outside_n", to),
            (End::Machine { v6, v4 }, End::Host) => {
                add("hc_host_m6", v6);
                add("hc_host_m4", v4);
            }
            (End::Network(from), End::Host) => add("hc_host_n", from),
            // No allowance: see hc_spec::allow.
            (End::Outside | End::Host, _) | (_, End::Outside) => {}
        }
    }
    all
}

/// The same from one host to another. A packet of any other two hosts comes by neither.
fn far_reaches(host: &HostSpec) -> BTreeMap<(&'static str, String), Reach> {
    let mut all: BTreeMap<(&'static str, String), Reach> = BTreeMap::new();
    let end = |side: &Side| {
        let Side::Far(machine, network, at) = side else { return None };
        let place = Place { cloud: &host.cloud, host: at, network };
        Some(match machine {
            Some(machine) => (true, place.v6(machine).to_string()),
            None => (false, format!("{}/64", place.subnet())),
        })
    };
    for Allowance { from, to, ports } in host.overlay.iter().flat_map(|overlay| &overlay.allow) {
        let (Some((from_one, from)), Some((to_one, to))) = (end(from), end(to)) else { continue };
        let set = match (from_one, to_one) {
            (true, true) => "hc_far_mm",
            (true, false) => "hc_far_mn",
            (false, true) => "hc_far_nm",
            (false, false) => "hc_far_nn",
        };
        all.entry((set, format!("{from} . {to}"))).or_default().add(ports);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn reach(texts: &[&str]) -> Vec<String> {
        let mut reach = Reach::default();
        for text in texts {
            let allowance: Allowance = format!("a.b -> c.d{text}").parse().unwrap();
            reach.add(&allowance.ports);
        }
        reach.ranges().collect()
    }

    #[test]
    fn overlapping_ports_are_one() {
        assert_eq!(
            reach(&[":80", ":81-90,85-95", ":53/udp,100", ":80"]),
            ["tcp . 80-95", "tcp . 100", "udp . 53"]
        );
        assert_eq!(reach(&[":80", ""]), ["0-255 . 0-65535"]);
        assert_eq!(reach(&[":65535", ":1-65535"]), ["tcp . 1-65535"]);
    }

    proptest! {
        #[test]
        fn ranges_are_disjoint_and_hold_what_was_said(
            ranges in prop::collection::vec((any::<bool>(), 1u16..200, 0u16..40), 1..12)
        ) {
            let mut reach = Reach::default();
            let mut said = BTreeSet::new();
            for (udp, first, more) in ranges {
                let protocol = if udp { Protocol::Udp } else { Protocol::Tcp };
                reach.add(&[Ports { first, last: first + more, protocol }]);
                said.extend((first..=first + more).map(|port| (protocol, port)));
            }
            let mut held = BTreeSet::new();
            for range in reach.ranges() {
                let (protocol, ports) = range.split_once(" . ").unwrap();
                let protocol = if protocol == "udp" { Protocol::Udp } else { Protocol::Tcp };
                let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
                for port in first.parse::<u16>().unwrap()..=last.parse().unwrap() {
                    prop_assert!(held.insert((protocol, port)), "{} twice", port);
                }
            }
            prop_assert_eq!(held, said);
        }
    }
}
