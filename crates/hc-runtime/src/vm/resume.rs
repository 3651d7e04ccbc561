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
use std::os::fd::{AsFd, BorrowedFd};
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

/// Capabilities of migrations that are used, all of them: one that was on before may be off now.
const CAPABILITIES: [&str; 5] =
    ["events", "x-ignore-shared", "return-path", "switchover-ack", "pause-before-switchover"];

fn prepare(qmp: &mut Qmp, on: &[&str]) -> Result<(), String> {
    let set = |name: &str| json!({"capability": name, "state": on.contains(&name)});
    let all = json!({"capabilities": CAPABILITIES.map(set)});
    qmp.ask("migrate-set-capabilities", &all).map(drop)
}

fn come_to(qmp: &mut Qmp, status: &str) -> Result<(), String> {
    let failed = qmp.wait_for("MIGRATION", |said| match said {
        Said::Event(name, data) if name == "MIGRATION" => match data["status"].as_str() {
            Some("failed" | "cancelled") => Some(Ok(true)),
            Some(come) if come == status => Some(Ok(false)),
            _ => None,
        },
        _ => None,
    })?;
    if failed { Err(why(qmp)) } else { Ok(()) }
}

/// Why a migration failed.
fn why(qmp: &mut Qmp) -> String {
    let asked = qmp.ask("query-migrate", &json!({})).unwrap_or_default();
    asked["error-desc"].as_str().unwrap_or("the state does not fit").to_owned()
}

/// Has a computer that was turned on empty take in what is sent through a socket.
pub(super) fn receive(qmp: &mut Qmp, from: BorrowedFd<'_>) -> Result<(), String> {
    prepare(qmp, &["events"])?;
    quietly(qmp)?;
    qmp.ask_with("getfd", &json!({"fdname": "fork"}), from)?;
    qmp.ask("migrate-incoming", &json!({"uri": "fd:fork"})).map(drop)
}

/// Lets it go on once everything has come.
pub(super) fn received(qmp: &mut Qmp) -> Result<(), String> {
    come_to(qmp, "completed")?;
    qmp.ask("cont", &json!({})).map(drop)
}

/// Nobody on the network has to hear of it, least of all by the addresses of another.
fn quietly(qmp: &mut Qmp) -> Result<(), String> {
    qmp.ask("migrate-set-parameters", &json!({"announce-rounds": 0})).map(drop)
}

/// Begins to send a computer that runs through a socket. It does not end before [`switch`]: what would
/// allow it, the other side's leave, is never given.
pub(super) fn send(qmp: &mut Qmp, to: BorrowedFd<'_>) -> Result<(), String> {
    prepare(qmp, &["events", "return-path", "switchover-ack", "pause-before-switchover"])?;
    // Bytes a second: as fast as it goes.
    qmp.ask("migrate-set-parameters", &json!({"max-bandwidth": 1u64 << 40}))?;
    qmp.ask_with("getfd", &json!({"fdname": "fork"}), to)?;
    qmp.ask("migrate", &json!({"uri": "fd:fork"})).map(drop)
}

/// Bytes of memory that are still to be sent; nothing while that is not known.
pub(super) fn left(qmp: &mut Qmp) -> Result<Option<u64>, String> {
    let asked = qmp.ask("query-migrate", &json!({}))?;
    match asked["status"].as_str() {
        Some("failed" | "cancelled") => {
            Err(asked["error-desc"].as_str().unwrap_or("the other computer is gone").to_owned())
        }
        _ => Ok(asked["ram"]["remaining"].as_u64()),
    }
}

/// Stops the computer, does `meanwhile`, and has the rest sent. It has to be started again by whoever
/// calls, in any case.
pub(super) fn switch(
    qmp: &mut Qmp,
    meanwhile: impl FnOnce(&mut Qmp) -> Result<(), String>,
) -> Result<(), String> {
    qmp.ask("stop", &json!({}))?;
    come_to(qmp, "pre-switchover")?;
    meanwhile(qmp)?;
    qmp.ask("migrate-continue", &json!({"state": "pre-switchover"}))?;
    come_to(qmp, "completed")
}

/// Starts a computer that was stopped to be sent; one of which the sending was broken off needs a moment.
pub(super) fn start_again(qmp: &mut Qmp) -> Result<(), String> {
    const TRIES: u32 = 250;
    for _ in 1..TRIES {
        if qmp.ask("cont", &json!({})).is_ok() {
            return Ok(());
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    qmp.ask("cont", &json!({})).map(drop)
}

/// Lets a computer that was turned on with a saved machine's memory go on.
pub(super) fn go_on(qmp: &mut Qmp) -> Res<()> {
    let gone_on = prepare(qmp, &["events", "x-ignore-shared"])
        .and_then(|()| quietly(qmp))
        .and_then(|()| qmp.ask("migrate-incoming", &json!({"uri": STATE})))
        .and_then(|_| come_to(qmp, "completed"))
        .and_then(|()| qmp.ask("cont", &json!({})));
    gone_on.map(drop).map_err(Problem::Plain)
}

/// Saves a machine, which stands still meanwhile and goes on whether that worked or not.
pub(super) fn save(qmp: &mut Qmp, saving: &Saving, ram: &Ram) -> Res<()> {
    let stopped = qmp
        .ask("stop", &json!({}))
        .and_then(|_| prepare(qmp, &["events", "x-ignore-shared"]))
        .and_then(|()| qmp.ask_with("add-fd", &json!({}), saving.state.as_fd()))
        .and_then(|given| {
            let uri = format!("file:/dev/fdset/{}", given["fdset-id"]);
            qmp.ask("migrate", &json!({"uri": uri}))
        })
        .and_then(|_| come_to(qmp, "completed"));
    let saved = stopped.map_err(Problem::Plain).and_then(|()| saving.copy(&ram.path));
    qmp.ask("cont", &json!({})).map_err(Problem::Plain)?;
    saved
}
