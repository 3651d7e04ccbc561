//! `hc net show`.

use super::ls::Network;
use crate::context::Globals;
use crate::deployed::Deployed;
use crate::error::{Code, Failure};
use crate::output;
use hc_spec::Name;
use hc_spec::allow::{Allowance, Side};
use serde::Serialize;

/// Show one network: its machines, who may reach them, and what is published of them
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of the network
    network: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown<'a> {
    #[serde(flatten)]
    network: Network,
    members: Vec<Member>,
    allow: Vec<&'a Allowance>,
    ports: Vec<Port>,
}

#[derive(Serialize)]
struct Member {
    name: String,
    ipv6: std::net::Ipv6Addr,
    ipv4: std::net::Ipv4Addr,
    aliases: Vec<String>,
}

#[derive(Serialize)]
struct Port {
    machine: String,
    from: String,
    to: String,
}

pub fn run(globals: &Globals, args: &Args) -> anyhow::Result<()> {
    let deployed = Deployed::read(globals)?;
    let wanted = Name::new(&*args.network).ok();
    let found = wanted.as_ref().and_then(|name| Some((name, Network::of(&deployed, name)?)));
    let Some((name, network)) = found else {
        let all: Vec<&str> = deployed.host.networks.keys().map(Name::as_str).collect();
        let message = format!("there is no network '{}' on this host", args.network);
        let hint = format!("there are: {}", all.join(", "));
        return Err(Failure::new(Code::Failed, message).hint(hint).into());
    };
    let place = deployed.place(name);
    let aliases = |machine: &Name| {
        let service = deployed.host.machines.get(machine);
        service.into_iter().flat_map(|s| &s.aliases).map(ToString::to_string).collect()
    };
    let member = |spec: &hc_spec::MachineSpec| Member {
        name: spec.name.to_string(),
        ipv6: place.v6(&spec.name),
        ipv4: place.v4(&spec.name),
        aliases: aliases(&spec.name),
    };
    let concerns = |side: &Side| matches!(side, Side::Network(network) | Side::Machine(_, network) if network == name);
    let ports = deployed.host.published().filter(|(_, port)| port.network.as_ref() == Some(name));
    let ports = ports.map(|(machine, port)| Port {
        machine: machine.to_string(),
        from: match port.listen {
            None => format!("*:{}/{}", port.host, port.protocol),
            Some(address) => {
                format!("{}/{}", std::net::SocketAddr::new(address, port.host), port.protocol)
            }
        },
        to: format!("{machine}:{}", port.port),
    });
    let shown = Shown {
        members: deployed.on(name).map(member).collect(),
        allow: deployed
            .host
            .allow
            .iter()
            .filter(|a| concerns(&a.from) || concerns(&a.to))
            .collect(),
        ports: ports.collect(),
        network,
    };
    if args.json { output::json(&shown) } else { print(&shown) }
}

fn print(shown: &Shown<'_>) -> anyhow::Result<()> {
    let Network { zone, subnet, gateway, gateway_ipv4, bridge, mtu, up, .. } = &shown.network;
    output::line(zone)?;
    output::line(format_args!("  prefix   {subnet}"))?;
    output::line(format_args!("  gateway  {gateway} {gateway_ipv4}"))?;
    let state = if *up { "up" } else { "missing" };
    output::line(format_args!("  bridge   {bridge}, MTU {mtu}, {state}"))?;
    let members = shown.members.iter().map(|member| {
        let aliases = member.aliases.join(", ");
        vec![member.name.clone(), member.ipv6.to_string(), member.ipv4.to_string(), aliases]
    });
    output::line("")?;
    output::table(&["MACHINE", "IPV6", "IPV4", "ALIASES"], members)?;
    if !shown.allow.is_empty() {
        output::line("")?;
        shown.allow.iter().try_for_each(|a| output::line(format_args!("allowed    {a}")))?;
    }
    if !shown.ports.is_empty() {
        output::line("")?;
        let port =
            |port: &Port| output::line(format_args!("published  {} -> {}", port.from, port.to));
        shown.ports.iter().try_for_each(port)?;
    }
    Ok(())
}
