//! `hc net ls`.

use crate::context::Globals;
use crate::deployed::Deployed;
use crate::output;
use serde::Serialize;

/// List networks
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

pub fn run(globals: &Globals, args: &Args) -> anyhow::Result<()> {
    let deployed = Deployed::read(globals)?;
    let networks: Vec<Network> =
        deployed.host.networks.keys().filter_map(|name| Network::of(&deployed, name)).collect();
    if args.json {
        return output::json(&networks);
    }
    if networks.is_empty() {
        return output::line("this host has no networks");
    }
    let rows = networks.into_iter().map(|n| {
        let state = if n.up { "up" } else { "missing" };
        vec![n.name, state.into(), n.machines.to_string(), n.subnet, n.bridge, n.mtu.to_string()]
    });
    output::table(&["NAME", "STATE", "MACHINES", "PREFIX", "BRIDGE", "MTU"], rows)
}
