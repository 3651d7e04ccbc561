//! `hc disk snapshot` and `hc disk restore`: what a PC keeps, at one instant.

use crate::context::Globals;
use crate::error::{Code, Failure};
use crate::output;
use hc_runtime::snapshots::{Snapshot, SnapshotError, Snapshots};
use hc_spec::Name;
use serde_json::json;
use std::str::FromStr;

/// Keep what is on a machine's disks now, with its firmware's variables and its TPM
///
/// A machine that runs stands still for a moment. What its system had not written to disk yet is not
/// in it, as after a power cut; what is not changed later is shared with the machine.
#[derive(Debug, clap::Args)]
pub(super) struct Take {
    /// The machine, and a name for the snapshot if it is not to be the time
    #[arg(value_name = "MACHINE[@NAME]")]
    machine: Which,
    /// Copy all data where the file system cannot share it; the machine has to be stopped
    #[arg(long)]
    copy: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Make a machine what it was at a snapshot; what it was until now becomes a snapshot, too
#[derive(Debug, clap::Args)]
pub(super) struct Restore {
    /// The snapshot; its machine has to be stopped
    #[arg(value_name = "MACHINE@NAME")]
    snapshot: Which,
    /// Copy all data where the file system cannot share it
    #[arg(long)]
    copy: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A machine or one of its snapshots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Which {
    pub machine: Name,
    pub snapshot: Option<String>,
}

impl FromStr for Which {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (machine, snapshot) = match text.split_once('@') {
            Some((machine, snapshot)) => (machine, Some(snapshot.to_owned())),
            None => (text, None),
        };
        let machine = Name::new(machine).map_err(|error| error.to_string())?;
        Ok(Self { machine, snapshot })
    }
}

fn of(globals: &Globals, machine: &Name) -> Snapshots {
    Snapshots::new(&globals.run_dir, &globals.state_dir, machine)
}

pub(super) fn take(globals: &Globals, args: &Take) -> anyhow::Result<()> {
    Globals::need_root("disk snapshot")?;
    let Which { machine, snapshot } = &args.machine;
    let made = of(globals, machine).take(snapshot.as_deref(), args.copy).map_err(failure)?;
    if args.json {
        return output::json(&json!({
            "machine": machine, "snapshot": made.name, "pausedUs": made.paused_us,
        }));
    }
    output::line(format!("{machine}@{}", made.name))
}

pub(super) fn restore(globals: &Globals, args: &Restore) -> anyhow::Result<()> {
    Globals::need_root("disk restore")?;
    let Which { machine, snapshot } = &args.snapshot;
    let Some(snapshot) = snapshot else {
        return Err(Failure::new(Code::Failed, "which snapshot? write MACHINE@NAME")
            .hint(format!("`hc disk ls {machine}` lists them"))
            .into());
    };
    let before = of(globals, machine).restore(snapshot, args.copy).map_err(failure)?;
    if args.json {
        return output::json(&json!({"machine": machine, "before": before}));
    }
    output::line(format!(
        "{machine} is what it was at {snapshot}; what it was is {machine}@{before}"
    ))
}

pub(super) fn remove(globals: &Globals, machine: &Name, snapshot: &str) -> anyhow::Result<()> {
    Globals::need_root("disk rm")?;
    of(globals, machine).remove(snapshot).map_err(failure)
}

pub(super) fn list(globals: &Globals, machines: &[Name], json: bool) -> anyhow::Result<()> {
    let all = machines.iter().map(|machine| Ok((machine, of(globals, machine).list()?)));
    let all: Vec<(&Name, Vec<Snapshot>)> =
        all.collect::<Result<_, SnapshotError>>().map_err(failure)?;
    if json {
        let all = all.iter().map(|(machine, all)| json!({"machine": machine, "snapshots": all}));
        return output::json(&all.collect::<Vec<_>>());
    }
    let rows = all.iter().flat_map(|(machine, all)| {
        all.iter().map(move |snapshot| {
            vec![format!("{machine}@{}", snapshot.name), output::time(snapshot.made_at)]
        })
    });
    output::table(&["SNAPSHOT", "MADE"], rows)
}

fn failure(error: SnapshotError) -> anyhow::Error {
    let hint = match &error {
        SnapshotError::Nothing(_) => "`hc disk ls` lists those that have one".to_owned(),
        SnapshotError::Missing { machine, .. } => format!("`hc disk ls {machine}` lists them"),
        SnapshotError::Runs(machine) => format!("stop it first: hc stop {machine}"),
        SnapshotError::Copy { .. } => {
            "keep the state directory on XFS or btrfs; --copy copies, with the machine stopped"
                .to_owned()
        }
        _ => return Failure::new(Code::Failed, error.to_string()).into(),
    };
    Failure::new(Code::Failed, error.to_string()).hint(hint).into()
}
