//! What runs in the machine before its payload does: the init that was cloned.
//!
//! It is the supervisor's own image in a copy of its memory, so it may allocate (the supervisor
//! had one thread when it cloned), and it never returns: it becomes the machine's reaper. What
//! keeps the payload from it: it is not dumpable and its memory belongs to the host's user
//! namespace, so neither `/proc/1/{exe,mem,fd,…}` nor ptrace(2) open without CAP_SYS_PTRACE *there*.

pub mod account;
pub mod capabilities;
pub mod files;
mod first;
pub mod mounts;
pub mod payload;
mod probe;
mod reaper;
pub mod seccomp;

use crate::error::{Doing, Problem, Res};
use crate::protocol::{Order, Report};
use crate::sys::{self, process};
use hc_spec::MachineSpec;
use hc_spec::machine::ReadyWhen;
use hc_spec::storage::Placed;
use rustix::fs::{CWD, Mode, OFlags};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

/// Where the payload finds its notify socket.
pub(crate) const NOTIFY: &str = "/run/host/notify";

/// Where the store is, on the host and in a machine that sees some of it.
pub(crate) const STORE: &str = "/nix/store";

/// Everything init needs; it opens nothing of the host's by path but kernel file systems.
pub(crate) struct Inputs<'a> {
    pub spec: &'a MachineSpec,
    /// Store paths that it sees.
    pub store: &'a [PathBuf],
    pub control: BorrowedFd<'a>,
    pub capabilities: u64,
    pub filter: &'a [libc::sock_filter],
    pub files: &'a [files::Laid],
    /// Control groups to join.
    pub doors: &'a [std::fs::File],
    /// Standard streams, where it gets neither a log nor a terminal.
    pub streams: Option<[BorrowedFd<'a>; 3]>,
    /// Whether it gets a terminal.
    pub terminal: bool,
    /// What the machine sees of control groups.
    pub cgroups: mounts::Cgroups,
}

/// Sets the machine up, runs its payload and reaps its orphans.
pub(crate) fn main(inputs: &Inputs<'_>) -> ! {
    let ran = std::panic::catch_unwind(|| match set_up(inputs) {
        Ok(ready) => ready.run(inputs.control),
        Err(problem) => {
            let _ = Report::Failed(problem.to_string()).send(inputs.control);
        }
    });
    process::exit_now(if ran.is_ok() { 1 } else { 70 })
}

fn set_up(inputs: &Inputs<'_>) -> Res<reaper::Reaper> {
    process::die_with_parent().doing("follow the supervisor")?;
    let mut keep = vec![inputs.control.as_raw_fd()];
    keep.extend(inputs.files.iter().filter_map(files::Laid::descriptor));
    keep.extend(inputs.streams.iter().flatten().map(AsRawFd::as_raw_fd));
    keep.extend(inputs.doors.iter().map(AsRawFd::as_raw_fd));
    sys::close_all_but(&keep).doing("close descriptors")?;
    if !matches!(order(inputs)?, Order::Mapped) {
        return Err(Problem::plain("the supervisor is of another version"));
    }
    let spec = inputs.spec;
    crate::cgroup::pass(inputs.doors)?;
    process::set_ids(0, 0, &[]).doing("become root in the machine")?;
    // The change of ids has undone it.
    process::die_with_parent().doing("follow the supervisor")?;
    hide_command_line().doing("hide the supervisor's command line")?;
    process::unshare(libc::CLONE_NEWCGROUP).doing("enter a control group namespace")?;
    rustix::system::sethostname(spec.name.as_str().as_bytes()).doing("set the host name")?;
    loopback_up().doing("bring the loopback up")?;
    let system = mounts::System::make(inputs.cgroups, &spec.tmpfs)?;

    let Order::Root(root) = order(inputs)? else {
        return Err(Problem::plain("the supervisor is of another version"));
    };
    mounts::enter_root(root.as_fd())?;
    let slash =
        rustix::fs::open("/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .doing("open the machine's root")?;
    system.attach(slash.as_fd())?;
    mounts::mask()?;
    if !inputs.store.is_empty() {
        let Order::Store(store) = order(inputs)? else {
            return Err(Problem::plain("the supervisor is of another version"));
        };
        mounts::show_store(store.as_fd(), slash.as_fd(), inputs.store)?;
    }
    for (path, what) in crate::placed::all(spec) {
        let mount = match what {
            Placed::Tmpfs(_) => None,
            _ => match order(inputs)? {
                Order::Placed(mount) => Some(mount),
                _ => return Err(Problem::plain("the supervisor is of another version")),
            },
        };
        crate::placed::inside::put(slash.as_fd(), path, what, mount)?;
    }
    for file in inputs.files {
        file.lay(slash.as_fd())?;
    }
    let account = account::of_image(slash.as_fd(), spec.user())?;
    let (streams, mut ours) = streams(inputs, account.uid)?;
    if spec.ready.when == ReadyWhen::Notify {
        ours.push(notify_socket()?);
    }
    if spec.isolation.read_only_root {
        let attributes = rustix::mount::MountAttrFlags::MOUNT_ATTR_RDONLY;
        sys::mount::restrict(root.as_fd(), attributes).doing("make the root read-only")?;
    }
    // So that /dev/stdout can be opened again, as daemons do; a terminal is its user's already, and
    // what the caller has stays the caller's.
    if inputs.streams.is_none() && !inputs.terminal {
        for stream in &streams[1..] {
            rustix::fs::fchown(stream, user(account.uid), group(account.gid))
                .doing("hand over the standard streams")?;
        }
    }
    let mut environment = spec.env.clone();
    if inputs.terminal {
        environment.entry("TERM".into()).or_insert_with(|| "xterm-256color".into());
    }
    if spec.ready.when == ReadyWhen::Notify {
        environment.insert("NOTIFY_SOCKET".into(), NOTIFY.into());
    }
    let payload = payload::Payload::find(
        &spec.command,
        &environment,
        account,
        spec.workdir(),
        slash.as_fd(),
    )?;
    drop(slash);
    Report::Streams(ours).send(inputs.control).doing("report to the supervisor")?;
    for (number, stream) in (0..).zip(&streams) {
        sys::dup_to(stream.as_fd(), number).doing("connect the standard streams")?;
    }
    drop(streams);
    process::hide().doing("hide the machine's init")?;
    payload::confine(inputs.capabilities, inputs.filter)?;
    if !matches!(order(inputs)?, Order::Go) {
        return Err(Problem::plain("the supervisor is of another version"));
    }
    let port = spec.ready.port.filter(|_| spec.ready.when == ReadyWhen::Tcp);
    if spec.is_init() {
        match first::become_payload(&payload, inputs.capabilities, port, inputs.control)? {}
    }
    reaper::Reaper::start(&payload, inputs.capabilities, port)
}

/// The next order; a supervisor that is gone ends everything.
fn order(inputs: &Inputs<'_>) -> Res<Order> {
    match Order::receive(inputs.control).doing("hear from the supervisor")? {
        Some(order) => Ok(order),
        None => process::exit_now(1),
    }
}

/// Standard input, output and error; and the other ends of what is made here: of the last two, or of
/// the terminal.
fn streams(inputs: &Inputs<'_>, uid: u32) -> Res<(Vec<OwnedFd>, Vec<OwnedFd>)> {
    if inputs.terminal {
        let (ours, theirs) = crate::exec::terminal::open(uid)?;
        let again = || theirs.try_clone().doing("use the terminal");
        return Ok((vec![again()?, again()?, again()?], vec![ours]));
    }
    if let Some(streams) = inputs.streams {
        let own = |fd: BorrowedFd<'_>| fd.try_clone_to_owned().doing("use a standard stream");
        let [input, output, error] = streams;
        return Ok((vec![own(input)?, own(output)?, own(error)?], Vec::new()));
    }
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .doing("open /dev/null")?;
    let pipe = || rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).doing("make a pipe");
    let ((out_read, out), (err_read, err)) = (pipe()?, pipe()?);
    Ok((vec![null, out, err], vec![out_read, err_read]))
}

/// Listens where only the machine can speak; whoever runs in it may.
fn notify_socket() -> Res<OwnedFd> {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, socket_with};
    let make = || -> rustix::io::Result<OwnedFd> {
        rustix::fs::mkdir("/run/host", Mode::from_raw_mode(0o755))?;
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None)?;
        bind(&socket, &SocketAddrUnix::new(NOTIFY)?)?;
        rustix::fs::chmodat(CWD, NOTIFY, Mode::from_raw_mode(0o666), rustix::fs::AtFlags::empty())?;
        Ok(socket)
    };
    make().doing("make the notify socket")
}

fn loopback_up() -> std::io::Result<()> {
    use rustix::net::{AddressFamily, SocketType, socket};
    let socket = socket(AddressFamily::INET, SocketType::DGRAM, None)?;
    // SAFETY: an ifreq is plain bytes, for which zero is a value; the kernel reads a name and
    // flags from it.
    unsafe {
        let mut request: libc::ifreq = std::mem::zeroed();
        for (to, from) in request.ifr_name.iter_mut().zip(c"lo".to_bytes()) {
            *to = from.cast_signed();
        }
        request.ifr_ifru.ifru_flags = i16::try_from(libc::IFF_UP | libc::IFF_RUNNING).unwrap_or(0);
        let done = libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request);
        sys::check(done.into()).map(drop)
    }
}

/// The machine sees its first process; the paths of the host it was started with are not its
/// business.
fn hide_command_line() -> std::io::Result<()> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<usize> = stat.rsplit_once(')').map_or_else(Vec::new, |(_, rest)| {
        rest.split_ascii_whitespace().skip(45).take(2).flat_map(str::parse).collect()
    });
    if let [start, end] = fields[..] {
        let length = end.saturating_sub(start);
        let name = b"hc-init";
        if length > name.len() {
            // SAFETY: the kernel put this process's argument strings there, nothing borrows them
            // in this copy of the supervisor, and it executes nothing that reads them.
            unsafe {
                let at = std::ptr::with_exposed_provenance_mut::<u8>(start);
                std::ptr::write_bytes(at, 0, length);
                std::ptr::copy_nonoverlapping(name.as_ptr(), at, name.len());
            }
        }
    }
    Ok(rustix::thread::set_name(c"hc-init")?)
}

fn user(uid: u32) -> Option<rustix::fs::Uid> {
    Some(rustix::fs::Uid::from_raw(uid))
}

fn group(gid: u32) -> Option<rustix::fs::Gid> {
    Some(rustix::fs::Gid::from_raw(gid))
}
