//! All names of a host as DNS nodes, looked up per question.

use super::Names;
use crate::error::{Error, Result};
use hc_spec::addr::{Place, host_prefix};
use hickory_proto::rr::rdata::{A, AAAA, NS, PTR, SOA};
use hickory_proto::rr::{LowerName, Name as DnsName, RData, Record, RecordType};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};

/// Seconds an answer may be kept. Machines come and go within seconds.
const TTL: u32 = 2;
/// Seconds "there is no such thing" may be kept: machines become ready while others ask.
const NEGATIVE_TTL: u32 = 1;

/// The nodes of the zones of one host.
#[derive(Debug)]
pub(super) struct Table {
    zones: Vec<DnsName>,
    nodes: HashMap<LowerName, Vec<RData>>,
}

/// What the table says to a question.
#[derive(Debug, PartialEq)]
pub(super) enum Answer {
    /// These records.
    Records(Vec<Record>),
    /// The name is there, but not with records of this type.
    NoData(Box<Record>),
    /// The name is not there.
    NoName(Box<Record>),
    /// Not a name of this host's zones.
    Elsewhere,
}

impl Table {
    pub(super) fn new(names: &Names) -> Result<Self> {
        let root = parse(&format!("{}.internal.", names.cloud))?;
        let own = parse(&format!("{}.{}.internal.", names.host, names.cloud))?;
        let prefix = host_prefix(&names.cloud, &names.host);
        let reverse = DnsName::from(IpAddr::from(prefix)).trim_to(12 + 2);
        let mut table = Self { zones: vec![root.clone(), reverse.clone()], nodes: HashMap::new() };
        for zone in [&root, &reverse] {
            let soa = table.soa(zone, &own);
            table.add(zone, zone, [soa, RData::NS(NS(own.clone()))]);
        }
        table.add(&root, &own, []);
        for network in &names.networks {
            let place = Place { cloud: &names.cloud, host: &names.host, network };
            table.add(&root, &parse(&format!("{}.", place.zone()))?, []);
            table.point(&root, &own, place.gateway().into());
            table.point(&root, &own, place.gateway_v4().into());
        }
        for (machine, about) in &names.machines {
            for network in about.networks.intersection(&names.networks) {
                let place = Place { cloud: &names.cloud, host: &names.host, network };
                let name = parse(&format!("{machine}.{}.", place.zone()))?;
                table.add(&root, &name, []);
                if about.ready {
                    table.point(&root, &name, place.v6(machine).into());
                    table.point(&root, &name, place.v4(machine).into());
                }
            }
        }
        Ok(table)
    }

    /// Answers a question.
    pub(super) fn answer(&self, name: &DnsName, kind: RecordType) -> Answer {
        let found = self.nodes.get(&LowerName::new(name));
        let zone = self.zones.iter().find(|zone| zone.zone_of(name));
        let records = |data: &[RData]| {
            let wanted = data.iter().filter(|d| kind == RecordType::ANY || d.record_type() == kind);
            let record = |data: &RData| Record::from_rdata(name.clone(), TTL, data.clone());
            wanted.map(record).collect::<Vec<_>>()
        };
        match (found.map(|data| records(data)), zone) {
            (Some(records), _) if !records.is_empty() => Answer::Records(records),
            (Some(_), Some(zone)) => Answer::NoData(Box::new(self.authority(zone))),
            (None, Some(zone)) => Answer::NoName(Box::new(self.authority(zone))),
            // IPv4 addresses share their reverse zone with others, so only those that are
            // machines' are answered for.
            (_, None) => Answer::Elsewhere,
        }
    }

    /// Adds a node, and the empty ones between it and its zone.
    fn add(&mut self, zone: &DnsName, name: &DnsName, data: impl IntoIterator<Item = RData>) {
        self.nodes.entry(LowerName::new(name)).or_default().extend(data);
        let mut up = name.base_name();
        while zone.zone_of(&up) {
            self.nodes.entry(LowerName::new(&up)).or_default();
            up = up.base_name();
        }
    }

    /// Adds an address and the way back from it.
    fn point(&mut self, zone: &DnsName, name: &DnsName, address: IpAddr) {
        let data = match address {
            IpAddr::V4(address) => RData::A(A(address)),
            IpAddr::V6(address) => RData::AAAA(AAAA(address)),
        };
        self.add(zone, name, [data]);
        let back = DnsName::from(address);
        let zone = match address {
            IpAddr::V4(_) => back.clone(),
            IpAddr::V6(_) => self.zones[1].clone(),
        };
        self.add(&zone, &back, [RData::PTR(PTR(name.clone()))]);
    }

    fn soa(&self, zone: &DnsName, server: &DnsName) -> RData {
        let ttl = i32::try_from(TTL).unwrap_or(i32::MAX);
        let person = zone.prepend_label("hostmaster").unwrap_or_else(|_| zone.clone());
        RData::SOA(SOA::new(server.clone(), person, 1, ttl, ttl, ttl, NEGATIVE_TTL))
    }

    /// The SOA record that goes with a negative answer.
    fn authority(&self, zone: &DnsName) -> Record {
        let mut data = self.nodes.get(&LowerName::new(zone)).into_iter().flatten();
        let soa = data.find(|data| data.record_type() == RecordType::SOA);
        let soa = soa.cloned().unwrap_or_else(|| self.soa(zone, zone));
        Record::from_rdata(zone.clone(), NEGATIVE_TTL, soa)
    }
}

fn parse(name: &str) -> Result<DnsName> {
    DnsName::from_ascii(name).map_err(|source| Error::DnsName { name: name.into(), source })
}

/// Whether an address belongs to a network of this host.
pub(super) fn is_ours(names: &Names, address: IpAddr) -> bool {
    match address {
        IpAddr::V6(address) => {
            let prefix = host_prefix(&names.cloud, &names.host).octets();
            address.octets()[..6] == prefix[..6]
        }
        IpAddr::V4(address) => {
            address.to_bits() >> 22 == Ipv4Addr::new(100, 64, 0, 0).to_bits() >> 22
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::MachineNames;
    use super::*;
    use hc_spec::Name;

    fn names(ready: bool) -> Names {
        let name = |text: &str| Name::new(text).unwrap();
        let machine = MachineNames { networks: [name("lan")].into(), ready };
        Names {
            cloud: name("demo"),
            host: name("den"),
            networks: [name("lan"), name("empty")].into(),
            machines: [(name("web"), machine)].into(),
        }
    }

    fn ask(table: &Table, name: &str, kind: RecordType) -> String {
        match table.answer(&DnsName::from_ascii(name).unwrap(), kind) {
            Answer::Records(records) => records
                .iter()
                .map(|r| format!("{} {}", r.record_type(), r.data))
                .collect::<Vec<_>>()
                .join(", "),
            Answer::NoData(soa) => format!("no data in {}", soa.name),
            Answer::NoName(soa) => format!("no name in {}", soa.name),
            Answer::Elsewhere => "elsewhere".into(),
        }
    }

    #[test]
    fn answers_by_name_and_type() {
        use RecordType::{A, AAAA, ANY, MX, NS, PTR, SOA};
        let table = Table::new(&names(true)).unwrap();
        let questions = [
            ("web.lan.den.demo.internal.", AAAA),
            ("WEB.lan.Den.demo.internal.", A),
            ("web.lan.den.demo.internal.", ANY),
            ("web.lan.den.demo.internal.", MX),
            ("web.empty.den.demo.internal.", A),
            ("lan.den.demo.internal.", A),
            ("empty.den.demo.internal.", A),
            ("den.demo.internal.", A),
            ("demo.internal.", SOA),
            ("demo.internal.", NS),
            ("demo.internal.", A),
            ("other.demo.internal.", A),
            ("x.web.lan.den.demo.internal.", A),
            ("internal.", A),
            ("other.internal.", A),
            ("xdemo.internal.", A),
            ("example.com.", A),
            (".", NS),
            ("64.100.in-addr.arpa.", PTR),
        ];
        let answers: Vec<String> =
            questions.iter().map(|(n, k)| format!("{n} {k}: {}", ask(&table, n, *k))).collect();
        insta::assert_debug_snapshot!(answers, @r#"
        [
            "web.lan.den.demo.internal. AAAA: AAAA fd38:65a6:581d:88b9:1587:1d5f:f840:1df6",
            "WEB.lan.Den.demo.internal. A: A 100.123.81.254",
            "web.lan.den.demo.internal. ANY: AAAA fd38:65a6:581d:88b9:1587:1d5f:f840:1df6, A 100.123.81.254",
            "web.lan.den.demo.internal. MX: no data in demo.internal.",
            "web.empty.den.demo.internal. A: no name in demo.internal.",
            "lan.den.demo.internal. A: no data in demo.internal.",
            "empty.den.demo.internal. A: no data in demo.internal.",
            "den.demo.internal. A: A 100.80.42.158, A 100.69.25.222",
            "demo.internal. SOA: SOA den.demo.internal. hostmaster.demo.internal. 1 2 2 2 1",
            "demo.internal. NS: NS den.demo.internal.",
            "demo.internal. A: no data in demo.internal.",
            "other.demo.internal. A: no name in demo.internal.",
            "x.web.lan.den.demo.internal. A: no name in demo.internal.",
            "internal. A: elsewhere",
            "other.internal. A: elsewhere",
            "xdemo.internal. A: elsewhere",
            "example.com. A: elsewhere",
            ". NS: elsewhere",
            "64.100.in-addr.arpa. PTR: elsewhere",
        ]
        "#);
    }

    #[test]
    fn addresses_point_back() {
        let names = names(true);
        let table = Table::new(&names).unwrap();
        let (lan, web) = (Name::new("lan").unwrap(), Name::new("web").unwrap());
        let place = Place { cloud: &names.cloud, host: &names.host, network: &lan };
        for address in [IpAddr::from(place.v6(&web)), place.v4(&web).into()] {
            let back = DnsName::from(address).to_ascii();
            assert_eq!(ask(&table, &back, RecordType::PTR), "PTR web.lan.den.demo.internal.");
        }
        let back = DnsName::from(IpAddr::from(place.v6(&web)));
        assert!(ask(&table, &back.base_name().to_ascii(), RecordType::PTR).starts_with("no data"));
        let other = DnsName::from(IpAddr::from(place.v6(&lan))).to_ascii();
        assert!(ask(&table, &other, RecordType::PTR).starts_with("no name"));
        let other = DnsName::from(IpAddr::from(place.v4(&lan))).to_ascii();
        assert_eq!(ask(&table, &other, RecordType::PTR), "elsewhere");
    }

    #[test]
    fn a_machine_that_is_not_ready_has_a_name_and_no_address() {
        let table = Table::new(&names(false)).unwrap();
        let name = "web.lan.den.demo.internal.";
        assert_eq!(ask(&table, name, RecordType::AAAA), "no data in demo.internal.");
    }
}
