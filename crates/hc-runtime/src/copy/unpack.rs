//! A tar stream to a tree. Nothing in the stream leads out of its destination: every directory on
//! the way is opened by itself, and none through a symlink.

use super::{Done, Owners};
use crate::error::{Doing, Problem, Res};
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT, Uid};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};
use tar::{Archive, EntryType, Header};

/// Where the stream goes.
#[derive(Debug)]
pub(super) struct Destination {
    /// The directory that its topmost entries go to.
    pub dir: OwnedFd,
    /// What the topmost entry is called instead.
    pub rename: Option<OsString>,
    /// For messages.
    pub shown: PathBuf,
}

struct Unpacker<'a> {
    to: &'a Destination,
    owners: Owners,
    /// Directories that were made: their times and modes come last.
    made: Vec<(Vec<OsString>, Header)>,
    left_out: Done,
    /// The first entry's first component. Where that is `.`, the others are below it without
    /// saying so.
    top: Option<OsString>,
}

/// Unpacks everything.
pub(super) fn unpack(to: &Destination, owners: Owners, from: impl Read) -> Res<Done> {
    let mut unpacker = Unpacker { to, owners, made: Vec::new(), left_out: Vec::new(), top: None };
    let mut archive = Archive::new(from);
    let entries = archive.entries().doing("read the archive")?;
    for entry in entries {
        let mut entry = entry.doing("read the archive")?;
        let path = entry.path().doing("read the archive")?.into_owned();
        let parts = unpacker.parts(&path)?;
        unpacker.entry(&mut entry, &path, &parts)?;
    }
    if unpacker.top.is_none() {
        return Err(Problem::plain("the tar stream is empty"));
    }
    unpacker.finish_directories()?;
    Ok(unpacker.left_out)
}

impl Unpacker<'_> {
    /// The components below the destination, renamed.
    fn parts(&mut self, path: &Path) -> Res<Vec<OsString>> {
        let mut parts = Vec::new();
        for part in path.components() {
            match part {
                Component::Normal(part) => parts.push(part.to_owned()),
                Component::CurDir => {}
                _ => {
                    return Err(Problem::plain(format!(
                        "the archive holds '{}', which leads out of where it is unpacked",
                        path.display()
                    )));
                }
            }
        }
        let first = || parts.first().cloned().unwrap_or_else(|| ".".into());
        let top = self.top.get_or_insert_with(first);
        let Some(name) = &self.to.rename else { return Ok(parts) };
        if top == "." {
            parts.insert(0, name.clone());
        } else if parts.first() == Some(top) {
            parts[0].clone_from(name);
        } else {
            return Err(Problem::plain(format!(
                "{} does not exist: several files need a directory to go to",
                self.to.shown.display()
            )));
        }
        Ok(parts)
    }

    /// The directory an entry goes to, made where it lacks.
    fn parent(&self, parts: &[OsString]) -> Res<OwnedFd> {
        let mut at = self.to.dir.try_clone().doing("use a directory")?;
        for (index, part) in parts.iter().enumerate() {
            let shown = || self.shown(&parts[..=index]);
            let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let open = || rustix::fs::openat(&at, part, OFlags::RDONLY | flags, Mode::empty());
            let next = match open() {
                Err(Errno::NOENT) => {
                    let made = rustix::fs::mkdirat(&at, part, Mode::from_raw_mode(0o755));
                    made.doing_with(|| format!("make {}", shown()))?;
                    open()
                }
                Err(Errno::LOOP | Errno::NOTDIR) => {
                    return Err(Problem::plain(format!(
                        "{} is no directory, and what is copied has one there; symlinks are not \
                         followed",
                        shown()
                    )));
                }
                opened => opened,
            };
            at = next.doing_with(|| format!("open {}", shown()))?;
        }
        Ok(at)
    }

    fn shown(&self, parts: &[OsString]) -> String {
        let mut path = self.to.shown.clone();
        if self.to.rename.is_some() {
            path.pop();
        }
        path.extend(parts);
        path.display().to_string()
    }

    fn entry(
        &mut self,
        entry: &mut tar::Entry<'_, impl Read>,
        path: &Path,
        parts: &[OsString],
    ) -> Res<()> {
        let header = entry.header().clone();
        let Some((name, above)) = parts.split_last() else { return Ok(()) };
        let shown = self.shown(parts);
        let kind = header.entry_type();
        let dir = self.parent(above)?;
        let action = || format!("write {shown}");
        match kind {
            EntryType::Directory => {
                let made = rustix::fs::mkdirat(&dir, name, Mode::from_raw_mode(0o700));
                match made {
                    Ok(()) => {
                        // Everything else about it comes when nothing is written to it any more.
                        self.made.push((parts.to_vec(), header));
                        Ok(())
                    }
                    Err(Errno::EXIST) => self.parent(parts).map(drop),
                    refused => refused.doing_with(action),
                }
            }
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                self.no_directory(dir.as_fd(), name, &shown)?;
                self.file(entry, &header, dir.as_fd(), name, &shown)
            }
            EntryType::Symlink => {
                let target = entry.link_name().doing("read the archive")?;
                let target = target.ok_or_else(|| Problem::plain("a symlink without a target"))?;
                self.clear(dir.as_fd(), name, &shown)?;
                rustix::fs::symlinkat(&*target, &dir, name).doing_with(action)?;
                self.attributes(dir.as_fd(), name, &header, false).doing_with(action)
            }
            EntryType::Link => {
                let target = entry.link_name().doing("read the archive")?;
                let target = target.ok_or_else(|| Problem::plain("a link without a target"))?;
                let target = self.parts(&target)?;
                let Some((old, above)) = target.split_last() else {
                    return Err(Problem::plain(format!("{shown}: a link to nothing")));
                };
                let old_dir = self.parent(above)?;
                self.clear(dir.as_fd(), name, &shown)?;
                rustix::fs::linkat(&old_dir, old, &dir, name, AtFlags::empty()).doing_with(action)
            }
            EntryType::Fifo => {
                self.clear(dir.as_fd(), name, &shown)?;
                let mode = Mode::from_raw_mode(0o600);
                rustix::fs::mknodat(&dir, name, FileType::Fifo, mode, 0).doing_with(action)?;
                self.attributes(dir.as_fd(), name, &header, true).doing_with(action)
            }
            EntryType::Char | EntryType::Block => {
                self.left_out.push(format!("{}: a device", path.display()));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn no_directory(&self, dir: BorrowedFd<'_>, name: &OsStr, shown: &str) -> Res<()> {
        let found = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW);
        if found.is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode).is_dir()) {
            return Err(Problem::plain(format!(
                "{shown} is a directory, and what is copied has none there"
            )));
        }
        Ok(())
    }

    fn clear(&self, dir: BorrowedFd<'_>, name: &OsStr, shown: &str) -> Res<()> {
        self.no_directory(dir, name, shown)?;
        match rustix::fs::unlinkat(dir, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            refused => refused.doing_with(|| format!("replace {shown}")),
        }
    }

    /// Written beside its place and put there whole: who reads it meanwhile sees the old or the new.
    fn file(
        &self,
        entry: &mut impl Read,
        header: &Header,
        dir: BorrowedFd<'_>,
        name: &OsStr,
        shown: &str,
    ) -> Res<()> {
        let action = || format!("write {shown}");
        let mut aside = OsString::from(".hc-copy-");
        aside.push(std::process::id().to_string());
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
        let _ = rustix::fs::unlinkat(dir, &aside, AtFlags::empty());
        let made = rustix::fs::openat(dir, &aside, flags, Mode::from_raw_mode(0o600));
        let mut made = File::from(made.doing_with(action)?);
        let written = std::io::copy(entry, &mut made)
            .doing_with(action)
            .and_then(|_| self.attributes(dir, &aside, header, true).doing_with(action))
            .and_then(|()| rustix::fs::renameat(dir, &aside, dir, name).doing_with(action));
        if written.is_err() {
            let _ = rustix::fs::unlinkat(dir, &aside, AtFlags::empty());
        }
        written
    }

    fn attributes(
        &self,
        dir: BorrowedFd<'_>,
        name: &OsStr,
        header: &Header,
        has_mode: bool,
    ) -> std::io::Result<()> {
        let number =
            |id: std::io::Result<u64>| id.map(|id| u32::try_from(id).unwrap_or(u32::MAX - 1));
        if self.owners == Owners::Kept {
            let owner = Uid::from_raw(number(header.uid())?);
            let group = Gid::from_raw(number(header.gid())?);
            let flags = AtFlags::SYMLINK_NOFOLLOW;
            rustix::fs::chownat(dir, name, Some(owner), Some(group), flags)?;
        }
        if has_mode {
            // Set-id bits go with the owner they were given by.
            let mask = if self.owners == Owners::Kept { 0o7777 } else { 0o777 };
            let mode = Mode::from_raw_mode(header.mode()? & mask);
            rustix::fs::chmodat(dir, name, mode, AtFlags::empty())?;
        }
        let times = Timestamps {
            last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
            last_modification: Timespec {
                tv_sec: i64::try_from(header.mtime()?).unwrap_or(0),
                tv_nsec: 0,
            },
        };
        Ok(rustix::fs::utimensat(dir, name, &times, AtFlags::SYMLINK_NOFOLLOW)?)
    }

    fn finish_directories(&mut self) -> Res<()> {
        while let Some((parts, header)) = self.made.pop() {
            let Some((name, above)) = parts.split_last() else { continue };
            let dir = self.parent(above)?;
            self.attributes(dir.as_fd(), name, &header, true)
                .doing_with(|| format!("write {}", self.shown(&parts)))?;
        }
        Ok(())
    }
}
