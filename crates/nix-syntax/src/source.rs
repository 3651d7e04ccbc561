//! Source texts and places in them.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use rustc_hash::FxBuildHasher;

/// A source text registered in [`Sources`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(pub u32);

/// A run of bytes `start..end` in a source text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// The text.
    pub file: FileId,
    /// Offset of the first byte.
    pub start: u32,
    /// Offset after the last byte.
    pub end: u32,
}

impl Span {
    /// From the start of `self` to the end of `other` (same file).
    pub fn to(self, other: Span) -> Span {
        Span { file: self.file, start: self.start, end: other.end }
    }
}

/// The number of a [`Span`] that [`Sources`] keeps: for what is copied much more often than asked where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place(pub u32);

impl Place {
    /// The place of what no text says.
    pub const NONE: Place = Place(u32::MAX);
}

/// Where a text came from, as shown in messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A file; the path as evaluated code sees it.
    Path(Arc<[u8]>),
    /// Text given by the caller, with a label such as `«string»`.
    Text(Arc<str>),
}

/// One registered text.
#[derive(Clone, Debug)]
pub struct Source {
    /// Where it came from.
    pub origin: Origin,
    /// The bytes; mostly UTF-8, but Nix does not ask for it.
    pub text: Arc<[u8]>,
}

/// All texts of one evaluation.
#[derive(Default, Debug)]
pub struct Sources {
    files: RefCell<Vec<Source>>,
    places: RefCell<Vec<Span>>,
    /// Where the lines of a text start, of those that were asked for.
    lines: RefCell<HashMap<FileId, Box<[u32]>, FxBuildHasher>>,
}

impl Sources {
    /// No texts.
    pub fn new() -> Self {
        Self::default()
    }

    /// Registers a text.
    pub fn add(&self, origin: Origin, text: Arc<[u8]>) -> FileId {
        let mut files = self.files.borrow_mut();
        files.push(Source { origin, text });
        FileId(files.len() as u32 - 1)
    }

    /// A registered text (cheap clone).
    pub fn get(&self, file: FileId) -> Source {
        self.files.borrow()[file.0 as usize].clone()
    }

    /// A number for a span.
    pub fn place(&self, span: Span) -> Place {
        let mut places = self.places.borrow_mut();
        places.push(span);
        Place(places.len() as u32 - 1)
    }

    /// The span with a number, unless there is none.
    pub fn span(&self, place: Place) -> Option<Span> {
        self.places.borrow().get(place.0 as usize).copied()
    }

    /// Line and column of an offset, both from 1; columns count bytes, as in `builtins.unsafeGetAttrPos`.
    pub fn line_column(&self, file: FileId, offset: u32) -> (u32, u32) {
        let files = self.files.borrow();
        let text = &files[file.0 as usize].text;
        let offset = offset.min(text.len() as u32);
        let mut lines = self.lines.borrow_mut();
        let starts = lines.entry(file).or_insert_with(|| {
            let ends = (0..text.len()).filter(|at| ends_line(text, *at));
            std::iter::once(0).chain(ends.map(|at| at as u32 + 1)).collect()
        });
        let line = starts.partition_point(|start| *start <= offset);
        (line as u32, offset - starts[line - 1] + 1)
    }
}

/// Whether a line ends with the byte at `at`: a line feed, or a carriage return that no line feed follows.
pub(crate) fn ends_line(text: &[u8], at: usize) -> bool {
    match text[at] {
        b'\n' => true,
        b'\r' => text.get(at + 1) != Some(&b'\n'),
        _ => false,
    }
}
