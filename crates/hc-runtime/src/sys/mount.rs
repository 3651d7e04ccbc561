//! Mounts by descriptor: nothing here is visible to anybody until it is attached.

use super::check;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create,
    fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, move_mount, open_tree,
};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// Makes a file system; an option without a value is a flag.
pub fn make(
    kind: &str,
    options: &[(&str, Option<&str>)],
    attributes: MountAttrFlags,
) -> io::Result<OwnedFd> {
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (key, value) in options {
        match value {
            Some(value) => fsconfig_set_string(context.as_fd(), *key, *value),
            None => fsconfig_set_flag(context.as_fd(), *key),
        }
        .map_err(|error| explain(&context, error))?;
    }
    finish(&context, attributes)
}

/// Creates the configured file system and a detached mount of it.
pub fn finish(context: &OwnedFd, attributes: MountAttrFlags) -> io::Result<OwnedFd> {
    fsconfig_create(context.as_fd()).map_err(|error| explain(context, error))?;
    Ok(fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)?)
}

/// The kernel tells more through the context than through the error number.
pub fn explain(context: &OwnedFd, error: rustix::io::Errno) -> io::Error {
    let mut text = [0; 512];
    let mut said = Vec::new();
    while let Ok(length) = rustix::io::read(context, &mut text) {
        let line = String::from_utf8_lossy(&text[..length]);
        said.push(line.trim_end().get(2..).unwrap_or_default().to_owned());
        if length == 0 {
            break;
        }
    }
    let error = io::Error::from(error);
    if said.is_empty() {
        return error;
    }
    io::Error::new(error.kind(), format!("{error} ({})", said.join("; ")))
}

/// A detached copy of the mount at `path`: of that directory or file only.
pub fn copy(at: BorrowedFd<'_>, path: &Path) -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let flags = if path.as_os_str().is_empty() {
        flags | OpenTreeFlags::AT_EMPTY_PATH
    } else {
        flags | OpenTreeFlags::AT_SYMLINK_NOFOLLOW
    };
    Ok(open_tree(at, path, flags)?)
}

/// Attaches a detached mount to what `target` has open.
pub fn attach(mount: BorrowedFd<'_>, target: BorrowedFd<'_>) -> io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    Ok(move_mount(mount, "", target, "", flags)?)
}

/// Attaches a detached mount to an absolute path.
pub fn attach_at(mount: BorrowedFd<'_>, target: &Path) -> io::Result<()> {
    Ok(move_mount(mount, "", CWD, target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?)
}

/// Opens what a mount is to be attached to, below `root` and through no symlink; `kind` is
/// [`OFlags::DIRECTORY`] or nothing.
pub fn target(root: BorrowedFd<'_>, path: &Path, kind: OFlags) -> io::Result<OwnedFd> {
    let flags = kind | OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    Ok(rustix::fs::openat2(root, path, flags, Mode::empty(), resolve)?)
}

#[repr(C)]
struct MountAttr {
    set: u64,
    clear: u64,
    propagation: u64,
    userns: u64,
}

fn mount_setattr(mount: BorrowedFd<'_>, attr: &MountAttr) -> io::Result<()> {
    // SAFETY: the structure is what mount_setattr(2) reads, and its size is given.
    check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            std::ptr::from_ref(attr),
            size_of::<MountAttr>(),
        )
    })
    .map(drop)
}

/// Turns attributes of one mount on.
pub fn restrict(mount: BorrowedFd<'_>, attributes: MountAttrFlags) -> io::Result<()> {
    change(mount, attributes, MountAttrFlags::empty())
}

/// Turns attributes of one mount on, and others off.
pub fn change(mount: BorrowedFd<'_>, on: MountAttrFlags, off: MountAttrFlags) -> io::Result<()> {
    let (set, clear) = (u64::from(on.bits()), u64::from(off.bits()));
    mount_setattr(mount, &MountAttr { set, clear, propagation: 0, userns: 0 })
}

/// Shows a detached mount with the ids of a user namespace.
pub fn map_ids(mount: BorrowedFd<'_>, userns: BorrowedFd<'_>) -> io::Result<()> {
    let userns = u64::try_from(userns.as_raw_fd()).unwrap_or(u64::MAX);
    let set = libc::MOUNT_ATTR_IDMAP;
    mount_setattr(mount, &MountAttr { set, clear: 0, propagation: 0, userns })
}
