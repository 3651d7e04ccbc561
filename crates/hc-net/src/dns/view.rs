//! Who may know which names: those of machines it may reach.

use super::Names;
use super::table::parse;
use crate::error::Result;
use hc_spec::Name;
use hc_spec::addr::Place;
use hc_spec::allow::{Allowance, Side};
use hickory_proto::rr::Name as DnsName;
use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

/// What everybody who may ask may know. Machines and networks are numbers, in order of their names.
pub(super) struct Views {
    askers: HashMap<IpAddr, Asker>,
    machines: Vec<Known>,
    /// Of machines that are in a network and not in the set, as `hc run` makes them: the network's
    /// prefix, and what they may know.
    strangers: Vec<([u16; 4], Known)>,
}

#[derive(Debug, Clone, Copy)]
enum Asker {
    /// The host itself, by an address it has in a network.
    Host,
    /// Another host.
    Peer,
    /// The machine of that number.
    Machine(usize),
}

/// Names a machine may know.
#[derive(Debug, Default)]
pub(super) struct Known {
    networks: BTreeSet<usize>,
    machines: BTreeSet<(usize, usize)>,
    /// Of other hosts, with everything below them.
    far: Vec<DnsName>,
}

/// What one asker may know.
#[derive(Clone, Copy)]
pub(super) enum View<'a> {
    /// Everything.
    All,
    /// Everything of this host.
    Peer,
    /// What a machine may.
    Machine(&'a Known),
}

impl View<'_> {
    /// Whether names of a network may be known on another host: of its own networks' names, or of
    /// that host itself without one.
    pub(super) fn far(self, network: Option<usize>, name: &DnsName) -> bool {
        match self {
            Self::All => true,
            // It asks there itself.
            Self::Peer => false,
            Self::Machine(known) => {
                network.is_some_and(|n| known.networks.contains(&n))
                    || known.far.iter().any(|zone| zone.zone_of(name))
            }
        }
    }

    /// Whether other resolvers are asked for it.
    pub(super) fn recurses(self) -> bool {
        !matches!(self, Self::Peer)
    }

    /// Whether all names of a network may be known.
    pub(super) fn network(self, network: usize) -> bool {
        match self {
            Self::All | Self::Peer => true,
            Self::Machine(known) => known.networks.contains(&network),
        }
    }

    /// Whether the name of a machine in a network may be known.
    pub(super) fn machine(self, machine: usize, network: usize) -> bool {
        match self {
            Self::All | Self::Peer => true,
            Self::Machine(known) => {
                known.networks.contains(&network) || known.machines.contains(&(machine, network))
            }
        }
    }
}

impl Views {
    pub(super) fn new(names: &Names) -> Result<Self> {
        let networks: Vec<&Name> = names.networks.iter().collect();
        let number = |network: &Name| networks.binary_search(&network).ok();
        let numbers: HashMap<&Name, usize> = names.machines.keys().zip(0..).collect();
        let mut askers = HashMap::new();
        for network in &networks {
            let place = names.place(network);
            let own = [IpAddr::from(place.gateway()), place.gateway_v4().into()];
            askers.extend(own.map(|address| (address, Asker::Host)));
        }
        for (host, networks) in &names.peers {
            let gateway = |network| Place { cloud: &names.cloud, host, network }.gateway();
            askers.extend(networks.iter().map(|n| (gateway(n).into(), Asker::Peer)));
        }
        let mut machines = Vec::with_capacity(names.machines.len());
        for (m, (machine, about)) in names.machines.iter().enumerate() {
            let mut known = Known::default();
            for network in about.networks.intersection(&names.networks) {
                let place = names.place(network);
                let own = [IpAddr::from(place.v6(machine)), place.v4(machine).into()];
                askers.extend(own.map(|address| (address, Asker::Machine(m))));
                known.networks.extend(number(network));
            }
            machines.push(known);
        }
        let mut strangers: Vec<([u16; 4], Known)> = Vec::with_capacity(networks.len());
        for (n, network) in networks.iter().enumerate() {
            let known = Known { networks: [n].into(), ..Known::default() };
            strangers.push((prefix(names.place(network).gateway()), known));
        }
        for allowance in &names.allow {
            let to = |known: &mut Known| match &allowance.to {
                Side::Network(network) => known.networks.extend(number(network)),
                Side::Machine(machine, network) => {
                    known.machines.extend(numbers.get(machine).copied().zip(number(network)));
                }
                Side::Short(_) | Side::Far(..) | Side::Outside | Side::Host => {}
            };
            match &allowance.from {
                Side::Machine(machine, _) => {
                    if let Some(&m) = numbers.get(machine) {
                        to(&mut machines[m]);
                    }
                }
                Side::Network(network) => {
                    if let Some(n) = number(network) {
                        to(&mut strangers[n].1);
                    }
                    for (known, about) in machines.iter_mut().zip(names.machines.values()) {
                        if about.networks.contains(network) {
                            to(known);
                        }
                    }
                }
                Side::Short(_) | Side::Far(..) | Side::Outside | Side::Host => {}
            }
        }
        for Allowance { from, to, .. } in &names.far_allow {
            let Side::Far(machine, network, at) = from else { continue };
            let (true, Some(n)) = (*at == names.host, number(network)) else { continue };
            let zone = far_zone(names, to)?;
            match machine {
                Some(machine) => {
                    if let Some(&m) = numbers.get(machine) {
                        machines[m].far.extend(zone);
                    }
                }
                None => {
                    for (known, about) in machines.iter_mut().zip(names.machines.values()) {
                        if about.networks.contains(network) {
                            known.far.extend(zone.clone());
                        }
                    }
                    strangers[n].1.far.extend(zone);
                }
            }
        }
        Ok(Self { askers, machines, strangers })
    }

    /// What whoever asks from an address may know; none when it may not ask at all.
    pub(super) fn of(&self, source: IpAddr) -> Option<View<'_>> {
        if source.is_loopback() {
            return Some(View::All);
        }
        match (self.askers.get(&source), source) {
            (Some(Asker::Host), _) => Some(View::All),
            (Some(Asker::Peer), _) => Some(View::Peer),
            (Some(Asker::Machine(machine)), _) => self.machines.get(*machine).map(View::Machine),
            (None, IpAddr::V6(source)) => {
                let of = |(network, _): &&([u16; 4], Known)| *network == prefix(source);
                self.strangers.iter().find(of).map(|(_, known)| View::Machine(known))
            }
            (None, IpAddr::V4(_)) => None,
        }
    }
}

/// The names one side of an allowance stands for, when it is of another host.
fn far_zone(names: &Names, side: &Side) -> Result<Option<DnsName>> {
    let Side::Far(machine, network, host) = side else { return Ok(None) };
    let zone = Place { cloud: &names.cloud, host, network }.zone();
    let machine = machine.as_ref().map(|machine| format!("{machine}.")).unwrap_or_default();
    parse(&format!("{machine}{zone}.")).map(Some)
}

/// The /64 that an address is in.
fn prefix(address: std::net::Ipv6Addr) -> [u16; 4] {
    let [a, b, c, d, ..] = address.segments();
    [a, b, c, d]
}
