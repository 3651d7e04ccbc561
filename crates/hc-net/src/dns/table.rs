//! All names of a host as DNS nodes, looked up per question.
//!
//! The nodes follow from the description; what machines are doing ([`States`]) is apart from them,
//! so that a machine that becomes ready changes one word and no table.

use super::view::{View, Views};
use super::{Names, State};
use crate::error::{Error, Result};
use hc_spec::Name;
use hc_spec::addr::{Place, host_prefix};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, NS, PTR, SOA, SRV};
use hickory_proto::rr::{LowerName, Name as DnsName, RData, Record, RecordType};
use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Seconds an answer may be kept while the machine is only just ready, and later.
const TTL: [u32; 2] = [1, 5];
/// From when on it is later.
const STEADY: Duration = Duration::from_secs(30);
/// Seconds "there is no such thing" may be kept: machines become ready while others ask.
const NEGATIVE_TTL: u32 = 1;

/// What each machine is doing, and since when, by its place in the table.
pub(super) type States = Vec<(State, Instant)>;

/// What machines are doing when a question is answered.
#[derive(Clone, Copy)]
pub(super) struct Moment<'a> {
    pub states: &'a States,
    pub now: Instant,
}

/// The nodes of the zones of one host.
pub(super) struct Table {
    zones: Vec<DnsName>,
    nodes: HashMap<LowerName, Vec<Entry>>,
    far: Vec<Far>,
    numbers: HashMap<Name, usize>,
    pub(super) views: Views,
}

/// A zone that another host answers for.
struct Far {
    zone: DnsName,
    peer: usize,
    /// The network of this host that has the same name.
    network: Option<usize>,
}

/// One record, and whose it is.
#[derive(Debug, Clone)]
struct Entry {
    data: RData,
    whose: Whose,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whose {
    /// Everybody's: the zone itself.
    Zone,
    /// The host's address in a network.
    Host(usize),
    /// A machine in a network.
    Machine(usize, usize),
}

/// What the table says to a question.
#[derive(Debug, PartialEq)]
pub(super) enum Answer {
    /// These records, and others that will be asked for next.
    Records(Vec<Record>, Vec<Record>),
    /// The name is there, but not with records of this type, or not yet.
    NoData {
        /// Of the zone.
        soa: Box<Record>,
        /// A machine is starting that will have some.
        expected: bool,
    },
    /// The name is not there.
    NoName(Box<Record>),
    /// Another host knows, by its number in order of names.
    Far(usize),
    /// Not a name of this host's zones.
    Elsewhere,
}

impl Table {
    pub(super) fn new(names: &Names) -> Result<Self> {
        let root = parse(&format!("{}.internal.", names.cloud))?;
        let own = parse(&format!("{}.{}.internal.", names.host, names.cloud))?;
        let prefix = host_prefix(&names.cloud, &names.host);
        let reverse = DnsName::from(IpAddr::from(prefix)).trim_to(12 + 2);
        let mut table = Self {
            zones: vec![root.clone(), reverse.clone()],
            nodes: HashMap::new(),
            far: far(names)?,
            numbers: names.machines.keys().cloned().zip(0..).collect(),
            views: Views::new(names)?,
        };
        for zone in [&root, &reverse] {
            table.add(zone, zone, Whose::Zone, [table.soa(zone, &own)]);
            table.add(zone, zone, Whose::Zone, [RData::NS(NS(own.clone()))]);
        }
        table.add(&root, &own, Whose::Zone, []);
        for (n, network) in names.networks.iter().enumerate() {
            let place = names.place(network);
            table.add(&root, &parse(&format!("{}.", place.zone()))?, Whose::Zone, []);
            table.point(&root, &own, Whose::Host(n), place.gateway().into());
            table.point(&root, &own, Whose::Host(n), place.gateway_v4().into());
        }
        for (m, (machine, about)) in names.machines.iter().enumerate() {
            for (n, network) in names.networks.iter().enumerate() {
                if about.networks.contains(network) {
                    table.machine(names, &root, (m, machine), (n, network))?;
                }
            }
        }
        Ok(table)
    }

    /// A machine's place among [`States`].
    pub(super) fn number(&self, machine: &Name) -> Option<usize> {
        self.numbers.get(machine).copied()
    }

    /// All names of one machine in one network.
    fn machine(
        &mut self,
        names: &Names,
        root: &DnsName,
        (m, machine): (usize, &Name),
        (n, network): (usize, &Name),
    ) -> Result<()> {
        let (place, whose) = (names.place(network), Whose::Machine(m, n));
        let zone = place.zone();
        let name = parse(&format!("{machine}.{zone}."))?;
        self.point(root, &name, whose, place.v6(machine).into());
        self.point(root, &name, whose, place.v4(machine).into());
        let about = &names.machines[machine];
        for alias in &about.aliases {
            let alias = parse(&format!("{alias}.{zone}."))?;
            self.add(root, &alias, whose, [RData::CNAME(CNAME(name.clone()))]);
        }
        for (service, offered) in &about.services {
            let (port, protocol) = (offered.port, offered.protocol);
            let srv = SRV::new(offered.priority, offered.weight, port, name.clone());
            for above in [zone.clone(), format!("{machine}.{zone}")] {
                let at = parse(&format!("_{service}._{protocol}.{above}."))?;
                self.add(root, &at, whose, [RData::SRV(srv.clone())]);
            }
        }
        Ok(())
    }

    /// Answers a question as somebody may know the answer.
    pub(super) fn answer(
        &self,
        view: View<'_>,
        at: Moment<'_>,
        name: &DnsName,
        kind: RecordType,
    ) -> Answer {
        // The longest comes first: a network of a host before the host.
        if let Some(far) = self.far.iter().find(|far| far.zone.zone_of(name)) {
            return match view.far(far.network, name) {
                true => Answer::Far(far.peer),
                false => Answer::NoName(Box::new(self.authority(&self.zones[0]))),
            };
        }
        let found = self.nodes.get(&LowerName::new(name)).map(|entries| &entries[..]);
        let zone = self.zones.iter().find(|zone| zone.zone_of(name));
        let known: Option<Vec<&Entry>> = found
            .map(|entries| entries.iter().filter(|entry| may_know(view, entry.whose)).collect());
        let hidden =
            known.as_ref().is_some_and(Vec::is_empty) && found.is_some_and(|f| !f.is_empty());
        let (known, zone) = match (known, zone) {
            (Some(known), zone) if !hidden => (known, zone),
            (_, Some(zone)) => return Answer::NoName(Box::new(self.authority(zone))),
            // IPv4 addresses share their reverse zone with others, so only those that are
            // machines' are answered for. Of the others nobody else knows either.
            (_, None) => return Answer::Elsewhere,
        };
        let (mut records, mut more, mut expected) = (Vec::new(), Vec::new(), false);
        for entry in known {
            let alias = match &entry.data {
                RData::CNAME(CNAME(target)) if kind != RecordType::CNAME => Some(target),
                _ => None,
            };
            let wanted = kind == RecordType::ANY || entry.data.record_type() == kind;
            if !wanted && alias.is_none() {
                continue;
            }
            let Some(ttl) = at.ttl(entry.whose) else {
                expected |= at.expects(entry.whose);
                continue;
            };
            records.push(Record::from_rdata(name.clone(), ttl, entry.data.clone()));
            if let Some(target) = alias {
                records.extend(self.addresses(at, target, Some(kind)));
            }
            if let RData::SRV(srv) = &entry.data {
                more.extend(self.addresses(at, &srv.target, None));
            }
        }
        if !records.is_empty() {
            return Answer::Records(records, more);
        }
        let zone = zone.unwrap_or(&self.zones[0]);
        Answer::NoData { soa: Box::new(self.authority(zone)), expected }
    }

    /// What there is to say of a name that may yet come.
    pub(super) fn expected(&self) -> Answer {
        Answer::NoData { soa: Box::new(self.authority(&self.zones[0])), expected: true }
    }

    /// Addresses of a machine that is known to be known, of one kind or of both.
    fn addresses<'a>(
        &'a self,
        at: Moment<'a>,
        name: &'a DnsName,
        kind: Option<RecordType>,
    ) -> impl Iterator<Item = Record> + 'a {
        let entries = self.nodes.get(&LowerName::new(name)).into_iter().flatten();
        let wanted = entries.filter(move |entry| {
            matches!(entry.data, RData::A(_) | RData::AAAA(_))
                && kind.is_none_or(|k| k == RecordType::ANY || k == entry.data.record_type())
        });
        wanted.filter_map(move |entry| {
            let ttl = at.ttl(entry.whose)?;
            Some(Record::from_rdata(name.clone(), ttl, entry.data.clone()))
        })
    }

    /// Adds a node, and the empty ones between it and its zone.
    fn add(
        &mut self,
        zone: &DnsName,
        name: &DnsName,
        whose: Whose,
        data: impl IntoIterator<Item = RData>,
    ) {
        let entries = data.into_iter().map(|data| Entry { data, whose });
        self.nodes.entry(LowerName::new(name)).or_default().extend(entries);
        let mut up = name.base_name();
        while zone.zone_of(&up) && up != *zone {
            self.nodes.entry(LowerName::new(&up)).or_default();
            up = up.base_name();
        }
    }

    /// Adds an address and the way back from it.
    fn point(&mut self, zone: &DnsName, name: &DnsName, whose: Whose, address: IpAddr) {
        let data = match address {
            IpAddr::V4(address) => RData::A(A(address)),
            IpAddr::V6(address) => RData::AAAA(AAAA(address)),
        };
        self.add(zone, name, whose, [data]);
        let back = DnsName::from(address);
        let zone = match address {
            IpAddr::V4(_) => back.clone(),
            IpAddr::V6(_) => self.zones[1].clone(),
        };
        self.add(&zone, &back, whose, [RData::PTR(PTR(name.clone()))]);
    }

    fn soa(&self, zone: &DnsName, server: &DnsName) -> RData {
        let person = zone.prepend_label("hostmaster").unwrap_or_else(|_| zone.clone());
        RData::SOA(SOA::new(server.clone(), person, 1, 5, 5, 5, NEGATIVE_TTL))
    }

    /// The SOA record that goes with a negative answer.
    fn authority(&self, zone: &DnsName) -> Record {
        let mut entries = self.nodes.get(&LowerName::new(zone)).into_iter().flatten();
        let soa = entries.find(|entry| entry.data.record_type() == RecordType::SOA);
        let soa = soa.map_or_else(|| self.soa(zone, zone), |entry| entry.data.clone());
        Record::from_rdata(zone.clone(), NEGATIVE_TTL, soa)
    }
}

/// What other hosts answer for: their networks, the prefixes of those, and themselves.
fn far(names: &Names) -> Result<Vec<Far>> {
    let mut all = Vec::new();
    for (peer, (host, networks)) in names.peers.iter().enumerate() {
        for name in networks {
            let place = Place { cloud: &names.cloud, host, network: name };
            let network = names.networks.iter().position(|own| own == name);
            all.push(Far { zone: parse(&format!("{}.", place.zone()))?, peer, network });
            let zone = DnsName::from(IpAddr::from(place.subnet())).trim_to(16 + 2);
            all.push(Far { zone, peer, network });
        }
        let zone = parse(&format!("{host}.{}.internal.", names.cloud))?;
        all.push(Far { zone, peer, network: None });
    }
    Ok(all)
}

fn may_know(view: View<'_>, whose: Whose) -> bool {
    match whose {
        Whose::Zone => true,
        Whose::Host(network) => view.network(network),
        Whose::Machine(machine, network) => view.machine(machine, network),
    }
}

impl Moment<'_> {
    /// How long a record may be kept; none while there is no such record.
    fn ttl(self, whose: Whose) -> Option<u32> {
        let Whose::Machine(machine, _) = whose else { return Some(TTL[1]) };
        match self.states.get(machine) {
            Some((State::Ready, since)) => {
                let ready = self.now.saturating_duration_since(*since);
                Some(TTL[usize::from(ready > STEADY)])
            }
            _ => None,
        }
    }

    fn expects(self, whose: Whose) -> bool {
        let Whose::Machine(machine, _) = whose else { return false };
        matches!(self.states.get(machine), Some((State::Starting, _)))
    }
}

pub(super) fn parse(name: &str) -> Result<DnsName> {
    DnsName::from_ascii(name).map_err(|source| Error::DnsName { name: name.into(), source })
}

#[cfg(test)]
mod tests;
