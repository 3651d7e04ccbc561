//! Waiting for files to change.

use crate::{Error, Result};
use nix_lang::Watched;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use std::collections::{BTreeSet, HashMap};
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Tells which of some files and directories changed. It watches the directories they are in: a file
/// is mostly changed by another one being put in its place.
pub struct Watcher {
    fd: OwnedFd,
    directories: HashMap<i32, PathBuf>,
    known: BTreeSet<PathBuf>,
}

/// One save is several events; they come closer together than this.
const QUIET: Timespec = Timespec { tv_sec: 0, tv_nsec: 2_000_000 };

fn failed(error: rustix::io::Errno) -> Error {
    Error::Watch(error.into())
}

impl Watcher {
    /// Watches nothing yet.
    ///
    /// # Errors
    /// When the system has no more watchers to give.
    pub fn new() -> Result<Self> {
        let fd = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).map_err(failed)?;
        Ok(Self { fd, directories: HashMap::new(), known: BTreeSet::new() })
    }

    /// Watches these too. Whether anything is watched now that was not: it may have changed before.
    ///
    /// # Errors
    /// When the system has no more watches to give.
    pub fn watch(&mut self, watched: &[Watched]) -> Result<bool> {
        let before = self.known.len();
        for one in watched {
            // What is not there yet comes into the nearest directory that is.
            let above = one.path.ancestors().skip(1).find(|above| above.is_dir());
            if let Some(above) = above {
                self.add(above)?;
            }
            if one.path.is_dir() {
                self.add(&one.path)?;
                if one.below {
                    self.add_below(&one.path)?;
                }
            }
        }
        Ok(self.known.len() > before)
    }

    fn add_below(&mut self, directory: &Path) -> Result<()> {
        let Ok(entries) = std::fs::read_dir(directory) else { return Ok(()) };
        for entry in entries.flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                self.add(&entry.path())?;
                self.add_below(&entry.path())?;
            }
        }
        Ok(())
    }

    fn add(&mut self, directory: &Path) -> Result<()> {
        if !self.known.insert(directory.to_owned()) {
            return Ok(());
        }
        let events = WatchFlags::CLOSE_WRITE
            | WatchFlags::MOVED_TO
            | WatchFlags::MOVED_FROM
            | WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::ONLYDIR;
        match inotify::add_watch(&self.fd, directory, events) {
            Ok(id) => {
                self.directories.insert(id, directory.to_owned());
                Ok(())
            }
            // It went away meanwhile; what was in it did too, and that is seen above it.
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => Ok(()),
            Err(error) => Err(failed(error)),
        }
    }

    /// Waits until something changes, and a moment longer for what comes with it.
    ///
    /// # Errors
    /// When waiting fails.
    pub fn wait(&mut self) -> Result<Vec<PathBuf>> {
        let mut changed = BTreeSet::new();
        loop {
            let timeout = if changed.is_empty() { None } else { Some(&QUIET) };
            let mut fds = [PollFd::new(&self.fd, PollFlags::IN)];
            match poll(&mut fds, timeout) {
                Ok(0) => return Ok(changed.into_iter().collect()),
                Ok(_) => self.read(&mut changed)?,
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(failed(error)),
            }
        }
    }

    fn read(&mut self, changed: &mut BTreeSet<PathBuf>) -> Result<()> {
        let mut buffer = [MaybeUninit::uninit(); 16 << 10];
        let mut gone = Vec::new();
        let mut events = inotify::Reader::new(&self.fd, &mut buffer);
        loop {
            let event = match events.next() {
                Ok(event) => event,
                Err(rustix::io::Errno::AGAIN) => break,
                Err(error) => return Err(failed(error)),
            };
            // More happened than the system remembers: anything may have changed.
            if event.events().contains(ReadFlags::QUEUE_OVERFLOW) {
                changed.extend(self.directories.values().cloned());
                continue;
            }
            let Some(directory) = self.directories.get(&event.wd()) else { continue };
            if event.events().contains(ReadFlags::IGNORED) {
                gone.push(event.wd());
                changed.insert(directory.clone());
                continue;
            }
            let Some(name) = event.file_name() else { continue };
            let path = directory.join(std::ffi::OsStr::from_bytes(name.to_bytes()));
            // A new file is empty until it is closed.
            if event.events().contains(ReadFlags::CREATE) && is_being_written(&path) {
                continue;
            }
            changed.insert(path);
        }
        for id in gone {
            if let Some(directory) = self.directories.remove(&id) {
                self.known.remove(&directory);
            }
        }
        Ok(())
    }
}

fn is_being_written(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|found| found.is_file() && found.nlink() == 1)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods)]
    use super::*;

    #[test]
    fn saves_of_both_kinds_are_seen() {
        let dir = tempfile::tempdir().expect("a directory");
        let (file, other) = (dir.path().join("a.nix"), dir.path().join(".a.swp"));
        std::fs::write(&file, "1").expect("written");
        let mut watcher = Watcher::new().expect("a watcher");
        let watched = |path: &Path| Watched { path: path.to_owned(), below: false };
        watcher.watch(&[watched(&file), watched(&dir.path().join("new/x"))]).expect("watched");
        std::fs::write(&file, "2").expect("written");
        assert_eq!(watcher.wait().expect("waited"), std::slice::from_ref(&file));
        std::fs::write(&other, "3").expect("written");
        std::fs::rename(&other, &file).expect("renamed");
        assert_eq!(watcher.wait().expect("waited"), [other, file]);
        std::fs::create_dir(dir.path().join("new")).expect("made");
        assert_eq!(watcher.wait().expect("waited"), [dir.path().join("new")]);
    }
}
