//! Devices of the host, each a node of its own: what may be done with it is the node's mode, which
//! nobody in the machine can change because its owner is nobody there.

use crate::error::{Doing, Problem, Res};
use crate::sys::mount;
use hc_spec::storage::{Access, Device};
use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, OFlags, Uid};
use rustix::mount::MountAttrFlags as Attr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// The node as a mount. It is made in the machine's directory `own` in the run directory.
pub(super) fn mount(at: &Path, device: &Device, base: Option<u32>, own: &Path) -> Res<OwnedFd> {
    let shown = at.display();
    let stat = rustix::fs::stat(at).doing_with(|| format!("find the device {shown}"))?;
    let kind = FileType::from_raw_mode(stat.st_mode);
    if !matches!(kind, FileType::CharacterDevice | FileType::BlockDevice) {
        return Err(Problem::plain(format!("devices: {shown} is no device")));
    }
    if is_memory(kind, stat.st_rdev) {
        return Err(Problem::plain(format!(
            "devices: {shown} is the host's memory or its ports: it would give the host away"
        )));
    }
    if kind == FileType::BlockDevice && is_used(at) {
        return Err(Problem::plain(format!(
            "devices: {shown} is in use by the host (mounted, swap, part of something): it would \
             give the host away"
        )));
    }
    if base.is_none() && (device.access != Access::ReadWrite || device.group.is_some()) {
        return Err(Problem::plain(format!(
            "devices: {shown}: access and group cannot be kept from a machine without a user \
             namespace, whose root is the host's"
        )));
    }
    let dir = own.join("devices");
    hc_fs::plain::create_dir(&dir, 0o700)?;
    let name: String = at.to_string_lossy().replace(['/', '\\'], "-");
    let node = dir.join(name);
    let action = || format!("show {shown}");
    hc_fs::plain::remove_file(&node)?;
    let bits = mode(device);
    rustix::fs::mknodat(CWD, &node, kind, Mode::from_raw_mode(0), stat.st_rdev)
        .doing_with(action)?;
    let group = device.group.map(|group| Gid::from_raw(base.unwrap_or(0) + group));
    rustix::fs::chownat(CWD, &node, Some(Uid::ROOT), group, AtFlags::SYMLINK_NOFOLLOW)
        .doing_with(action)?;
    rustix::fs::chmod(&node, Mode::from_raw_mode(bits)).doing_with(action)?;
    let copied = mount::copy(CWD, &node).doing_with(action)?;
    // Run directories are mounted without devices on most hosts.
    let on = Attr::MOUNT_ATTR_NOSUID | Attr::MOUNT_ATTR_NOEXEC;
    mount::change(copied.as_fd(), on, Attr::MOUNT_ATTR_NODEV).doing_with(action)?;
    Ok(copied)
}

/// For the group, or for everybody.
fn mode(device: &Device) -> u32 {
    let one = match device.access {
        Access::Read => 0o4,
        Access::Write => 0o2,
        Access::ReadWrite => 0o6,
    };
    if device.group.is_some() { one << 3 } else { one << 6 | one << 3 | one }
}

/// `/dev/mem`, `/dev/kmem`, `/dev/port` and `/dev/kmsg`.
fn is_memory(kind: FileType, number: u64) -> bool {
    kind == FileType::CharacterDevice
        && rustix::fs::major(number) == 1
        && [1, 2, 4, 11].contains(&rustix::fs::minor(number))
}

/// Whether the host has mounted a block device or something on it, swaps to it, or uses it otherwise.
fn is_used(at: &Path) -> bool {
    let flags = OFlags::RDONLY | OFlags::EXCL | OFlags::CLOEXEC;
    rustix::fs::open(at, flags, Mode::empty()).is_err_and(|e| e == rustix::io::Errno::BUSY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_say_what_may_be_done() {
        let device = |text: &str| serde_json::from_str::<Device>(text).unwrap();
        for (text, expected) in [
            ("{}", 0o666),
            (r#"{"access": "r"}"#, 0o444),
            (r#"{"access": "w"}"#, 0o222),
            (r#"{"group": 44}"#, 0o060),
            (r#"{"access": "r", "group": 44}"#, 0o040),
        ] {
            assert_eq!(mode(&device(text)), expected, "{text}");
        }
    }
}
