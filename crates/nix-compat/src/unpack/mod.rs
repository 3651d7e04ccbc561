//! Unpacking an archive, as it is kept in a store (modes 444 and 555, a second after the epoch) or as it
//! comes. One thread reads blocks and finds what is in them; whoever has time makes it out of those.

use crate::nar::Error;
use crate::place::Places;
use crate::tree::{BLOCK, Block, Context, Directory, HandOver, Large, Name, Op, produce};
use parse::{Cursor, Item, Node, Stop};
use std::io::{self, Read, Write};
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Arc, OnceLock};

mod parse;

/// Files up to this size are in one block.
const SMALL: u64 = 32 << 10;
/// As many nodes as that are within each other at most, as for C++ Nix.
const DEPTH: usize = 64;

/// Unpacks an archive to `destination`, which must not be there yet, and gives the number of files,
/// directories and symlinks. Modes and times are those of a store; owners, and what a file system
/// gives new files besides (access lists, and the modes that follow from them), are as they came.
///
/// `from` is best not buffered: it is read in large pieces.
///
/// # Errors
/// When the archive is malformed, or it cannot be written; what has been written by then stays.
pub fn unpack(from: &mut (impl Read + ?Sized), destination: &Path) -> Result<usize, Error> {
    unpack_with(from, destination, None, Places::new())
}

/// The same with the modes and times that the process gives what it makes, as [`crate::nar::restore`]
/// has it.
pub(crate) fn restore(from: &mut (impl Read + ?Sized), destination: &Path) -> Result<usize, Error> {
    unpack_with(from, destination, None, Places::PLAIN)
}

/// The same, and passes the archive on, such as to be hashed, while it is unpacked.
///
/// # Errors
/// As for [`unpack`], or what `to` says.
pub fn unpack_to(
    from: &mut (impl Read + ?Sized),
    destination: &Path,
    to: &mut (dyn Write + Send),
) -> Result<usize, Error> {
    unpack_with(from, destination, Some(to), Places::new())
}

fn unpack_with(
    from: &mut (impl Read + ?Sized),
    destination: &Path,
    to: Option<&mut (dyn Write + Send)>,
    places: Places,
) -> Result<usize, Error> {
    let root = destination.as_os_str().as_bytes().into();
    let context = Context { places, root, failed: OnceLock::new() };
    let context = Arc::new(context);
    produce(&context, to, |hand_over| {
        let (block, levels) = (Block::default(), Vec::new());
        let mut unpacker = Unpacker {
            from,
            context: Arc::clone(&context),
            hand_over,
            block,
            end: 0,
            at: 0,
            levels,
            entries: 0,
        };
        unpacker.run()?;
        Ok(unpacker.entries)
    })
}

/// An open directory.
struct Level {
    directory: Arc<Directory>,
    /// The name before the next one.
    previous: Vec<u8>,
}

struct Unpacker<'u, R: ?Sized> {
    from: &'u mut R,
    context: Arc<Context>,
    hand_over: &'u mut HandOver<'u>,
    block: Block,
    /// So many bytes of the block have come, and so many were understood.
    end: usize,
    at: usize,
    levels: Vec<Level>,
    entries: usize,
}

impl<R: Read + ?Sized> Unpacker<'_, R> {
    fn run(&mut self) -> Result<(), Error> {
        self.parse(|cursor| cursor.magic())?;
        let node = self.parse(|cursor| cursor.node(false))?;
        self.node(None, node)?;
        while let Some(level) = self.levels.last_mut() {
            let inside = level.directory.parent.is_some();
            match self.parse(|cursor| cursor.item())? {
                Item::End => {
                    self.parse(|cursor| cursor.end_directory(inside))?;
                    self.levels.pop();
                }
                Item::Entry(name, node) => {
                    if self.levels.len() >= DEPTH {
                        return Err(Error::MaxDepth(DEPTH));
                    }
                    self.check(name.clone())?;
                    self.node(Some(name), node)?;
                }
            }
        }
        if self.end > self.at || read(self.from, &mut [0])? > 0 {
            return Err(Error::TrailingBytes);
        }
        self.block.used = self.at;
        Ok((self.hand_over)(&mut self.block, 0..0)?)
    }

    /// Reads something that must be in one block.
    fn parse<T>(&mut self, parse: impl Fn(&mut Cursor<'_>) -> Result<T, Stop>) -> Result<T, Error> {
        loop {
            let bytes = &self.block.bytes[..self.end];
            let mut cursor = Cursor { bytes, at: self.at, small: SMALL };
            match parse(&mut cursor) {
                Ok(parsed) => {
                    self.at = cursor.at;
                    return Ok(parsed);
                }
                Err(Stop::Wrong(error)) => return Err(error),
                Err(Stop::More) => self.more()?,
            }
        }
    }
    /// Reads on; hands over what was understood, where there is no room.
    fn more(&mut self) -> Result<(), Error> {
        if self.end == BLOCK {
            self.block.used = self.at;
            (self.hand_over)(&mut self.block, self.at..self.end)?;
            self.end -= self.at;
            self.at = 0;
        }
        match read(self.from, &mut self.block.bytes[self.end..])? {
            0 => Err(Error::UnexpectedEof),
            count => {
                self.end += count;
                Ok(())
            }
        }
    }

    /// A name can be one, and comes after the one before it.
    fn check(&mut self, name: Range<usize>) -> Result<(), Error> {
        let name = &self.block.bytes[name];
        let Some(Level { previous, .. }) = self.levels.last_mut() else { return Ok(()) };
        if matches!(name, b"" | b"." | b"..") || name.contains(&b'/') || name.contains(&0) {
            return Err(Error::InvalidName(shown(name)));
        }
        if name <= &previous[..] {
            return Err(Error::UnsortedEntries(shown(name), shown(previous)));
        }
        previous.clear();
        previous.extend_from_slice(name);
        Ok(())
    }

    fn node(&mut self, name: Option<Range<usize>>, node: Node) -> Result<(), Error> {
        self.entries += 1;
        let parent = self.levels.last().map(|level| &level.directory);
        let text = name.clone().map_or(&[][..], |name| &self.block.bytes[name]);
        match node {
            Node::Directory => {
                let directory = Directory::new(&self.context, parent, text);
                self.block.ops.push(Op::Directory(Arc::clone(&directory)));
                self.levels.push(Level { directory, previous: Vec::new() });
            }
            Node::Link(target) => {
                let name = Name { directory: parent.cloned(), name: name.unwrap_or_default() };
                self.block.ops.push(Op::Link { name, target });
            }
            Node::File { executable, whole: Some(contents), .. } => {
                let name = Name { directory: parent.cloned(), name: name.unwrap_or_default() };
                self.block.ops.push(Op::File { name, executable, contents });
            }
            Node::File { executable, size, whole: None } => {
                let file = Large::new(&self.context, parent, text, executable);
                self.pieces(&file, size)?;
                let inside = name.is_some();
                self.parse(|cursor| {
                    cursor.padding(size)?;
                    cursor.end(inside)
                })?;
            }
        }
        Ok(())
    }

    /// What a file holds, in pieces as large as can be.
    fn pieces(&mut self, file: &Arc<Large>, size: u64) -> Result<(), Error> {
        let mut offset = 0;
        while offset < size {
            if self.at == BLOCK {
                self.more()?;
            }
            let left = usize::try_from(size - offset).unwrap_or(usize::MAX);
            let count = left.min(BLOCK - self.at);
            while self.end - self.at < count {
                self.more()?;
            }
            let contents = self.at..self.at + count;
            self.block.ops.push(Op::Piece { file: Arc::clone(file), contents, offset });
            self.at += count;
            offset += count as u64;
        }
        Ok(())
    }
}

/// The beginning of a name, which can be long and strange.
fn shown(name: &[u8]) -> String {
    String::from_utf8_lossy(&name[..name.len().min(300)]).into_owned()
}

fn read(from: &mut (impl Read + ?Sized), buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match from.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

#[cfg(test)]
mod tests;
