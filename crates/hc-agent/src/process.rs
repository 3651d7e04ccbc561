//! A supervisor process, held by a pidfd: its number can never come to mean another process.

use crate::error::{Context, Result};
use crate::status::Exit;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, pidfd_open, pidfd_send_signal, waitid,
};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A process that runs one machine. Dropping it does not end it.
#[derive(Debug)]
pub struct Process {
    pid: i32,
    start: u64,
    fd: AsyncFd<OwnedFd>,
    child: bool,
}

impl Process {
    /// Takes hold of process `pid` if it lives and started at `start`. Needs a tokio runtime.
    ///
    /// # Errors
    /// When the system refuses for another reason than that it is gone.
    pub fn adopt(pid: i32, start: u64) -> Result<Option<Self>> {
        Self::hold(pid, Some(start), false)
    }

    /// Takes hold of a child that nobody has waited for.
    ///
    /// # Errors
    /// When the system refuses.
    pub(crate) fn child(pid: u32) -> Result<Self> {
        let pid = i32::try_from(pid).unwrap_or(0);
        let gone = || std::io::Error::from_raw_os_error(libc::ESRCH);
        let held = Self::hold(pid, None, true)?;
        held.ok_or_else(gone).on("watch", &stat(pid))
    }

    fn hold(pid: i32, start: Option<u64>, child: bool) -> Result<Option<Self>> {
        let Some(number) = Pid::from_raw(pid).filter(|_| pid > 0) else { return Ok(None) };
        let path = stat(pid);
        let fd = match pidfd_open(number, PidfdFlags::NONBLOCK) {
            Err(rustix::io::Errno::SRCH) => return Ok(None),
            fd => fd.on("watch", &path)?,
        };
        // Read after the descriptor is open: what it says is about the process held.
        let Some((state, started)) = std::fs::read(&path).ok().and_then(|s| parse_stat(&s)) else {
            return Ok(None);
        };
        if start.is_some_and(|s| s != started || state == b'Z') {
            return Ok(None);
        }
        // SAFETY: an OwnedFd names the same open descriptor for as long as it lives.
        let fd = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) };
        let fd = fd.on("watch", &path)?;
        Ok(Some(Self { pid, start: started, fd, child }))
    }

    /// Its number.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// When it started, in clock ticks since boot.
    #[must_use]
    pub fn start(&self) -> u64 {
        self.start
    }

    /// Sends a signal; one that is gone already is fine.
    pub fn signal(&self, signal: Signal) {
        let _ = pidfd_send_signal(self.fd.as_fd(), signal);
    }

    /// Waits for its end, and reaps it if it is ours. How it ended is known of children only.
    pub async fn wait(&self) -> Option<Exit> {
        if self.fd.readable().await.is_err() {
            return None;
        }
        if !self.child {
            return None;
        }
        let status = waitid(WaitId::PidFd(self.fd.as_fd()), WaitIdOptions::EXITED).ok()??;
        match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => Some(Exit::code(code)),
            (_, Some(signal)) => Some(Exit::signal(signal)),
            _ => None,
        }
    }

    /// Milliseconds since it started.
    #[must_use]
    pub fn uptime_ms(start: u64) -> u64 {
        // USER_HZ is 100 on every architecture that hc runs on.
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let now = u64::try_from(now.tv_sec).unwrap_or(0) * 1000
            + u64::try_from(now.tv_nsec).unwrap_or(0) / 1_000_000;
        now.saturating_sub(start * 10)
    }
}

fn stat(pid: i32) -> std::path::PathBuf {
    Path::new("/proc").join(pid.to_string()).join("stat")
}

/// State and start time out of proc_pid_stat(5). Allocates nothing: it is used after fork too.
pub(crate) fn parse_stat(text: &[u8]) -> Option<(u8, u64)> {
    // The second field is the command in parentheses, and may hold anything.
    let rest = text.get(text.iter().rposition(|b| *b == b')')? + 2..)?;
    let mut fields = rest.split(|b| *b == b' ');
    let state = *fields.next()?.first()?;
    let start = std::str::from_utf8(fields.nth(18)?).ok()?.parse().ok()?;
    Some((state, start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_name_cannot_forge_its_stat() {
        let text = b"7 (a) S 1 2) Z 1 1 1 0 -1 4 0 0 0 0 0 0 0 0 20 0 1 0 4242 0 0\n";
        assert_eq!(parse_stat(text), Some((b'Z', 4242)));
        assert_eq!(parse_stat(b"7 (a"), None);
        assert_eq!(parse_stat(b""), None);
    }

    #[tokio::test]
    async fn a_process_is_told_from_another_of_the_same_number() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let held = Process::child(child.id()).unwrap();
        let again = |start| Process::adopt(held.pid(), start).unwrap();
        assert!(again(held.start() + 1).is_none());
        let adopted = again(held.start()).unwrap();
        adopted.signal(Signal::KILL);
        assert_eq!(adopted.wait().await, None);
        assert!(again(held.start()).is_none(), "dead, though not reaped");
        assert_eq!(held.wait().await, Some(Exit::signal(9)));
        assert!(child.try_wait().is_err(), "reaped already");
    }
}
