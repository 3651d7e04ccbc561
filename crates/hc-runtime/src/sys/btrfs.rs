//! Subvolumes of btrfs (btrfs-ioctl(2), `linux/btrfs.h`).

use super::check;
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

const SUBVOL_CREATE: libc::Ioctl = 0x5000_940e;
const SNAP_CREATE: libc::Ioctl = 0x5000_9401;
const SNAP_DESTROY: libc::Ioctl = 0x5000_940f;
const MAGIC: u64 = 0x9123_683e;
/// Number of the directory that a subvolume begins with.
const ROOT_INODE: u64 = 256;

/// `struct btrfs_ioctl_vol_args`.
#[repr(C)]
struct Arguments {
    fd: i64,
    name: [u8; 4088],
}

fn call(number: libc::Ioctl, dir: BorrowedFd<'_>, name: &OsStr, fd: i64) -> io::Result<()> {
    let bytes = name.as_bytes();
    let mut arguments = Arguments { fd, name: [0; 4088] };
    if bytes.is_empty() || bytes.len() > 255 || bytes.contains(&b'/') {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    arguments.name[..bytes.len()].copy_from_slice(bytes);
    // SAFETY: the structure is what these three calls read, and its name ends with a zero.
    check(unsafe { libc::ioctl(dir.as_raw_fd(), number, &raw const arguments) }.into()).map(drop)
}

/// Makes an empty subvolume.
pub fn create(dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    call(SUBVOL_CREATE, dir, name, 0)
}

/// Makes a writable snapshot of a subvolume, in whole: it is there, or it is not.
pub fn snapshot(of: BorrowedFd<'_>, dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    call(SNAP_CREATE, dir, name, of.as_raw_fd().into())
}

/// Removes a subvolume and everything in it, but no other subvolume; its blocks are freed later.
pub fn destroy(dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    call(SNAP_DESTROY, dir, name, 0)
}

/// Whether the path is a subvolume's own directory.
pub fn is_subvolume(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    path.symlink_metadata().is_ok_and(|m| m.is_dir() && m.ino() == ROOT_INODE) && is_btrfs(path)
}

/// Whether the path is on btrfs.
pub fn is_btrfs(path: &Path) -> bool {
    rustix::fs::statfs(path).is_ok_and(|found| u64::try_from(found.f_type) == Ok(MAGIC))
}
