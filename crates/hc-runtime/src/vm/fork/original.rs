//! The original's side: from being asked until it goes on.

use super::disks::Disks;
use super::{Done, Facts, Wanted, hear, say};
use crate::error::{Doing, Res};
use crate::vm::Origin;
use crate::vm::qmp::Qmp;
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

/// A fork under way.
pub(in crate::vm) struct Forking {
    socket: OwnedFd,
    stage: Stage,
    disks: Disks,
}

enum Stage {
    /// It knows what the computer is; the other one is being turned on.
    Told,
    /// Memory and disks are copied while it runs.
    Copying { begun: Instant, look_at: Instant, flushed: bool, rehearsed: bool },
    /// The guest was asked to stand still.
    Quieting { since: Instant },
    /// It was stopped, and told to go on.
    GoingOn { since: Instant },
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
        let length = |volume: &File| volume.metadata().map(|image| image.len());
        let volumes = origin.volumes.iter().map(length).collect::<Result<_, _>>();
        let volumes = volumes.doing("look at its volumes")?;
        let facts = Facts { macs, block: origin.block, size: origin.layer.size, volumes };
        say(socket.as_fd(), &facts, &[])?;
        Ok(Self { socket, stage: Stage::Told, disks: Disks::default() })
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
    pub fn turn(&mut self, qmp: &mut Qmp, origin: &Origin) -> Next {
        let mut socket = [PollFd::new(&self.socket, PollFlags::IN)];
        let heard = matches!(poll(&mut socket, Some(&Timespec::default())), Ok(1));
        let advanced = match &self.stage {
            Stage::Told if heard => self.begin_copying(qmp, origin),
            Stage::Told => Ok(Next::Wait),
            // It has nothing more to say: it is gone.
            _ if heard => Err("the fork ended".into()),
            Stage::Copying { .. } => self.look(qmp, origin),
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
            self.disks.cancel(qmp);
            std::mem::take(&mut self.disks).let_go(qmp);
        }
        let _ = say(self.socket.as_fd(), &Done::Failed(why), &[]);
    }

    fn begin_copying(&mut self, qmp: &mut Qmp, origin: &Origin) -> Result<Next, String> {
        let (Wanted {}, fds) = hear(&self.socket).map_err(|problem| problem.to_string())?;
        let mut fds = fds.into_iter();
        let Some(migration) = fds.next().filter(|_| fds.len() == Disks::count(origin)) else {
            return Err("the other supervisor sent other descriptors than it has disks".into());
        };
        let begun = Instant::now();
        self.stage =
            Stage::Copying { begun, look_at: begun + TICK, flushed: false, rehearsed: false };
        self.disks.begin(qmp, origin, fds.collect())?;
        resume::send(qmp, migration.as_fd())?;
        Ok(Next::Rehearse)
    }

    /// Whether so little is left that the machine can be stopped for it.
    fn look(&mut self, qmp: &mut Qmp, origin: &Origin) -> Result<Next, String> {
        let Stage::Copying { begun, look_at, flushed, rehearsed } = &mut self.stage else {
            return Ok(Next::Wait);
        };
        if *look_at > Instant::now() {
            return Ok(Next::Wait);
        }
        *look_at = Instant::now() + TICK;
        let left = resume::left(qmp)?;
        let whole = self.disks.are_whole(qmp)?;
        let allowed = LEFT << begun.elapsed().as_secs().min(40);
        // An older guest does not know what that is.
        let rehearsed = *rehearsed || begun.elapsed() > REHEARSAL;
        if !whole || !rehearsed || left.is_none_or(|left| left > allowed) {
            return Ok(Next::Wait);
        }
        if !std::mem::replace(flushed, true) {
            self.disks.flush(origin);
            return Ok(Next::Wait);
        }
        self.stage = Stage::Quieting { since: Instant::now() };
        Ok(Next::Quiesce)
    }

    /// The guest stands still: stops the computer, has the rest sent, and starts it again, whether that
    /// went well or not. The guest has then to be told to go on.
    pub fn switch(&mut self, qmp: &mut Qmp, origin: &Origin) -> Result<(), String> {
        let since = match self.stage {
            Stage::Quieting { since } => since,
            _ => Instant::now(),
        };
        let switched = resume::switch(qmp, |qmp| self.disks.finish(qmp, origin));
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
        let disk = self.disks.how();
        let _ = say(self.socket.as_fd(), &Done::Forked { pause_us, disk }, &[]);
        std::mem::take(&mut self.disks).let_go(qmp);
        Some(pause_us)
    }
}
