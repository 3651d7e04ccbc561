//! `hc start`, `hc stop`, `hc restart`: one machine by hand.

use super::agent;
use crate::context::Globals;
use crate::output;
use hc_agent::wire::MachineView;

/// Start a machine that was stopped or has ended, and wait until it is ready
#[derive(Debug, clap::Args)]
pub struct StartArgs {
    #[command(flatten)]
    which: Which,
}

/// Stop a machine until `hc start`, or until a deploy changes it
#[derive(Debug, clap::Args)]
pub struct StopArgs {
    #[command(flatten)]
    which: Which,
}

/// Stop a machine, start it again, and wait until it is ready
#[derive(Debug, clap::Args)]
pub struct RestartArgs {
    #[command(flatten)]
    which: Which,
}

#[derive(Debug, clap::Args)]
struct Which {
    /// Name of the machine
    #[arg(required = true)]
    machines: Vec<String>,
    /// Print the machines as JSON
    #[arg(long)]
    json: bool,
}

pub fn start(globals: &Globals, args: &StartArgs) -> anyhow::Result<()> {
    each(globals, &args.which, |client, name| client.start(name))
}

pub fn stop(globals: &Globals, args: &StopArgs) -> anyhow::Result<()> {
    each(globals, &args.which, |client, name| client.stop(name))
}

pub fn restart(globals: &Globals, args: &RestartArgs) -> anyhow::Result<()> {
    each(globals, &args.which, |client, name| client.restart(name))
}

fn each(
    globals: &Globals,
    which: &Which,
    verb: impl Fn(&hc_agent::Client, &str) -> hc_agent::client::Result<MachineView>,
) -> anyhow::Result<()> {
    let client = agent::reach(globals)?;
    let mut views = Vec::new();
    for name in &which.machines {
        let view = verb(&client, name).map_err(agent::failure)?;
        if !which.json {
            output::line(format_args!("{name} is {}", view.phase))?;
        }
        views.push(view);
    }
    if which.json { output::json(&views) } else { Ok(()) }
}
