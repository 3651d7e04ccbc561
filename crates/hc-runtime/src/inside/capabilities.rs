//! Capabilities by name.

use crate::error::{Problem, Res};
use hc_spec::machine::Isolation;

/// In the order of their numbers, capabilities(7).
const NAMES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// What a machine's root keeps when nothing else is said.
const DEFAULT: [&str; 11] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "NET_BIND_SERVICE",
    "SYS_CHROOT",
    "AUDIT_WRITE",
];

/// Highest number a kernel may know.
pub(crate) const LAST: u32 = 63;

/// The bit of a capability, whose name may begin with `CAP_`.
pub(crate) fn bit(name: &str) -> Option<u64> {
    let name = name.strip_prefix("CAP_").unwrap_or(name);
    NAMES.iter().position(|known| *known == name).map(|number| 1 << number)
}

/// The set a machine's root has.
pub(crate) fn set(isolation: &Isolation) -> Res<u64> {
    let bits = |names: &[String], option: &str| {
        names.iter().try_fold(0, |set, name| {
            bit(name).map(|bit| set | bit).ok_or_else(|| {
                Problem::plain(format!(
                    "isolation.{option}: '{name}' is no capability; capabilities(7) lists them"
                ))
            })
        })
    };
    let default = DEFAULT.iter().filter_map(|name| bit(name)).fold(0, |set, bit| set | bit);
    let added = bits(&isolation.add_capabilities, "addCapabilities")?;
    let dropped = bits(&isolation.drop_capabilities, "dropCapabilities")?;
    Ok((default | added) & !dropped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_default_plus_added_minus_dropped() {
        let mut isolation = Isolation::default();
        assert_eq!(format!("{:x}", set(&isolation).unwrap()), "200405fb");
        isolation.add_capabilities = vec!["CAP_NET_ADMIN".into()];
        isolation.drop_capabilities = vec!["AUDIT_WRITE".into(), "CHOWN".into()];
        assert_eq!(format!("{:x}", set(&isolation).unwrap()), "415fa");
        isolation.add_capabilities = vec!["EVERYTHING".into()];
        let message = set(&isolation).unwrap_err().to_string();
        assert!(message.contains("addCapabilities: 'EVERYTHING' is no capability"), "{message}");
        assert_eq!(bit("CHECKPOINT_RESTORE"), Some(1 << 40));
    }
}
