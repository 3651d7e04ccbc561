//! Unpacking an archive as it is kept in a store: modes 444 and 555, a second after the epoch.
//! Small files are written by other threads, while the next are decoded.

use crate::nar::{Error, Event, decode_events_reader};
use crate::place::Places;
use rustix::fs::CWD;
use std::ffi::CString;
use std::io::{self, Read, Write};
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Files up to this size are read whole and written by whoever has time.
const SMALL: u64 = 64 << 10;
/// So many bytes of them, or files in so many directories, are handed over together.
const BATCH: usize = 256 << 10;
const DIRECTORIES: usize = 4;
/// So many batches wait at most: what they hold is bounded, however many archives are unpacked.
const WAITING: usize = 2;
/// An archive with fewer files needs no help.
const ALONE: usize = 32;

/// Unpacks an archive to `destination`, which must not be there yet, and gives the number of files,
/// directories and symlinks. Modes and times are those of a store; owners, and what a file system
/// gives new files besides (access lists, and the modes that follow from them), are as they came.
///
/// # Errors
/// When the archive is malformed, or it cannot be written; what has been written by then stays.
pub fn unpack(from: &mut (impl Read + ?Sized), destination: &Path) -> Result<usize, Error> {
    let helpers = std::thread::available_parallelism().map_or(1, usize::from).clamp(1, 4);
    let (send, receive) = sync_channel::<Batch>(WAITING);
    let (give_back, empty) = sync_channel::<Batch>(WAITING);
    let receive = Mutex::new(receive);
    let failed = Arc::new(OnceLock::new());
    let places = Places::new();
    let destination = CString::new(destination.as_os_str().as_bytes()).map_err(io::Error::from)?;
    std::thread::scope(|scope| {
        let mut unpacker = Unpacker {
            destination,
            places,
            directories: Vec::new(),
            failed: Arc::clone(&failed),
            entries: 0,
            buffer: vec![0; SMALL as usize],
            batch: Batch::default(),
            send,
            empty,
        };
        let mut helped = false;
        let decoded = decode_events_reader(from, |event| {
            if !helped && unpacker.entries >= ALONE {
                helped = true;
                for _ in 0..helpers {
                    let give_back = give_back.clone();
                    let (receive, failed) = (&receive, &failed);
                    scope.spawn(move || write_all(receive, &give_back, places, failed));
                }
            }
            unpacker.visit(event, helped)
        });
        unpacker.hand_over();
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

/// Files that are written by a helper.
#[derive(Default)]
struct Batch {
    /// Their names, each ended by a zero, and what they hold.
    bytes: Vec<u8>,
    files: Vec<Small>,
    /// How many directories they are in.
    directories: usize,
}

struct Small {
    directory: Arc<Directory>,
    name: Range<usize>,
    contents: Range<usize>,
    executable: bool,
}

type Failed = OnceLock<io::Error>;

/// A directory that gets its mode and time when all is in it: when nobody holds it any more.
struct Directory {
    fd: OwnedFd,
    places: Places,
    failed: Arc<Failed>,
}

impl Drop for Directory {
    fn drop(&mut self) {
        if let Err(error) = self.places.finish_directory(&self.fd) {
            let _ = self.failed.set(error);
        }
    }
}

struct Unpacker {
    destination: CString,
    places: Places,
    directories: Vec<Arc<Directory>>,
    failed: Arc<Failed>,
    entries: usize,
    buffer: Vec<u8>,
    batch: Batch,
    send: SyncSender<Batch>,
    /// Batches that were written, to be filled again.
    empty: Receiver<Batch>,
}

impl Unpacker {
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
                let places = self.places;
                let fd = self.at(name, |parent, name| places.start_directory(parent, name))?;
                let failed = Arc::clone(&self.failed);
                self.directories.push(Arc::new(Directory { fd, places, failed }));
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
                    let directory = Arc::clone(directory);
                    let other = |last: &Small| !Arc::ptr_eq(&last.directory, &directory);
                    if self.batch.files.last().is_none_or(other) {
                        if self.batch.directories == DIRECTORIES {
                            self.hand_over();
                        }
                        self.batch.directories += 1;
                    }
                    let Batch { bytes, files, .. } = &mut self.batch;
                    let begin = bytes.len();
                    bytes.extend_from_slice(name);
                    bytes.push(0);
                    let middle = bytes.len();
                    contents.read_to_end(bytes)?;
                    let (name, contents) = (begin..middle, middle..bytes.len());
                    files.push(Small { directory, name, contents, executable });
                    if bytes.len() >= BATCH {
                        self.hand_over();
                    }
                    return Ok(());
                }
                let mut buffer = std::mem::take(&mut self.buffer);
                let places = self.places;
                let written = self.at(name, |parent, name| {
                    places.file(parent, name, executable, |file| {
                        loop {
                            match contents.read(&mut buffer) {
                                Ok(0) => return Ok(()),
                                Ok(count) => file.write_all(&buffer[..count])?,
                                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                                Err(error) => return Err(error),
                            }
                        }
                    })
                });
                self.buffer = buffer;
                written?;
            }
            Event::Symlink { name, target } => {
                self.entries += 1;
                let target = CString::new(target).map_err(io::Error::from)?;
                self.at(name, |parent, name| self.places.symlink(parent, name, &target))?;
            }
        }
        Ok(())
    }

    /// Does something where a node belongs.
    fn at<T>(
        &self,
        name: Option<&[u8]>,
        act: impl FnOnce(BorrowedFd<'_>, &std::ffi::CStr) -> io::Result<T>,
    ) -> io::Result<T> {
        match (self.directories.last(), name) {
            (Some(directory), Some(name)) => act(directory.fd.as_fd(), &CString::new(name)?),
            _ => act(CWD, &self.destination),
        }
    }

    /// Gives what was collected to the helpers.
    fn hand_over(&mut self) {
        if !self.batch.files.is_empty() {
            let next = self.empty.try_recv().unwrap_or_default();
            // The helpers stay as long as this end does.
            let _ = self.send.send(std::mem::replace(&mut self.batch, next));
        }
    }
}

/// A helper: writes files until there are no more.
fn write_all(
    receive: &Mutex<Receiver<Batch>>,
    give_back: &SyncSender<Batch>,
    places: Places,
    failed: &Failed,
) {
    loop {
        let next = receive.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(mut batch) = next else { return };
        for Small { directory, name, contents, executable } in batch.files.drain(..) {
            // Even after a failure: whoever sends must not wait for ever.
            if failed.get().is_some() {
                continue;
            }
            let name = std::ffi::CStr::from_bytes_with_nul(&batch.bytes[name]);
            let written = name.map_err(io::Error::other).and_then(|name| {
                places.file(directory.fd.as_fd(), name, executable, |file| {
                    file.write_all(&batch.bytes[contents])
                })
            });
            if let Err(error) = written {
                let _ = failed.set(error);
            }
        }
        batch.bytes.clear();
        batch.directories = 0;
        let _ = give_back.try_send(batch);
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
