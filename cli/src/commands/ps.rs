//! `hc ps`: the machines of the current generation.

use super::agent;
use crate::context::Globals;
use crate::output;
use hc_agent::wire::MachineView;

/// List the machines of the current generation, and the forks of machines that run beside them
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn run(globals: &Globals, args: &Args) -> anyhow::Result<()> {
    let machines = agent::reach(globals)?.machines().map_err(agent::failure)?;
    if args.json {
        return output::json(&machines);
    }
    if machines.is_empty() {
        return output::line("no machines; `hc deploy FLAKE` starts some");
    }
    print(&machines)
}

/// Prints machines as a table.
pub fn print(machines: &[MachineView]) -> anyhow::Result<()> {
    let rows = machines.iter().map(|m| {
        let name = match &m.fork_of {
            Some(original) => format!("{} (fork of {original})", m.name),
            None => m.name.to_string(),
        };
        vec![
            name,
            m.phase.to_string(),
            m.pid.map_or("-".into(), |pid| pid.to_string()),
            m.uptime_ms.map_or("-".into(), |ms| output::ago(ms / 1000)),
            m.restarts.to_string(),
            m.addresses.first().map_or("-".into(), ToString::to_string),
            m.exit.as_ref().map_or(String::new(), ToString::to_string),
        ]
    });
    output::table(&["NAME", "PHASE", "PID", "UP", "RESTARTS", "ADDRESS", "LAST EXIT"], rows)
}
