//! Giving up what reading an archive does not need, before its first byte is read.
//!
//! The build sandbox gives namespaces of their own: no network, no file but the inputs. On top of that
//! the builder gives up, for good: reading anything but its inputs and writing anywhere but to its
//! output and work directory (Landlock, where the kernel has it), all system calls that have nothing to
//! do with files, memory and threads (seccomp), and more memory, files and output than such a build
//! takes (resource limits).

mod child;
mod program;

pub(crate) use child::in_child;
pub(crate) use program::output;

use crate::error::{Error, Result};
use rustix::process::{Resource, Rlimit, setrlimit};
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule,
};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What names, attributes and decoders take; contents are never in memory.
const MEMORY: u64 = 4 << 30;
/// The image's own tables, and what a limit on its size leaves out.
const SLACK: u64 = 4 << 30;

/// What a confined process does besides reading and writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Calls {
    /// Nothing.
    Files,
    /// It makes files of every kind and gives them away, as unpacking to a directory takes.
    Owners,
}

/// Confines this process and all its threads to come to reading `read` and writing below `write`, no
/// file larger than `most` bytes and some tables.
///
/// # Errors
/// When the system refuses; nothing is read then.
pub(crate) fn this_process(read: &[PathBuf], write: &[&Path], most: u64) -> Result<()> {
    confine(read, write, most, Calls::Files)
}

fn confine(read: &[PathBuf], write: &[&Path], most: u64, calls: Calls) -> Result<()> {
    let failed = |what: &str, why: String| Error::Confine { what: what.into(), why };
    for (resource, limit) in limits(most) {
        setrlimit(resource, limit).map_err(|e| failed("set resource limits", e.to_string()))?;
    }
    files(read, &[], write).map_err(|e| failed("restrict access to files", e.to_string()))?;
    for filter in filters(calls).map_err(|e| failed("restrict system calls", e.to_string()))? {
        seccompiler::apply_filter_all_threads(&filter)
            .map_err(|e| failed("restrict system calls", e.to_string()))?;
    }
    Ok(())
}

/// None is raised.
fn limits(most: u64) -> [(Resource, Rlimit); 5] {
    [
        (Resource::As, MEMORY),
        (Resource::Data, MEMORY),
        (Resource::Fsize, most.saturating_add(SLACK)),
        (Resource::Nofile, 256),
        (Resource::Core, 0),
    ]
    .map(|(resource, most)| {
        let now = rustix::process::getrlimit(resource);
        let most = Some(now.maximum.map_or(most, |now| now.min(most)));
        (resource, Rlimit { current: most, maximum: most })
    })
}

/// As much as this kernel knows to refuse.
fn files(
    read: &[PathBuf],
    execute: &[&Path],
    write: &[&Path],
) -> std::result::Result<(), landlock::RulesetError> {
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
        .add_rules(path_beneath_rules(execute, AccessFs::from_read(abi)))?
        .add_rules(path_beneath_rules(write, AccessFs::from_all(abi) & !AccessFs::Execute))?
        .restrict_self()
        .map(drop)
}

/// Files, memory, threads, and coming to an end. Everything else is refused as not permitted:
/// processes, programs, sockets, mounts, and but for [`Calls::Owners`] changes of owner.
fn filters(calls: Calls) -> std::result::Result<[BpfProgram; 2], BackendError> {
    const OWNERS: &[i64] = &[
        libc::SYS_fchown,
        libc::SYS_fchownat,
        libc::SYS_fchmod,
        libc::SYS_fchmodat,
        libc::SYS_linkat,
        libc::SYS_mknodat,
        libc::SYS_symlinkat,
        libc::SYS_utimensat,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_chown,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_chmod,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_symlink,
    ];
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
        libc::SYS_set_robust_list,
        libc::SYS_rseq,
        // As far as the other filter lets it through.
        libc::SYS_clone3,
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
    let more = if calls == Calls::Owners { OWNERS } else { &[] };
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        ALLOWED.iter().chain(more).map(|call| (*call, Vec::new())).collect();
    let flag = u64::from(libc::CLONE_THREAD.unsigned_abs());
    let is_thread = SeccompCmpOp::MaskedEq(flag);
    let is_thread = SeccompCondition::new(0, SeccompCmpArgLen::Qword, is_thread, flag)?;
    rules.insert(libc::SYS_clone, vec![SeccompRule::new(vec![is_thread])?]);
    // clone3 has its flags in memory, where a filter can't look. Where it is not there at all, the C
    // library takes clone.
    let absent = [(libc::SYS_clone3, Vec::new())].into();
    let program = |rules, otherwise, action| {
        SeccompFilter::new(rules, otherwise, action, std::env::consts::ARCH.try_into()?)?.try_into()
    };
    let errno = |errno: i32| SeccompAction::Errno(errno.unsigned_abs());
    Ok([
        program(absent, SeccompAction::Allow, errno(libc::ENOSYS))?,
        program(rules, errno(libc::EPERM), SeccompAction::Allow)?,
    ])
}

#[cfg(test)]
mod tests;
