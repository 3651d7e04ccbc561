//! The elements that follow from a host's description: networks, allowances, published ports.

use super::element::Fields;
use hc_spec::addr::Place;
use hc_spec::allow::{Allowance, Ports, Protocol, Side};
use hc_spec::{HostSpec, Name};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// What is in which set.
pub(super) type Sets = BTreeMap<&'static str, BTreeSet<Fields>>;

/// Sets of what may be reached, by how much of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Class {
    /// One port.
    port: &'static str,
    /// Everything.
    all: &'static str,
    /// Several ports.
    range: &'static str,
}

macro_rules! class {
    ($base:literal) => {
        Class {
            port: concat!($base, "_port"),
            all: concat!($base, "_all"),
            range: concat!($base, "_range"),
        }
    };
    // One side is a prefix: there are sets of ranges only.
    (prefix $base:literal) => {
        Class { port: concat!($base, "_range"), ..class!($base) }
    };
}

const MM6: Class = class!("hc_mm6");
const MM4: Class = class!("hc_mm4");
const MN6: Class = class!("hc_mn6");
const MN4: Class = class!("hc_mn4");
const NM6: Class = class!("hc_nm6");
const NM4: Class = class!("hc_nm4");
const NN: Class = class!("hc_nn");
const OUTSIDE_M6: Class = class!("hc_outside_m6");
const OUTSIDE_M4: Class = class!("hc_outside_m4");
const OUTSIDE_N: Class = class!("hc_outside_n");
const HOST_M6: Class = class!("hc_host_m6");
const HOST_M4: Class = class!("hc_host_m4");
const HOST_N: Class = class!("hc_host_n");
const FAR_MM: Class = class!("hc_far_mm");
const FAR_MN: Class = class!(prefix "hc_far_mn");
const FAR_NM: Class = class!(prefix "hc_far_nm");
const FAR_NN: Class = class!(prefix "hc_far_nn");
const CLASSES: [Class; 17] = [
    MM6, MM4, MN6, MN4, NM6, NM4, NN, OUTSIDE_M6, OUTSIDE_M4, OUTSIDE_N, HOST_M6, HOST_M4, HOST_N,
    FAR_MM, FAR_MN, FAR_NM, FAR_NN,
];
/// Sets of networks and other hosts.
const PLACES: [&str; 6] = ["hc_same", "hc_own6", "hc_peer6", "hc_peer4", "hc_far_host", "hc_far"];
pub(super) const MAPS: [&str; 4] =
    ["hc_publish6", "hc_publish4", "hc_publish_any6", "hc_publish_any4"];

/// All sets that follow from a description, with what is in them by this one.
pub(super) fn sets(host: &HostSpec) -> Sets {
    let classes = CLASSES.iter().flat_map(|class| [class.port, class.all, class.range]);
    let names = classes.chain(PLACES).chain(MAPS);
    let mut all: Sets = names.map(|set| (set, BTreeSet::new())).collect();
    let mut add = |set, fields| {
        all.entry(set).or_default().insert(fields);
    };
    let prefix = hc_spec::addr::host_prefix(&host.cloud, &host.host);
    add("hc_own6", field(prefix));
    for network in host.networks.keys() {
        add("hc_same", same(&host.place(network)));
    }
    for ((class, key), reach) in reaches(host).into_iter().chain(far_reaches(host)) {
        if reach.any {
            add(class.all, key);
            continue;
        }
        for (protocol, first, last) in reach.ranges() {
            if first == last {
                add(class.port, key.clone().port(protocol, first));
            } else {
                add(class.range, key.clone().ports(protocol, first, last));
            }
        }
    }
    let peers = host.overlay.iter().flat_map(|overlay| &overlay.peers);
    for (name, peer) in peers {
        add(if peer.address.is_ipv6() { "hc_peer6" } else { "hc_peer4" }, field(peer.address));
        for network in &peer.networks {
            add("hc_far_host", field(Place { cloud: &host.cloud, host: name, network }.gateway()));
        }
        for network in host.networks.keys().filter(|network| peer.networks.contains(*network)) {
            let far = Place { cloud: &host.cloud, host: name, network };
            let bridge = host.place(network).bridge();
            add("hc_far", Fields::default().interface(&bridge).subnet(far.subnet()));
        }
    }
    for (machine, port) in host.published() {
        let Some(network) = &port.network else { continue };
        let place = host.place(network);
        for (to, one, any) in [
            (IpAddr::from(place.v6(machine)), "hc_publish6", "hc_publish_any6"),
            (place.v4(machine).into(), "hc_publish4", "hc_publish_any4"),
        ] {
            let (set, key) = match port.listen.filter(|listen| !listen.is_unspecified()) {
                Some(listen) if listen.is_ipv6() == to.is_ipv6() => (one, field(listen)),
                None if port.listen.is_none_or(|listen| listen.is_ipv6() == to.is_ipv6()) => {
                    (any, Fields::default())
                }
                _ => continue,
            };
            add(set, key.port(port.protocol, port.host).to(to, port.port));
        }
    }
    all
}

/// The same for computers that are no hosts: each to its network and back, here and on other hosts.
pub(super) fn roads(host: &HostSpec, roads: &[(&Name, Place<'_>)]) -> Sets {
    let (mut from, mut to) = (BTreeSet::new(), BTreeSet::new());
    for (name, place) in roads {
        let address = place.v6(name).into();
        let peers = host.overlay.iter().flat_map(|overlay| &overlay.peers);
        let far = peers.filter(|(_, peer)| peer.networks.contains(place.network));
        let far = far.map(|(host, _)| Place { host, ..*place }.subnet());
        for subnet in std::iter::once(place.subnet()).chain(far) {
            from.insert(Fields::default().address(address).subnet(subnet));
            to.insert(Fields::default().subnet(subnet).address(address));
        }
    }
    [("hc_road_from", from), ("hc_road_to", to)].into()
}

/// A network with itself.
pub(super) fn same(place: &Place<'_>) -> Fields {
    let bridge = place.bridge();
    Fields::default().interface(&bridge).interface(&bridge)
}

fn field(address: impl Into<IpAddr>) -> Fields {
    Fields::default().address(address.into())
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

    fn ranges(&self) -> Vec<(Protocol, u16, u16)> {
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
        merged
    }
}

/// One end of an allowance as the rules see it.
enum End {
    Machine(IpAddr, IpAddr),
    Network(String),
    Outside,
    Host,
}

fn end(host: &HostSpec, side: &Side) -> Option<End> {
    let known = |network: &Name| host.networks.contains_key(network);
    Some(match side {
        Side::Machine(machine, network) if known(network) => {
            let place = host.place(network);
            End::Machine(place.v6(machine).into(), place.v4(machine).into())
        }
        Side::Network(network) if known(network) => End::Network(host.place(network).bridge()),
        Side::Outside => End::Outside,
        Side::Host => End::Host,
        // Written out before a description gets here; what it means cannot be told any more.
        Side::Short(_) | Side::Machine(..) | Side::Network(_) | Side::Far(..) => return None,
    })
}

/// Sets and keys of everything that may be reached.
fn reaches(host: &HostSpec) -> BTreeMap<(Class, Fields), Reach> {
    let mut all: BTreeMap<(Class, Fields), Reach> = BTreeMap::new();
    for Allowance { from, to, ports } in &host.allow {
        let (Some(from), Some(to)) = (end(host, from), end(host, to)) else { continue };
        let mut add = |class, key| all.entry((class, key)).or_default().add(ports);
        match (from, to) {
            (End::Machine(v6, v4), End::Machine(to6, to4)) => {
                add(MM6, field(v6).address(to6));
                add(MM4, field(v4).address(to4));
            }
            (End::Machine(v6, v4), End::Network(to)) => {
                add(MN6, field(v6).interface(&to));
                add(MN4, field(v4).interface(&to));
            }
            (End::Network(from), End::Machine(v6, v4)) => {
                add(NM6, Fields::default().interface(&from).address(v6));
                add(NM4, Fields::default().interface(&from).address(v4));
            }
            (End::Network(from), End::Network(to)) => {
                add(NN, Fields::default().interface(&from).interface(&to));
            }
            (End::Outside, End::Machine(v6, v4)) => {
                add(OUTSIDE_M6, field(v6));
                add(OUTSIDE_M4, field(v4));
            }
            (End::Outside, End::Network(to)) => add(OUTSIDE_N, Fields::default().interface(&to)),
            (End::Machine(v6, v4), End::Host) => {
                add(HOST_M6, field(v6));
                add(HOST_M4, field(v4));
            }
            (End::Network(from), End::Host) => add(HOST_N, Fields::default().interface(&from)),
            // No allowance: see hc_spec::allow.
            (End::Outside | End::Host, _) | (_, End::Outside) => {}
        }
    }
    all
}

/// The same from one host to another. A packet of any other two hosts comes by neither.
fn far_reaches(host: &HostSpec) -> BTreeMap<(Class, Fields), Reach> {
    let mut all: BTreeMap<(Class, Fields), Reach> = BTreeMap::new();
    for Allowance { from, to, ports } in host.overlay.iter().flat_map(|overlay| &overlay.allow) {
        let (Side::Far(from, from_in, from_at), Side::Far(to, to_in, to_at)) = (from, to) else {
            continue;
        };
        let class = match (from, to) {
            (Some(_), Some(_)) => FAR_MM,
            (Some(_), None) => FAR_MN,
            (None, Some(_)) => FAR_NM,
            (None, None) => FAR_NN,
        };
        let mut key = Fields::default();
        for (machine, network, host_of) in [(from, from_in, from_at), (to, to_in, to_at)] {
            let place = Place { cloud: &host.cloud, host: host_of, network };
            key = match machine {
                Some(machine) => key.address(place.v6(machine).into()),
                None => key.subnet(place.subnet()),
            };
        }
        all.entry((class, key)).or_default().add(ports);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn reach(texts: &[&str]) -> Vec<(Protocol, u16, u16)> {
        let mut reach = Reach::default();
        for text in texts {
            let allowance: Allowance = format!("a.b -> c.d{text}").parse().unwrap();
            reach.add(&allowance.ports);
        }
        reach.ranges()
    }

    #[test]
    fn overlapping_ports_are_one() {
        let (tcp, udp) = (Protocol::Tcp, Protocol::Udp);
        assert_eq!(
            reach(&[":80", ":81-90,85-95", ":53/udp,100", ":80"]),
            [(tcp, 80, 95), (tcp, 100, 100), (udp, 53, 53)]
        );
        assert_eq!(reach(&[":65535", ":1-65535"]), [(tcp, 1, 65535)]);
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
            for (protocol, first, last) in reach.ranges() {
                for port in first..=last {
                    prop_assert!(held.insert((protocol, port)), "{} twice", port);
                }
            }
            prop_assert_eq!(held, said);
        }
    }
}
