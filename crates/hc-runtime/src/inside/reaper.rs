//! The machine's first process: starts the payload, waits for it and for orphans.

use super::payload::Payload;
use super::probe::Probe;
use crate::error::{Doing, Res};
use crate::protocol::{Order, Report};
use crate::sys::process::{self, Ended};
use crate::sys::signals::{self, Blocked};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::os::fd::{AsFd, BorrowedFd};

/// What a first process does once its payload is executed.
pub(super) struct Reaper {
    payload: i32,
    signals: Blocked,
    probe: Option<Probe>,
}

impl Reaper {
    /// Executes the payload.
    pub fn start(payload: &Payload, capabilities: u64, port: Option<u16>) -> Res<Self> {
        let signals = Blocked::new(&signals::all()).doing("take over signals")?;
        let mut problem = None;
        // SAFETY: this process has one thread. What the child leaves here are some strings of its last words
        // to the kernel, which nobody frees.
        let child = unsafe {
            process::spawn_on_same_memory(&mut || {
                problem = Some(payload.execute(capabilities, true));
            })
        };
        let child = child.doing("make the payload's process")?;
        if let Some(problem) = problem {
            return Err(problem);
        }
        // The child has become another user on this memory.
        process::hide().doing("hide the machine's init")?;
        // To pass signals on to a payload of another user is all that is left to do.
        let kill = super::capabilities::bit("KILL").unwrap_or(0);
        process::set_capabilities(kill).doing("give up capabilities")?;
        Ok(Self { payload: child, signals, probe: port.map(Probe::new) })
    }

    /// Until the payload has ended, or the supervisor has: with this process, the kernel ends
    /// every other one of the machine.
    pub fn run(mut self, control: BorrowedFd<'_>) {
        let _ = Report::Started.send(control);
        loop {
            if self.probe.as_mut().is_some_and(Probe::ask) {
                self.probe = None;
                let _ = Report::Ready.send(control);
            }
            let wait = self.probe.as_ref().map(|probe| {
                Timespec::try_from(probe.due_in()).unwrap_or(Timespec { tv_sec: 1, tv_nsec: 0 })
            });
            let mut wanted = [
                PollFd::from_borrowed_fd(control, PollFlags::IN),
                PollFd::new(&self.signals.fd, PollFlags::IN),
            ];
            let _ = poll(&mut wanted, wait.as_ref());
            let ordered = !wanted[0].revents().is_empty();
            while let Some(signal) = self.signals.next() {
                if signal != libc::SIGCHLD {
                    let _ = signals::kill(self.payload, signal);
                }
            }
            if let Some(status) = self.reap() {
                let _ = Report::Exited(status).send(control);
                process::exit_now(match Ended::from_wait(status) {
                    Ended::Code(code) => code,
                    Ended::Signal(signal) => 128 + signal,
                });
            }
            if ordered {
                match Order::receive(control.as_fd()) {
                    Ok(Some(Order::Signal(signal))) => {
                        let _ = signals::kill(self.payload, signal);
                    }
                    Ok(None) | Err(_) => return,
                    Ok(Some(_)) => {}
                }
            }
        }
    }

    /// Takes every process that has ended; the payload's status, when it is among them.
    fn reap(&self) -> Option<i32> {
        let mut ended = None;
        while let Ok(Some((pid, status))) = process::reap() {
            if pid == self.payload {
                ended = Some(status);
            }
        }
        ended
    }
}
