//! The machine's first process: starts the payload, waits for it and for orphans.

use super::payload::Payload;
use super::probe::Probe;
use crate::error::{Doing, Problem, Res};
use crate::protocol::{Order, Report};
use crate::sys::process::{self, Ended};
use crate::sys::signals::{self, Blocked};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::fs::File;
use std::io::{Read, Write};
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
        let (read, write) =
            rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).doing("make a pipe")?;
        // SAFETY: this process has one thread, and the child never returns.
        let child = unsafe { process::clone_filtered(0, libc::SIGCHLD) };
        let Some(child) = child.doing("make the payload's process")? else {
            let problem = payload.execute(capabilities, true);
            let _ = File::from(write).write_all(problem.to_string().as_bytes());
            process::exit_now(127);
        };
        drop(write);
        // The end that would have been written to is closed by a successful execve.
        let mut problem = String::new();
        File::from(read).read_to_string(&mut problem).doing("wait for the payload")?;
        if !problem.is_empty() {
            return Err(Problem::plain(problem));
        }
        // To pass signals on to a payload of another user is all that is left to do.
        let kill = super::capabilities::bit("KILL").unwrap_or(0);
        process::set_capabilities(kill).doing("give up capabilities")?;
        Ok(Self { payload: child.pid, signals, probe: port.map(Probe::new) })
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
