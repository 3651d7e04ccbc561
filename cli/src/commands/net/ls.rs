//! `hc net ls`.

use crate::commands::agent;
use crate::context::Globals;
use crate::deployed::Deployed;
use crate::output;
use hc_agent::client::ClientError;
use hc_agent::{Carrier, Client, Report};
use hc_spec::Name;
use serde::Serialize;
use std::net::IpAddr;

/// List networks, and the way to other hosts
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A network as both `ls` and `show` print it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Network {
    pub name: String,
    pub zone: String,
    pub subnet: String,
    pub gateway: std::net::Ipv6Addr,
    pub gateway_ipv4: std::net::Ipv4Addr,
    pub bridge: String,
    pub mtu: u32,
    /// Whether its bridge is there.
    pub up: bool,
    pub machines: usize,
}

impl Network {
    pub fn of(deployed: &Deployed, name: &hc_spec::Name) -> Option<Self> {
        let spec = deployed.host.networks.get(name)?;
        let place = deployed.place(name);
        let bridge = place.bridge();
        Some(Self {
            name: name.to_string(),
            zone: place.zone(),
            subnet: format!("{}/64", place.subnet()),
            gateway: place.gateway(),
            gateway_ipv4: place.gateway_v4(),
            up: hc_net::links::exists(&bridge),
            bridge,
            mtu: spec.mtu,
            machines: deployed.on(name).count(),
        })
    }
}

/// What is printed as JSON.
#[derive(Serialize)]
struct Listed {
    networks: Vec<Network>,
    overlay: Option<Overlay>,
}

/// The way to other hosts.
#[derive(Serialize)]
struct Overlay {
    /// What carries it; none while the agent does not run or cannot have it.
    carrier: Option<Carrier>,
    hosts: Vec<End>,
}

/// Another host, or a computer that is none.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct End {
    name: Name,
    /// Of the description.
    address: Option<IpAddr>,
    #[serde(flatten)]
    report: Report,
}

impl Overlay {
    fn of(globals: &Globals, deployed: &Deployed) -> anyhow::Result<Option<Self>> {
        let Some(described) = &deployed.host.overlay else { return Ok(None) };
        let client = Client::new(agent::config(globals)?.socket());
        let view = match client.overlay() {
            Err(ClientError::NotRunning { .. }) => None,
            other => other.map_err(agent::failure)?,
        };
        let carrier = view.as_ref().map(|view| view.carrier);
        let mut ends = view.map(|view| view.ends).unwrap_or_default();
        let mut hosts: Vec<End> = described
            .peers
            .iter()
            .map(|(name, peer)| End {
                name: name.clone(),
                address: Some(peer.address),
                report: ends.remove(name).unwrap_or_default(),
            })
            .collect();
        hosts.extend(ends.into_iter().map(|(name, report)| End { name, address: None, report }));
        Ok(Some(Self { carrier, hosts }))
    }

    fn print(self) -> anyhow::Result<()> {
        output::line(match self.carrier {
            Some(Carrier::Plain) => {
                "\nother hosts, by VXLAN, which everybody on the wire can read:"
            }
            Some(Carrier::Kernel) => "\nother hosts, by the kernel's WireGuard:",
            Some(Carrier::Agent) => "\nother hosts, by WireGuard in the agent:",
            None => "\nother hosts, which are not reached without an agent:",
        })?;
        let rows = self.hosts.into_iter().map(|end| {
            let Report { endpoint, handshake_sec, received, sent } = end.report;
            let address = endpoint.map(|at| at.ip()).or(end.address);
            vec![
                end.name.to_string(),
                address.map_or_else(|| "-".into(), |address| address.to_string()),
                handshake_sec.map_or_else(|| "never".into(), |since| output::ago(since) + " ago"),
                output::bytes(received),
                output::bytes(sent),
            ]
        });
        output::table(&["HOST", "ADDRESS", "HANDSHAKE", "RECEIVED", "SENT"], rows)
    }
}

pub fn run(globals: &Globals, args: &Args) -> anyhow::Result<()> {
    let deployed = Deployed::read(globals)?;
    let networks: Vec<Network> =
        deployed.host.networks.keys().filter_map(|name| Network::of(&deployed, name)).collect();
    let overlay = Overlay::of(globals, &deployed)?;
    if args.json {
        return output::json(&Listed { networks, overlay });
    }
    if networks.is_empty() {
        return output::line("this host has no networks");
    }
    let rows = networks.into_iter().map(|n| {
        let state = if n.up { "up" } else { "missing" };
        vec![n.name, state.into(), n.machines.to_string(), n.subnet, n.bridge, n.mtu.to_string()]
    });
    output::table(&["NAME", "STATE", "MACHINES", "PREFIX", "BRIDGE", "MTU"], rows)?;
    overlay.map_or(Ok(()), Overlay::print)
}
