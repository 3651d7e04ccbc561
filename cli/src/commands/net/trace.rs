//! `hc net trace`: whether a packet passes, and by which rule, told by the kernel.

use crate::commands::agent;
use crate::context::Globals;
use crate::deployed::Deployed;
use crate::error::{Code, Failure};
use crate::output;
use hc_net::trace::{Answer, Protocol, Step, Traced, Verdict, trace};
use hc_spec::{MachineSpec, Name};
use serde_json::json;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;

/// Send a packet from one machine to another and say which rule decided about it
///
/// It is a real one: a connection that is opened and closed again, or an empty datagram, sent from
/// inside the machine. The kernel reports the rules of all packet filters it meets on this host.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Machine, MACHINE.NETWORK, or `host`
    from: String,
    /// Machine, MACHINE.NETWORK, an address, or `host`, with a port: `db:5432`, `dns:53/udp`, `[fd00::7]:80`
    to: String,
    /// Over IPv4
    #[arg(short = '4', long)]
    ipv4: bool,
    /// Print all rules it met
    #[arg(short, long)]
    verbose: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

fn wrong(message: impl Into<String>) -> Failure {
    Failure::new(Code::Failed, message)
}

/// `web` or `web.lan`.
fn machine<'a>(
    deployed: &'a Deployed,
    text: &str,
) -> anyhow::Result<(&'a MachineSpec, Option<&'a Name>)> {
    let (machine, network) = text.split_once('.').map_or((text, None), |(m, n)| (m, Some(n)));
    let spec = deployed.machine(machine)?;
    let Some(network) = network else { return Ok((spec, None)) };
    let found = spec.networks.iter().find(|on| on.as_str() == network);
    let missing = || wrong(format!("machine '{machine}' is not on network '{network}'"));
    Ok((spec, Some(found.ok_or_else(missing)?)))
}

/// The side that is reached: who, port and protocol.
fn target(text: &str) -> anyhow::Result<(String, u16, Protocol)> {
    let bad = || {
        wrong(format!("'{text}' names no port"))
            .hint("write it like db:5432, dns:53/udp or [fd00::7]:80")
    };
    let (rest, protocol) = match text.rsplit_once('/') {
        None => (text, Protocol::Tcp),
        Some((rest, "tcp")) => (rest, Protocol::Tcp),
        Some((rest, "udp")) => (rest, Protocol::Udp),
        Some(_) => return Err(bad().into()),
    };
    let (who, port) = rest.rsplit_once(':').ok_or_else(bad)?;
    let port = port.parse().ok().filter(|port| *port != 0).ok_or_else(bad)?;
    let who = who.strip_prefix('[').and_then(|who| who.strip_suffix(']')).unwrap_or(who);
    Ok((who.to_owned(), port, protocol))
}

struct Plan {
    /// Machine whose namespace it is sent from; the host's without one.
    from: Option<Name>,
    source: IpAddr,
    to: SocketAddr,
    protocol: Protocol,
}

fn plan(deployed: &Deployed, args: &Args) -> anyhow::Result<Plan> {
    let (who, port, protocol) = target(&args.to)?;
    let from = match args.from.as_str() {
        "host" => None,
        name => Some(machine(deployed, name)?),
    };
    let own: Vec<&Name> = match &from {
        Some((_, Some(network))) => vec![network],
        Some((spec, None)) => spec.networks.iter().collect(),
        None => deployed.host.networks.keys().collect(),
    };
    let first = *own.first().ok_or_else(|| wrong(format!("'{}' is on no network", args.from)))?;
    let address = |network: &Name, machine: Option<&Name>| {
        let place = deployed.place(network);
        match (machine, args.ipv4) {
            (Some(machine), false) => IpAddr::from(place.v6(machine)),
            (Some(machine), true) => place.v4(machine).into(),
            (None, false) => place.gateway().into(),
            (None, true) => place.gateway_v4().into(),
        }
    };
    let (to, network) = if let Ok(literal) = who.parse::<IpAddr>() {
        (literal, first)
    } else if who == "host" {
        (address(first, None), first)
    } else {
        let (spec, network) = machine(deployed, &who)?;
        // A network both are on, before one of the other's.
        let shared = own.iter().copied().find(|on| spec.networks.contains(on));
        let nowhere = || wrong(format!("'{who}' is on no network"));
        let network = network.or(shared).or(spec.networks.first()).ok_or_else(nowhere)?;
        let source = if from.is_none() || own.contains(&network) { network } else { first };
        (address(network, Some(&spec.name)), source)
    };
    let sender = from.map(|(spec, _)| &spec.name);
    let source = match (sender, to) {
        (Some(sender), IpAddr::V6(_)) => deployed.place(network).v6(sender).into(),
        (Some(sender), IpAddr::V4(_)) => deployed.place(network).v4(sender).into(),
        (None, IpAddr::V6(_)) => deployed.place(network).gateway().into(),
        (None, IpAddr::V4(_)) => deployed.place(network).gateway_v4().into(),
    };
    Ok(Plan { from: sender.cloned(), source, to: SocketAddr::new(to, port), protocol })
}

pub fn run(globals: &Globals, args: &Args) -> anyhow::Result<()> {
    Globals::need_root("net trace")?;
    let deployed = Deployed::read(globals)?;
    let plan = plan(&deployed, args)?;
    let netns = plan.from.as_ref().map(|name| namespace(globals, name)).transpose()?;
    let traced = trace(netns.as_ref().map(AsFd::as_fd), plan.source, plan.to, plan.protocol)?;
    if args.json {
        output::json(&in_json(&plan, &traced))?;
    } else {
        print(args, &plan, &traced)?;
    }
    match traced.stopped_by() {
        None => Ok(()),
        Some(_) if args.json => Err(wrong("it does not pass").into()),
        Some(step) => Err(wrong(format!("it does not pass: {}", because(step))).into()),
    }
}

fn namespace(globals: &Globals, name: &Name) -> anyhow::Result<std::fs::File> {
    let machines = agent::reach(globals)?.machines().map_err(agent::failure)?;
    let found = machines.iter().find(|machine| machine.name == *name);
    let pid = found.and_then(|machine| machine.pid).ok_or_else(|| {
        wrong(format!("machine '{name}' does not run, so nothing can be sent from it"))
            .hint(format!("`hc start {name}` starts it"))
    })?;
    Ok(std::fs::File::open(format!("/proc/{pid}/ns/net"))?)
}

fn because(step: &Step) -> String {
    match (&step.comment, &*step.rule) {
        (Some(comment), rule) => format!("{comment} ({} {}: {rule})", step.table, step.chain),
        (None, "") => format!("the policy of {} {}", step.table, step.chain),
        (None, rule) => format!("{} {}: {rule}", step.table, step.chain),
    }
}

fn said(answer: Answer, protocol: Protocol) -> &'static str {
    match (answer, protocol) {
        (Answer::Connected, Protocol::Tcp) => "the connection was opened",
        (Answer::Connected, Protocol::Udp) => "an answer came back",
        (Answer::Refused, _) => "it arrived, and nothing listens there",
        (Answer::Unreachable, _) => "the answer was that it is not to be reached",
        (Answer::Nothing, Protocol::Tcp) => "nothing came back",
        (Answer::Nothing, Protocol::Udp) => "nothing came back, which is usual for UDP",
    }
}

fn print(args: &Args, plan: &Plan, traced: &Traced) -> anyhow::Result<()> {
    let Plan { source, to, protocol, .. } = plan;
    output::line(format_args!("{} ({source}) -> {} ({to}/{protocol})", args.from, args.to))?;
    if args.verbose {
        for step in &traced.steps {
            let verdict = word(step.verdict);
            output::line(format_args!("  {verdict:8} {}", because(step)))?;
        }
    }
    match (traced.stopped_by(), traced.passed_by()) {
        (Some(_), _) => {}
        (None, Some(step)) => output::line(format_args!("passes: {}", because(step)))?,
        (None, None) => output::line("passes: no rule is about it")?,
    }
    output::line(said(traced.answer, *protocol))
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Accept => "accept",
        Verdict::Drop => "drop",
        Verdict::Continue => "continue",
    }
}

fn in_json(plan: &Plan, traced: &Traced) -> serde_json::Value {
    let step = |step: &Step| {
        json!({
            "table": step.table, "chain": step.chain, "rule": step.rule, "comment": step.comment,
            "verdict": word(step.verdict),
        })
    };
    let answer = match traced.answer {
        Answer::Connected => "connected",
        Answer::Refused => "refused",
        Answer::Unreachable => "unreachable",
        Answer::Nothing => "nothing",
    };
    json!({
        "source": plan.source, "to": plan.to, "protocol": plan.protocol,
        "passes": traced.stopped_by().is_none(),
        "by": traced.stopped_by().or(traced.passed_by()).map(step),
        "answer": answer,
        "steps": traced.steps.iter().map(step).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read() {
        let read = |text: &str| target(text).ok();
        assert_eq!(read("db:5432"), Some(("db".into(), 5432, Protocol::Tcp)));
        assert_eq!(read("db.dmz:53/udp"), Some(("db.dmz".into(), 53, Protocol::Udp)));
        assert_eq!(read("[fd00::7]:80"), Some(("fd00::7".into(), 80, Protocol::Tcp)));
        for bad in ["db", "db:0", "db:80/sctp", "db:http", "db:"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
