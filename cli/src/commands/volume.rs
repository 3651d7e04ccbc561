//! `hc volume`: what machines write and what outlives them.

use crate::context::Globals;
use crate::error::{Code, Failure};
use crate::output;
use clap::Subcommand;
use hc_runtime::volumes::{VolumeError, VolumeInfo, VolumeName, VolumeStore};
use serde_json::json;
use std::str::FromStr;

/// Look at volumes, snapshot them, bring them back, grow and remove them
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List the volumes, or the snapshots of some
    Ls {
        /// Volumes whose snapshots are listed
        #[arg(value_name = "MACHINE/VOLUME")]
        volumes: Vec<VolumeName>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Keep what is in a volume now, whether it is in use or not
    ///
    /// It holds everything written at one instant, as a power cut would leave it; what is not changed
    /// later is shared with the volume.
    Snapshot {
        /// The volume, and a name for the snapshot if it is not to be the time
        #[arg(value_name = "MACHINE/VOLUME[@NAME]")]
        volume: Which,
        /// Copy all data where the file system cannot share it; the machine has to be stopped
        #[arg(long)]
        copy: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Make a volume what it was at a snapshot; what it was until now becomes a snapshot, too
    Restore {
        /// The snapshot; its machine has to be stopped
        #[arg(value_name = "MACHINE/VOLUME@NAME")]
        snapshot: Which,
        /// Copy all data where the file system cannot share it
        #[arg(long)]
        copy: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Make room in a volume, while it is in use too
    Grow {
        /// The volume
        #[arg(value_name = "MACHINE/VOLUME")]
        volume: VolumeName,
        /// Bytes it is to have room for, such as 20G (1024 each)
        #[arg(value_parser = super::gc::size)]
        size: u64,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Remove a volume with its snapshots, or one snapshot
    Rm {
        /// The volume, or the snapshot
        #[arg(value_name = "MACHINE/VOLUME[@NAME]")]
        volume: Which,
        /// Do it, without asking
        #[arg(long)]
        yes: bool,
        /// Remove one that is to be kept, too
        #[arg(long)]
        force: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// A volume or one of its snapshots.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Which {
    volume: VolumeName,
    snapshot: Option<String>,
}

impl FromStr for Which {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (volume, snapshot) = match text.split_once('@') {
            Some((volume, snapshot)) => (volume, Some(snapshot.to_owned())),
            None => (text, None),
        };
        Ok(Self { volume: volume.parse()?, snapshot })
    }
}

pub fn run(globals: &Globals, args: &Args) -> anyhow::Result<()> {
    Globals::need_root("volume")?;
    let store = VolumeStore::new(&globals.state_dir, &globals.run_dir);
    match &args.what {
        What::Ls { volumes, json } => list(&store, volumes, *json),
        What::Snapshot { volume: Which { volume, snapshot }, copy, json } => {
            let made = store.snapshot(volume, snapshot.as_deref(), *copy).map_err(failure)?;
            said(*json, json!({"volume": volume.to_string(), "snapshot": made}), || {
                format!("{volume}@{made}")
            })
        }
        What::Restore { snapshot: Which { volume, snapshot }, copy, json } => {
            let Some(snapshot) = snapshot else {
                return Err(Failure::new(
                    Code::Failed,
                    "which snapshot? write MACHINE/VOLUME@NAME",
                )
                .hint(format!("`hc volume ls {volume}` lists them"))
                .into());
            };
            let before = store.restore(volume, snapshot, *copy).map_err(failure)?;
            said(*json, json!({"volume": volume.to_string(), "before": before}), || {
                format!("{volume} is what it was at {snapshot}; what it was is {volume}@{before}")
            })
        }
        What::Grow { volume, size, json } => {
            store.grow(volume, *size).map_err(failure)?;
            let text = || format!("{volume} has room for {}", output::bytes(*size));
            said(*json, json!({"volume": volume.to_string(), "sizeBytes": size}), text)
        }
        What::Rm { volume: Which { volume, snapshot }, yes, force, json } => {
            if !yes {
                let what = "this deletes data for good";
                return Err(Failure::new(Code::Failed, what)
                    .hint("say --yes when you mean it")
                    .into());
            }
            match snapshot {
                Some(snapshot) => store.remove_snapshot(volume, snapshot).map_err(failure)?,
                None => store.remove(volume, *force).map_err(failure)?,
            }
            let name = snapshot
                .as_ref()
                .map_or_else(|| volume.to_string(), |snapshot| format!("{volume}@{snapshot}"));
            said(*json, json!({ "removed": name }), || format!("removed {name}"))
        }
    }
}

fn said(json: bool, value: serde_json::Value, text: impl FnOnce() -> String) -> anyhow::Result<()> {
    if json { output::json(&value) } else { output::line(text()) }
}

fn list(store: &VolumeStore, wanted: &[VolumeName], json: bool) -> anyhow::Result<()> {
    let names = if wanted.is_empty() { store.names()? } else { wanted.to_vec() };
    let all: Vec<VolumeInfo> =
        names.iter().map(|name| store.info(name)).collect::<Result<_, _>>().map_err(failure)?;
    if json {
        return output::json(&all);
    }
    if !wanted.is_empty() {
        let rows = all.iter().flat_map(|volume| {
            volume.snapshots.iter().map(|snapshot| {
                vec![
                    format!("{}@{}", volume.name, snapshot.name),
                    output::time(snapshot.made_at),
                    output::bytes(snapshot.size_bytes),
                ]
            })
        });
        return output::table(&["SNAPSHOT", "MADE", "SIZE"], rows);
    }
    if all.is_empty() {
        return output::line("no volumes; `volumes` of a machine makes some");
    }
    let rows = all.iter().map(|volume| {
        let word = |yes: bool| if yes { "yes" } else { "-" }.to_owned();
        vec![
            volume.name.clone(),
            volume.path.display().to_string(),
            output::bytes(volume.size_bytes),
            output::bytes(volume.used_bytes),
            volume.snapshots.len().to_string(),
            word(volume.in_use),
            word(volume.keep),
        ]
    });
    output::table(&["VOLUME", "PATH", "SIZE", "USED", "SNAPSHOTS", "IN USE", "KEEP"], rows)
}

fn failure(error: VolumeError) -> anyhow::Error {
    let hint = match &error {
        VolumeError::Missing(_) => "`hc volume ls` lists them".to_owned(),
        VolumeError::NoSnapshot { volume, .. } => format!("`hc volume ls {volume}` lists them"),
        VolumeError::Busy(name) => format!("hc stop {}", name.machine),
        VolumeError::Kept(_) => "--force removes it all the same".to_owned(),
        VolumeError::Copy { .. } => {
            "keep the state directory on XFS or btrfs; --copy copies, with the machine stopped"
                .into()
        }
        _ => return Failure::new(Code::Failed, error.to_string()).into(),
    };
    Failure::new(Code::Failed, error.to_string()).hint(hint).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_and_snapshots_are_named() {
        let which: Which = "web/data@before-upgrade".parse().unwrap();
        assert_eq!(which.volume.to_string(), "web/data");
        assert_eq!(which.snapshot.as_deref(), Some("before-upgrade"));
        assert_eq!("web/data".parse::<Which>().unwrap().snapshot, None);
        assert!("web@x".parse::<Which>().is_err());
    }
}
