//! The original's side: from being asked until it goes on.

use super::{Disk, Done, Facts, Wanted, hear, say};
use crate::error::{Doing, Res};
use crate::sys::clone::{Shared, share};
use crate::vm::Origin;
use crate::vm::layer::Layer;
use crate::vm::qmp::{Qmp, Said};
use crate::vm::resume;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::json;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

/// How often it is looked how far the copies are.
const TICK: Duration = Duration::from_millis(10);
/// Bytes of memory that may be left when the machine is stopped. Twice as many after every second, for
/// one that writes faster than that.
const LEFT: u64 = 1 << 20;
/// Longest a guest may take to stand still.
const QUIET: Duration = Duration::from_secs(10);
/// Longest that a guest may take to rehearse that.
const REHEARSAL: Duration = Duration::from_secs(5);
/// The set of descriptors with the disk's file, the job and the node of its copy.
const SET: u32 = 7;
const JOB: &str = "fork";
/// The node of the disk that is forked.
const LAYER: &str = "layer";

const NONE: Shared = Shared::No(rustix::io::Errno::OPNOTSUPP);

/// A fork under way.
pub(in crate::vm) struct Forking {
    socket: OwnedFd,
    stage: Stage,
    disk: Option<Copied>,
}

enum Stage {
    /// It knows what the computer is; the other one is being turned on.
    Told,
    /// Memory and disk are copied while it runs.
    Copying { begun: Instant, look_at: Instant, flushed: bool, rehearsed: bool },
    /// The guest was asked to stand still.
    Quieting { since: Instant },
    /// It was stopped, and told to go on.
    GoingOn { since: Instant },
}

/// The disk's file for the fork.
struct Copied {
    file: File,
    how: Disk,
}

/// What is to be done next.
pub(in crate::vm) enum Next {
    /// Nothing yet.
    Wait,
    /// The guest is to rehearse standing still.
    Rehearse,
    /// The guest is to stand still.
    Quiesce,
    /// There is no fork, and the machine is as it was.
    Over,
}

impl Forking {
    /// Tells whoever came in what the computer is.
    pub fn begin(socket: OwnedFd, origin: &Origin) -> Res<Self> {
        // What was accepted without waiting is not waited for either.
        rustix::io::ioctl_fionbio(&socket, false).doing("speak to the other supervisor")?;
        let macs = origin.macs.iter().map(|mac| mac.0).collect();
        let facts = Facts { macs, block: origin.block, size: origin.layer.size };
        say(socket.as_fd(), &facts, &[])?;
        Ok(Self { socket, stage: Stage::Told, disk: None })
    }

    /// Readable when the other supervisor says something, or is gone.
    pub fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// How long until it has to be looked at again.
    pub fn wait(&self) -> Option<Duration> {
        let at = match &self.stage {
            Stage::Told => return None,
            Stage::Copying { look_at, .. } => *look_at,
            Stage::Quieting { since } | Stage::GoingOn { since } => *since + QUIET,
        };
        Some(at.saturating_duration_since(Instant::now()))
    }

    /// Whether the guest stands still, or is about to: nothing else may be said to it.
    pub fn is_still(&self) -> bool {
        matches!(self.stage, Stage::Quieting { .. } | Stage::GoingOn { .. })
    }

    /// The guest has rehearsed standing still.
    pub fn rehearsed(&mut self) {
        if let Stage::Copying { rehearsed, .. } = &mut self.stage {
            *rehearsed = true;
        }
    }

    /// Goes on as far as it can.
    pub fn turn(&mut self, qmp: &mut Qmp, layer: &Layer) -> Next {
        let mut socket = [PollFd::new(&self.socket, PollFlags::IN)];
        let heard = matches!(poll(&mut socket, Some(&Timespec::default())), Ok(1));
        let advanced = match &self.stage {
            Stage::Told if heard => self.begin_copying(qmp, layer),
            Stage::Told => Ok(Next::Wait),
            // It has nothing more to say: it is gone.
            _ if heard => Err("the fork ended".into()),
            Stage::Copying { .. } => self.look(qmp, layer),
            Stage::Quieting { since } if since.elapsed() > QUIET => {
                Err("the guest does not stand still".into())
            }
            Stage::GoingOn { since } if since.elapsed() > QUIET => {
                Err("the guest does not go on".into())
            }
            _ => Ok(Next::Wait),
        };
        advanced.unwrap_or_else(|why: String| {
            self.fail(qmp, why);
            Next::Over
        })
    }

    /// There will be no fork. Where the guest stands still it has to be told to go on.
    pub fn fail(&mut self, qmp: &mut Qmp, why: String) {
        if !matches!(self.stage, Stage::Told) {
            let _ = qmp.ask("migrate_cancel", &json!({}));
            let force = json!({"device": JOB, "force": true});
            if qmp.ask("block-job-cancel", &force).is_ok() {
                let _ = job_ended(qmp);
            }
            self.let_go(qmp);
        }
        let _ = say(self.socket.as_fd(), &Done::Failed(why), &[]);
    }

    fn begin_copying(&mut self, qmp: &mut Qmp, layer: &Layer) -> Result<Next, String> {
        let (Wanted {}, fds) = hear(&self.socket).map_err(|problem| problem.to_string())?;
        let Ok([migration, file]) = <[OwnedFd; 2]>::try_from(fds) else {
            return Err("the other supervisor sent no descriptors".into());
        };
        let file = File::from(file);
        let begun = Instant::now();
        self.stage =
            Stage::Copying { begun, look_at: begun + TICK, flushed: false, rehearsed: false };
        // What QEMU keeps of an overlay's tables is not all in its file.
        let shared = if layer.below.is_none() { share(&layer.file, &file) } else { Ok(NONE) };
        let how = match shared.map_err(|error| format!("cannot fork its disk: {error}"))? {
            Shared::Yes => Disk::Reflink,
            Shared::No(_) => Disk::Copy,
        };
        if how == Disk::Copy {
            mirror(qmp, &file)?;
        }
        self.disk = Some(Copied { file, how });
        resume::send(qmp, migration.as_fd())?;
        Ok(Next::Rehearse)
    }

    /// Whether so little is left that the machine can be stopped for it.
    fn look(&mut self, qmp: &mut Qmp, layer: &Layer) -> Result<Next, String> {
        let Stage::Copying { begun, look_at, flushed, rehearsed } = &mut self.stage else {
            return Ok(Next::Wait);
        };
        if *look_at > Instant::now() {
            return Ok(Next::Wait);
        }
        *look_at = Instant::now() + TICK;
        let left = resume::left(qmp)?;
        let mirrored = match self.disk.as_ref().map(|disk| disk.how) {
            Some(Disk::Copy) => is_mirrored(qmp)?,
            _ => true,
        };
        let allowed = LEFT << begun.elapsed().as_secs().min(40);
        // An older guest does not know what that is.
        let rehearsed = *rehearsed || begun.elapsed() > REHEARSAL;
        if !mirrored || !rehearsed || left.is_none_or(|left| left > allowed) {
            return Ok(Next::Wait);
        }
        if !std::mem::replace(flushed, true) {
            // QEMU does this when it stops, and waits.
            let _ = rustix::fs::fdatasync(&layer.file);
            let _ = self.disk.as_ref().map(|disk| rustix::fs::fdatasync(&disk.file));
            return Ok(Next::Wait);
        }
        self.stage = Stage::Quieting { since: Instant::now() };
        Ok(Next::Quiesce)
    }

    /// The guest stands still: stops the computer, has the rest sent, and starts it again, whether that
    /// went well or not. The guest has then to be told to go on.
    pub fn switch(&mut self, qmp: &mut Qmp, layer: &Layer) -> Result<(), String> {
        let since = match self.stage {
            Stage::Quieting { since } => since,
            _ => Instant::now(),
        };
        let disk = self.disk.as_ref();
        let switched = resume::switch(qmp, |qmp| match disk {
            Some(Copied { file, how: Disk::Reflink }) => match share(&layer.file, file) {
                Ok(Shared::Yes) => Ok(()),
                Ok(Shared::No(error)) => Err(format!("cannot fork its disk: {error}")),
                Err(error) => Err(format!("cannot fork its disk: {error}")),
            },
            _ => {
                qmp.ask("block-job-cancel", &json!({"device": JOB}))?;
                job_ended(qmp)
            }
        });
        self.stage = Stage::GoingOn { since };
        if switched.is_err() {
            let _ = qmp.ask("migrate_cancel", &json!({}));
        }
        resume::start_again(qmp).and(switched)
    }

    /// The guest goes on: tells the other supervisor. Gives microseconds that it stood still.
    pub fn end(&mut self, qmp: &mut Qmp) -> Option<u64> {
        let Stage::GoingOn { since } = self.stage else { return None };
        let pause_us = u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX);
        let disk = self.disk.as_ref().map_or(Disk::Copy, |disk| disk.how);
        let _ = say(self.socket.as_fd(), &Done::Forked { pause_us, disk }, &[]);
        self.let_go(qmp);
        Some(pause_us)
    }

    /// Takes the copy's node out of the computer again.
    fn let_go(&mut self, qmp: &mut Qmp) {
        if self.disk.take().is_some_and(|disk| disk.how == Disk::Copy) {
            let _ = qmp.ask("blockdev-del", &json!({"node-name": JOB}));
            let _ = qmp.ask("remove-fd", &json!({"fdset-id": SET}));
        }
    }
}

/// Begins to keep `file`, which is empty, equal to the disk.
fn mirror(qmp: &mut Qmp, file: &File) -> Result<(), String> {
    qmp.ask_with("add-fd", &json!({"fdset-id": SET}), file.as_fd())?;
    let node = json!({
        "driver": "raw", "node-name": JOB, "discard": "unmap", "detect-zeroes": "unmap",
        "file": {"driver": "file", "filename": format!("/dev/fdset/{SET}"), "discard": "unmap",
            // The other computer has it too, and does not run yet.
            "locking": "off"},
    });
    qmp.ask("blockdev-add", &node)?;
    let job = json!({
        "job-id": JOB, "device": LAYER, "target": JOB, "sync": "full",
        // What is written from now on is written to both: the copy gets done.
        "copy-mode": "write-blocking",
    });
    qmp.ask("blockdev-mirror", &job).map(drop)
}

fn is_mirrored(qmp: &mut Qmp) -> Result<bool, String> {
    let jobs = qmp.ask("query-block-jobs", &json!({}))?;
    let ours = jobs.as_array().into_iter().flatten().find(|job| job["device"] == JOB);
    let ours = ours.ok_or("its disk could not be copied: is there room for it?")?;
    Ok(ours["ready"] == true)
}

fn job_ended(qmp: &mut Qmp) -> Result<(), String> {
    qmp.wait_for("the disk's copy", |said| match said {
        Said::Event(name, data)
            if ["BLOCK_JOB_COMPLETED", "BLOCK_JOB_CANCELLED"].contains(&name.as_str()) =>
        {
            match data["error"].as_str() {
                Some(why) => Some(Err(format!("its disk could not be copied: {why}"))),
                None => Some(Ok(())),
            }
        }
        _ => None,
    })
}
