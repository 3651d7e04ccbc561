//! `hc machine run`: one machine as one foreground process. The agent starts these, or systemd.

use crate::context::Globals;
use crate::output;
use clap::Subcommand;
use hc_runtime::RunConfig;
use hc_spec::{MachineSpec, Name};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Run one machine in the foreground
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Fork its image, connect it, run its command, and take everything away when it ends
    Run {
        /// Machine closure in the store
        closure: PathBuf,
        /// Control group that machines' groups are made in
        #[arg(long, value_name = "GROUP")]
        cgroup_parent: Option<PathBuf>,
        /// Make them in the group that it was started in: for units of systemd with Delegate=yes
        #[arg(long, conflicts_with = "cgroup_parent")]
        delegated: bool,
        /// Begin as this machine is now, and be gone when it ends
        #[arg(long, value_name = "MACHINE")]
        fork_of: Option<Name>,
    },
    /// Make ready what the first starts of these machines would wait for; a line of JSON says what it is at
    Prepare {
        /// Machine closures in the store
        #[arg(required = true)]
        closures: Vec<PathBuf>,
    },
}

pub fn run(globals: &Globals, args: &Args) -> anyhow::Result<ExitCode> {
    Globals::need_root("machine run")?;
    let (closure, cgroup_parent, delegated, fork_of) = match &args.what {
        What::Run { closure, cgroup_parent, delegated, fork_of } => {
            (closure, cgroup_parent, delegated, fork_of)
        }
        What::Prepare { closures } => return prepare(globals, closures),
    };
    let mut config = config(globals, closure);
    config.cgroup_parent.clone_from(cgroup_parent);
    if *delegated {
        config.cgroup_parent = Some(hc_runtime::own_parent()?);
    }
    config.notify = std::env::var_os("NOTIFY_SOCKET").map(PathBuf::from);
    config.requested_ns =
        std::env::var(hc_agent::REQUESTED).ok().and_then(|text| text.parse().ok());
    let keep = |link: &Path| Ok(super::build::store(globals)?.add_root(link)?);
    if let Some(of) = fork_of {
        config.closure.clone_from(closure);
        return run_fork(globals, config, of);
    }
    let exit = hc_runtime::run(&config, &hc_agent::MachineNetwork, &keep)?;
    Ok(ExitCode::from(u8::try_from(exit.shell_code()).unwrap_or(u8::MAX)))
}

fn config(globals: &Globals, closure: &Path) -> RunConfig {
    let mut config = RunConfig::new(globals.physical(closure));
    config.store_root.clone_from(&globals.store);
    config.state_dir.clone_from(&globals.state_dir);
    config.run_dir.clone_from(&globals.run_dir);
    config.qemu = program("qemu-system-x86_64");
    config
}

fn prepare(globals: &Globals, closures: &[PathBuf]) -> anyhow::Result<ExitCode> {
    for closure in closures {
        let say = |key: &str, text: &str| {
            output::line(serde_json::json!({ "closure": closure, key: text }))
        };
        let mut doing = |text: &str| drop(say("doing", text));
        let network = &hc_agent::MachineNetwork;
        if let Err(error) = hc_runtime::prepare(&config(globals, closure), network, &mut doing) {
            say("failed", &error.to_string())?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A fork is nobody's but its own: it outlives whoever asked for it, and takes itself away. One that does
/// not come up is left to who asked, with the reason.
fn run_fork(globals: &Globals, mut config: RunConfig, of: &Name) -> anyhow::Result<ExitCode> {
    // Whoever asked may be a shell that ends: this is not one of its jobs.
    let _ = rustix::process::setsid();
    config.throwaway = true;
    config.fork_of = Some(of.clone());
    let spec = MachineSpec::from_json(&std::fs::read(&config.closure)?)?;
    let exit = hc_runtime::run(&config, &hc_agent::ThrowawayNetwork, &|_| Ok(()))?;
    hc_runtime::cleanup(&spec.name, &globals.run_dir, Some(&globals.state_dir), None)?;
    Ok(ExitCode::from(u8::try_from(exit.shell_code()).unwrap_or(u8::MAX)))
}

/// Finds a program as a shell would; where the path has none, the library looks where hosts have it.
pub fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file())
}
