//! Signals as descriptors.

use super::check;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// Signals that were blocked before, put back on drop.
#[derive(Debug)]
pub struct Blocked {
    before: libc::sigset_t,
    /// Readable while one of the blocked signals is pending.
    pub fd: OwnedFd,
}

fn set_of(signals: &[i32]) -> libc::sigset_t {
    // SAFETY: the set is initialised by sigemptyset before it is read.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        for signal in signals {
            libc::sigaddset(&raw mut set, *signal);
        }
        set
    }
}

impl Blocked {
    /// Blocks `signals` in this thread and opens them as a descriptor.
    pub fn new(signals: &[i32]) -> io::Result<Self> {
        let set = set_of(signals);
        // SAFETY: both sets are initialised; the descriptor is new and ours.
        unsafe {
            let mut before = std::mem::zeroed();
            check(libc::sigprocmask(libc::SIG_BLOCK, &raw const set, &raw mut before).into())?;
            let flags = libc::SFD_CLOEXEC | libc::SFD_NONBLOCK;
            let fd = check(libc::signalfd(-1, &raw const set, flags).into())?;
            let fd = OwnedFd::from_raw_fd(i32::try_from(fd).unwrap_or(-1));
            Ok(Self { before, fd })
        }
    }

    /// The next pending signal.
    pub fn next(&self) -> Option<i32> {
        // SAFETY: a signalfd_siginfo is plain numbers, and its size is given.
        unsafe {
            let mut info: libc::signalfd_siginfo = std::mem::zeroed();
            let size = size_of::<libc::signalfd_siginfo>();
            let got = libc::read(self.fd.as_raw_fd(), (&raw mut info).cast(), size);
            (usize::try_from(got) == Ok(size)).then(|| i32::try_from(info.ssi_signo).unwrap_or(0))
        }
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        // SAFETY: puts back a set the kernel gave.
        unsafe {
            libc::sigprocmask(libc::SIG_SETMASK, &raw const self.before, std::ptr::null_mut());
        }
    }
}

/// Blocks every signal that can be, for a process that reads them from a descriptor.
pub fn all() -> Vec<i32> {
    (1..=64).filter(|s| ![libc::SIGKILL, libc::SIGSTOP, 32, 33].contains(s)).collect()
}

/// Default action and no blocking, for a program about to be executed.
pub fn reset() {
    let none = set_of(&[]);
    // SAFETY: default actions run no code of ours.
    unsafe {
        for signal in 1..=64 {
            libc::signal(signal, libc::SIG_DFL);
        }
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
    }
}

/// Sends a signal to one process of this pid namespace.
pub fn kill(pid: i32, signal: i32) -> io::Result<()> {
    // SAFETY: no memory is involved.
    check(unsafe { libc::kill(pid, signal) }.into()).map(drop)
}

/// Sends a signal to the process behind a pidfd.
pub fn kill_fd(pidfd: std::os::fd::BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    // SAFETY: no memory is involved.
    check(unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, 0usize, 0u32)
    })
    .map(drop)
}
