//! One more program in a machine that runs.

pub(crate) mod enter;
pub(crate) mod terminal;

use crate::config::ExecConfig;
use crate::description::Description;
use crate::error::{Doing, Hint, Problem, Res, RunError};
use crate::inside::{capabilities, seccomp};
use crate::status::{Status, start_time};
use crate::sys::process::{self, Ended};
use crate::sys::signals::{self, Blocked};
use crate::sys::socket;
use crate::vm;
use hc_spec::MachineSpec;
use hc_spec::machine::Kind;
use rustix::event::{PollFd, PollFlags, poll};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use terminal::Relay;

/// Runs a program in a running machine, connected to this process's standard streams, and gives
/// its exit status: the one it ended with, or 128 and the signal that killed it.
///
/// It is confined as the machine's own command is. Signals that ask this process to end are
/// passed on to it, and it is killed should this process be. The caller must have one thread.
///
/// # Errors
/// When the machine does not run, or the program cannot be executed in it.
pub fn exec(config: &ExecConfig) -> Result<i32, RunError> {
    let name = config.name.as_str();
    let store = config.store_root.as_deref();
    match known(&config.run_dir, name, store)?.1.kind {
        Kind::Container => {}
        Kind::Microvm => return vm::client::run(config).map_err(|problem| problem.of(name)),
        Kind::Q35 => {
            let problem = "there is no hc inside of a q35: use `hc screen`, `hc console`, or ssh";
            return Err(Problem::plain(problem).of(name));
        }
    }
    let inside = Inside::find(&config.run_dir, name, store)?;
    run(config, &inside).map_err(|problem| problem.of(name))
}

/// Runs a program without input in a machine and throws its output away. For a process of its own,
/// whose standard streams it replaces.
pub(crate) fn run_quietly(config: &ExecConfig, inside: &Inside) -> Res<i32> {
    use rustix::fs::{Mode, OFlags};
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .doing("open /dev/null")?;
    for number in 0..3 {
        crate::sys::dup_to(null.as_fd(), number).doing("use /dev/null")?;
    }
    run(config, inside)
}

/// What is known of a machine that runs.
pub(crate) fn known(
    run_dir: &Path,
    name: &str,
    store_root: Option<&Path>,
) -> Result<(Status, MachineSpec), RunError> {
    let status = Status::read(run_dir, name)
        .doing_with(|| format!("read the status of '{name}'"))
        .map_err(|problem| problem.of(name))?;
    let running = |status: &Status| !status.phase.is_over() && status.is_supervised();
    let status =
        status.filter(running).ok_or_else(|| RunError::NotRunning { name: name.into() })?;
    let spec = Description::read(&status.closure, store_root)?.spec;
    Ok((status, spec))
}

/// A container that runs, to be entered.
pub(crate) struct Inside {
    pub status: Status,
    pub spec: MachineSpec,
    /// Its first process.
    pub init: OwnedFd,
}

impl Inside {
    /// The machine `name`. The caller must have one thread.
    pub fn find(run_dir: &Path, name: &str, store_root: Option<&Path>) -> Result<Self, RunError> {
        let (status, spec) = known(run_dir, name, store_root)?;
        if spec.kind != Kind::Container {
            let problem =
                Problem::plain("it is a virtual machine, which is not entered: see `hc exec`");
            return Err(problem.of(name));
        }
        let not_running = || RunError::NotRunning { name: name.into() };
        let pid = status.payload_pid.ok_or_else(not_running)?;
        let threads = std::fs::read_dir("/proc/self/task").map_or(1, Iterator::count);
        if threads > 1 {
            return Err(RunError::Threads { name: name.into(), threads });
        }
        let none = rustix::process::PidfdFlags::empty();
        let init = rustix::process::Pid::from_raw(pid)
            .and_then(|pid| rustix::process::pidfd_open(pid, none).ok())
            .filter(|_| start_time(pid).is_some() && status.is_supervised())
            .ok_or_else(not_running)?;
        Ok(Self { status, spec, init })
    }
}

/// Connects this process's standard streams with the console of a virtual machine: first what it said
/// before, then what it says, until its end or Ctrl-].
///
/// # Errors
/// When the machine does not run, or is a container, which has none.
pub fn console(run_dir: &Path, store_root: Option<&Path>, name: &str) -> Result<(), RunError> {
    if known(run_dir, name, store_root)?.1.kind == Kind::Container {
        let problem = Problem::plain("it is a container and has no console: see `hc logs`");
        return Err(problem.of(name));
    }
    vm::client::watch_console(run_dir, name).map_err(|problem| problem.of(name))
}

const PASSED_ON: [i32; 5] =
    [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGQUIT, libc::SIGUSR1];

/// The running program, as its first process reports it.
pub(super) struct Running {
    pub pidfd: OwnedFd,
    pub pid: i32,
    pub terminal: Option<OwnedFd>,
}

fn run(config: &ExecConfig, inside: &Inside) -> Res<i32> {
    let Inside { status, spec, init } = inside;
    let capabilities = capabilities::set(&spec.isolation)?;
    let filter = seccomp::filter(capabilities);
    let mut watched = PASSED_ON.to_vec();
    watched.push(libc::SIGWINCH);
    let signals = Blocked::new(&watched).doing("take over signals")?;
    let (ours, theirs) = socket::pair().doing("make a socket pair")?;
    // What reaches the machine is never this process's own terminal.
    let mut relay = Relay::default();
    let streams = if config.tty { None } else { Some(relay.streams()?) };
    // SAFETY: one thread, and the child never returns.
    let cloned = unsafe { process::clone(0, None, libc::SIGCHLD) };
    let Some(child) = cloned.doing("make a process")? else {
        drop(ours);
        enter::main(&enter::Inputs {
            config,
            status,
            spec,
            init: init.as_fd(),
            report: theirs.as_fd(),
            streams: streams.as_ref().map(|all| all.each_ref().map(AsFd::as_fd)),
            capabilities,
            filter: &filter,
        })
    };
    drop((theirs, streams));
    let entered = process::wait(child.pid).doing("wait for a process")?;
    let running = running(ours.as_fd(), entered)?;
    // Only after this is there somebody to talk to; a program that could not be executed says so.
    let raw = match &running.terminal {
        Some(terminal) => Some(relay.terminal(terminal)?),
        None => None,
    };
    let outcome = attend(&running, &signals, &mut relay, ours.as_fd());
    drop(raw.flatten());
    let ended = outcome?;
    Ok(match ended {
        Ended::Code(code) => code,
        Ended::Signal(signal) => 128 + signal,
    })
}

/// The child's report: the program's process, or why there is none.
fn running(report: BorrowedFd<'_>, entered: Ended) -> Res<Running> {
    let (bytes, fds) = socket::receive(report, true).doing("hear from the machine")?;
    let mut fds = fds.into_iter();
    match (bytes.as_slice(), fds.next()) {
        ([b'p', pid @ ..], Some(pidfd)) if pid.len() == 4 => {
            let pid = i32::from_ne_bytes([pid[0], pid[1], pid[2], pid[3]]);
            Ok(Running { pidfd, pid, terminal: fds.next() })
        }
        ([b'f', text @ ..], _) => Err(Problem::plain(String::from_utf8_lossy(text).into_owned())),
        _ => Err(Problem::plain(format!("the machine could not be entered ({entered:?})")))
            .hint("; it may just have stopped"),
    }
}

/// Passes bytes, signals and window sizes until the program has ended.
fn attend(
    running: &Running,
    signals: &Blocked,
    relay: &mut Relay,
    report: BorrowedFd<'_>,
) -> Res<Ended> {
    let mut failed = None;
    loop {
        let mut wanted = vec![
            PollFd::new(&signals.fd, PollFlags::IN),
            PollFd::new(&running.pidfd, PollFlags::IN),
        ];
        if failed.is_none() {
            wanted.push(PollFd::from_borrowed_fd(report, PollFlags::IN));
        }
        relay.want(&mut wanted);
        match poll(&mut wanted, None) {
            Err(rustix::io::Errno::INTR) => continue,
            ready => ready.doing("wait for the program")?,
        };
        let over = !wanted[1].revents().is_empty();
        let said = failed.is_none() && !wanted[2].revents().is_empty();
        drop(wanted);
        if said {
            // Nothing more means that it was executed.
            let (bytes, _) = socket::receive(report, true).doing("hear from the machine")?;
            let text = bytes.strip_prefix(b"f").unwrap_or_default();
            failed = Some(String::from_utf8_lossy(text).into_owned());
        }
        while let Some(signal) = signals.next() {
            if signal == libc::SIGWINCH {
                if let Some(terminal) = &running.terminal {
                    terminal::copy_size(terminal);
                }
            } else {
                let _ = signals::kill_fd(running.pidfd.as_fd(), signal);
            }
        }
        relay.pass();
        if over {
            let ended = process::wait(running.pid).doing("wait for the program")?;
            relay.finish();
            if failed.is_none() {
                let (bytes, _) = socket::receive(report, true).unwrap_or_default();
                let text = bytes.strip_prefix(b"f").unwrap_or_default();
                failed = Some(String::from_utf8_lossy(text).into_owned());
            }
            return match failed {
                Some(problem) if !problem.is_empty() => Err(Problem::Plain(problem)),
                _ => Ok(ended),
            };
        }
    }
}
