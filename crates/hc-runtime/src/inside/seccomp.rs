//! The system calls a machine may make, as a classic BPF program.
//!
//! Numbers up to the newest one reviewed are allowed unless [`DENIED`] or an argument rule says
//! otherwise; everything newer, the x32 numbers and 32-bit callers get ENOSYS, so that programs
//! fall back to what they did before. The decision is a binary search: the kernel caches verdicts
//! that do not look at arguments, so a call costs next to nothing.

#[cfg(not(target_arch = "x86_64"))]
compile_error!("the table of system calls is that of x86_64");

use libc::{sock_filter, *};

/// Newest system call that was looked at: setxattrat(2) and its kin, Linux 6.13.
const REVIEWED: u32 = 466;

/// Denied with EPERM. With a capability, unless it was added to the machine.
const DENIED: [(c_long, &str); 58] = [
    (SYS_acct, "SYS_PACCT"),
    (SYS_add_key, ""),
    (SYS_bpf, "BPF"),
    (SYS_clock_adjtime, "SYS_TIME"),
    (SYS_clock_settime, "SYS_TIME"),
    (SYS_delete_module, "SYS_MODULE"),
    (SYS_fanotify_init, "SYS_ADMIN"),
    (SYS_finit_module, "SYS_MODULE"),
    (SYS_fsconfig, "SYS_ADMIN"),
    (SYS_fsmount, "SYS_ADMIN"),
    (SYS_fsopen, "SYS_ADMIN"),
    (SYS_fspick, "SYS_ADMIN"),
    (SYS_get_mempolicy, "SYS_NICE"),
    (SYS_init_module, "SYS_MODULE"),
    (SYS_io_uring_enter, ""),
    (SYS_io_uring_register, ""),
    (SYS_io_uring_setup, ""),
    (SYS_ioperm, "SYS_RAWIO"),
    (SYS_iopl, "SYS_RAWIO"),
    (SYS_kcmp, "SYS_PTRACE"),
    (SYS_kexec_file_load, ""),
    (SYS_kexec_load, ""),
    (SYS_keyctl, ""),
    (SYS_lookup_dcookie, ""),
    (SYS_mbind, "SYS_NICE"),
    (SYS_memfd_secret, ""),
    (SYS_migrate_pages, "SYS_NICE"),
    (SYS_mount, "SYS_ADMIN"),
    (SYS_mount_setattr, "SYS_ADMIN"),
    (SYS_move_mount, "SYS_ADMIN"),
    (SYS_move_pages, "SYS_NICE"),
    (SYS_name_to_handle_at, "DAC_READ_SEARCH"),
    (SYS_nfsservctl, ""),
    (SYS_open_by_handle_at, "DAC_READ_SEARCH"),
    (SYS_open_tree, "SYS_ADMIN"),
    (SYS_perf_event_open, "PERFMON"),
    (SYS_pidfd_getfd, "SYS_PTRACE"),
    (SYS_pivot_root, "SYS_ADMIN"),
    (SYS_process_madvise, "SYS_PTRACE"),
    (SYS_quotactl, "SYS_ADMIN"),
    (SYS_quotactl_fd, "SYS_ADMIN"),
    (SYS_reboot, "SYS_BOOT"),
    (SYS_request_key, ""),
    (SYS_set_mempolicy, "SYS_NICE"),
    (SYS_set_mempolicy_home_node, "SYS_NICE"),
    (SYS_setns, "SYS_ADMIN"),
    (SYS_settimeofday, "SYS_TIME"),
    (SYS_swapoff, ""),
    (SYS_swapon, ""),
    (SYS_sysfs, ""),
    (SYS__sysctl, ""),
    (SYS_syslog, "SYSLOG"),
    (SYS_umount2, "SYS_ADMIN"),
    (SYS_unshare, "SYS_ADMIN"),
    (SYS_uselib, ""),
    (SYS_userfaultfd, "SYS_PTRACE"),
    (SYS_ustat, ""),
    (SYS_vhangup, "SYS_TTY_CONFIG"),
];

const NAMESPACES: i32 = CLONE_NEWNS
    | CLONE_NEWCGROUP
    | CLONE_NEWUTS
    | CLONE_NEWIPC
    | CLONE_NEWUSER
    | CLONE_NEWPID
    | CLONE_NEWNET;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Allow,
    Errno(i32),
    /// Allowed without any of these bits in an argument.
    Without(u32, i32),
    /// Allowed without these exact values of an argument.
    NotOneOf(u32, &'static [u32]),
    /// Allowed with these exact values of an argument only.
    OneOf(u32, &'static [u32]),
}

/// Linux, with or without `UNAME26` and short inodes; and the question what it is.
const PERSONALITIES: [u32; 5] = [0, 0x0008, 0x2_0000, 0x2_0008, 0xffff_ffff];
/// Typing into a terminal, and the same on the host's consoles; making subvolumes of btrfs, with
/// and without arguments after the first, and making them read-only: a root that is a snapshot
/// must go in one step.
const REQUESTS: [u32; 7] =
    [0x5412, 0x541c, 0x5000_940e, 0x5000_9418, 0x5000_9401, 0x5000_9417, 0x4008_941a];
/// AF_ALG and AF_VSOCK: the kernel's cryptography, and the way to the hypervisor.
const FAMILIES: [u32; 2] = [38, 40];

#[allow(non_upper_case_globals)] // The C library's names.
fn verdict(number: u32, capabilities: u64) -> Verdict {
    let has = |name: &str| super::capabilities::bit(name).is_some_and(|b| capabilities & b != 0);
    let call = c_long::from(number);
    if let Some((_, lifted_by)) = DENIED.iter().find(|(denied, _)| *denied == call) {
        return if has(lifted_by) { Verdict::Allow } else { Verdict::Errno(EPERM) };
    }
    match call {
        _ if number > REVIEWED || (335..424).contains(&number) => Verdict::Errno(ENOSYS),
        // Its flags are behind a pointer, where no filter can look: programs fall back to clone.
        SYS_clone3 if !has("SYS_ADMIN") => Verdict::Errno(ENOSYS),
        SYS_clone if !has("SYS_ADMIN") => Verdict::Without(0, NAMESPACES),
        SYS_personality => Verdict::OneOf(0, &PERSONALITIES),
        SYS_ioctl => Verdict::NotOneOf(1, &REQUESTS),
        SYS_socket => Verdict::NotOneOf(0, &FAMILIES),
        _ => Verdict::Allow,
    }
}

const LOAD: u16 = (BPF_LD | BPF_W | BPF_ABS) as u16;
const RETURN: u16 = (BPF_RET | BPF_K) as u16;
const JUMP: u16 = (BPF_JMP | BPF_JA) as u16;
const IF_EQUAL: u16 = (BPF_JMP | BPF_JEQ | BPF_K) as u16;
const IF_AT_LEAST: u16 = (BPF_JMP | BPF_JGE | BPF_K) as u16;
const IF_BITS: u16 = (BPF_JMP | BPF_JSET | BPF_K) as u16;
const AUDIT_ARCH_X86_64: u32 = 0xc000_003e;

const fn op(code: u16, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code, jt, jf, k }
}

const fn give(verdict: u32) -> sock_filter {
    op(RETURN, verdict, 0, 0)
}

fn errno(number: i32) -> sock_filter {
    give(SECCOMP_RET_ERRNO | number.unsigned_abs())
}

/// Offset of the low half of an argument in `struct seccomp_data`.
fn argument(index: u32) -> sock_filter {
    op(LOAD, 16 + 8 * index, 0, 0)
}

fn leaf(verdict: Verdict) -> Vec<sock_filter> {
    let allow = give(SECCOMP_RET_ALLOW);
    let list = |index, values: &[u32], hit, miss| {
        let mut code = vec![argument(index)];
        for value in values {
            code.push(op(IF_EQUAL, *value, 0, 1));
            code.push(hit);
        }
        code.push(miss);
        code
    };
    match verdict {
        Verdict::Allow => vec![allow],
        Verdict::Errno(number) => vec![errno(number)],
        Verdict::Without(index, bits) => {
            vec![argument(index), op(IF_BITS, bits.cast_unsigned(), 0, 1), errno(EPERM), allow]
        }
        Verdict::NotOneOf(index, values) => list(index, values, errno(EPERM), allow),
        Verdict::OneOf(index, values) => list(index, values, allow, errno(EPERM)),
    }
}

/// Finds the range a number is in by halving.
fn search(ranges: &[(u32, Verdict)]) -> Vec<sock_filter> {
    if let [(_, only)] = ranges {
        return leaf(*only);
    }
    let (left, right) = ranges.split_at(ranges.len() / 2);
    let (below, above) = (search(left), search(right));
    let skip = u32::try_from(below.len()).unwrap_or(u32::MAX);
    let mut code = vec![op(IF_AT_LEAST, right[0].0, 0, 1), op(JUMP, skip, 0, 0)];
    code.extend(below);
    code.extend(above);
    code
}

/// The filter of a machine that has these capabilities.
pub(crate) fn filter(capabilities: u64) -> Vec<sock_filter> {
    let mut ranges: Vec<(u32, Verdict)> = Vec::new();
    for number in 0..=REVIEWED + 1 {
        let verdict = verdict(number, capabilities);
        if ranges.last().is_none_or(|(_, last)| *last != verdict) {
            ranges.push((number, verdict));
        }
    }
    let mut code = vec![
        op(LOAD, 4, 0, 0),
        op(IF_EQUAL, AUDIT_ARCH_X86_64, 1, 0),
        errno(ENOSYS),
        op(LOAD, 0, 0, 0),
    ];
    code.extend(search(&ranges));
    code
}

/// Puts the filter on this process and all its children, for good.
pub(crate) fn install(filter: &[sock_filter]) -> std::io::Result<()> {
    let program = sock_fprog {
        len: u16::try_from(filter.len()).unwrap_or(u16::MAX),
        filter: filter.as_ptr().cast_mut(),
    };
    // SAFETY: the program is read, not written, and only during the call.
    crate::sys::check(unsafe {
        syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, std::ptr::from_ref(&program))
    })
    .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel would do: the instructions used here, on (number, arch, arguments).
    fn run(code: &[sock_filter], arch: u32, number: u32, arguments: [u32; 2]) -> u32 {
        let (mut at, mut value) = (0, 0);
        loop {
            let now = code[at];
            at += 1;
            let jump = |hit: bool| usize::from(if hit { now.jt } else { now.jf });
            match now.code {
                LOAD => {
                    value = match now.k {
                        0 => number,
                        4 => arch,
                        16 => arguments[0],
                        24 => arguments[1],
                        other => panic!("reads at {other}"),
                    }
                }
                RETURN => return now.k,
                JUMP => at += usize::try_from(now.k).unwrap(),
                IF_EQUAL => at += jump(value == now.k),
                IF_AT_LEAST => at += jump(value >= now.k),
                IF_BITS => at += jump(value & now.k != 0),
                other => panic!("code {other}"),
            }
        }
    }

    fn call(code: &[sock_filter], number: c_long, arguments: [u32; 2]) -> &'static str {
        match run(code, AUDIT_ARCH_X86_64, u32::try_from(number).unwrap(), arguments) {
            SECCOMP_RET_ALLOW => "allow",
            0x5_0001 => "EPERM",
            0x5_0026 => "ENOSYS",
            _ => "other",
        }
    }

    #[test]
    fn every_number_gets_the_verdict_of_the_table() {
        let code = filter(0);
        assert!(code.len() < 4096, "the kernel takes no more: {}", code.len());
        for (number, _) in DENIED {
            assert_eq!(call(&code, number, [0; 2]), "EPERM", "{number}");
        }
        for number in [SYS_read, SYS_execve, SYS_ptrace, SYS_setxattr, SYS_openat2, SYS_futex] {
            assert_eq!(call(&code, number, [0; 2]), "allow", "{number}");
        }
        for number in [335, 400, 467, 468, 10_000, 0x4000_0000, 0x4000_00a5, 0xffff_ffff] {
            assert_eq!(call(&code, number, [0; 2]), "ENOSYS", "{number}");
        }
        assert_eq!(run(&code, 0x4000_0003, 5, [0; 2]), 0x5_0026, "32-bit callers");
    }

    #[test]
    fn arguments_are_looked_at() {
        let code = filter(0);
        let new_user = CLONE_NEWUSER.cast_unsigned();
        for (number, arguments, expected) in [
            (SYS_clone, [17, 0], "allow"),
            (SYS_clone, [17 | new_user, 0], "EPERM"),
            (SYS_clone, [CLONE_NEWPID.cast_unsigned(), 0], "EPERM"),
            (SYS_clone3, [0, 0], "ENOSYS"),
            (SYS_ioctl, [0, 0x5401], "allow"),
            (SYS_ioctl, [0, 0x5412], "EPERM"),
            (SYS_ioctl, [0, 0x5000_940e], "EPERM"),
            (SYS_ioctl, [0, 0x4008_941a], "EPERM"),
            (SYS_socket, [2, 0], "allow"),
            (SYS_socket, [38, 0], "EPERM"),
            (SYS_socket, [40, 0], "EPERM"),
            (SYS_personality, [0xffff_ffff, 0], "allow"),
            (SYS_personality, [0x40_0000, 0], "EPERM"),
        ] {
            assert_eq!(call(&code, number, arguments), expected, "{number} {arguments:?}");
        }
    }

    #[test]
    fn added_capabilities_lift_what_goes_with_them() {
        let admin = filter(crate::inside::capabilities::bit("SYS_ADMIN").unwrap());
        for number in [SYS_mount, SYS_unshare, SYS_clone3, SYS_setns] {
            assert_eq!(call(&admin, number, [CLONE_NEWUSER.cast_unsigned(), 0]), "allow");
        }
        for number in [SYS_keyctl, SYS_kexec_load, SYS_io_uring_setup, SYS_init_module] {
            assert_eq!(call(&admin, number, [0; 2]), "EPERM");
        }
    }
}
