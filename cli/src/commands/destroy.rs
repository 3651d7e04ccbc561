//! `hc destroy`: take everything away that hc made on this host.

use super::{agent, build};
use crate::context::Globals;
use crate::error::{Code, Failure};
use crate::output;
use crate::progress::Progress;
use hc_agent::client::ClientError;
use hc_runtime::volumes::{VolumeError, VolumeStore};
use nix_store::GcOptions;
use std::collections::BTreeSet;

/// Stop every machine and delete all generations, machine state and unused store paths
///
/// Links, rules, names and the resolver's configuration are put back; what Nix keeps in the store
/// for other reasons stays.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Do it, without asking
    #[arg(long)]
    yes: bool,
    /// Keep the store as it is, so that the next deploy builds nothing again
    #[arg(long)]
    keep_store: bool,
}

pub fn run(globals: &Globals, args: &Args) -> anyhow::Result<()> {
    Globals::need_root("destroy")?;
    if !args.yes {
        return Err(Failure::new(Code::Failed, "this stops every machine and deletes their state")
            .hint("say --yes when you mean it")
            .into());
    }
    let progress = Progress::new();
    progress.say("stopping machines");
    // Also where no agent runs: one that was killed left machines and links behind.
    let deployed = globals.state_dir.join("current").symlink_metadata().is_ok();
    let client = hc_agent::Client::new(agent::config(globals)?.socket());
    let running = !matches!(client.status(), Err(ClientError::NotRunning { .. }));
    if running || deployed {
        agent::start(globals)?;
        for fork in hc_agent::forks::views(&globals.run_dir) {
            client.stop(fork.name.as_str()).map_err(agent::failure)?;
        }
        hc_agent::stop(&agent::config(globals)?, true).map_err(agent::failure)?;
    }
    hc_agent::unregister(&agent::config(globals)?)?;
    clear_machines(globals)?;
    let kept = clear_volumes(globals)?;
    empty(&globals.run_dir, None)?;
    empty(&globals.state_dir, (!kept.is_empty()).then_some("volumes"))?;
    if !args.keep_store {
        progress.say("collecting");
        hc_deploy::builder::forget(&build::local_store(globals)?.into())?;
        let report = build::local_store(globals)?.gc(&GcOptions::default(), &BTreeSet::new())?;
        progress.clear();
        output::line(format_args!(
            "deleted {} store paths, {}",
            report.deleted.len(),
            output::bytes(report.freed)
        ))?;
    }
    progress.clear();
    if !kept.is_empty() {
        output::line(format_args!(
            "volumes that are to be kept are still there: {}; `hc volume rm --force` removes them",
            kept.join(", ")
        ))?;
    }
    output::line("nothing of hc runs on this host any more")
}

/// Takes away what supervisors that were killed left behind: control groups, mounts, forks.
fn clear_machines(globals: &Globals) -> anyhow::Result<()> {
    for directory in [&globals.run_dir, &globals.state_dir] {
        let Ok(entries) = std::fs::read_dir(directory.join("machines")) else { continue };
        for entry in entries {
            let name = entry?.file_name();
            if let Ok(name) = hc_spec::Name::new(name.to_string_lossy()) {
                hc_runtime::cleanup(&name, &globals.run_dir, Some(&globals.state_dir), None)?;
            }
        }
    }
    Ok(())
}

/// Removes volumes, and names those that are to be kept.
fn clear_volumes(globals: &Globals) -> anyhow::Result<Vec<String>> {
    let store = VolumeStore::new(&globals.state_dir, &globals.run_dir);
    let mut kept = Vec::new();
    for name in store.names()? {
        match store.remove(&name, false) {
            Err(VolumeError::Kept(name)) => kept.push(name.to_string()),
            removed => removed?,
        }
    }
    Ok(kept)
}

/// Deletes what is in a directory `except` for one entry, and the directory too unless it is a mount
/// point or something stays.
fn empty(directory: &std::path::Path, except: Option<&str>) -> anyhow::Result<()> {
    let entries = match std::fs::read_dir(directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if except.is_none_or(|kept| entry.file_name() != kept) {
            hc_fs::tree::remove(&entry.path())?;
        }
    }
    if except.is_none() && hc_fs::tree::first_mount_below(directory)?.is_none() {
        hc_fs::plain::remove_dir(directory)?;
    }
    Ok(())
}
