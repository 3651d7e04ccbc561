//! Saving a machine that waits for its identity, and going on from there.
//!
//! QEMU is told that memory in a file that others map too is none of a migration's business
//! (`x-ignore-shared`): the state that is left is some kilobytes, written in milliseconds.

use super::qmp::{Qmp, Said};
use super::saved::Saving;
use crate::error::{Doing, Problem, Res};
use rustix::fs::{Gid, Uid};
use serde_json::json;
use std::fs::File;
use std::path::{Path, PathBuf};

/// The descriptor with the state, as QEMU knows it.
const STATE: &str = "file:/dev/fdset/3";
const TMPFS: u64 = 0x0102_1994;

/// A running machine's memory as a file that can be copied; its name goes with this.
#[derive(Debug)]
pub(super) struct Ram {
    pub path: PathBuf,
    _file: File,
}

impl Ram {
    /// Makes one for the user `id` in the machine's run directory; nothing where that is on a disk, which
    /// would be written to whenever the guest writes to its memory.
    pub fn make(run: &Path, size: u64, id: u32) -> Res<Option<Self>> {
        let kind = rustix::fs::statfs(run).doing_with(|| format!("look at {}", run.display()))?;
        if u64::try_from(kind.f_type) != Ok(TMPFS) {
            return Ok(None);
        }
        let path = run.join("ram");
        let action = || format!("make {}", path.display());
        hc_fs::plain::remove_file(&path)?;
        let file = hc_fs::plain::create_new(&path, 0o600)?;
        rustix::fs::ftruncate(&file, size).doing_with(action)?;
        let owner = (Some(Uid::from_raw(id)), Some(Gid::from_raw(id)));
        rustix::fs::fchown(&file, owner.0, owner.1).doing_with(action)?;
        Ok(Some(Self { path, _file: file }))
    }
}

impl Drop for Ram {
    fn drop(&mut self) {
        let _ = hc_fs::plain::remove_file(&self.path);
    }
}

fn prepare(qmp: &mut Qmp) -> Result<(), String> {
    let on = |name: &str| json!({"capability": name, "state": true});
    let both = json!({"capabilities": [on("x-ignore-shared"), on("events")]});
    qmp.ask("migrate-set-capabilities", &both).map(drop)
}

fn completed(qmp: &mut Qmp) -> Result<(), String> {
    qmp.wait_for("MIGRATION", |said| match said {
        Said::Event(name, data) if name == "MIGRATION" => match data["status"].as_str() {
            Some("completed") => Some(Ok(())),
            Some("failed") => Some(Err("the state does not fit".into())),
            _ => None,
        },
        _ => None,
    })
}

/// Lets a computer that was turned on with a saved machine's memory go on.
pub(super) fn go_on(qmp: &mut Qmp) -> Res<()> {
    let gone_on = prepare(qmp)
        .and_then(|()| qmp.ask("migrate-incoming", &json!({"uri": STATE})))
        .and_then(|_| completed(qmp))
        .and_then(|()| qmp.ask("cont", &json!({})));
    gone_on.map(drop).map_err(Problem::Plain)
}

/// Saves a machine, which stands still meanwhile and goes on whether that worked or not.
pub(super) fn save(qmp: &mut Qmp, saving: &Saving, ram: &Ram) -> Res<()> {
    let stopped = qmp
        .ask("stop", &json!({}))
        .and_then(|_| prepare(qmp))
        .and_then(|()| qmp.ask("migrate", &json!({"uri": STATE})))
        .and_then(|_| completed(qmp));
    let saved = stopped.map_err(Problem::Plain).and_then(|()| saving.copy(&ram.path));
    qmp.ask("cont", &json!({})).map_err(Problem::Plain)?;
    saved
}
