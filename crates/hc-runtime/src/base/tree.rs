//! The copy of an image's root file system into a subvolume, that snapshots are taken of.

use super::copy;
use rustix::fs::{
    AtFlags, Dir, FileType, Gid, Mode, OFlags, RawMode, Stat, Timespec, Timestamps, Uid, XattrFlags,
};
use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// Copies everything below `from` into `to`, an empty directory: owners, modes, times, extended
/// attributes, hard links, devices and holes are kept. `watch` is told of the bytes of each file.
///
/// # Errors
/// What the system refused, with the name it was about.
pub(super) fn copy(from: OwnedFd, to: OwnedFd, watch: &mut dyn FnMut(u64)) -> io::Result<()> {
    let buffers = [vec![0; XATTR_MAX], vec![0; XATTR_MAX]];
    let mut copier = Copier { top: to.try_clone()?, first: HashMap::new(), watch, buffers };
    copier.directory(&from, &to, &mut Vec::new())
}

struct Copier<'a> {
    top: OwnedFd,
    /// The first name of each file with several.
    first: HashMap<u64, CString>,
    watch: &'a mut dyn FnMut(u64),
    /// For names and values of extended attributes.
    buffers: [Vec<u8>; 2],
}

/// XATTR_SIZE_MAX and XATTR_LIST_MAX of `linux/limits.h`.
const XATTR_MAX: usize = 65_536;
const OPEN: OFlags = OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

impl Copier<'_> {
    fn directory(&mut self, from: &OwnedFd, to: &OwnedFd, at: &mut Vec<u8>) -> io::Result<()> {
        for entry in Dir::read_from(from)? {
            let entry = entry?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let length = at.len();
            if length > 0 {
                at.push(b'/');
            }
            at.extend(name.to_bytes());
            self.entry(from, to, name, at).map_err(|error| named(error, at))?;
            at.truncate(length);
        }
        Ok(())
    }

    fn entry(
        &mut self,
        from: &OwnedFd,
        to: &OwnedFd,
        name: &CStr,
        at: &mut Vec<u8>,
    ) -> io::Result<()> {
        let stat = rustix::fs::statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind != FileType::Directory && stat.st_nlink > 1 {
            if let Some(first) = self.first.get(&stat.st_ino) {
                return Ok(rustix::fs::linkat(&self.top, first, to, name, AtFlags::empty())?);
            }
            self.first.insert(stat.st_ino, CString::new(at.clone())?);
        }
        match kind {
            FileType::Directory => {
                rustix::fs::mkdirat(to, name, Mode::RWXU)?;
                let inner =
                    rustix::fs::openat(from, name, OPEN | OFlags::DIRECTORY, Mode::empty())?;
                let copy = rustix::fs::openat(to, name, OPEN | OFlags::DIRECTORY, Mode::empty())?;
                self.directory(&inner, &copy, at)?;
            }
            FileType::RegularFile => {
                let source = rustix::fs::openat(from, name, OPEN, Mode::empty())?;
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
                let target = rustix::fs::openat(to, name, flags, Mode::RUSR | Mode::WUSR)?;
                copy::data(&File::from(source), &File::from(target), &mut *self.watch)?;
            }
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(from, name, Vec::new())?;
                rustix::fs::symlinkat(target, to, name)?;
            }
            other => rustix::fs::mknodat(to, name, other, Mode::RUSR, stat.st_rdev)?,
        }
        attributes(from, to, name, &stat, &mut self.buffers)
    }
}

/// In this order: a change of owner takes setuid bits and capabilities away.
fn attributes(
    from: &OwnedFd,
    to: &OwnedFd,
    name: &CStr,
    stat: &Stat,
    buffers: &mut [Vec<u8>; 2],
) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    rustix::fs::chownat(to, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
        let mode = Mode::from_raw_mode(RawMode::from(stat.st_mode & 0o7777));
        rustix::fs::chmodat(to, name, mode, AtFlags::empty())?;
    }
    extended(from.as_fd(), to.as_fd(), name, buffers)?;
    let time = |sec: i64, nsec: u64| Timespec { tv_sec: sec, tv_nsec: nsec.cast_signed() };
    let times = Timestamps {
        last_access: time(stat.st_atime, stat.st_atime_nsec),
        last_modification: time(stat.st_mtime, stat.st_mtime_nsec),
    };
    Ok(rustix::fs::utimensat(to, name, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}

fn extended(
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    name: &CStr,
    buffers: &mut [Vec<u8>; 2],
) -> io::Result<()> {
    // There is no call that takes a directory and a name before Linux 6.13.
    let path = |fd: BorrowedFd<'_>| {
        let mut path = format!("/proc/thread-self/fd/{}/", fd.as_raw_fd()).into_bytes();
        path.extend(name.to_bytes());
        CString::new(path)
    };
    let (from, to) = (path(from)?, path(to)?);
    let [list, value] = buffers;
    let size = rustix::fs::llistxattr(&from, &mut list[..])?;
    for key in list[..size].split_inclusive(|byte| *byte == 0) {
        let key = CStr::from_bytes_with_nul(key).map_err(io::Error::other)?;
        let size = rustix::fs::lgetxattr(&from, key, &mut value[..])?;
        rustix::fs::lsetxattr(&to, key, &value[..size], XattrFlags::empty())?;
    }
    Ok(())
}

fn named(error: io::Error, at: &[u8]) -> io::Error {
    // Once, with the whole name: it is known where it happened.
    match (error.raw_os_error(), error.get_ref()) {
        (Some(number), _) if ![libc::ENOSPC, libc::EDQUOT].contains(&number) => {
            io::Error::new(error.kind(), format!("{}: {error}", String::from_utf8_lossy(at)))
        }
        _ => error,
    }
}
