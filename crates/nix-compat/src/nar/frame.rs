//! Writing an archive into blocks, files straight from where they are read; and telling what tree it
//! is, for a copy of it.

use super::Error;
use super::walk::{Contents, Visitor};
use crate::tree::{BLOCK, Block, Context, Directory, HandOver, Large, Name, Op};
use std::ffi::CStr;
use std::ops::Range;
use std::sync::Arc;

/// Files up to this size are in one block.
const SMALL: u64 = 32 << 10;
/// The words around a name and contents have less than this.
const AROUND: usize = 320;
/// As many nodes as that are within each other at most, as for C++ Nix.
const DEPTH: usize = 64;

/// Writes what a walk tells.
pub(crate) struct Framer<'f> {
    block: Block,
    hand_over: &'f mut HandOver<'f>,
    /// How many directories are open.
    depth: usize,
    /// Where a copy is made, if one is, and its open directories.
    copy: Option<&'f Arc<Context>>,
    directories: Vec<Arc<Directory>>,
    /// Files, directories and symlinks.
    pub entries: usize,
}

impl<'f> Framer<'f> {
    /// Begins an archive.
    pub fn new(copy: Option<&'f Arc<Context>>, hand_over: &'f mut HandOver<'f>) -> Self {
        let (block, directories) = (Block::default(), Vec::new());
        let mut framer = Self { block, hand_over, depth: 0, copy, directories, entries: 0 };
        framer.words(&["nix-archive-1"]);
        framer
    }

    /// Hands the rest over.
    ///
    /// # Errors
    /// As for all of it.
    pub fn finish(&mut self) -> Result<(), Error> {
        Ok((self.hand_over)(&mut self.block, 0..0)?)
    }

    /// Makes room for so many bytes.
    fn room(&mut self, count: usize) -> Result<(), Error> {
        if BLOCK - self.block.used < count {
            self.finish()?;
        }
        Ok(())
    }

    fn put(&mut self, bytes: &[u8]) -> Range<usize> {
        let range = self.block.used..self.block.used + bytes.len();
        self.block.bytes[range.clone()].copy_from_slice(bytes);
        self.block.used = range.end;
        range
    }

    /// The zeros behind so many bytes.
    fn pad(&mut self, length: u64) {
        let zeros = (length.wrapping_neg() % 8) as usize;
        self.put(&[0; 8][..zeros]);
    }

    fn text(&mut self, bytes: &[u8]) -> Range<usize> {
        self.put(&(bytes.len() as u64).to_le_bytes());
        let range = self.put(bytes);
        self.pad(bytes.len() as u64);
        range
    }

    fn words(&mut self, words: &[&str]) {
        for word in words {
            self.text(word.as_bytes());
        }
    }

    /// Begins a node of a kind, with room for so many bytes more; gives its name's place.
    fn start(&mut self, name: Option<&CStr>, kind: &str, more: usize) -> Result<Name, Error> {
        if self.depth >= DEPTH {
            return Err(Error::MaxDepth(DEPTH));
        }
        self.entries += 1;
        let text = name.map_or(&[][..], CStr::to_bytes);
        self.room(AROUND + text.len() + more)?;
        let mut range = 0..0;
        if name.is_some() {
            self.words(&["entry", "(", "name"]);
            range = self.text(text);
            self.words(&["node"]);
        }
        self.words(&["(", "type", kind]);
        Ok(Name { directory: self.directories.last().cloned(), name: range })
    }

    fn end(&mut self) -> Result<(), Error> {
        self.room(AROUND)?;
        self.words(if self.depth > 0 { &[")", ")"] } else { &[")"] });
        Ok(())
    }

    fn tell(&mut self, op: Op) {
        if self.copy.is_some() {
            self.block.ops.push(op);
        }
    }

    fn large(
        &mut self,
        name: &Name,
        executable: bool,
        contents: &mut Contents<'_>,
    ) -> Result<(), Error> {
        let file = self.copy.map(|context| {
            let text = &self.block.bytes[name.name.clone()];
            Large::new(context, name.directory.as_ref(), text, executable)
        });
        let mut offset = 0;
        while offset < contents.size() {
            self.room(1)?;
            let begin = self.block.used;
            let count = contents.read(&mut self.block.bytes[begin..])?;
            self.block.used += count;
            if let Some(file) = &file {
                let (file, contents) = (Arc::clone(file), begin..begin + count);
                self.block.ops.push(Op::Piece { file, contents, offset });
            }
            offset += count as u64;
        }
        Ok(())
    }
}

impl Visitor for Framer<'_> {
    type Error = Error;

    fn start_directory(&mut self, name: Option<&CStr>) -> Result<(), Error> {
        self.start(name, "directory", 0)?;
        self.depth += 1;
        if let Some(context) = self.copy {
            let text = name.map_or(&[][..], CStr::to_bytes);
            let directory = Directory::new(context, self.directories.last(), text);
            self.tell(Op::Directory(Arc::clone(&directory)));
            self.directories.push(directory);
        }
        Ok(())
    }

    fn end_directory(&mut self) -> Result<(), Error> {
        self.depth -= 1;
        self.directories.pop();
        self.end()
    }

    fn symlink(&mut self, name: Option<&CStr>, target: &CStr) -> Result<(), Error> {
        let target = target.to_bytes();
        let name = self.start(name, "symlink", target.len())?;
        self.words(&["target"]);
        let target = self.text(target);
        self.tell(Op::Link { name, target });
        self.end()
    }

    fn regular(
        &mut self,
        name: Option<&CStr>,
        executable: bool,
        contents: &mut Contents<'_>,
    ) -> Result<(), Error> {
        let size = contents.size();
        let whole = if size <= SMALL { size as usize + 1 } else { 0 };
        let name = self.start(name, "regular", whole)?;
        if executable {
            self.words(&["executable", ""]);
        }
        self.words(&["contents"]);
        self.put(&size.to_le_bytes());
        if whole > 0 {
            let begin = self.block.used;
            let count = contents.read(&mut self.block.bytes[begin..begin + whole])?;
            self.block.used += count;
            self.tell(Op::File { name, executable, contents: begin..begin + count });
        } else {
            self.large(&name, executable, contents)?;
        }
        self.room(AROUND)?;
        self.pad(size);
        self.end()
    }
}
