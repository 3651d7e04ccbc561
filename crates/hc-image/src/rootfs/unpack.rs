//! Unpacking a package's files below a directory, and nowhere else.

use crate::deb::Deb;
use crate::error::Result;
use rustix::fs::{AtFlags, Dev, Gid, Mode, OFlags, ResolveFlags, Timespec, Timestamps, Uid};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};
use tar::EntryType;

/// Who owns a file and what may be done with it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Owner {
    pub uid: u32,
    pub gid: u32,
    pub mode: u32,
}

/// Unpacks a package below `root`. Symlinks met on the way lead to where they would inside
/// `root`, as after a `chroot`; a path with `..` is refused.
pub(super) fn unpack(deb: &Deb, root: &Path) -> Result<()> {
    let root = open_root(root).map_err(|why| deb.refuse(why))?;
    let wrong = |e: std::io::Error| deb.refuse(format!("its files are damaged: {e}"));
    let mut archive = tar::Archive::new(deb.data()?);
    for entry in archive.entries().map_err(wrong)? {
        let mut entry = entry.map_err(wrong)?;
        let name = entry.path_bytes().into_owned();
        if super::slim::leaves_out(&name) && !entry.header().entry_type().is_dir() {
            continue;
        }
        put(&root, &mut entry, &name)
            .map_err(|why| deb.refuse(format!("{}: {why}", String::from_utf8_lossy(&name))))?;
    }
    Ok(())
}

/// Writes one file at `path` below `root`, making its directories.
pub(super) fn write_in(
    root: &Path,
    path: &Path,
    contents: &mut dyn Read,
    owner: Owner,
) -> Result<(), String> {
    let root = open_root(root)?;
    let parts = parts(path.as_os_str().as_bytes())?;
    let Some((name, above)) = parts.split_last() else { return Err("it has no name".into()) };
    let parent = directory(root.as_fd(), above)?;
    file(parent.as_fd(), name, contents, owner).map(drop)
}

/// Makes a directory at `path` below `root`, and says whether it was not there before; one that was
/// stays as it is.
pub(super) fn directory_at(root: &Path, path: &Path, owner: Owner) -> Result<bool, String> {
    let root = open_root(root)?;
    let parts = parts(path.as_os_str().as_bytes())?;
    match open_in(root.as_fd(), &Path::new(".").join(path)) {
        Ok(_) => return Ok(false),
        Err(Errno::NOENT) => {}
        Err(e) => return Err(format!("the directory {}: {e}", path.display())),
    }
    let made = directory(root.as_fd(), &parts)?;
    own(made.as_fd(), owner).map_err(|e| owning(e, owner))?;
    Ok(true)
}

fn open_root(root: &Path) -> Result<OwnedFd, String> {
    rustix::fs::open(root, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|e| format!("cannot open {}: {e}", root.display()))
}

fn put<R: Read>(root: &OwnedFd, entry: &mut tar::Entry<'_, R>, path: &[u8]) -> Result<(), String> {
    let header = entry.header();
    let number = |value: std::io::Result<u64>| {
        value.ok().and_then(|v| u32::try_from(v).ok()).ok_or("its owner is not a number")
    };
    let mode = header.mode().map_err(|e| e.to_string())? & 0o7777;
    let owner = Owner { uid: number(header.uid())?, gid: number(header.gid())?, mode };
    let mtime = header.mtime().ok().and_then(|t| i64::try_from(t).ok()).unwrap_or(0);
    let device = (header.device_major(), header.device_minor());
    let kind = header.entry_type();
    let parts = parts(path)?;
    let Some((name, above)) = parts.split_last() else {
        return if kind.is_dir() { Ok(()) } else { Err("it has no name".into()) };
    };
    let parent = directory(root.as_fd(), above)?;
    let parent = parent.as_fd();
    match kind {
        EntryType::Directory => {
            let made = make_directory(parent, name)?;
            own(made.as_fd(), owner).map_err(|e| owning(e, owner))?;
            return set_time(made.as_fd(), mtime);
        }
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
            let made = file(parent, name, entry, owner)?;
            return set_time(made.as_fd(), mtime);
        }
        EntryType::Link => {
            let target = entry.link_name_bytes().ok_or("a hard link to nothing")?;
            let target = self::parts(&target)?;
            let Some((old, above)) = target.split_last() else {
                return Err("a hard link to a directory".into());
            };
            let from = directory(root.as_fd(), above)?;
            clear(parent, name)?;
            return rustix::fs::linkat(from, old, parent, name, AtFlags::empty())
                .map_err(|e| format!("cannot link it to {}: {e}", old.display()));
        }
        EntryType::Symlink => {
            let target = entry.link_name_bytes().ok_or("a symlink to nothing")?;
            clear(parent, name)?;
            rustix::fs::symlinkat(OsStr::from_bytes(&target), parent, name)
                .map_err(|e| format!("cannot make the symlink: {e}"))?;
        }
        EntryType::Fifo | EntryType::Char | EntryType::Block => {
            let device = match device {
                (Ok(major), Ok(minor)) => {
                    rustix::fs::makedev(major.unwrap_or(0), minor.unwrap_or(0))
                }
                _ => Dev::default(),
            };
            let kind = match kind {
                EntryType::Fifo => rustix::fs::FileType::Fifo,
                EntryType::Char => rustix::fs::FileType::CharacterDevice,
                _ => rustix::fs::FileType::BlockDevice,
            };
            clear(parent, name)?;
            rustix::fs::mknodat(parent, name, kind, Mode::from_raw_mode(mode), device)
                .map_err(|e| format!("cannot make the special file: {e}"))?;
        }
        // Headers that are about the archive or about the next entry.
        EntryType::XGlobalHeader | EntryType::XHeader => return Ok(()),
        other => return Err(format!("an entry of the unknown kind {:?}", other.as_byte() as char)),
    }
    let (uid, gid) = (Uid::from_raw(owner.uid), Gid::from_raw(owner.gid));
    rustix::fs::chownat(parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
        .map_err(|e| format!("cannot set its owner: {e}"))?;
    if kind != EntryType::Symlink {
        rustix::fs::chmodat(parent, name, Mode::from_raw_mode(mode), AtFlags::empty())
            .map_err(|e| format!("cannot set its mode: {e}"))?;
    }
    rustix::fs::utimensat(parent, name, &times(mtime), AtFlags::SYMLINK_NOFOLLOW)
        .map_err(|e| format!("cannot set its time: {e}"))
}

/// The names of a path, none of them `..`.
fn parts(path: &[u8]) -> Result<Vec<OsString>, String> {
    if path.contains(&0) {
        return Err("its path has a NUL in it".into());
    }
    let mut parts = Vec::new();
    for part in Path::new(OsStr::from_bytes(path)).components() {
        match part {
            Component::Normal(name) => parts.push(name.to_owned()),
            Component::CurDir => {}
            Component::ParentDir => return Err("its path leads out by `..`".into()),
            Component::RootDir | Component::Prefix(_) => {
                return Err("its path is absolute".into());
            }
        }
    }
    Ok(parts)
}

/// Opens a directory below the root, making what is missing.
fn directory(root: BorrowedFd<'_>, names: &[OsString]) -> Result<OwnedFd, String> {
    let mut path = std::path::PathBuf::from(".");
    path.extend(names);
    match open_in(root, &path) {
        Ok(found) => return Ok(found),
        Err(Errno::NOENT) => {}
        Err(e) => return Err(format!("its directory {}: {e}", path.display())),
    }
    let mut at = std::path::PathBuf::from(".");
    let mut open = open_in(root, &at).map_err(|e| e.to_string())?;
    for name in names {
        at.push(name);
        open = match open_in(root, &at) {
            Ok(found) => found,
            Err(Errno::NOENT) => make_directory(open.as_fd(), name)?,
            Err(e) => return Err(format!("its directory {}: {e}", at.display())),
        };
    }
    Ok(open)
}

/// Resolved as if the root were `/`: no symlink leads out.
fn open_in(root: BorrowedFd<'_>, path: &Path) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat2(
        root,
        path,
        flags,
        Mode::empty(),
        ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS,
    )
}

/// A directory that is there may be a symlink to one, as `/bin` is.
fn make_directory(parent: BorrowedFd<'_>, name: &OsStr) -> Result<OwnedFd, String> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(e) => return Err(format!("cannot make the directory: {e}")),
    }
    rustix::fs::openat(parent, name, flags, Mode::empty())
        .map_err(|e| format!("something else than a directory is in the way: {e}"))
}

fn file(
    parent: BorrowedFd<'_>,
    name: &OsStr,
    contents: &mut dyn Read,
    owner: Owner,
) -> Result<File, String> {
    clear(parent, name)?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let made = rustix::fs::openat(parent, name, flags, Mode::RWXU)
        .map_err(|e| format!("cannot make the file: {e}"))?;
    let mut made = File::from(made);
    std::io::copy(contents, &mut made).map_err(|e| format!("cannot unpack it: {e}"))?;
    own(made.as_fd(), owner).map_err(|e| owning(e, owner))?;
    Ok(made)
}

/// Makes room for what is no directory.
fn clear(parent: BorrowedFd<'_>, name: &OsStr) -> Result<(), String> {
    match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(e) => Err(format!("a directory is in its way: {e}")),
    }
}

/// The owner first: changing it takes setuid bits away.
fn own(fd: BorrowedFd<'_>, owner: Owner) -> rustix::io::Result<()> {
    rustix::fs::fchown(fd, Some(Uid::from_raw(owner.uid)), Some(Gid::from_raw(owner.gid)))?;
    rustix::fs::fchmod(fd, Mode::from_raw_mode(owner.mode))
}

/// C++ Nix lets no build make a setuid file unless told; the system's message does not tell that.
fn owning(error: Errno, owner: Owner) -> String {
    let hint = match error {
        Errno::PERM if owner.mode & 0o6000 != 0 => {
            "; setuid and setgid files must be allowed in this build (`filter-syscalls = false` \
             where C++ Nix builds)"
        }
        _ => "",
    };
    format!("cannot set its owner and mode: {error}{hint}")
}

fn set_time(fd: BorrowedFd<'_>, mtime: i64) -> Result<(), String> {
    rustix::fs::futimens(fd, &times(mtime)).map_err(|e| format!("cannot set its time: {e}"))
}

fn times(seconds: i64) -> Timestamps {
    let at = Timespec { tv_sec: seconds, tv_nsec: 0 };
    Timestamps { last_access: at, last_modification: at }
}
