//! Unpacking an archive as it is kept in a store: modes 444 and 555, a second after the epoch.
//! Small files are written by other threads, while the next are decoded.

use crate::nar::{Error, Event, decode_events_reader};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, Timespec, Timestamps};
use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Files up to this size are read whole and written by whoever has time.
const SMALL: u64 = 64 << 10;
/// So many of them wait at most: what they hold is bounded, however many archives are unpacked.
const WAITING: usize = 16;
/// An archive with fewer files needs no help.
const ALONE: usize = 32;
const TIMES: Timestamps = Timestamps {
    last_access: Timespec { tv_sec: 1, tv_nsec: 0 },
    last_modification: Timespec { tv_sec: 1, tv_nsec: 0 },
};

/// Unpacks an archive to `destination`, which must not be there yet, and gives the number of files,
/// directories and symlinks. Modes and times are those of a store; owners, and what a file system
/// gives new files besides (access lists), are as they came.
///
/// # Errors
/// When the archive is malformed, or it cannot be written; what has been written by then stays.
pub fn unpack(from: &mut (impl Read + ?Sized), destination: &Path) -> Result<usize, Error> {
    let helpers = std::thread::available_parallelism().map_or(1, usize::from).clamp(1, 4);
    let (send, receive) = sync_channel::<Small>(WAITING);
    let receive = Mutex::new(receive);
    let failed = Arc::new(OnceLock::new());
    std::thread::scope(|scope| {
        let mut unpacker = Unpacker {
            destination,
            directories: Vec::new(),
            failed: Arc::clone(&failed),
            entries: 0,
            buffer: vec![0; SMALL as usize],
            send,
        };
        let mut helped = false;
        let decoded = decode_events_reader(from, |event| {
            if !helped && unpacker.entries >= ALONE {
                helped = true;
                for _ in 0..helpers {
                    scope.spawn(|| write_all(&receive, &failed));
                }
            }
            unpacker.visit(event, helped)
        });
        // Whatever is open is finished, and the helpers end.
        let entries = unpacker.entries;
        drop(unpacker);
        decoded.map(|()| entries)
    })
    .and_then(|entries| match failed.get() {
        Some(error) => Err(copy_of(error)),
        None => Ok(entries),
    })
}

/// A file that is written by a helper.
struct Small {
    directory: Arc<Directory>,
    name: Vec<u8>,
    executable: bool,
    contents: Vec<u8>,
}

type Failed = OnceLock<io::Error>;

/// A directory that gets its mode and time when all is in it: when nobody holds it any more.
struct Directory {
    fd: OwnedFd,
    failed: Arc<Failed>,
}

impl Drop for Directory {
    fn drop(&mut self) {
        let finished = rustix::fs::fchmod(&self.fd, Mode::from_raw_mode(0o555))
            .and_then(|()| rustix::fs::futimens(&self.fd, &TIMES));
        if let Err(error) = finished {
            let _ = self.failed.set(error.into());
        }
    }
}

struct Unpacker<'a> {
    destination: &'a Path,
    directories: Vec<Arc<Directory>>,
    failed: Arc<Failed>,
    entries: usize,
    buffer: Vec<u8>,
    send: SyncSender<Small>,
}

impl Unpacker<'_> {
    fn visit<R: Read + ?Sized>(
        &mut self,
        event: Event<'_, crate::nar::FileContents<'_, R>>,
        helped: bool,
    ) -> Result<(), Error> {
        if let Some(error) = self.failed.get() {
            return Err(copy_of(error));
        }
        match event {
            Event::DirectoryStart { name } => {
                let fd = self.at(name, |parent, name| {
                    rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(0o700))?;
                    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
                    Ok(rustix::fs::openat(parent, name, flags | OFlags::NOFOLLOW, Mode::empty())?)
                })?;
                let failed = Arc::clone(&self.failed);
                self.directories.push(Arc::new(Directory { fd, failed }));
                self.entries += 1;
            }
            Event::DirectoryEnd { .. } => {
                self.directories.pop();
            }
            Event::Regular { name, executable, mut contents } => {
                self.entries += 1;
                if helped
                    && contents.size() <= SMALL
                    && let (Some(directory), Some(name)) = (self.directories.last(), name)
                {
                    let mut bytes = Vec::with_capacity(contents.size() as usize);
                    contents.read_to_end(&mut bytes)?;
                    let (directory, name) = (Arc::clone(directory), name.to_vec());
                    let small = Small { directory, name, executable, contents: bytes };
                    // The helpers stay as long as this end does.
                    let _ = self.send.send(small);
                    return Ok(());
                }
                let mut buffer = std::mem::take(&mut self.buffer);
                let written = self.at(name, |parent, name| {
                    let mut file = create(parent, name, executable)?;
                    loop {
                        match contents.read(&mut buffer) {
                            Ok(0) => break,
                            Ok(count) => file.write_all(&buffer[..count])?,
                            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                            Err(error) => return Err(error),
                        }
                    }
                    finish(&file, executable)
                });
                self.buffer = buffer;
                written?;
            }
            Event::Symlink { name, target } => {
                self.entries += 1;
                self.at(name, |parent, name| {
                    rustix::fs::symlinkat(OsStr::from_bytes(target), parent, name)?;
                    Ok(rustix::fs::utimensat(parent, name, &TIMES, AtFlags::SYMLINK_NOFOLLOW)?)
                })?;
            }
        }
        Ok(())
    }

    /// Does something where a node belongs.
    fn at<T>(
        &self,
        name: Option<&[u8]>,
        act: impl FnOnce(std::os::fd::BorrowedFd<'_>, &OsStr) -> io::Result<T>,
    ) -> io::Result<T> {
        match (self.directories.last(), name) {
            (Some(directory), Some(name)) => act(directory.fd.as_fd(), OsStr::from_bytes(name)),
            _ => act(CWD, self.destination.as_os_str()),
        }
    }
}

fn create(
    parent: std::os::fd::BorrowedFd<'_>,
    name: &OsStr,
    executable: bool,
) -> io::Result<std::fs::File> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let file = rustix::fs::openat(parent, name, flags | OFlags::NOFOLLOW, mode(executable))?;
    Ok(file.into())
}

fn mode(executable: bool) -> Mode {
    Mode::from_raw_mode(if executable { 0o555 } else { 0o444 })
}

fn finish(file: &std::fs::File, executable: bool) -> io::Result<()> {
    // The umask has no say in it.
    rustix::fs::fchmod(file, mode(executable))?;
    Ok(rustix::fs::futimens(file, &TIMES)?)
}

/// A helper: writes files until there are no more.
fn write_all(receive: &Mutex<Receiver<Small>>, failed: &Failed) {
    loop {
        let next = receive.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Small { directory, name, executable, contents }) = next else { return };
        // Even after a failure: whoever sends must not wait for ever.
        if failed.get().is_some() {
            continue;
        }
        let written = create(directory.fd.as_fd(), OsStr::from_bytes(&name), executable).and_then(
            |mut file| {
                file.write_all(&contents)?;
                finish(&file, executable)
            },
        );
        if let Err(error) = written {
            let _ = failed.set(error);
        }
    }
}

/// An error for each who wants to know.
fn copy_of(error: &io::Error) -> Error {
    Error::Io(match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(error.kind(), error.to_string()),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods)]
    use super::*;
    use crate::nar;
    use std::os::unix::fs::MetadataExt;

    fn tree(at: &Path) {
        for directory in 0..20 {
            let directory = at.join(format!("d{directory}/sub"));
            std::fs::create_dir_all(&directory).unwrap();
            for file in 0..20 {
                std::fs::write(directory.join(format!("f{file}")), vec![7; file * 9000]).unwrap();
            }
            std::os::unix::fs::symlink("sub/f1", directory.join("link")).unwrap();
        }
        let program = at.join("program");
        std::fs::write(&program, "x").unwrap();
        let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(program, executable).unwrap();
    }

    fn check(at: &Path) -> usize {
        let metadata = at.symlink_metadata().unwrap();
        assert_eq!(metadata.mtime(), 1, "{}", at.display());
        let executable = metadata.is_dir() || at.ends_with("program");
        if !metadata.is_symlink() {
            assert_eq!(metadata.mode() & 0o7777, if executable { 0o555 } else { 0o444 });
        }
        let children = |at| std::fs::read_dir(at).unwrap().map(|e| e.unwrap().path());
        1 + if metadata.is_dir() { children(at).map(|at| check(&at)).sum() } else { 0 }
    }

    #[test]
    fn what_is_unpacked_is_the_same_and_canonical() {
        let dir = tempfile::tempdir().unwrap();
        let from = dir.path().join("from");
        tree(&from);
        let mut archive = Vec::new();
        nar::dump(&from, &mut archive).unwrap();
        let to = dir.path().join("to");
        assert_eq!(unpack(&mut archive.as_slice(), &to).unwrap(), check(&to));
        assert_eq!(nar::hash_path(&to).unwrap(), nar::hash_path(&from).unwrap());
        // Something is there already, and an end that comes too soon.
        let error = unpack(&mut archive.as_slice(), &to).unwrap_err();
        assert!(matches!(&error, Error::Io(e) if e.kind() == io::ErrorKind::AlreadyExists));
        for length in [archive.len() / 2, archive.len() - 1, 0] {
            let to = dir.path().join(format!("to-{length}"));
            unpack(&mut &archive[..length], &to).unwrap_err();
        }
        let file = dir.path().join("file");
        archive.clear();
        nar::dump(&from.join("program"), &mut archive).unwrap();
        assert_eq!(unpack(&mut archive.as_slice(), &file).unwrap(), 1);
        assert_eq!(file.metadata().unwrap().mode() & 0o777, 0o555);
    }
}
