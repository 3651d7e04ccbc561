//! Files, directories and symlinks that are to be made.

use super::{Context, Filled};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::CWD;
use rustix::io::Errno;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// Something to be made; names and contents are in a block.
#[derive(Debug)]
pub(crate) enum Op {
    /// A directory, also where nothing is in it.
    Directory(Arc<Directory>),
    /// A whole file.
    File { name: Name, executable: bool, contents: Range<usize> },
    /// A piece of a file, at an offset.
    Piece { file: Arc<Large>, contents: Range<usize>, offset: u64 },
    /// A symlink.
    Link { name: Name, target: Range<usize> },
}

/// A name in a directory; without one, it is the root's place.
#[derive(Debug)]
pub(crate) struct Name {
    pub directory: Option<Arc<Directory>>,
    pub name: Range<usize>,
}

impl Name {
    fn act<T>(
        &self,
        context: &Context,
        block: &[u8],
        act: impl FnOnce(BorrowedFd<'_>, &[u8]) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        match &self.directory {
            Some(directory) => act(directory.open()?, &block[self.name.clone()]),
            None => act(CWD, &context.root),
        }
    }
}

impl Op {
    /// Makes it.
    pub fn run(self, context: &Context, block: &Arc<Filled>) -> Result<(), Errno> {
        let places = context.places;
        match self {
            Self::Directory(directory) => directory.open().map(drop),
            Self::File { name, executable, contents } => {
                let file = name.act(context, block, |parent, name| {
                    places.start_file(parent, name, executable)
                })?;
                all(&block[contents], |rest, _| rustix::io::write(&file, rest))?;
                places.finish_file(&file, executable)
            }
            Self::Piece { file, contents, offset } => {
                file.write(Piece { block: Arc::clone(block), contents, offset })
            }
            Self::Link { name, target } => name
                .act(context, block, |parent, name| places.symlink(parent, name, &block[target])),
        }
    }
}

/// Until all bytes are written; `write` is told how many were.
fn all(bytes: &[u8], write: impl Fn(&[u8], usize) -> Result<usize, Errno>) -> Result<(), Errno> {
    let mut done = 0;
    while done < bytes.len() {
        match write(&bytes[done..], done) {
            Ok(0) => return Err(Errno::IO),
            Ok(count) => done += count,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// A directory. Whoever needs it first makes it; it gets its mode and time when all is in it: when
/// nobody holds it any more. So it is open no longer than that.
#[derive(Debug)]
pub(crate) struct Directory {
    pub parent: Option<Arc<Directory>>,
    pub name: Box<[u8]>,
    pub context: Arc<Context>,
    made: OnceLock<Result<OwnedFd, Errno>>,
}

impl Directory {
    /// One that is to be made in `parent`; the root is where the context says.
    pub fn new(context: &Arc<Context>, parent: Option<&Arc<Self>>, name: &[u8]) -> Arc<Self> {
        Arc::new(Self {
            parent: parent.cloned(),
            name: name.into(),
            context: Arc::clone(context),
            made: OnceLock::new(),
        })
    }

    fn open(&self) -> Result<BorrowedFd<'_>, Errno> {
        let made = self.made.get_or_init(|| match &self.parent {
            Some(parent) => self.context.places.start_directory(parent.open()?, &*self.name),
            None => self.context.places.start_directory(CWD, &*self.context.root),
        });
        made.as_ref().map(AsFd::as_fd).map_err(|errno| *errno)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if let Some(Ok(made)) = self.made.get() {
            self.context.note(self.context.places.finish_directory(made));
        }
    }
}

/// A file that is written in pieces. It gets its time when nobody holds it any more.
#[derive(Debug)]
pub(crate) struct Large {
    parent: Option<Arc<Directory>>,
    name: Box<[u8]>,
    executable: bool,
    context: Arc<Context>,
    made: OnceLock<Result<OwnedFd, Errno>>,
    to_write: Mutex<ToWrite>,
}

#[derive(Debug, Default)]
struct ToWrite {
    pieces: VecDeque<Piece>,
    /// Somebody writes.
    writing: bool,
}

#[derive(Debug)]
struct Piece {
    block: Arc<Filled>,
    contents: Range<usize>,
    offset: u64,
}

impl Large {
    /// One that is to be made in `parent`; the root is where the context says.
    pub fn new(
        context: &Arc<Context>,
        parent: Option<&Arc<Directory>>,
        name: &[u8],
        executable: bool,
    ) -> Arc<Self> {
        Arc::new(Self {
            parent: parent.cloned(),
            name: name.into(),
            executable,
            context: Arc::clone(context),
            made: OnceLock::new(),
            to_write: Mutex::default(),
        })
    }

    fn to_write(&self) -> MutexGuard<'_, ToWrite> {
        self.to_write.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a piece, or leaves it to whoever writes another: the system lets one write to a file at
    /// a time, and would have us wait.
    fn write(&self, piece: Piece) -> Result<(), Errno> {
        let file = self.open()?;
        let mut to_write = self.to_write();
        to_write.pieces.push_back(piece);
        if std::mem::replace(&mut to_write.writing, true) {
            return Ok(());
        }
        let mut done = Ok(());
        while done.is_ok()
            && let Some(Piece { block, contents, offset }) = to_write.pieces.pop_front()
        {
            drop(to_write);
            done = all(&block[contents], |rest, done| {
                rustix::io::pwrite(file, rest, offset + done as u64)
            });
            drop(block);
            to_write = self.to_write();
        }
        to_write.writing = false;
        done
    }

    fn open(&self) -> Result<BorrowedFd<'_>, Errno> {
        let places = self.context.places;
        let made = self.made.get_or_init(|| match &self.parent {
            Some(parent) => places.start_file(parent.open()?, &*self.name, self.executable),
            None => places.start_file(CWD, &*self.context.root, self.executable),
        });
        made.as_ref().map(AsFd::as_fd).map_err(|errno| *errno)
    }
}

impl Drop for Large {
    fn drop(&mut self) {
        if let Some(Ok(made)) = self.made.get() {
            self.context.note(self.context.places.finish_file(made, self.executable));
        }
    }
}
