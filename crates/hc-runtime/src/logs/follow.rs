use super::{Line, current};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Waits for new lines of a log, across rotation.
#[derive(Debug)]
pub struct Follow {
    dir: PathBuf,
    watch: OwnedFd,
    file: Option<File>,
    rest: Vec<u8>,
}

impl Follow {
    /// From the end of the log as it is now; the directory has to be there.
    ///
    /// # Errors
    /// When the directory cannot be watched.
    pub fn from_end(log_dir: &Path) -> io::Result<Self> {
        let mut follow = Self::from_start(log_dir)?;
        follow.read_lines()?;
        follow.rest.clear();
        Ok(follow)
    }

    /// From the beginning of the current file.
    ///
    /// # Errors
    /// When the directory cannot be watched.
    pub fn from_start(log_dir: &Path) -> io::Result<Self> {
        let watch = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
        let events = inotify::WatchFlags::MODIFY
            | inotify::WatchFlags::CREATE
            | inotify::WatchFlags::MOVED_FROM;
        inotify::add_watch(&watch, log_dir, events)?;
        Ok(Self { dir: log_dir.into(), watch, file: None, rest: Vec::new() })
    }

    /// Lines that were added; waits for some, but no longer than `longest`.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn next(&mut self, longest: Option<Duration>) -> io::Result<Vec<Line>> {
        let lines = self.read_lines()?;
        if !lines.is_empty() {
            return Ok(lines);
        }
        let longest = longest.map(|longest| {
            Timespec::try_from(longest).unwrap_or(Timespec { tv_sec: i64::MAX, tv_nsec: 0 })
        });
        match poll(&mut [PollFd::new(&self.watch, PollFlags::IN)], longest.as_ref()) {
            Err(rustix::io::Errno::INTR) => return Ok(Vec::new()),
            ready => ready?,
        };
        let mut events = [0; 4096];
        while rustix::io::read(&self.watch, &mut events).is_ok_and(|length| length > 0) {}
        self.read_lines()
    }

    fn read_lines(&mut self) -> io::Result<Vec<Line>> {
        let mut lines = Vec::new();
        loop {
            if self.file.is_none() {
                self.file = match File::open(current(&self.dir)) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(lines),
                    opened => Some(opened?),
                };
            }
            let Some(file) = &mut self.file else { return Ok(lines) };
            // First who is current, then to the end: a file that is not current grows no more.
            let inode = file.metadata()?.ino();
            let is_current = current(&self.dir).metadata().is_ok_and(|now| now.ino() == inode);
            file.read_to_end(&mut self.rest)?;
            let complete = self.rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            let tail = self.rest.split_off(complete);
            let whole = std::mem::replace(&mut self.rest, tail);
            lines.extend(whole.split_inclusive(|byte| *byte == b'\n').filter_map(Line::parse));
            if is_current {
                return Ok(lines);
            }
            self.file = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Stream, Writer};
    use super::*;

    #[test]
    fn follows_across_a_rotation() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = Writer::open(dir.path()).unwrap();
        log.say("old");
        let mut follow = Follow::from_end(dir.path()).unwrap();
        log.feed(Stream::Out, b"one\ntw");
        let texts = |lines: Vec<Line>| -> Vec<String> {
            lines.iter().map(|line| String::from_utf8_lossy(&line.text).into_owned()).collect()
        };
        assert_eq!(texts(follow.next(None).unwrap()), ["one"]);
        log.feed(Stream::Out, b"o\n");
        hc_fs::plain::rename(&current(dir.path()), &super::super::previous(dir.path())).unwrap();
        Writer::open(dir.path()).unwrap().say("three");
        assert_eq!(texts(follow.next(None).unwrap()), ["two", "three"]);
        let waiter = std::thread::spawn(move || {
            loop {
                let lines = follow.next(None).unwrap();
                if !lines.is_empty() {
                    return lines;
                }
            }
        });
        Writer::open(dir.path()).unwrap().say("four");
        assert_eq!(texts(waiter.join().unwrap()), ["four"]);
    }
}
