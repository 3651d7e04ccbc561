//! `hc ip`: the addresses that follow from names.

use crate::context::Globals;
use crate::deployed::Deployed;
use crate::error::{Code, Failure};
use crate::output;
use hc_spec::addr::{Derived, Place, explain, explain_lan, host_prefix};
use hc_spec::lan::Foot;
use hc_spec::{MachineSpec, Name};
use serde::Serialize;

/// Print the addresses of machines: they follow from names alone
///
/// NAME is a machine of this host, MACHINE.NETWORK, or the whole of
/// MACHINE.NETWORK.HOST.CLOUD[.internal], which needs no such cloud to be anywhere.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Machines
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    names: Vec<String>,
    /// All machines of this host
    #[arg(long)]
    all: bool,
    /// Say what was hashed for each
    #[arg(long)]
    explain: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// One machine's place in one network.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    name: String,
    cloud: Name,
    host: Name,
    network: Name,
    machine: Name,
    host_prefix: String,
    subnet: String,
    interface_id: String,
    ipv6: std::net::Ipv6Addr,
    ipv4: std::net::Ipv4Addr,
    mac: String,
    link: String,
    gateway: std::net::Ipv6Addr,
    gateway_ipv4: std::net::Ipv4Addr,
    gateway_mac: String,
    bridge: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    explanation: Vec<Derived>,
}

/// A machine's place on a wire of its host.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    machine: Name,
    /// The link in the machine.
    link: String,
    /// The host's.
    lan: String,
    mac: String,
    addresses: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    explanation: Option<Derived>,
}

impl Wire {
    fn new(spec: &MachineSpec, foot: &Foot<'_>, explained: bool) -> Self {
        let derived = explain_lan(&spec.cloud, &spec.host, foot.parent, &spec.name);
        Self {
            machine: spec.name.clone(),
            link: foot.ifname(),
            lan: foot.parent.into(),
            mac: foot.mac.to_string(),
            addresses: foot.lan.addresses.iter().map(ToString::to_string).collect(),
            explanation: explained.then_some(derived),
        }
    }

    fn print(&self) -> anyhow::Result<()> {
        output::line(format!("{} on {} of the host", self.machine, self.lan))?;
        line("link", &self.link, "")?;
        line("MAC", &self.mac, &self.explanation.as_ref().map(how).unwrap_or_default())?;
        self.addresses.iter().try_for_each(|address| line("address", address, ""))
    }
}

fn how(derived: &Derived) -> String {
    format!("BLAKE3(\"{}\") = {}…: {}", derived.hashed, &derived.hash[..24], derived.rule)
}

fn line(what: &str, value: &str, how: &str) -> anyhow::Result<()> {
    output::line(format!("  {what:13} {value:40} {how}").trim_end())
}

/// What is printed about a machine, a place for each.
#[derive(Serialize)]
#[serde(untagged)]
enum Shown {
    Network(Box<Row>),
    Wire(Box<Wire>),
}

impl Shown {
    fn print(&self) -> anyhow::Result<()> {
        match self {
            Self::Network(row) => row.print(),
            Self::Wire(wire) => wire.print(),
        }
    }
}

impl Row {
    fn new(place: &Place<'_>, machine: &Name, explained: bool) -> Self {
        Self {
            name: format!("{machine}.{}", place.zone()),
            cloud: place.cloud.clone(),
            host: place.host.clone(),
            network: place.network.clone(),
            machine: machine.clone(),
            host_prefix: format!("{}/48", host_prefix(place.cloud, place.host)),
            subnet: format!("{}/64", place.subnet()),
            interface_id: place.interface_id(machine),
            ipv6: place.v6(machine),
            ipv4: place.v4(machine),
            mac: place.mac(machine).to_string(),
            link: place.link(machine),
            gateway: place.gateway(),
            gateway_ipv4: place.gateway_v4(),
            gateway_mac: place.gateway_mac().to_string(),
            bridge: place.bridge(),
            explanation: if explained { explain(place, machine) } else { Vec::new() },
        }
    }

    fn print(&self) -> anyhow::Result<()> {
        let explained = |what: &str| {
            let derived = self.explanation.iter().find(|derived| derived.what == what);
            derived.map(how).unwrap_or_default()
        };
        output::line(&self.name)?;
        let rows = [
            ("host prefix", self.host_prefix.clone()),
            ("network", self.subnet.clone()),
            ("interface id", self.interface_id.clone()),
            ("IPv6", self.ipv6.to_string()),
            ("IPv4", self.ipv4.to_string()),
            ("MAC", self.mac.clone()),
            ("link", self.link.clone()),
            ("bridge", self.bridge.clone()),
            ("gateway", format!("{} {} {}", self.gateway, self.gateway_ipv4, self.gateway_mac)),
        ];
        for (what, value) in rows {
            line(what, &value, &explained(what))?;
        }
        Ok(())
    }
}

pub fn run(globals: &Globals, args: &Args) -> anyhow::Result<()> {
    let mut rows = Vec::new();
    if args.all {
        let deployed = Deployed::read(globals)?;
        for (name, machine) in &deployed.machines {
            let places = machine.networks.iter().map(|network| deployed.place(network));
            let places = places.map(|place| Row::new(&place, name, args.explain));
            rows.extend(places.map(|row| Shown::Network(Box::new(row))));
            let feet = machine.feet().map(|foot| Wire::new(machine, &foot, args.explain));
            rows.extend(feet.map(|wire| Shown::Wire(Box::new(wire))));
        }
    }
    for name in &args.names {
        rows.extend(named(globals, name, args.explain)?);
    }
    if args.json {
        return output::json(&rows);
    }
    if args.all && !args.explain {
        let header = ["NAME", "NETWORK", "IPV6", "IPV4", "MAC", "LINK"];
        let cells = rows.into_iter().map(|row| match row {
            Shown::Network(r) => {
                let (v6, v4) = (r.ipv6.to_string(), r.ipv4.to_string());
                vec![r.machine.to_string(), r.network.to_string(), v6, v4, r.mac, r.link]
            }
            Shown::Wire(w) => {
                let of = |v6: bool| {
                    let one = w.addresses.iter().find(|address| address.contains(':') == v6);
                    one.cloned().unwrap_or_else(|| "-".into())
                };
                let on = format!("({})", w.lan);
                vec![w.machine.to_string(), on, of(true), of(false), w.mac.clone(), w.link.clone()]
            }
        });
        return output::table(&header, cells);
    }
    rows.iter().try_for_each(Shown::print)
}

fn named(globals: &Globals, text: &str, explained: bool) -> anyhow::Result<Vec<Shown>> {
    let plain = text.strip_suffix('.').unwrap_or(text);
    let plain = plain.strip_suffix(".internal").unwrap_or(plain);
    let wrong = |error: hc_spec::name::NameError| Failure::new(Code::Failed, error.to_string());
    let names = plain.split('.').map(Name::new).collect::<Result<Vec<_>, _>>().map_err(wrong)?;
    match &names[..] {
        [machine, network, host, cloud] => {
            let row = Row::new(&Place { cloud, host, network }, machine, explained);
            Ok(vec![Shown::Network(Box::new(row))])
        }
        [machine, rest @ ..] if rest.len() < 2 => {
            let deployed = Deployed::read(globals)?;
            let spec = deployed.machine(machine.as_str())?;
            let networks: Vec<&Name> = match rest.first() {
                None => spec.networks.iter().collect(),
                Some(network) => spec.networks.iter().filter(|n| *n == network).collect(),
            };
            if networks.is_empty() && (spec.lan.is_empty() || !rest.is_empty()) {
                let on = rest.first().map_or("any network".into(), |n| format!("network '{n}'"));
                let message = format!("machine '{machine}' is not on {on}");
                return Err(Failure::new(Code::Failed, message).into());
            }
            let row = |network: &Name| {
                let row = Row::new(&deployed.place(network), machine, explained);
                Shown::Network(Box::new(row))
            };
            let feet = spec.feet().filter(|_| rest.is_empty());
            let feet = feet.map(|foot| Shown::Wire(Box::new(Wire::new(spec, &foot, explained))));
            Ok(networks.into_iter().map(row).chain(feet).collect())
        }
        _ => Err(Failure::new(Code::Failed, format!("'{text}' has {} parts", names.len()))
            .hint("write MACHINE, MACHINE.NETWORK or MACHINE.NETWORK.HOST.CLOUD")
            .into()),
    }
}
