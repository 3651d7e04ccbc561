//! A payload that is the machine's first process itself: an init system.

use super::payload::Payload;
use super::probe::Probe;
use crate::error::{Doing, Res};
use crate::protocol::Report;
use crate::sys::process;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::convert::Infallible;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd};

/// Becomes the payload. A child stays behind that tells the supervisor whether it was executed and
/// when the probe succeeds, and ends then.
pub(super) fn become_payload(
    payload: &Payload,
    capabilities: u64,
    port: Option<u16>,
    control: BorrowedFd<'_>,
) -> Res<Infallible> {
    let (read, write) =
        rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).doing("make a pipe")?;
    // SAFETY: this process has one thread, and the child never returns.
    let child = unsafe { process::clone_filtered(0, libc::SIGCHLD) };
    if child.doing("make a process")?.is_none() {
        drop(write);
        witness(read.into(), control, port.map(Probe::new));
        process::exit_now(0);
    }
    drop(read);
    let problem = payload.execute(capabilities, true);
    let _ = File::from(write).write_all(b"f");
    Err(problem)
}

/// The end that would have been written to is closed by a successful execve; of a failed one the
/// other process tells.
fn witness(mut executed: File, control: BorrowedFd<'_>, mut probe: Option<Probe>) {
    let mut failed = Vec::new();
    if process::set_capabilities(0).is_err() || rustix::thread::set_name(c"hc-witness").is_err() {
        return;
    }
    if executed.read_to_end(&mut failed).is_err() || !failed.is_empty() {
        return;
    }
    let _ = Report::Started.send(control);
    while let Some(asked) = &mut probe {
        if asked.ask() {
            let _ = Report::Ready.send(control);
            return;
        }
        let wait = Timespec::try_from(asked.due_in()).unwrap_or(Timespec { tv_sec: 1, tv_nsec: 0 });
        let mut gone = [PollFd::from_borrowed_fd(control.as_fd(), PollFlags::IN)];
        if poll(&mut gone, Some(&wait)).is_ok_and(|count| count > 0) {
            return;
        }
    }
}
