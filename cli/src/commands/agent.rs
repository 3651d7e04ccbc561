//! `hc agent`: the daemon of this host, and how other verbs reach it.

use crate::context::Globals;
use crate::error::{Code, Failure};
use crate::output;
use clap::Subcommand;
use hc_agent::client::ClientError;
use hc_agent::{AgentConfig, Client, HostNetworks, Parts, StoreRoots};
use hc_net::wireguard::Keyring;
use std::sync::Arc;

/// Run the agent of this host in the foreground, or manage the one that runs
///
/// `hc deploy` starts it when none runs. It can be stopped, killed or upgraded at any time:
/// machines go on running, and the next agent finds them again.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Start it in the background, if none runs
    Start,
    /// Stop it; machines go on running
    Stop,
    /// Stop it and start this version; machines go on running
    Restart,
    /// Keep evaluators warm, for the agent
    #[command(hide = true)]
    Evaluator,
    /// Say what it is doing
    Status {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

pub fn run(globals: &Globals, args: &Args) -> anyhow::Result<()> {
    match &args.what {
        None => serve(globals),
        Some(What::Start) => start(globals).map(drop),
        Some(What::Stop) => stop(globals),
        Some(What::Restart) => stop(globals).and_then(|()| start(globals)).map(drop),
        Some(What::Evaluator) => super::evaluator::run(globals),
        Some(What::Status { json }) => status(globals, *json),
    }
}

/// The agent of this host as it is configured everywhere in this binary.
pub fn config(globals: &Globals) -> anyhow::Result<AgentConfig> {
    let mut config = AgentConfig::new(Globals::exe()?);
    config.state_dir.clone_from(&globals.state_dir);
    config.run_dir.clone_from(&globals.run_dir);
    config.store_root.clone_from(&globals.store);
    if let Some(store) = &globals.store {
        let extra = ["--store".into(), store.clone().into_os_string()];
        config.machine_args.extend(extra.clone());
        config.agent_args.extend(extra);
    }
    Ok(config)
}

/// A client of the agent; starts it when it should run and does not.
pub fn reach(globals: &Globals) -> anyhow::Result<Client> {
    let client = Client::new(config(globals)?.socket());
    match client.status() {
        Err(ClientError::NotRunning { .. }) => {}
        Err(error) => return Err(failure(error)),
        Ok(_) => return Ok(client),
    }
    let deployed =
        ["current", "journal"].iter().any(|f| globals.state_dir.join(f).symlink_metadata().is_ok());
    if !deployed {
        return Err(Failure::new(
            Code::Host,
            "nothing was deployed on this host, so no agent runs",
        )
        .hint("`hc deploy FLAKE` deploys a cloud and starts the agent")
        .into());
    }
    start(globals)
}

/// Starts an agent, unless one runs.
pub fn start(globals: &Globals) -> anyhow::Result<Client> {
    let config = config(globals)?;
    let client = Client::new(config.socket());
    match client.status() {
        Ok(_) => return Ok(client),
        Err(ClientError::NotRunning { .. }) => {}
        Err(error) => return Err(failure(error)),
    }
    Globals::need_root("agent")?;
    hc_agent::start(&config).map_err(|error| {
        Failure::new(Code::Host, error.to_string())
            .hint(format!("see {}", globals.state_dir.join("agent.log").display()))
    })?;
    Ok(client)
}

fn stop(globals: &Globals) -> anyhow::Result<()> {
    hc_agent::stop(&config(globals)?, false).map_err(failure)
}

/// The agent's own log: what it does, and of the libraries below it only what is wrong.
fn log() {
    use tracing_subscriber::filter::{LevelFilter, Targets};
    use tracing_subscriber::layer::SubscriberExt;
    use tracing_subscriber::util::SubscriberInitExt;
    let ours = ["hc", "hc_agent", "hc_net", "hc_runtime", "nix_store"];
    let targets = Targets::new()
        .with_default(LevelFilter::WARN)
        .with_targets(ours.map(|target| (target, LevelFilter::INFO)));
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(false);
    tracing_subscriber::registry().with(lines).with(targets).init();
}

fn serve(globals: &Globals) -> anyhow::Result<()> {
    Globals::need_root("agent")?;
    log();
    let mut config = config(globals)?;
    // Tests make an activation fail here; see docs/testing.md.
    if let Ok(points) = std::env::var("HC_FAILPOINT") {
        config.failpoints = points.parse()?;
    }
    config.notify = std::env::var_os("NOTIFY_SOCKET").map(Into::into);
    let store = super::build::store_config(globals)?;
    let parts = || {
        Ok(Parts {
            machines: None,
            networks: Arc::new(HostNetworks::new(
                "/etc/resolv.conf",
                Keyring::of(&globals.state_dir),
                &globals.run_dir,
            )),
            roots: Arc::new(StoreRoots(store)),
        })
    };
    hc_agent::run(config, parts)?;
    Ok(())
}

fn status(globals: &Globals, json: bool) -> anyhow::Result<()> {
    let status = reach(globals)?.status().map_err(failure)?;
    if json {
        return output::json(&status);
    }
    output::line(format_args!(
        "agent {} runs as process {}; generation {}; {} of {} machines ready",
        status.version,
        status.pid,
        status.generation.map_or("none".into(), |n| n.to_string()),
        status.ready,
        status.machines,
    ))?;
    if let Some(activation) = &status.activation {
        output::line(format_args!(
            "{} is under way, asked for by {}",
            activation.what, activation.by
        ))?;
    }
    if let Some(problem) = &status.problem {
        output::line(format_args!("problem: {problem}"))?;
    }
    Ok(())
}

/// An agent's refusal with its exit code.
pub fn failure(error: ClientError) -> anyhow::Error {
    match error {
        ClientError::Refused(refusal) => {
            let code = match refusal.kind.as_str() {
                "busy" => Code::Busy,
                "not-ready" => Code::NotReady,
                _ => Code::Failed,
            };
            Failure { code, message: refusal.message, hint: refusal.hint }.into()
        }
        ClientError::NotRunning { .. } => {
            Failure::new(Code::Host, error.to_string()).hint("`hc agent start` starts it").into()
        }
        error => Failure::new(Code::Host, error.to_string()).into(),
    }
}
