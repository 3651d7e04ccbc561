//! `hc plan`: what a deploy would do.

use super::{build, deploy};
use crate::context::Globals;
use crate::output;
use crate::progress::Progress;
use hc_agent::Generations;
use hc_deploy::Prepared;
use hc_spec::Plan;

/// Show what `hc deploy` would do, without building or touching anything
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    cloud: build::CloudArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn run(globals: &Globals, args: &Args) -> anyhow::Result<()> {
    let progress = Progress::new();
    let prepared = build::evaluate(globals, &build::store(globals)?, &args.cloud, &progress)?;
    let plan = against_current(globals, &prepared)?;
    progress.clear();
    if args.json { output::json(&deploy::plan_json(&prepared, &plan)) } else { print(&plan) }
}

/// The difference between what is in effect and what was evaluated.
pub fn against_current(globals: &Globals, prepared: &Prepared<'_>) -> anyhow::Result<Plan> {
    let generations = Generations::new(&globals.state_dir);
    let current = match generations.current()? {
        None => None,
        Some(number) => {
            Some(hc_agent::read_set(globals.store.as_deref(), &generations.set(number)?)?)
        }
    };
    Ok(Plan::between(current.as_ref(), Some(prepared.machine_set())))
}

/// Prints a plan, one line per change.
pub fn print(plan: &Plan) -> anyhow::Result<()> {
    if plan.is_empty() {
        return output::line(format_args!(
            "nothing to do: {} machines stay as they are",
            plan.keep.len()
        ));
    }
    for (what, names) in [
        ("stop", &plan.stop),
        ("restart", &plan.restart),
        ("start", &plan.start),
        ("remove network", &plan.networks_removed),
        ("change network", &plan.networks_changed),
        ("add network", &plan.networks_added),
    ] {
        for name in names {
            output::line(format_args!("{what:8} {name}"))?;
        }
    }
    if plan.services_changed {
        output::line("change   allowances, published ports and names")?;
    }
    output::line(format_args!("keep     {} machines", plan.keep.len()))
}
