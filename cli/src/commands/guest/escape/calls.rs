//! System calls that a machine may not make. Each is made so that it fails on a host, too, but for
//! another reason.

use super::{Check, Outcome};
use libc::*;

/// The error number a call ends with; 0 when it does not fail.
fn errno(number: c_long, arguments: [c_long; 5]) -> i32 {
    let [a, b, c, d, e] = arguments;
    // SAFETY: the arguments below are numbers, null, or the addresses of static texts; none of
    // the calls writes to memory of this process with them.
    let result = unsafe { syscall(number, a, b, c, d, e) };
    if result >= 0 { 0 } else { std::io::Error::last_os_error().raw_os_error().unwrap_or(0) }
}

fn denied(number: c_long, arguments: [c_long; 5]) -> Outcome {
    match errno(number, arguments) {
        EPERM | ENOSYS => Ok(()),
        0 => Err("it works".into()),
        other => Err(format!("it fails only with {}", std::io::Error::from_raw_os_error(other))),
    }
}

fn text(text: &'static std::ffi::CStr) -> c_long {
    text.as_ptr() as c_long
}

pub fn checks() -> Vec<Check> {
    let nowhere = text(c"/nonexistent");
    let root = text(c"/");
    let cwd = c_long::from(AT_FDCWD);
    let calls: Vec<(&str, c_long, [c_long; 5])> = vec![
        ("acct", SYS_acct, [nowhere, 0, 0, 0, 0]),
        ("add_key", SYS_add_key, [0; 5]),
        ("bpf", SYS_bpf, [-1, 0, 0, 0, 0]),
        ("clock_settime", SYS_clock_settime, [-1, 0, 0, 0, 0]),
        ("delete_module", SYS_delete_module, [text(c"no-such-module"), 0, 0, 0, 0]),
        ("fanotify_init", SYS_fanotify_init, [-1, -1, 0, 0, 0]),
        ("finit_module", SYS_finit_module, [-1, text(c""), 0, 0, 0]),
        ("fsopen", SYS_fsopen, [text(c"no-such-fs"), 0, 0, 0, 0]),
        ("fsconfig", SYS_fsconfig, [-1, 0, 0, 0, 0]),
        ("fsmount", SYS_fsmount, [-1, 0, 0, 0, 0]),
        ("fspick", SYS_fspick, [cwd, nowhere, 0, 0, 0]),
        ("init_module", SYS_init_module, [0, 0, text(c""), 0, 0]),
        ("io_uring_setup", SYS_io_uring_setup, [1, 0, 0, 0, 0]),
        ("ioperm", SYS_ioperm, [-1, -1, 1, 0, 0]),
        ("iopl", SYS_iopl, [7, 0, 0, 0, 0]),
        ("kexec_load", SYS_kexec_load, [0, 0, 0, -1, 0]),
        ("keyctl", SYS_keyctl, [0, -3, 0, 0, 0]),
        ("mount", SYS_mount, [nowhere, nowhere, text(c"none"), 0, 0]),
        ("mount_setattr", SYS_mount_setattr, [cwd, nowhere, 0, 0, 0]),
        ("move_mount", SYS_move_mount, [cwd, nowhere, cwd, nowhere, 0]),
        ("name_to_handle_at", SYS_name_to_handle_at, [cwd, root, 0, 0, 0]),
        ("open_by_handle_at", SYS_open_by_handle_at, [-1, 0, 0, 0, 0]),
        ("open_tree", SYS_open_tree, [cwd, nowhere, 1, 0, 0]),
        ("perf_event_open", SYS_perf_event_open, [0, 0, -1, -1, 0]),
        ("pidfd_getfd", SYS_pidfd_getfd, [-1, 0, 0, 0, 0]),
        ("pivot_root", SYS_pivot_root, [nowhere, nowhere, 0, 0, 0]),
        ("process_madvise", SYS_process_madvise, [-1, 0, 0, 0, 0]),
        ("reboot", SYS_reboot, [0, 0, 0, 0, 0]),
        ("set_mempolicy", SYS_set_mempolicy, [-1, 0, 0, 0, 0]),
        ("setns", SYS_setns, [-1, 0, 0, 0, 0]),
        ("settimeofday", SYS_settimeofday, [1, 0, 0, 0, 0]),
        ("swapoff", SYS_swapoff, [nowhere, 0, 0, 0, 0]),
        ("swapon", SYS_swapon, [nowhere, 0, 0, 0, 0]),
        ("syslog", SYS_syslog, [10, 0, 0, 0, 0]),
        ("umount2", SYS_umount2, [nowhere, 0, 0, 0, 0]),
        ("unshare of namespaces", SYS_unshare, [0x1000, 0, 0, 0, 0]),
        ("userfaultfd", SYS_userfaultfd, [-1, 0, 0, 0, 0]),
        ("personality without randomness", SYS_personality, [0x40000, 0, 0, 0, 0]),
        ("AF_ALG sockets", SYS_socket, [38, c_long::from(SOCK_SEQPACKET), 0, 0, 0]),
        ("AF_VSOCK sockets", SYS_socket, [40, -1, 0, 0, 0]),
        ("raw sockets", SYS_socket, [c_long::from(AF_INET), c_long::from(SOCK_RAW), 1, 0, 0]),
        ("packet sockets", SYS_socket, [c_long::from(AF_PACKET), c_long::from(SOCK_RAW), 0, 0, 0]),
        ("typing into terminals (TIOCSTI)", SYS_ioctl, [-1, 0x5412, 0, 0, 0]),
        ("typing on consoles (TIOCLINUX)", SYS_ioctl, [-1, 0x541c, 0, 0, 0]),
    ];
    let may_hold = ["AF_ALG sockets", "keyctl", "module", "ioperm", "iopl", "kexec_load"];
    let mut checks: Vec<Check> = calls
        .into_iter()
        .map(|(name, number, arguments)| {
            let check =
                Check::new(format!("system call: {name}"), move || denied(number, arguments));
            // Kernels are built without some of these, and some calls look at little before they
            // are done.
            let fails_outside = !may_hold.iter().any(|held| name.contains(held));
            Check { fails_outside, ..check }
        })
        .collect();
    checks.push(Check::new("system call: clone of a user namespace", || {
        spawn(c_long::from(CLONE_NEWUSER))
    }));
    checks.push(Check::new("system call: clone of a mount namespace", || {
        spawn(c_long::from(CLONE_NEWNS))
    }));
    checks.push(Check::new("system call: reading the first process's memory", read_memory));
    checks.push(Check::new("system call: tracing the first process", trace));
    checks.push(Check::new("system call: clone3, whose flags no filter sees", || {
        denied(SYS_clone3, [0, 0, 0, 0, 0])
    }));
    checks.push(Check::anywhere("system call: by the numbers of x32", || {
        denied(0x4000_0000 | SYS_getpid, [0; 5])
    }));
    checks.push(Check::anywhere("system call: newer ones than were reviewed", || {
        denied(10_000, [0; 5])
    }));
    checks
}

/// Reads a byte at an address where nothing is.
fn read_memory() -> Outcome {
    let mut byte = 0u8;
    let own = iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
    let other = iovec { iov_base: std::ptr::without_provenance_mut(1), iov_len: 1 };
    // SAFETY: the vectors live, and what is written fits the byte.
    let got = unsafe { process_vm_readv(1, &raw const own, 1, &raw const other, 1, 0) };
    match std::io::Error::last_os_error() {
        _ if got >= 0 => Err("it works".into()),
        error if matches!(error.raw_os_error(), Some(EPERM | ENOSYS | ESRCH)) => Ok(()),
        error => Err(format!("it fails only with {error}")),
    }
}

/// Traces from a child, which lets go when it ends.
fn trace() -> Outcome {
    // SAFETY: as fork(2); the child makes one call and is gone.
    let pid = unsafe { fork() };
    if pid == 0 {
        let done = errno(SYS_ptrace, [0x4206, 1, 0, 0, 0]);
        // SAFETY: always sound.
        unsafe { _exit(i32::from(done != EPERM && done != ENOSYS)) }
    }
    let mut status = 0;
    // SAFETY: writes to a local.
    unsafe { waitpid(pid, &raw mut status, 0) };
    if WEXITSTATUS(status) == 0 { Ok(()) } else { Err("it is not refused".into()) }
}

/// A child in a namespace of its own, which ends at once.
fn spawn(flags: c_long) -> Outcome {
    // SAFETY: as fork(2); the child makes one call and is gone.
    let pid = unsafe { syscall(SYS_clone, flags | c_long::from(SIGCHLD), 0, 0, 0, 0) };
    match pid {
        0 => {
            // SAFETY: always sound.
            unsafe { _exit(0) }
        }
        -1 => match std::io::Error::last_os_error().raw_os_error() {
            Some(EPERM | ENOSYS) => Ok(()),
            _ => Err(format!("it fails only with {}", std::io::Error::last_os_error())),
        },
        pid => {
            // SAFETY: waits for the child, without asking for its status.
            unsafe { waitpid(i32::try_from(pid).unwrap_or(-1), std::ptr::null_mut(), 0) };
            Err("it works".into())
        }
    }
}
