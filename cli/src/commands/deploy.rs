//! `hc deploy`: evaluate, build, activate.

use super::{agent, build, plan};
use crate::context::Globals;
use crate::error::{Code, Failure};
use crate::host_keys;
use crate::output;
use crate::progress::Progress;
use hc_agent::wire::{ActivateRequest, Activation, Outcome};
use serde_json::json;
use std::io::IsTerminal;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

/// Make this host run what a flake describes
///
/// Evaluates, builds what is missing, and activates it; waits until every started machine is
/// ready. If one is not, the recorded old generation is put in effect again.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub cloud: build::CloudArgs,
    /// Seconds after which it goes back by itself, instead of the machines' own limits
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,
    /// Wait for a deploy that is under way instead of giving up
    #[arg(long)]
    wait: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn run(globals: &Globals, args: &Args) -> anyhow::Result<()> {
    Globals::need_root("deploy")?;
    let progress = Progress::new();
    let store = build::local_store(globals)?.into();
    let prepared = build::evaluate(globals, &store, &args.cloud, &progress)?;
    let client = agent::start(globals)?;
    let status = client.status().map_err(agent::failure)?;
    // The agent keeps everything the current set needs; building it again would change nothing.
    if status.set.as_deref() != Some(&prepared.set_path()) {
        build::realise(&store, &prepared, &progress)?;
        if !args.json {
            progress.clear();
            plan::print(&plan::against_current(globals, &prepared)?)?;
        }
    }
    progress.say("asking the other hosts for their keys");
    let said = host_keys::exchange(globals, &prepared.machine_set().host);
    progress.clear();
    for warning in said {
        output::warn_once(warning);
    }
    progress.say("activating");
    let request = ActivateRequest {
        set: prepared.set_path(),
        timeout_sec: args.timeout,
        by: Some(who("deploy")),
    };
    let activation = watched(&client, &progress, || client.activate(&request, args.wait));
    let activation = activation.map_err(agent::failure)?;
    progress.clear();
    if args.json {
        output::json(&activation)?;
    }
    conclude(&activation, args.json)
}

/// Shows what the agent is at while it does something.
fn watched<T>(client: &hc_agent::Client, progress: &Progress, work: impl FnOnce() -> T) -> T {
    const EVERY: Duration = Duration::from_millis(300);
    if !std::io::stderr().is_terminal() {
        return work();
    }
    let (over, is_over) = std::sync::mpsc::channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            while is_over.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                let doing = client.status().ok().and_then(|status| status.activation);
                if let Some(doing) = doing {
                    progress.say(doing.what);
                }
            }
        });
        let done = work();
        drop(over);
        done
    })
}

/// Who asks, for whoever else asks meanwhile.
pub fn who(verb: &str) -> String {
    format!("hc {verb} (process {})", std::process::id())
}

/// Says how an activation ended; going back is a failure with its own exit code.
pub fn conclude(activation: &Activation, quiet: bool) -> anyhow::Result<()> {
    let generation = activation.generation.map_or("nothing".into(), |n| format!("generation {n}"));
    match activation.outcome {
        Outcome::Unchanged if quiet => Ok(()),
        Outcome::Unchanged => output::line(format_args!(
            "no changes: {generation} is in effect, {} machines untouched",
            activation.kept
        )),
        Outcome::Activated if quiet => Ok(()),
        Outcome::Activated => output::line(format_args!(
            "{generation} is in effect: {} started, {} restarted, {} stopped, {} untouched",
            activation.started.len(),
            activation.restarted.len(),
            activation.stopped.len(),
            activation.kept,
        )),
        Outcome::RolledBack => {
            let mut message = format!("went back to {generation}");
            let mut hint = None;
            for failure in &activation.failures {
                let subject =
                    failure.machine.as_ref().map_or(String::new(), |m| format!("machine '{m}': "));
                message += &format!("\n  {subject}{}", failure.reason);
                if let Some(exit) = &failure.exit {
                    let exit = exit.to_string();
                    if !failure.reason.contains(&exit) {
                        message += &format!(" ({exit})");
                    }
                }
                for line in &failure.log {
                    message += &format!("\n    | {line}");
                }
                if let Some(machine) = &failure.machine {
                    hint.get_or_insert_with(|| format!("`hc logs {machine}` shows all it said"));
                }
            }
            Err(Failure { code: Code::RolledBack, message, hint }.into())
        }
    }
}

/// The plan and the paths as JSON, for `hc plan --json`.
pub fn plan_json(prepared: &hc_deploy::Prepared<'_>, plan: &hc_spec::Plan) -> serde_json::Value {
    json!({ "set": prepared.set_path(), "plan": plan, "warnings": prepared.warnings() })
}
