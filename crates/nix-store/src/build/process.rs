//! The builder's process, from its birth to its end.

use super::child::{self, Plan, Step};
use super::log::Log;
use super::users::BuildUsers;
use crate::config::StoreConfig;
use crate::error::{Context, Error, Result};
use nix_compat::StorePath;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

/// Killed with everything it started, and reaped, at the latest when this is dropped.
struct Process {
    pidfd: OwnedFd,
    reaped: bool,
}

/// How a builder ended.
pub(super) enum End {
    Success,
    Failure(String),
}

/// Both ends of a pipe; neither outlives an `execve`.
pub(super) fn pipe() -> std::io::Result<(File, File)> {
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    Ok((read.into(), write.into()))
}

/// A terminal that passes on everything as it is: the builder's output. Our end first; the other is
/// nobody's controlling terminal.
pub(super) fn terminal() -> std::io::Result<(File, File)> {
    use rustix::fs::{Mode, OFlags};
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    grantpt(&ours)?;
    unlockpt(&ours)?;
    let name = ptsname(&ours, Vec::new())?;
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let theirs = rustix::fs::open(name, flags, Mode::empty())?;
    let mut settings = rustix::termios::tcgetattr(&theirs)?;
    settings.make_raw();
    rustix::termios::tcsetattr(&theirs, rustix::termios::OptionalActions::Now, &settings)?;
    Ok((ours.into(), theirs.into()))
}

/// When a build has gone on for too long.
pub(super) struct Limits {
    /// From its start.
    time: Option<Duration>,
    /// From the last time it wrote something.
    silence: Option<Duration>,
    /// Bytes it wrote.
    output: Option<u64>,
}

impl Limits {
    pub fn of(config: &StoreConfig) -> Self {
        Self {
            time: config.build_timeout,
            silence: config.max_silent_time,
            output: config.max_log_size,
        }
    }

    /// Why it must end now.
    fn over(&self, begun: Instant, heard: Instant, written: u64) -> Option<String> {
        let seconds = |limit: Duration| format!("{} s", limit.as_secs_f64());
        if let Some(limit) = self.time.filter(|limit| begun.elapsed() > *limit) {
            return Some(format!("it ran longer than {}", seconds(limit)));
        }
        if let Some(limit) = self.silence.filter(|limit| heard.elapsed() > *limit) {
            return Some(format!("it was silent for {}", seconds(limit)));
        }
        let limit = self.output.filter(|limit| written > *limit)?;
        Some(format!("it wrote more than {limit} bytes to its log"))
    }
}

/// What goes on beside the builder.
pub(super) struct Watch<'a> {
    pub limits: Limits,
    pub cancelled: &'a dyn Fn() -> bool,
    /// Told of its process once it is the builder's program.
    pub started: &'a dyn Fn(BorrowedFd<'_>) -> Result<()>,
}

/// Our ends of the pipes to the child; the child's are in the plan.
pub(super) struct Ends {
    pub go: File,
    pub report: File,
    pub log: File,
    /// The child's ends, to be closed here once it has them.
    pub childs: Vec<File>,
}

/// Runs a plan to its end.
pub(super) fn run(
    drv: &StorePath,
    plan: &Plan,
    users: &BuildUsers,
    ends: Ends,
    log: &mut Log<'_>,
    watch: &Watch<'_>,
) -> Result<End> {
    let Ends { mut go, mut report, log: mut output, childs } = ends;
    let failed = |number: u32, errno: i32| Error::Sandbox {
        drv: drv.clone(),
        step: Step::describe(number, plan),
        source: std::io::Error::from_raw_os_error(errno),
        note: advice(number, errno, users),
    };
    let (pid, mut process) = spawn(plan).map_err(|source| Error::Sandbox {
        drv: drv.clone(),
        step: "make its namespaces".into(),
        note: advice(Step::UserNamespace as u32, source.raw_os_error().unwrap_or(0), users),
        source,
    })?;
    drop(childs);
    let mut message = [0; 8];
    loop {
        match report.read_exact(&mut message) {
            // It is the builder now; or it was killed, and how is told below.
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => break,
            other => other.on("read from", Path::new("the sandbox"))?,
        }
        let number = u32::from_ne_bytes([message[0], message[1], message[2], message[3]]);
        let errno = i32::from_ne_bytes([message[4], message[5], message[6], message[7]]);
        if number != Step::MapIds as u32 || errno != 0 {
            return Err(failed(number, errno));
        }
        users.map(pid)?;
        go.write_all(&[1]).on("write to", Path::new("the sandbox"))?;
    }
    drop(go);
    (watch.started)(process.pidfd.as_fd())?;
    process.watch(&mut output, log, &watch.limits, watch.cancelled)
}

fn advice(step: u32, errno: i32, users: &BuildUsers) -> Option<String> {
    let refused = errno == libc::EPERM || errno == libc::ENOSPC || errno == libc::EINVAL;
    if step == Step::UserNamespace as u32 && refused {
        return Some(
            "builds need user namespaces: check the sysctls user.max_user_namespaces and \
             kernel.unprivileged_userns_clone, and AppArmor's restriction of them"
                .into(),
        );
    }
    let hidden = step >= Step::FirstMount as u32 && errno == libc::EPERM && !users.privileged;
    hidden.then(|| "builds without root need a /proc that nothing is mounted over".into())
}

fn spawn(plan: &Plan) -> std::io::Result<(u32, Process)> {
    let mut pidfd: i32 = -1;
    // SAFETY: all zeros is a valid value: no flags, no pointers.
    let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
    arguments.flags = (plan.namespaces | libc::CLONE_PIDFD) as u64;
    arguments.pidfd = (&raw mut pidfd) as u64;
    // No exit signal: a child like that is not taken by a wait for any child elsewhere in the
    // program, and does not wake its handlers.
    arguments.exit_signal = 0;
    // SAFETY: signal sets are plain data, and the mask changed is this thread's own; it is put
    // back below. In between, no handler of the program can run in the child.
    let old = unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        let mut old: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut old);
        old
    };
    // SAFETY: without CLONE_VM this is a fork: the child has its own copy of all memory, and does
    // nothing but what `child::run` may.
    let pid = unsafe {
        let size = size_of::<libc::clone_args>();
        let pid = libc::syscall(libc::SYS_clone3, &raw mut arguments, size);
        if pid == 0 {
            child::run(plan);
        }
        pid
    };
    let error = std::io::Error::last_os_error();
    // SAFETY: the mask this thread had.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const old, std::ptr::null_mut()) };
    let Ok(pid @ 1..) = u32::try_from(pid) else { return Err(error) };
    // SAFETY: the kernel gave us this descriptor just now.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok((pid, Process { pidfd, reaped: false }))
}

impl Process {
    /// Passes its output on until it ended and all of it was read.
    fn watch(
        &mut self,
        output: &mut File,
        log: &mut Log<'_>,
        limits: &Limits,
        cancelled: &dyn Fn() -> bool,
    ) -> Result<End> {
        let begun = Instant::now();
        let mut buffer = vec![0; 64 << 10];
        let (mut heard, mut written) = (begun, 0);
        let mut open = true;
        let mut ended = None;
        while open || ended.is_none() {
            if cancelled() {
                return Err(Error::Cancelled);
            }
            if let Some(reason) = limits.over(begun, heard, written) {
                return Ok(End::Failure(reason));
            }
            let pause = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
            let mut ready = Vec::with_capacity(2);
            if ended.is_none() {
                ready.push(PollFd::new(&self.pidfd, PollFlags::IN));
            }
            if open {
                ready.push(PollFd::new(&*output, PollFlags::IN));
            }
            match poll(&mut ready, Some(&pause)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                refused => {
                    return refused.on("wait for", Path::new("the builder")).map(|_| End::Success);
                }
            }
            let readable = open && ready.last().is_some_and(|fd| !fd.revents().is_empty());
            let dead = ended.is_none() && ready.first().is_some_and(|fd| !fd.revents().is_empty());
            drop(ready);
            if readable {
                match output.read(&mut buffer) {
                    Ok(0) => open = false,
                    // Nobody has the other end of the terminal any more.
                    Err(error) if error.raw_os_error() == Some(libc::EIO) => open = false,
                    Ok(n) => {
                        (heard, written) = (Instant::now(), written + n as u64);
                        log.write(&buffer[..n])?;
                    }
                    Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                    failed => failed.map(drop).on("read from", Path::new("the builder"))?,
                }
            }
            if dead {
                ended = Some(self.reap()?);
            }
        }
        Ok(ended.unwrap_or(End::Success))
    }

    fn reap(&mut self) -> Result<End> {
        let mut status: libc::siginfo_t;
        loop {
            // SAFETY: all zeros is a valid value, and the kernel fills it.
            let done = unsafe {
                status = std::mem::zeroed();
                let pidfd = self.pidfd.as_raw_fd().unsigned_abs();
                let options = libc::WEXITED | libc::__WALL;
                libc::waitid(libc::P_PIDFD, pidfd, &raw mut status, options)
            };
            if done == 0 {
                break;
            }
            let error = std::io::Error::last_os_error();
            if error.kind() != std::io::ErrorKind::Interrupted {
                return Err(crate::error::io("wait for", Path::new("the builder"), error));
            }
        }
        self.reaped = true;
        // SAFETY: waitid filled the part of the union for ended children.
        let value = unsafe { status.si_status() };
        Ok(match (status.si_code, value) {
            (libc::CLD_EXITED, 0) => End::Success,
            (libc::CLD_EXITED, code) => End::Failure(format!("exit code {code}")),
            (_, signal) => End::Failure(format!("killed by signal {signal}")),
        })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.reaped {
            // The first process of a process namespace takes all others with it.
            let _ = rustix::process::pidfd_send_signal(
                self.pidfd.as_fd(),
                rustix::process::Signal::KILL,
            );
            let _ = self.reap();
        }
    }
}
