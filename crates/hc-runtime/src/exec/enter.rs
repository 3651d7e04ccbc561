//! The way into a running machine.

use super::ExecConfig;
use crate::error::{Doing, Problem, Res};
use crate::inside::account;
use crate::inside::payload::{self, Payload};
use crate::status::Status;
use crate::sys::{self, process, socket};
use hc_spec::MachineSpec;
use rustix::fs::{Mode, OFlags};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

pub(super) struct Inputs<'a> {
    pub config: &'a ExecConfig,
    pub status: &'a Status,
    pub spec: &'a MachineSpec,
    pub init: BorrowedFd<'a>,
    pub report: BorrowedFd<'a>,
    /// Standard streams of the program, when it gets no terminal.
    pub streams: Option<[BorrowedFd<'a>; 3]>,
    pub capabilities: u64,
    pub filter: &'a [libc::sock_filter],
}

/// Enters, makes the program's process a sibling of this one, and ends.
pub(super) fn main(inputs: &Inputs<'_>) -> ! {
    let ran = std::panic::catch_unwind(|| {
        if let Err(problem) = enter(inputs) {
            let text = format!("f{problem}");
            let _ = socket::send(inputs.report, text.as_bytes(), &[]);
        }
    });
    process::exit_now(if ran.is_ok() { 0 } else { 70 })
}

/// Makes this process, which has one thread, part of a machine: its control groups and namespaces,
/// as its root. Descriptors other than `keep` are closed. Children are in its process namespace.
pub(crate) fn join(
    status: &Status,
    spec: &MachineSpec,
    init: BorrowedFd<'_>,
    keep: &[RawFd],
) -> Res<()> {
    // Before anything of the machine's can see this process.
    process::hide().doing("hide from the machine")?;
    sys::close_all_but(keep).doing("close descriptors")?;
    crate::cgroup::join_self(&status.cgroups, status.payload_pid.unwrap_or(0))?;
    let mut namespaces = libc::CLONE_NEWPID
        | libc::CLONE_NEWNS
        | libc::CLONE_NEWIPC
        | libc::CLONE_NEWUTS
        | libc::CLONE_NEWNET
        | libc::CLONE_NEWCGROUP;
    if spec.isolation.user_namespace {
        namespaces |= libc::CLONE_NEWUSER;
    }
    process::enter(init, namespaces).doing("enter the machine's namespaces")?;
    process::set_ids(0, 0, &[]).doing("become root in the machine")?;
    process::hide().doing("hide from the machine")
}

fn enter(inputs: &Inputs<'_>) -> Res<()> {
    let mut keep = vec![inputs.init.as_raw_fd(), inputs.report.as_raw_fd()];
    keep.extend(inputs.streams.iter().flatten().map(AsRawFd::as_raw_fd));
    join(inputs.status, inputs.spec, inputs.init, &keep)?;
    let config = inputs.config;
    let slash =
        rustix::fs::open("/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .doing("open the machine's root")?;
    let account = account::of_image(slash.as_fd(), config.user.as_deref().unwrap_or("root"))?;
    let mut environment = inputs.spec.env.clone();
    if config.tty {
        environment.entry("TERM".into()).or_insert_with(|| "xterm-256color".into());
    }
    environment.extend(config.env.clone());
    let workdir = config.workdir.as_deref();
    let uid = account.uid;
    let program = if config.argv.is_empty() {
        Payload::login_shell(&environment, account, workdir, slash.as_fd())?
    } else {
        let workdir = workdir.unwrap_or(std::path::Path::new("/"));
        Payload::find(&config.argv, &environment, account, workdir, slash.as_fd())?
    };
    drop(slash);
    let terminal = if config.tty { Some(super::terminal::open(uid)?) } else { None };
    payload::confine(inputs.capabilities, inputs.filter)?;
    // The program becomes this process's sibling, so that its end is the caller's to wait for.
    // SAFETY: this process has one thread, and the child never returns.
    let child = unsafe { process::clone_filtered(libc::CLONE_PARENT, 0) }
        .doing("make the program's process")?;
    if let Some(child) = child {
        let mut bytes = vec![b'p'];
        bytes.extend(child.pid.to_ne_bytes());
        let mut fds = vec![child.pidfd.as_fd()];
        fds.extend(terminal.as_ref().map(|(ours, _)| ours.as_fd()));
        return socket::send(inputs.report, &bytes, &fds).doing("report to the caller");
    }
    let problem = match connect(inputs, terminal.as_ref().map(|(_, theirs)| theirs)) {
        Ok(()) => program.execute(inputs.capabilities, !config.tty),
        Err(problem) => problem,
    };
    let _ = socket::send(inputs.report, format!("f{problem}").as_bytes(), &[]);
    process::exit_now(127)
}

fn connect(inputs: &Inputs<'_>, terminal: Option<&OwnedFd>) -> Res<()> {
    // Killed with the caller, whatever kills that.
    process::die_with_parent().doing("follow the caller")?;
    let streams = match (&inputs.streams, terminal) {
        (Some(streams), _) => *streams,
        (None, Some(terminal)) => {
            rustix::process::setsid().doing("start a session")?;
            rustix::process::ioctl_tiocsctty(terminal).doing("take the terminal")?;
            [terminal.as_fd(); 3]
        }
        (None, None) => return Err(Problem::plain("there is nothing to connect it to")),
    };
    for (number, stream) in (0..).zip(streams) {
        sys::dup_to(stream, number).doing("connect the standard streams")?;
    }
    Ok(())
}
