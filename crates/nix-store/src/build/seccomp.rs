//! What a builder must not do to files it makes: set-id bits and extended attributes.

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};
use std::collections::BTreeMap;

type Failure = Box<dyn std::error::Error + Send + Sync>;

// Newer than the C library's list.
const SYS_SETXATTRAT: i64 = 463;

/// The two programs: no set-id bits (as if not permitted), no extended attributes (as if the file
/// system had none).
pub(super) fn filters() -> Result<Vec<Vec<libc::sock_filter>>, Failure> {
    let mut modes = BTreeMap::new();
    #[cfg(target_arch = "x86_64")]
    modes.insert(libc::SYS_chmod, set_id(1)?);
    modes.insert(libc::SYS_fchmod, set_id(1)?);
    modes.insert(libc::SYS_fchmodat, set_id(2)?);
    modes.insert(libc::SYS_fchmodat2, set_id(2)?);
    let attributes = [libc::SYS_setxattr, libc::SYS_lsetxattr, libc::SYS_fsetxattr, SYS_SETXATTRAT];
    let attributes = attributes.into_iter().map(|call| (call, Vec::new())).collect();
    Ok(vec![compile(modes, libc::EPERM)?, compile(attributes, libc::ENOTSUP)?])
}

/// Either bit in the argument of this number.
fn set_id(argument: u8) -> Result<Vec<SeccompRule>, Failure> {
    let rule = |bit: u32| -> Result<SeccompRule, Failure> {
        let (bit, width) = (u64::from(bit), SeccompCmpArgLen::Dword);
        let set = SeccompCondition::new(argument, width, SeccompCmpOp::MaskedEq(bit), bit)?;
        Ok(SeccompRule::new(vec![set])?)
    };
    Ok(vec![rule(libc::S_ISUID)?, rule(libc::S_ISGID)?])
}

fn compile(
    rules: BTreeMap<i64, Vec<SeccompRule>>,
    errno: i32,
) -> Result<Vec<libc::sock_filter>, Failure> {
    let refuse = SeccompAction::Errno(errno.unsigned_abs());
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    let program: BpfProgram =
        SeccompFilter::new(rules, SeccompAction::Allow, refuse, arch)?.try_into()?;
    Ok(program
        .into_iter()
        .map(|i| libc::sock_filter { code: i.code, jt: i.jt, jf: i.jf, k: i.k })
        .collect())
}
