//! Making processes and changing what they may do.

use super::check;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// A process that was cloned.
#[derive(Debug)]
pub struct Cloned {
    pub pid: i32,
    pub pidfd: OwnedFd,
}

#[repr(C)]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// Clones this process with a copy of its memory. Gives `None` in the child.
///
/// # Safety
/// The caller makes sure that
/// - this process has one thread, or the child only makes system calls and touches memory that is
///   there: locks that other threads hold (the allocator's among them) stay locked in the copy for ever;
/// - the child ends by [`exit_now`] or execve(2) and never returns to its caller's caller, whose
///   destructors would run a second time, on files and descriptors that are the parent's;
/// - `flags` name neither CLONE_VM nor CLONE_VFORK nor CLONE_SETTLS: the child runs on a copy of this
///   stack, not on the same one.
pub unsafe fn clone(
    flags: u64,
    cgroup: Option<BorrowedFd<'_>>,
    exit_signal: i32,
) -> io::Result<Option<Cloned>> {
    let mut pidfd: i32 = -1;
    let mut args = CloneArgs {
        flags: flags | u64::try_from(libc::CLONE_PIDFD).unwrap_or(0),
        pidfd: std::ptr::from_mut(&mut pidfd) as u64,
        exit_signal: u64::try_from(exit_signal).unwrap_or(0),
        ..CloneArgs::default()
    };
    if let Some(group) = cgroup {
        args.flags |= 0x2_0000_0000; // CLONE_INTO_CGROUP
        args.cgroup = u64::try_from(group.as_raw_fd()).unwrap_or(0);
    }
    // SAFETY: the structure is what clone3(2) reads; no memory is shared with the child.
    let pid = check(unsafe {
        libc::syscall(libc::SYS_clone3, std::ptr::from_mut(&mut args), size_of::<CloneArgs>())
    })?;
    if pid == 0 {
        return Ok(None);
    }
    // SAFETY: the kernel has just put a new descriptor there.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Some(Cloned { pid: i32::try_from(pid).unwrap_or(i32::MAX), pidfd }))
}

/// The same by the older call, which the machines' own filter lets through.
///
/// # Safety
/// What [`clone`] asks of its caller, and that the low byte of `flags` is empty: the child's signal is
/// put there.
pub unsafe fn clone_filtered(flags: i32, exit_signal: i32) -> io::Result<Option<Cloned>> {
    let mut pidfd: i32 = -1;
    // SAFETY: with CLONE_PIDFD the third argument is where the descriptor goes; no stack is given,
    // so the child goes on with a copy of this one's.
    let pid = check(unsafe {
        libc::syscall(
            libc::SYS_clone,
            libc::c_long::from(flags | libc::CLONE_PIDFD | exit_signal),
            0usize,
            &raw mut pidfd,
            0usize,
            0usize,
        )
    })?;
    if pid == 0 {
        return Ok(None);
    }
    // SAFETY: the kernel has just put a new descriptor there.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Some(Cloned { pid: i32::try_from(pid).unwrap_or(i32::MAX), pidfd }))
}

/// Makes a child on this process's own memory, which has `work` execute something, and goes on when that
/// is done: as vfork(2), no page of this process is copied for it. `work` does not return when it has
/// executed something; what it leaves where it points to is there for this process to see. Gives the
/// child's number.
///
/// # Safety
/// The caller makes sure that
/// - this process has one thread;
/// - `work` ends in execve(2), or returns: the child then ends with status 127;
/// - `work` leaves nothing behind that this process must not find: it is the same memory.
pub unsafe fn spawn_on_same_memory(work: &mut dyn FnMut()) -> io::Result<i32> {
    extern "C" fn child(work: *mut libc::c_void) -> libc::c_int {
        // SAFETY: it points to the reference below, which nobody uses meanwhile: the parent is suspended.
        let work = unsafe { &mut *work.cast::<&mut dyn FnMut()>() };
        work();
        exit_now(127)
    }
    // Only what is used of it is ever there.
    const STACK: usize = 256 << 10;
    let mut stack = Vec::<u128>::with_capacity(STACK / size_of::<u128>());
    let mut work = work;
    // SAFETY: the stack grows down from its end, which is aligned to 16 bytes, and lives until the child has
    // another memory or none. CLONE_VFORK keeps this thread, the only one, from running before that.
    let pid = unsafe {
        let top = stack.as_mut_ptr().add(stack.capacity());
        libc::clone(
            child,
            top.cast(),
            libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD,
            (&raw mut work).cast(),
        )
    };
    check(pid.into()).map(|_| pid)
}

/// Ends this process at once: nothing is flushed, dropped or run.
pub fn exit_now(status: i32) -> ! {
    // SAFETY: always sound.
    unsafe { libc::_exit(status) }
}

/// Have the kernel kill this process when the thread that made it ends. Lost at every change of
/// credentials.
pub fn die_with_parent() -> io::Result<()> {
    prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as u64)
}

/// Nobody without CAP_SYS_PTRACE in the *host's* user namespace may look into this process.
pub fn hide() -> io::Result<()> {
    prctl(libc::PR_SET_DUMPABLE, 0)
}

/// Neither this process nor its children gain privileges by executing something.
pub fn no_new_privileges() -> io::Result<()> {
    prctl(libc::PR_SET_NO_NEW_PRIVS, 1)
}

/// Takes a capability out of the bounding set.
pub fn drop_bounding(capability: u32) -> io::Result<()> {
    prctl(libc::PR_CAPBSET_DROP, capability.into())
}

/// Takes every capability out of the ambient set.
pub fn clear_ambient() -> io::Result<()> {
    prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL as u64)
}

fn prctl(option: i32, value: u64) -> io::Result<()> {
    // SAFETY: options used here take numbers only.
    check(unsafe { libc::prctl(option, value, 0u64, 0u64, 0u64) }.into()).map(drop)
}

/// Sets the supplementary groups and all user and group ids of this one thread.
pub fn set_ids(uid: u32, gid: u32, groups: &[u32]) -> io::Result<()> {
    // SAFETY: plain system calls: the library's wrappers would tell threads that do not exist here.
    unsafe {
        check(libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()))?;
        check(libc::syscall(libc::SYS_setresgid, gid, gid, gid))?;
        check(libc::syscall(libc::SYS_setresuid, uid, uid, uid))?;
    }
    Ok(())
}

/// Effective and permitted capabilities; inheritable ones are emptied.
pub fn set_capabilities(set: u64) -> io::Result<()> {
    use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};
    let set = CapabilitySet::from_bits_retain(set);
    let empty = CapabilitySet::empty();
    let sets = CapabilitySets { effective: set, permitted: set, inheritable: empty };
    Ok(set_capabilities(None, sets)?)
}

/// Runs `work` with `id` as this thread's user and group towards file systems, and every
/// capability it has otherwise.
pub fn as_owner<T>(id: u32, work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    use rustix::thread::{capabilities, set_capabilities};
    let before = capabilities(None)?;
    let become_id = |id: u32| {
        // SAFETY: changes the ids of this one thread; the call reports no errors.
        unsafe {
            libc::syscall(libc::SYS_setfsgid, id);
            libc::syscall(libc::SYS_setfsuid, id);
        }
    };
    become_id(id);
    // Becoming somebody else took the ones about files away.
    let done = set_capabilities(None, before).map_err(io::Error::from).and_then(|()| work());
    become_id(0);
    done
}

/// Leaves namespaces of this one thread.
pub fn unshare(flags: i32) -> io::Result<()> {
    // SAFETY: the caller is a process of one thread, or a thread that shares no such state.
    check(unsafe { libc::unshare(flags) }.into()).map(drop)
}

/// Enters the namespaces of the process behind a pidfd.
pub fn enter(pidfd: BorrowedFd<'_>, flags: i32) -> io::Result<()> {
    // SAFETY: as for `unshare`.
    check(unsafe { libc::setns(pidfd.as_raw_fd(), flags) }.into()).map(drop)
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    Code(i32),
    Signal(i32),
}

impl Ended {
    /// From the number wait(2) gives.
    pub fn from_wait(status: i32) -> Self {
        if libc::WIFSIGNALED(status) {
            Self::Signal(libc::WTERMSIG(status))
        } else {
            Self::Code(libc::WEXITSTATUS(status))
        }
    }
}

/// Waits for any child; `None` when none has ended.
pub fn reap() -> io::Result<Option<(i32, i32)>> {
    let mut status = 0;
    // SAFETY: writes to a local.
    let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG | libc::__WALL) };
    let pid = check(pid.into())?;
    Ok(i32::try_from(pid).ok().filter(|pid| *pid > 0).map(|pid| (pid, status)))
}

/// Waits until child `pid` has ended.
pub fn wait(pid: i32) -> io::Result<Ended> {
    let mut status = 0;
    loop {
        // SAFETY: writes to a local.
        let got = unsafe { libc::waitpid(pid, &raw mut status, libc::__WALL) };
        match check(got.into()) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
            Ok(_) => return Ok(Ended::from_wait(status)),
        }
    }
}
