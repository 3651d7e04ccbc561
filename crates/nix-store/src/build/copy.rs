//! Copies of trees that somebody may still be changing.
//!
//! A builder with network can hand an open file to another process that outlives it, by a socket
//! of the network namespace they share (CVE-2024-27297). So what it made is copied to files nobody
//! has open, outside of the builder's tree (CVE-2026-39860), and every step is relative to an open
//! directory and follows no link: the tree may change under our hands, and whatever is copied then
//! is hashed afterwards.

use crate::error::{Result, io};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;
use std::ffi::{CStr, CString};
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// How deep directories may lie in each other: each level costs two descriptors.
const DEEPEST: usize = 2000;

/// Copies the tree or file `from` to `to`, which must not be there.
pub(super) fn copy(from: &Path, to: &Path) -> Result<()> {
    let open = |path: &Path| {
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::open(path, flags, Mode::empty())
    };
    let name = |path: &Path| {
        CString::new(path.file_name().unwrap_or_default().as_bytes()).map_err(|_| Errno::INVAL)
    };
    let parent = |path: &Path| open(path.parent().unwrap_or(path));
    let copied = || {
        let (source, target) = (parent(from)?, parent(to)?);
        entry(source.as_fd(), &name(from)?, target.as_fd(), &name(to)?, 0)
    };
    copied().map_err(|errno| {
        let reason = match errno {
            Errno::OPNOTSUPP => std::io::Error::other("it is no file, directory or symlink"),
            Errno::LOOP => std::io::Error::other("it changes while it is read, or is too deep"),
            errno => errno.into(),
        };
        io("copy", from, reason)
    })
}

fn entry(
    from: BorrowedFd<'_>,
    name: &CStr,
    to: BorrowedFd<'_>,
    new: &CStr,
    depth: usize,
) -> std::result::Result<(), Errno> {
    let stat = rustix::fs::statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let reading = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => {
            if depth == DEEPEST {
                return Err(Errno::LOOP);
            }
            let source =
                rustix::fs::openat(from, name, reading | OFlags::DIRECTORY, Mode::empty())?;
            rustix::fs::mkdirat(to, new, Mode::from_raw_mode(0o700))?;
            let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let target = rustix::fs::openat(to, new, flags, Mode::empty())?;
            for name in names(&source)? {
                entry(source.as_fd(), &name, target.as_fd(), &name, depth + 1)?;
            }
            Ok(())
        }
        FileType::Symlink => {
            let target = rustix::fs::readlinkat(from, name, Vec::new())?;
            rustix::fs::symlinkat(&target, to, new)
        }
        FileType::RegularFile => {
            let source = rustix::fs::openat(from, name, reading, Mode::empty())?;
            // What was opened, not what was looked at.
            let stat = rustix::fs::fstat(&source)?;
            if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
                return Err(Errno::LOOP);
            }
            let mode = Mode::from_raw_mode(if stat.st_mode & 0o100 == 0 { 0o644 } else { 0o755 });
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
            let target = rustix::fs::openat(to, new, flags, mode)?;
            if rustix::fs::ioctl_ficlone(&target, &source).is_ok() {
                return Ok(());
            }
            std::io::copy(&mut File::from(source), &mut File::from(target))
                .map(drop)
                .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
        }
        _ => Err(Errno::OPNOTSUPP),
    }
}

fn names(directory: &OwnedFd) -> std::result::Result<Vec<CString>, Errno> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods)]
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn a_tree_is_copied_and_no_link_is_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        std::fs::create_dir_all(from.join("sub")).unwrap();
        std::fs::write(from.join("sub/run"), "text").unwrap();
        let mode = std::fs::Permissions::from_mode(0o4755);
        std::fs::set_permissions(from.join("sub/run"), mode).unwrap();
        symlink("/etc/passwd", from.join("link")).unwrap();
        copy(&from, &to).unwrap();
        assert_eq!(std::fs::read_link(to.join("link")).unwrap(), Path::new("/etc/passwd"));
        assert_eq!(std::fs::read_to_string(to.join("sub/run")).unwrap(), "text");
        let mode = to.join("sub/run").metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o755);
        // A place that somebody took, whatever points there, is not written to.
        let (taken, victim) = (dir.path().join("taken"), dir.path().join("victim"));
        std::fs::write(&victim, "safe").unwrap();
        symlink(&victim, &taken).unwrap();
        assert!(copy(&from.join("sub/run"), &taken).is_err());
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "safe");
        let pipe = from.join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, FileType::Fifo, Mode::RWXU, 0).unwrap();
        let error = copy(&from, &dir.path().join("again")).unwrap_err().to_string();
        assert!(error.contains("no file, directory or symlink"), "{error}");
    }
}
