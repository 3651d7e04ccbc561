//! What a builder must not do to files it makes: set-id bits and extended attributes. One that is root
//! over ids of its own makes such files on purpose, and may; what it must not do is to reach for parts
//! of the kernel that are nothing to a build.
//!
//! A filter sees the calls of every architecture that the kernel runs: a 64-bit machine also builds
//! for its 32-bit forerunner, and an x86-64 kernel may know x32. So each has its own numbers here;
//! a filter for one of them only would let the others pass, or kill them.

/// Numbers of one architecture's system calls.
struct Calls {
    /// `AUDIT_ARCH_*` of linux/audit.h.
    arch: u32,
    /// Calls that set a mode, with the number of the argument that is the mode.
    modes: &'static [(u32, u32)],
    /// Calls that set extended attributes.
    attributes: &'static [u32],
    /// Those that root in a user namespace has no need of: keys that outlive it, programs in the
    /// kernel, watching it, faults handled outside, files by their numbers, modules, other kernels.
    kernel: &'static [u32],
}

/// Set in the numbers of x32, which otherwise are those of x86-64 for all calls below.
const X32_BIT: u32 = 0x4000_0000;

#[cfg(target_arch = "x86_64")]
const CALLS: [Calls; 2] = [
    Calls {
        arch: 0xc000_003e,
        modes: &[(90, 1), (91, 1), (268, 2), (452, 2)],
        attributes: &[188, 189, 190, 463],
        // 528 is kexec_load of x32.
        kernel: &[248, 249, 250, 321, 298, 323, 304, 175, 313, 176, 246, 528, 320],
    },
    Calls {
        arch: 0x4000_0003,
        modes: &[(15, 1), (94, 1), (306, 2), (452, 2)],
        attributes: &[226, 227, 228, 463],
        kernel: &[286, 287, 288, 357, 336, 374, 342, 128, 350, 129, 283],
    },
];

#[cfg(target_arch = "aarch64")]
const CALLS: [Calls; 2] = [
    Calls {
        arch: 0xc000_00b7,
        modes: &[(52, 1), (53, 2), (452, 2)],
        attributes: &[5, 6, 7, 463],
        kernel: &[217, 218, 219, 280, 241, 282, 265, 105, 273, 106, 104, 294],
    },
    Calls {
        arch: 0x4000_0028,
        modes: &[(15, 1), (94, 1), (333, 2), (452, 2)],
        attributes: &[226, 227, 228, 463],
        kernel: &[309, 310, 311, 386, 364, 388, 371, 128, 379, 129, 347, 401],
    },
];

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
compile_error!("the numbers of this architecture's system calls are missing");

// linux/bpf_common.h, linux/seccomp.h. Offsets are those of `struct seccomp_data`.
const LOAD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
const AND: u16 = 0x54; // BPF_ALU | BPF_AND | BPF_K
const IF_EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const IF_ANY: u16 = 0x45; // BPF_JMP | BPF_JSET | BPF_K
const RETURN: u16 = 0x06; // BPF_RET | BPF_K
const NUMBER: u32 = 0;
const ARCH: u32 = 4;
const ARGUMENTS: u32 = 16;

const fn op(code: u16, k: u32, jt: u8, jf: u8) -> libc::sock_filter {
    libc::sock_filter { code, jt, jf, k }
}

const ALLOW: libc::sock_filter = op(RETURN, libc::SECCOMP_RET_ALLOW, 0, 0);

const fn refuse(errno: i32) -> libc::sock_filter {
    op(RETURN, libc::SECCOMP_RET_ERRNO | errno.unsigned_abs(), 0, 0)
}

/// The program of a builder that has one id: no set-id bits (as if not permitted), no extended
/// attributes (as if the file system had none).
pub(super) fn filter() -> Vec<libc::sock_filter> {
    program(|calls| {
        let mut block = Vec::new();
        for &(call, argument) in calls.modes {
            let bits = libc::S_ISUID | libc::S_ISGID;
            block.extend([
                op(IF_EQUAL, call, 0, 4),
                // The lower half comes first on every machine named above.
                op(LOAD, ARGUMENTS + 8 * argument, 0, 0),
                op(IF_ANY, bits, 0, 1),
                refuse(libc::EPERM),
                ALLOW,
            ]);
        }
        for &call in calls.attributes {
            block.extend([op(IF_EQUAL, call, 0, 1), refuse(libc::ENOTSUP)]);
        }
        block
    })
}

/// The program of a builder that is root over ids of its own: nothing that is only for the system's.
pub(super) fn filter_range() -> Vec<libc::sock_filter> {
    program(|calls| {
        let refused = |&call| [op(IF_EQUAL, call, 0, 1), refuse(libc::EPERM)];
        calls.kernel.iter().flat_map(refused).collect()
    })
}

/// A program out of a part for each architecture. Whatever else runs here gets no call at all.
fn program(part: impl Fn(&Calls) -> Vec<libc::sock_filter>) -> Vec<libc::sock_filter> {
    let mut program = vec![op(LOAD, ARCH, 0, 0)];
    for calls in &CALLS {
        let mut block = vec![op(LOAD, NUMBER, 0, 0), op(AND, !X32_BIT, 0, 0)];
        block.extend(part(calls));
        block.push(ALLOW);
        // A block is far shorter than the 255 steps a jump can take.
        program.push(op(IF_EQUAL, calls.arch, 0, block.len() as u8));
        program.extend(block);
    }
    program.push(refuse(libc::ENOSYS));
    program
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel would do with the program.
    fn run(program: &[libc::sock_filter], arch: u32, number: u32, arguments: [u32; 6]) -> u32 {
        let (mut at, mut value) = (0, 0);
        loop {
            let op = program[at];
            at += 1;
            match op.code {
                LOAD => {
                    value = match op.k {
                        NUMBER => number,
                        ARCH => arch,
                        offset => arguments[((offset - ARGUMENTS) / 8) as usize],
                    };
                }
                AND => value &= op.k,
                IF_EQUAL => at += usize::from(if value == op.k { op.jt } else { op.jf }),
                IF_ANY => at += usize::from(if value & op.k != 0 { op.jt } else { op.jf }),
                RETURN => return op.k,
                other => panic!("{other:#x}"),
            }
        }
    }

    #[test]
    fn set_id_bits_and_attributes_are_refused_on_every_architecture() {
        let program = filter();
        let refused = |errno: i32| libc::SECCOMP_RET_ERRNO | errno.unsigned_abs();
        for calls in CALLS {
            for bit in [0, X32_BIT] {
                for &(call, argument) in calls.modes {
                    for (mode, expected) in [
                        (0o755, libc::SECCOMP_RET_ALLOW),
                        (0o4755, refused(libc::EPERM)),
                        (0o2755, refused(libc::EPERM)),
                        (0o1777, libc::SECCOMP_RET_ALLOW),
                    ] {
                        let mut arguments = [0o6000; 6];
                        arguments[argument as usize] = mode;
                        assert_eq!(run(&program, calls.arch, call | bit, arguments), expected);
                    }
                }
                for &call in calls.attributes {
                    let got = run(&program, calls.arch, call | bit, [0; 6]);
                    assert_eq!(got, refused(libc::ENOTSUP));
                }
                let other = run(&program, calls.arch, 1 | bit, [0o6000; 6]);
                assert_eq!(other, libc::SECCOMP_RET_ALLOW);
            }
        }
        assert_eq!(run(&program, 0x1234, 90, [0; 6]), refused(libc::ENOSYS));
    }

    #[test]
    fn root_over_ids_of_its_own_sets_them_and_leaves_the_kernel_alone() {
        let program = filter_range();
        let refused = |errno: i32| libc::SECCOMP_RET_ERRNO | errno.unsigned_abs();
        for calls in CALLS {
            for bit in [0, X32_BIT] {
                for &call in calls.kernel {
                    let got = run(&program, calls.arch, call | bit, [0; 6]);
                    assert_eq!(got, refused(libc::EPERM), "{call}");
                }
                let modes = calls.modes.iter().map(|(call, _)| call);
                for call in modes.chain(calls.attributes).chain(&[1]) {
                    let got = run(&program, calls.arch, call | bit, [0o6000; 6]);
                    assert_eq!(got, libc::SECCOMP_RET_ALLOW, "{call}");
                }
            }
        }
        assert_eq!(run(&program, 0x1234, 90, [0; 6]), refused(libc::ENOSYS));
    }

    /// The numbers are those of the C library's headers.
    #[test]
    fn the_numbers_are_those_of_the_system() {
        let named = [
            libc::SYS_add_key,
            libc::SYS_request_key,
            libc::SYS_keyctl,
            libc::SYS_bpf,
            libc::SYS_perf_event_open,
            libc::SYS_userfaultfd,
            libc::SYS_open_by_handle_at,
            libc::SYS_init_module,
            libc::SYS_finit_module,
            libc::SYS_delete_module,
            libc::SYS_kexec_load,
        ];
        for number in named {
            assert!(CALLS[0].kernel.iter().any(|call| i64::from(*call) == number), "{number}");
        }
    }
}
