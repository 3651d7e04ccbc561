//! Giving up what reading an archive does not need, before its first byte is read.
//!
//! The build sandbox gives namespaces of their own: no network, no file but the inputs. On top of that
//! the builder gives up, for good: writing anywhere but to its output and work directory (Landlock,
//! where the kernel has it), all system calls that have nothing to do with files and memory (seccomp),
//! and more memory, files and output than such a build takes (resource limits).

use crate::archive::Limits;
use crate::error::{Error, Result};
use rustix::process::{Resource, Rlimit, setrlimit};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};
use std::collections::BTreeMap;
use std::path::Path;

/// What names, attributes and decoders take; contents are never in memory.
const MEMORY: u64 = 4 << 30;
/// The image's own tables, and what a limit on its size leaves out.
const SLACK: u64 = 4 << 30;

/// Confines this process and all its threads to come to reading `read` and writing below `write`.
///
/// # Errors
/// When the system refuses; nothing is read then.
pub(crate) fn this_process(read: &[&Path], write: &[&Path], limits: &Limits) -> Result<()> {
    let failed = |what: &str, why: String| Error::Confine { what: what.into(), why };
    for (resource, most) in [
        (Resource::As, MEMORY),
        (Resource::Data, MEMORY),
        (Resource::Fsize, limits.bytes.saturating_add(SLACK)),
        (Resource::Nofile, 256),
        (Resource::Core, 0),
    ] {
        let now = rustix::process::getrlimit(resource);
        let most = now.maximum.map_or(most, |now| now.min(most));
        setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })
            .map_err(|e| failed("set resource limits", e.to_string()))?;
    }
    files(read, write).map_err(|e| failed("restrict access to files", e.to_string()))?;
    let filter = filter().map_err(|e| failed("restrict system calls", e.to_string()))?;
    seccompiler::apply_filter_all_threads(&filter)
        .map_err(|e| failed("restrict system calls", e.to_string()))
}

/// As much as this kernel knows to refuse.
fn files(read: &[&Path], write: &[&Path]) -> std::result::Result<(), landlock::RulesetError> {
    use landlock::{
        ABI, Access, AccessFs, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetCreatedAttr,
        path_beneath_rules,
    };
    let abi = ABI::V3;
    Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(abi))?
        .create()?
        .add_rules(path_beneath_rules(read, AccessFs::ReadFile | AccessFs::ReadDir))?
        .add_rules(path_beneath_rules(write, AccessFs::from_all(abi) & !AccessFs::Execute))?
        .restrict_self()
        .map(drop)
}

/// Files, memory, and coming to an end. Everything else is refused as not permitted: threads,
/// programs, sockets, mounts, changes of owner.
fn filter() -> std::result::Result<BpfProgram, seccompiler::BackendError> {
    const ALLOWED: &[i64] = &[
        libc::SYS_read,
        libc::SYS_readv,
        libc::SYS_pread64,
        libc::SYS_write,
        libc::SYS_writev,
        libc::SYS_pwrite64,
        libc::SYS_lseek,
        libc::SYS_openat,
        libc::SYS_openat2,
        libc::SYS_close,
        libc::SYS_fstat,
        libc::SYS_newfstatat,
        libc::SYS_statx,
        libc::SYS_fcntl,
        libc::SYS_fsync,
        libc::SYS_fdatasync,
        libc::SYS_ftruncate,
        libc::SYS_fallocate,
        libc::SYS_copy_file_range,
        libc::SYS_getdents64,
        libc::SYS_readlinkat,
        libc::SYS_mkdirat,
        libc::SYS_unlinkat,
        libc::SYS_mmap,
        libc::SYS_munmap,
        libc::SYS_mremap,
        libc::SYS_mprotect,
        libc::SYS_madvise,
        libc::SYS_brk,
        libc::SYS_futex,
        libc::SYS_sched_yield,
        libc::SYS_sched_getaffinity,
        libc::SYS_getrandom,
        libc::SYS_clock_gettime,
        libc::SYS_getpid,
        libc::SYS_gettid,
        libc::SYS_tgkill,
        libc::SYS_rt_sigaction,
        libc::SYS_rt_sigprocmask,
        libc::SYS_rt_sigreturn,
        libc::SYS_sigaltstack,
        libc::SYS_restart_syscall,
        libc::SYS_exit,
        libc::SYS_exit_group,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_open,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_stat,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_lstat,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_mkdir,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_unlink,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_readlink,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_poll,
    ];
    let rules: BTreeMap<i64, Vec<seccompiler::SeccompRule>> =
        ALLOWED.iter().map(|call| (*call, Vec::new())).collect();
    let arch = std::env::consts::ARCH.try_into()?;
    let refused = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    SeccompFilter::new(rules, refused, SeccompAction::Allow, arch)?.try_into()
}
