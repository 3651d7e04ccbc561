//! `hc ip`: the addresses that follow from names.

use crate::context::Globals;
use crate::deployed::Deployed;
use crate::error::{Code, Failure};
use crate::output;
use hc_spec::Name;
use hc_spec::addr::{Derived, Place, explain, host_prefix};
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
        let how = |what: &str| {
            let derived = self.explanation.iter().find(|derived| derived.what == what);
            derived.map_or_else(String::new, |d| {
                format!("BLAKE3(\"{}\") = {}…: {}", d.hashed, &d.hash[..24], d.rule)
            })
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
            let line = format!("  {what:13} {value:40} {}", how(what));
            output::line(line.trim_end())?;
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
            rows.extend(places.map(|place| Row::new(&place, name, args.explain)));
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
        let cells = rows.into_iter().map(|r| {
            let (v6, v4) = (r.ipv6.to_string(), r.ipv4.to_string());
            vec![r.machine.to_string(), r.network.to_string(), v6, v4, r.mac, r.link]
        });
        return output::table(&header, cells);
    }
    rows.iter().try_for_each(Row::print)
}

fn named(globals: &Globals, text: &str, explained: bool) -> anyhow::Result<Vec<Row>> {
    let plain = text.strip_suffix('.').unwrap_or(text);
    let plain = plain.strip_suffix(".internal").unwrap_or(plain);
    let wrong = |error: hc_spec::name::NameError| Failure::new(Code::Failed, error.to_string());
    let names = plain.split('.').map(Name::new).collect::<Result<Vec<_>, _>>().map_err(wrong)?;
    match &names[..] {
        [machine, network, host, cloud] => {
            Ok(vec![Row::new(&Place { cloud, host, network }, machine, explained)])
        }
        [machine, rest @ ..] if rest.len() < 2 => {
            let deployed = Deployed::read(globals)?;
            let spec = deployed.machine(machine.as_str())?;
            let networks: Vec<&Name> = match rest.first() {
                None => spec.networks.iter().collect(),
                Some(network) => spec.networks.iter().filter(|n| *n == network).collect(),
            };
            if networks.is_empty() {
                let on = rest.first().map_or("any network".into(), |n| format!("network '{n}'"));
                let message = format!("machine '{machine}' is not on {on}");
                return Err(Failure::new(Code::Failed, message).into());
            }
            let row = |network: &Name| Row::new(&deployed.place(network), machine, explained);
            Ok(networks.into_iter().map(row).collect())
        }
        _ => Err(Failure::new(Code::Failed, format!("'{text}' has {} parts", names.len()))
            .hint("write MACHINE, MACHINE.NETWORK or MACHINE.NETWORK.HOST.CLOUD")
            .into()),
    }
}
