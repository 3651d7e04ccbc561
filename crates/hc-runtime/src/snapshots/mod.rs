//! Snapshots of what a PC keeps: its disks, its firmware's variables and its TPM, at one instant.
//!
//! `<state>/machines/MACHINE/snapshots/NAME/` holds `disks/`, `nvram` and `tpm/` as they lie beside
//! it, and shares their blocks. A machine that runs stands still meanwhile: QEMU finishes what it
//! was writing and writes out what it knew. What the system inside had not written yet is not in
//! it, as after a power cut.
//!
//! `restore` first puts the state to be together in `.back`, which is the decision when it gets its
//! name `back`; from there everything is moved into its place, by whoever comes next if need be:
//! killed at any time, the machine starts with the old state or the new.

mod copy;

use crate::base::{Doing, ForkError, names};
use crate::config::Places;
use crate::ids;
use crate::vm::still::stop;
use crate::volumes::{is_snapshot, now, stamp, unused};
use hc_spec::Name;
use serde::Serialize;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What is kept.
const PARTS: [&str; 3] = ["disks", "nvram", "tpm"];
/// The state to be, as soon as that is decided.
const BACK: &str = "back";

/// Why something could not be done with a snapshot.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// There is nothing of that machine to keep.
    #[error("machine '{0}' has no disk of its own")]
    Nothing(Name),
    /// There is none of that name.
    #[error("machine '{machine}' has no snapshot '{snapshot}'")]
    Missing {
        /// The machine.
        machine: Name,
        /// What was asked for.
        snapshot: String,
    },
    /// There is one already.
    #[error("machine '{machine}' has a snapshot '{snapshot}' already")]
    Exists {
        /// The machine.
        machine: Name,
        /// What was to be made.
        snapshot: String,
    },
    /// A name that cannot be one.
    #[error(
        "'{0}' cannot name a snapshot: letters, digits, '.', '-' and '_', at most 64, no '.' first, \
         and not 'back'"
    )]
    Name(String),
    /// The machine runs.
    #[error("machine '{0}' runs")]
    Runs(Name),
    /// It runs, and could not be made to stand still.
    #[error("machine '{machine}' runs and does not stand still: {why}")]
    Restless {
        /// The machine.
        machine: Name,
        /// What it said.
        why: String,
    },
    /// The file system cannot share blocks.
    #[error("{} would be copied: {why}", file.display())]
    Copy {
        /// The first file that would be.
        file: PathBuf,
        /// What cannot be.
        why: String,
    },
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] ForkError),
}

impl From<hc_fs::Error> for SnapshotError {
    fn from(error: hc_fs::Error) -> Self {
        Self::File(error.into())
    }
}

type Result<T> = std::result::Result<T, SnapshotError>;

/// The snapshots of one machine.
#[derive(Debug)]
pub struct Snapshots {
    machine: Name,
    places: Places,
}

/// One snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Snapshot {
    /// Its name.
    pub name: String,
    /// When it was made, in seconds since 1970.
    pub made_at: u64,
}

/// A snapshot that was made now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Made {
    /// Its name.
    pub name: String,
    /// Microseconds that a running machine stood still.
    pub paused_us: Option<u64>,
}

impl Snapshots {
    /// Those of `machine`.
    #[must_use]
    pub fn new(run_dir: &Path, state_dir: &Path, machine: &Name) -> Self {
        let places = Places::new(run_dir, state_dir, machine.as_str());
        Self { machine: machine.clone(), places }
    }

    fn dir(&self) -> PathBuf {
        self.places.state.join("snapshots")
    }

    /// Held by whoever uses the machine's state: its supervisor, or who puts another in its place.
    pub(crate) fn hold(places: &Places) -> std::result::Result<Option<File>, ForkError> {
        let path = places.state.join("used");
        ids::lock(&path).map_err(|problem| ForkError::System {
            action: "use",
            path,
            source: std::io::Error::other(problem.to_string()),
        })
    }

    /// Held by whoever makes or removes snapshots; waits for others, and clears what they left.
    fn changing(&self) -> Result<File> {
        let dir = self.dir();
        hc_fs::durable::create_dir_all(&dir, 0o700)?;
        let path = dir.join(".changing");
        let lock = hc_fs::plain::append(&path, 0o600)?;
        rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).doing("lock", &path)?;
        for left in names(&dir)?.iter().filter(|n| n.starts_with('.') && *n != ".changing") {
            hc_fs::tree::remove(&dir.join(left))?;
        }
        Ok(lock)
    }

    /// The snapshots, the oldest first.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub fn list(&self) -> Result<Vec<Snapshot>> {
        let dir = self.dir();
        let mut all = Vec::new();
        for name in names(&dir)?.into_iter().filter(|name| is_name(name)) {
            let found = dir.join(&name).metadata().doing("look at", &dir.join(&name))?;
            all.push(Snapshot { name, made_at: u64::try_from(found.mtime()).unwrap_or(0) });
        }
        all.sort_by(|a, b| (a.made_at, &a.name).cmp(&(b.made_at, &b.name)));
        Ok(all)
    }

    /// Makes one, of a machine that runs or not. Without a name it has the time's. Where the file
    /// system cannot share blocks, only `copy` makes one, of a machine that does not run.
    ///
    /// # Errors
    /// When there is nothing to keep, or no snapshot can be made.
    pub fn take(&self, name: Option<&str>, copy: bool) -> Result<Made> {
        if let Some(wrong) = name.filter(|name| !is_name(name)) {
            return Err(SnapshotError::Name(wrong.into()));
        }
        if !self.places.state.join("disks").is_dir() {
            return Err(SnapshotError::Nothing(self.machine.clone()));
        }
        let _changing = self.changing()?;
        let name = name.map_or_else(|| unused(&self.dir(), &stamp(now())), str::to_owned);
        if self.dir().join(&name).exists() {
            return Err(SnapshotError::Exists { machine: self.machine.clone(), snapshot: name });
        }
        let unused = Self::hold(&self.places)?;
        if unused.is_some() {
            self.settle()?;
            self.keep(&self.places.state, &name, copy)?;
            return Ok(Made { name, paused_us: None });
        }
        if copy {
            return Err(SnapshotError::Runs(self.machine.clone()));
        }
        let restless = |why: String| SnapshotError::Restless { machine: self.machine.clone(), why };
        let stopped = stop(&self.places).map_err(|p| restless(p.to_string()))?;
        let (begun, kept) = (Instant::now(), self.keep(&self.places.state, &name, false));
        let paused = begun.elapsed();
        // Had it gone on by itself, what was kept would be of no one instant.
        let went_on = stopped.end();
        kept?;
        if let Err(why) = went_on {
            hc_fs::tree::remove(&self.dir().join(&name))?;
            return Err(restless(why.to_string()));
        }
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        Ok(Made { name, paused_us: Some(micros(paused)) })
    }

    /// Makes the machine what it was at a snapshot. What it was until now becomes one itself, whose
    /// name is given back.
    ///
    /// # Errors
    /// When the machine runs, or there is no such snapshot.
    pub fn restore(&self, snapshot: &str, copy: bool) -> Result<String> {
        let _changing = self.changing()?;
        let Some(_unused) = Self::hold(&self.places)? else {
            return Err(SnapshotError::Runs(self.machine.clone()));
        };
        self.settle()?;
        let from = self.find(snapshot)?;
        let before = unused(&self.dir(), &format!("before-restore-{}", stamp(now())));
        self.keep(&self.places.state, &before, copy)?;
        self.keep(&from, BACK, copy)?;
        self.settle()?;
        Ok(before)
    }

    /// Finishes a restore that was cut off; the caller holds the state.
    pub(crate) fn settle(&self) -> std::result::Result<(), ForkError> {
        let back = self.dir().join(BACK);
        if !back.is_dir() {
            return Ok(());
        }
        for part in PARTS {
            let (from, to) = (back.join(part), self.places.state.join(part));
            if from.symlink_metadata().is_ok() {
                hc_fs::tree::remove(&to)?;
                hc_fs::durable::rename(&from, &to)?;
            }
        }
        Ok(hc_fs::tree::remove(&back)?)
    }

    /// Removes one.
    ///
    /// # Errors
    /// When there is none.
    pub fn remove(&self, snapshot: &str) -> Result<()> {
        let _changing = self.changing()?;
        let path = self.find(snapshot)?;
        let aside = self.dir().join(format!(".{snapshot}"));
        hc_fs::durable::rename(&path, &aside)?;
        Ok(hc_fs::tree::remove(&aside)?)
    }

    fn find(&self, snapshot: &str) -> Result<PathBuf> {
        let path = self.dir().join(snapshot);
        if is_name(snapshot) && path.is_dir() {
            return Ok(path);
        }
        Err(SnapshotError::Missing { machine: self.machine.clone(), snapshot: snapshot.into() })
    }

    /// Makes `snapshots/NAME` of what is in `state`.
    fn keep(&self, state: &Path, name: &str, copy: bool) -> Result<()> {
        let (fresh, path) = (self.dir().join(format!(".{name}")), self.dir().join(name));
        hc_fs::plain::create_dir(&fresh, 0o700)?;
        let kept = PARTS.iter().try_for_each(|part| {
            let from = state.join(part);
            match from.symlink_metadata() {
                Ok(_) => copy::tree(&from, &fresh.join(part), copy),
                Err(_) => Ok(()),
            }
        });
        let kept = kept.and_then(|()| {
            hc_fs::durable::sync_dir(&fresh)?;
            Ok(hc_fs::durable::rename(&fresh, &path)?)
        });
        if kept.is_err() {
            let _ = hc_fs::tree::remove(&fresh);
        }
        kept
    }
}

fn is_name(name: &str) -> bool {
    is_snapshot(name) && name != BACK
}

/// The directories with disks in all snapshots of all machines below `machines`.
pub(crate) fn disks(machines: &Path) -> std::result::Result<Vec<PathBuf>, ForkError> {
    let mut found = Vec::new();
    for machine in names(machines)? {
        let dir = machines.join(machine).join("snapshots");
        found.extend(names(&dir)?.into_iter().map(|name| dir.join(name).join("disks")));
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
