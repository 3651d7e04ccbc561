//! The serial console: kept in a file, shown to whoever watches, typed into by them.
//!
//! `log/console` is what came, byte for byte; it becomes `log/console.previous` when it passes 1 MiB.

use super::stream::Stream;
use crate::config::Places;
use rustix::event::PollFlags;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

const LARGEST: u64 = 1 << 20;
/// Bytes that somebody sees of what was before.
const SCROLL_BACK: u64 = 64 << 10;
/// Bytes of the end that are remembered: a kernel's last words.
const LAST: usize = 16 << 10;
/// Bytes that wait for somebody who does not read them: then they are lost to him.
const PATIENCE: usize = 1 << 20;

/// The file of a machine whose log is in `log_dir`.
#[must_use]
pub(super) fn file(log_dir: &Path) -> PathBuf {
    log_dir.join("console")
}

fn previous(log_dir: &Path) -> PathBuf {
    log_dir.join("console.previous")
}

pub(super) struct Console {
    line: Stream,
    log_dir: PathBuf,
    log: File,
    size: u64,
    watchers: Vec<Stream>,
    /// The end of what this machine said.
    last: Vec<u8>,
}

impl Console {
    pub fn open(line: Stream, places: &Places) -> hc_fs::Result<Self> {
        let log_dir = places.log();
        hc_fs::plain::create_dir_all(&log_dir, 0o750)?;
        let log = hc_fs::plain::append(&file(&log_dir), 0o640)?;
        let size = log.metadata().map_or(0, |metadata| metadata.len());
        let (watchers, last) = (Vec::new(), Vec::new());
        Ok(Self { line, log_dir, log, size, watchers, last })
    }

    /// The end of what it said since it was turned on.
    pub fn last(&self) -> &[u8] {
        &self.last
    }

    /// Shows somebody what was, and from now on what is.
    pub fn welcome(&mut self, socket: OwnedFd) {
        let mut watcher = Stream::new(socket);
        watcher.out().extend(self.scroll_back());
        watcher.flush();
        self.watchers.push(watcher);
    }

    fn scroll_back(&self) -> Vec<u8> {
        let mut text = Vec::new();
        if self.size < SCROLL_BACK {
            text = end(&previous(&self.log_dir), SCROLL_BACK - self.size);
        }
        text.extend(end(&file(&self.log_dir), SCROLL_BACK));
        text
    }

    pub fn wanted(&self) -> Vec<(BorrowedFd<'_>, PollFlags)> {
        let line = self.line.is_open().then_some(&self.line);
        line.into_iter().chain(&self.watchers).map(|s| (s.as_fd(), s.events())).collect()
    }

    /// Passes on what is there now; gives what the machine wrote.
    pub fn pass(&mut self) {
        let bytes = self.line.read();
        self.keep(&bytes);
        self.last.extend_from_slice(&bytes);
        let old = self.last.len().saturating_sub(LAST);
        self.last.drain(..old);
        for watcher in &mut self.watchers {
            self.line.out().extend(watcher.read());
            if watcher.waiting() < PATIENCE {
                watcher.out().extend_from_slice(&bytes);
            }
            watcher.flush();
        }
        self.line.flush();
        self.watchers.retain(Stream::is_open);
    }

    /// A log that cannot be written must not stop the machine.
    fn keep(&mut self, bytes: &[u8]) {
        if self.size + bytes.len() as u64 > LARGEST && self.size > 0 {
            let current = file(&self.log_dir);
            let rotated = hc_fs::plain::rename(&current, &previous(&self.log_dir))
                .and_then(|()| hc_fs::plain::append(&current, 0o640));
            if let Ok(log) = rotated {
                (self.log, self.size) = (log, 0);
            }
        }
        if self.log.write_all(bytes).is_ok() {
            self.size += bytes.len() as u64;
        }
    }
}

/// The last bytes of a file, as many as it has of them.
fn end(path: &Path, most: u64) -> Vec<u8> {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(most)))?;
        let mut bytes = Vec::new();
        file.take(most).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::stream::pair;
    use super::*;

    #[test]
    fn everybody_sees_what_was_and_what_is() {
        let dir = tempfile::tempdir().unwrap();
        let places = Places::new(dir.path(), dir.path(), "db");
        let (ours, theirs) = pair().unwrap();
        let mut machine = Stream::new(theirs);
        let mut console = Console::open(Stream::new(ours), &places).unwrap();
        let mut write = |console: &mut Console, text: &str| {
            machine.out().extend_from_slice(text.as_bytes());
            machine.flush();
            console.pass();
            machine.read()
        };
        write(&mut console, "booting\r\n");
        let watch = |console: &mut Console| {
            let (ours, theirs) = pair().unwrap();
            console.welcome(ours);
            Stream::new(theirs)
        };
        let (mut one, mut other) = (watch(&mut console), watch(&mut console));
        assert_eq!((one.read(), other.read()), (b"booting\r\n".to_vec(), b"booting\r\n".to_vec()));
        write(&mut console, "login: ");
        assert_eq!((one.read(), other.read()), (b"login: ".to_vec(), b"login: ".to_vec()));
        one.out().extend_from_slice(b"root\n");
        one.flush();
        console.pass();
        assert_eq!(write(&mut console, ""), b"root\n");
        drop(other);
        console.pass();
        console.pass();
        assert_eq!(console.watchers.len(), 1);
        // Across a rotation, and bounded.
        for _ in 0..20 {
            write(&mut console, &"x".repeat(60_000));
        }
        write(&mut console, "the end");
        assert!(console.last().ends_with(b"xthe end") && console.last().len() == LAST);
        let shown = console.scroll_back();
        assert!(shown.ends_with(b"xthe end") && shown.len() <= 64 << 10, "{}", shown.len());
        for file in [file(&places.log()), previous(&places.log())] {
            assert!(file.metadata().unwrap().len() <= LARGEST);
        }
    }
}
