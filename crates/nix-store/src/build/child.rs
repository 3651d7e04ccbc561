//! What the builder's process does between its birth and `execve`.
//!
//! It is a copy of one thread of a program that may have many: another thread may have held the
//! allocator's lock, and its copy would never be unlocked. So there is nothing in here but system
//! calls on memory that was prepared before.

use libc::{c_char, c_int, c_long, c_ulong};
use std::ffi::{CStr, CString};
use std::ptr;

/// One mount, prepared.
pub(super) struct Mount {
    pub source: Option<CString>,
    pub target: CString,
    pub kind: Option<CString>,
    pub flags: c_ulong,
    pub data: Option<CString>,
}

/// Everything the process needs, in memory that it does not change.
pub(super) struct Plan {
    /// Mounted in this order; the first one makes `root` a mount of its own.
    pub mounts: Vec<Mount>,
    /// The new root.
    pub root: CString,
    /// The working directory in it.
    pub directory: CString,
    pub program: CString,
    /// Pointers into the strings beside them, ended by a null.
    pub arguments: Pointers,
    pub environment: Pointers,
    pub uid: u32,
    pub gid: u32,
    /// Namespaces to be born in.
    pub namespaces: c_int,
    /// A user namespace was entered at birth; otherwise it is entered after the mounts.
    pub user_namespace_first: bool,
    /// Namespaces to enter together with a late user namespace.
    pub late_namespaces: c_int,
    /// Bring the loopback link up: there is a network namespace of our own.
    pub loopback: bool,
    /// Abstract sockets made outside cannot be reached, where the kernel has Landlock's scopes.
    pub scoped: bool,
    /// For `personality(2)`.
    pub persona: c_int,
    /// Seccomp program.
    pub filter: Vec<libc::sock_filter>,
    pub standard_input: c_int,
    pub log: c_int,
    /// Here the parent says that ids are mapped, and by closing it, that it died.
    pub go: c_int,
    /// Here we say "map the ids" and what failed.
    pub report: c_int,
}

/// Strings and a null-terminated array of pointers to them.
pub(super) struct Pointers {
    _strings: Vec<CString>,
    pointers: Vec<*const c_char>,
}

impl Pointers {
    pub fn new(strings: Vec<CString>) -> Self {
        let pointers =
            strings.iter().map(|s| s.as_ptr()).chain(std::iter::once(ptr::null())).collect();
        Self { _strings: strings, pointers }
    }
}

/// What failed in the child; mounts are numbered from [`Step::FIRST_MOUNT`].
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Step {
    MapIds = 0,
    Private,
    Pivot,
    Names,
    Loopback,
    UserNamespace,
    Ids,
    Streams,
    Restrict,
    Directory,
    Exec,
    FirstMount = 1000,
}

impl Step {
    pub fn describe(number: u32, plan: &Plan) -> String {
        let step = [
            "map user ids",
            "make the mounts private",
            "enter the new root",
            "set the host name",
            "bring the loopback link up",
            "make a user namespace",
            "take the builder's user id",
            "connect its output",
            "restrict its system calls",
            "enter its build directory",
        ];
        if let Some(step) = step.get(number as usize) {
            return (*step).to_owned();
        }
        let mount =
            number.checked_sub(Self::FirstMount as u32).and_then(|i| plan.mounts.get(i as usize));
        match mount {
            Some(mount) => format!(
                "mount {} at {}",
                mount.source.as_ref().map_or("", |s| s.to_str().unwrap_or("")),
                mount.target.to_string_lossy()
            ),
            None => format!("start {}", plan.program.to_string_lossy()),
        }
    }
}

/// Never returns.
///
/// # Safety
/// The caller owes three things, and so does whoever calls one of the functions below:
/// the process has a copy of its parent's memory, not the memory itself; it has one thread, this one;
/// and the descriptors named in the plan are open in it, with nobody who uses any other.
pub(super) unsafe fn run(plan: &Plan) -> ! {
    // SAFETY: nothing but system calls on the plan's memory; see the module's comment.
    unsafe {
        let (step, errno) = attempt(plan);
        report(plan.report, step, errno);
        libc::syscall(libc::SYS_exit_group, 127 as c_long);
    }
    loop {
        std::hint::spin_loop();
    }
}

/// Tells the parent what failed, or that ids are to be mapped.
///
/// # Safety
/// As for [`run`]: `fd` is the plan's, and nobody else writes to it.
unsafe fn report(fd: c_int, step: u32, errno: c_int) {
    let mut message = [0u8; 8];
    message[..4].copy_from_slice(&step.to_ne_bytes());
    message[4..].copy_from_slice(&errno.to_ne_bytes());
    // SAFETY: the buffer is ours and that long.
    unsafe { libc::write(fd, message.as_ptr().cast(), message.len()) };
}

fn errno() -> c_int {
    // SAFETY: errno is always there.
    unsafe { *libc::__errno_location() }
}

macro_rules! check {
    ($step:expr, $call:expr) => {
        if $call < 0 {
            return ($step as u32, errno());
        }
    };
}

/// All steps; gives the one that failed, and why.
///
/// # Safety
/// As for [`run`]: the process becomes another one, step by step.
unsafe fn attempt(plan: &Plan) -> (u32, c_int) {
    // SAFETY: as for `run`.
    unsafe {
        check!(Step::Streams, close_others(plan));
        if plan.user_namespace_first {
            check!(Step::MapIds, wait_for_ids(plan));
        }
        let everything = libc::MS_PRIVATE | libc::MS_REC;
        let none = ptr::null();
        check!(Step::Private, libc::mount(none, c"/".as_ptr(), none, everything, ptr::null()));
        for (number, mount) in plan.mounts.iter().enumerate() {
            check!(Step::FirstMount as usize + number, apply(mount));
        }
        check!(Step::Pivot, libc::chdir(plan.root.as_ptr()));
        let here = c".".as_ptr();
        check!(Step::Pivot, libc::syscall(libc::SYS_pivot_root, here, here));
        check!(Step::Pivot, libc::umount2(here, libc::MNT_DETACH));
        check!(Step::Pivot, libc::chdir(c"/".as_ptr()));
        check!(Step::Names, set_names());
        if plan.loopback {
            check!(Step::Loopback, loopback_up());
        }
        if !plan.user_namespace_first {
            let namespaces = libc::CLONE_NEWUSER | plan.late_namespaces;
            check!(Step::UserNamespace, libc::syscall(libc::SYS_unshare, namespaces as c_long));
            check!(Step::MapIds, wait_for_ids(plan));
            // The C library's wrappers would ask all threads to follow, and there are none.
            check!(Step::Ids, libc::syscall(libc::SYS_setgroups, 0 as c_long, 0 as c_long));
        }
        let (uid, gid) = (c_long::from(plan.uid), c_long::from(plan.gid));
        check!(Step::Ids, libc::syscall(libc::SYS_setresgid, gid, gid, gid));
        check!(Step::Ids, libc::syscall(libc::SYS_setresuid, uid, uid, uid));
        check!(Step::Streams, streams(plan));
        check!(Step::Directory, libc::chdir(plan.directory.as_ptr()));
        check!(Step::Restrict, restrict(plan));
        reset_signals();
        let pointers = (plan.arguments.pointers.as_ptr(), plan.environment.pointers.as_ptr());
        // What wrote the program has closed it, but a process that another thread was starting
        // just then may have inherited the descriptor and still be on its way to its own `execve`.
        let pause = libc::timespec { tv_sec: 0, tv_nsec: 10_000_000 };
        for _ in 0..300 {
            libc::execve(plan.program.as_ptr(), pointers.0, pointers.1);
            if errno() != libc::ETXTBSY {
                break;
            }
            libc::nanosleep(&raw const pause, ptr::null_mut());
        }
        (Step::Exec as u32, errno())
    }
}

/// One mount.
///
/// # Safety
/// As for [`run`]: the mount namespace is this process's own.
unsafe fn apply(mount: &Mount) -> c_int {
    let pointer = |s: &Option<CString>| s.as_deref().map_or(ptr::null(), CStr::as_ptr);
    // SAFETY: all strings are in the plan.
    unsafe {
        libc::mount(
            pointer(&mount.source),
            mount.target.as_ptr(),
            pointer(&mount.kind),
            mount.flags,
            pointer(&mount.data).cast(),
        )
    }
}

/// Closes what we inherited and do not need: locks that a killed parent would seem to hold for as
/// long as we live, and the other ends of our pipes and our siblings', which would never close.
///
/// # Safety
/// As for [`run`]: nobody else uses the descriptors of this process.
unsafe fn close_others(plan: &Plan) -> c_int {
    let mut kept = [plan.standard_input, plan.log, plan.go, plan.report];
    kept.sort_unstable();
    let mut from = 0;
    for fd in kept.into_iter().chain(std::iter::once(c_int::MAX)) {
        // SAFETY: nothing in this process uses the descriptors in between any more.
        unsafe {
            let range = (c_long::from(from), c_long::from(fd) - 1);
            if range.0 <= range.1
                && libc::syscall(libc::SYS_close_range, range.0, range.1, 0 as c_long) < 0
            {
                return -1;
            }
        }
        from = fd.saturating_add(1);
    }
    0
}

/// Asks the parent to map ids, and waits until it did; fails when it died.
///
/// # Safety
/// As for [`run`]: nobody else reads what the parent says.
unsafe fn wait_for_ids(plan: &Plan) -> c_int {
    let mut byte = 0u8;
    // SAFETY: the buffer is ours and that long.
    unsafe {
        report(plan.report, Step::MapIds as u32, 0);
        if libc::read(plan.go, ptr::from_mut(&mut byte).cast(), 1) == 1 { 0 } else { -1 }
    }
}

/// Names of host and domain.
///
/// # Safety
/// As for [`run`]: the UTS namespace is this process's own.
unsafe fn set_names() -> c_int {
    // SAFETY: both strings are that long.
    unsafe {
        if libc::sethostname(c"localhost".as_ptr(), 9) < 0 {
            return -1;
        }
        libc::setdomainname(c"(none)".as_ptr(), 6)
    }
}

/// Brings the loopback link up.
///
/// # Safety
/// As for [`run`]: the network namespace is this process's own.
unsafe fn loopback_up() -> c_int {
    // SAFETY: a zeroed ifreq is a valid one, and the kernel reads the name and the flags of it.
    unsafe {
        let socket = libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0);
        if socket < 0 {
            return -1;
        }
        let mut request: libc::ifreq = std::mem::zeroed();
        request.ifr_name[0] = b'l'.cast_signed();
        request.ifr_name[1] = b'o'.cast_signed();
        request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as i16;
        let done = libc::ioctl(socket, libc::SIOCSIFFLAGS as _, &request);
        libc::close(socket);
        done
    }
}

/// A session of its own, with the plan's streams; everything else closes at `execve`.
///
/// # Safety
/// As for [`run`]: nobody else uses descriptors 0 to 2.
unsafe fn streams(plan: &Plan) -> c_int {
    // SAFETY: descriptors of ours.
    unsafe {
        if libc::setsid() < 0
            || libc::dup2(plan.standard_input, 0) < 0
            || libc::dup2(plan.log, 1) < 0
            || libc::dup2(plan.log, 2) < 0
        {
            return -1;
        }
        let close = libc::CLOSE_RANGE_CLOEXEC as c_long;
        libc::syscall(libc::SYS_close_range, 3 as c_long, c_long::from(u32::MAX), close) as c_int
    }
}

/// Limits, the end together with the parent, and no way to more privileges.
///
/// # Safety
/// As for [`run`]: what is set here is for the rest of the process's life.
unsafe fn restrict(plan: &Plan) -> c_int {
    // SAFETY: numbers, and a program that is in the plan.
    unsafe {
        libc::umask(0o022);
        libc::personality(plan.persona as c_ulong);
        // No core dumps, until somebody asks for them: the hard limit stays.
        let mut core: libc::rlimit = std::mem::zeroed();
        if libc::getrlimit(libc::RLIMIT_CORE, &raw mut core) == 0 {
            core.rlim_cur = 0;
            libc::setrlimit(libc::RLIMIT_CORE, &raw const core);
        }
        // Cleared by every change of ids, so it comes after them.
        if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) < 0 {
            return -1;
        }
        let mut parent = libc::pollfd { fd: plan.go, events: 0, revents: 0 };
        if libc::poll(&raw mut parent, 1, 0) != 0 {
            return -1; // It died before we asked to be told.
        }
        if libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 {
            return -1;
        }
        if plan.scoped && scope() < 0 {
            return -1;
        }
        let filter = &plan.filter;
        let program =
            libc::sock_fprog { len: filter.len() as u16, filter: filter.as_ptr().cast_mut() };
        let mode = c_long::from(libc::SECCOMP_SET_MODE_FILTER);
        if libc::syscall(libc::SYS_seccomp, mode, 0 as c_long, &raw const program) < 0 {
            return -1;
        }
        0
    }
}

/// Leaves the abstract sockets of the network namespace to others. A kernel before 6.12 cannot, or
/// has it switched off; what is made with network is copied before it counts for that reason. Where
/// the kernel can, a failure is one of the build.
///
/// # Safety
/// As for [`run`]: what is set here is for the rest of the process's life.
unsafe fn scope() -> c_int {
    // `struct landlock_ruleset_attr` of linux/landlock.h: no files, no ports, and the scope
    // LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET, which version 6 of the interface brought.
    let rules: [u64; 3] = [0, 0, 1];
    let (none, version) = (0 as c_long, 1 as c_long);
    // SAFETY: the kernel reads as many bytes as it is told.
    unsafe {
        if libc::syscall(libc::SYS_landlock_create_ruleset, none, none, version) < 6 {
            return 0;
        }
        let size = size_of_val(&rules);
        let rules = libc::syscall(libc::SYS_landlock_create_ruleset, &raw const rules, size, none);
        if rules < 0 {
            return -1;
        }
        let done = libc::syscall(libc::SYS_landlock_restrict_self, rules, none);
        libc::close(rules as c_int);
        done as c_int
    }
}

/// Rust ignores SIGPIPE, and the parent blocked everything while it made us.
///
/// # Safety
/// As for [`run`]: nobody relies on a handler.
unsafe fn reset_signals() {
    // SAFETY: a zeroed sigaction is the default one.
    unsafe {
        let default: libc::sigaction = std::mem::zeroed();
        for signal in 1..32 {
            libc::sigaction(signal, &raw const default, ptr::null_mut());
        }
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut());
    }
}
