//! Source texts and places in them.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::Arc;

use rustc_hash::FxBuildHasher;

use crate::packed::PackedTexts;

/// From here on numbers are no places: others use them for what has none.
const MOST: u32 = u32::MAX - 1;

/// A source text registered in [`Sources`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(pub u32);

/// A run of bytes in a source text, counted through all texts of a [`Sources`]: [`Sources::part`] tells
/// which text that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// Where the first byte is.
    pub start: u32,
    /// Where the last byte ends.
    pub end: u32,
}

impl Span {
    /// From the start of `self` to the end of `other`.
    pub fn to(self, other: Span) -> Span {
        Span { start: self.start, end: other.end }
    }
}

/// A [`Span`] as offsets in its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// The text.
    pub file: FileId,
    /// Offset of the first byte.
    pub start: u32,
    /// Offset after the last byte.
    pub end: u32,
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
    /// Where the text begins, as [`Span`]s count.
    pub base: u32,
}

impl Source {
    /// What the text says there.
    pub fn at(&self, span: Span) -> Option<&[u8]> {
        let start = span.start.checked_sub(self.base)?;
        self.text.get(start as usize..span.end.checked_sub(self.base)? as usize)
    }
}

/// All texts of one evaluation. They are read again only where something is to be said about them, so
/// they are kept compressed.
#[derive(Default, Debug)]
pub struct Sources {
    files: RefCell<Vec<(Origin, u32)>>,
    texts: RefCell<PackedTexts>,
    /// The text that was added last, which is about to be parsed.
    newest: RefCell<Option<Arc<[u8]>>>,
    places: RefCell<Vec<Span>>,
    /// How long the texts are that were added, and one byte more for each, for the place at its end.
    length: Cell<u32>,
    /// Where the lines of a text start, of those that were asked for.
    lines: RefCell<HashMap<FileId, Box<[u32]>, FxBuildHasher>>,
}

impl Sources {
    /// No texts.
    pub fn new() -> Self {
        Self::default()
    }

    /// Registers a text. When all of them come to 4 GiB, no [`Span`] can tell of it: [`crate::parse`] refuses it.
    pub fn add(&self, origin: Origin, text: Arc<[u8]>) -> FileId {
        let mut files = self.files.borrow_mut();
        files.push((origin, self.length.get()));
        self.texts.borrow_mut().add(&text);
        let length = u32::try_from(text.len()).unwrap_or(u32::MAX).saturating_add(1);
        self.length.set(self.length.get().saturating_add(length));
        *self.newest.borrow_mut() = Some(text);
        FileId(files.len() as u32 - 1)
    }

    /// Whether spans can tell of everything that was added.
    pub(crate) fn is_countable(&self) -> bool {
        self.length.get() < MOST
    }

    /// A registered text.
    pub fn get(&self, file: FileId) -> Source {
        let files = self.files.borrow();
        let (origin, base) = files[file.0 as usize].clone();
        let newest = self.newest.borrow();
        let text = match &*newest {
            Some(text) if file.0 as usize + 1 == files.len() => text.clone(),
            _ => self.texts.borrow_mut().get(file.0 as usize).unwrap_or_default().into(),
        };
        Source { origin, text, base }
    }

    /// Where a registered text came from.
    pub fn origin(&self, file: FileId) -> Origin {
        self.files.borrow()[file.0 as usize].0.clone()
    }

    /// Where a registered text begins, as [`Span`]s count.
    pub fn base(&self, file: FileId) -> u32 {
        self.files.borrow()[file.0 as usize].1
    }

    /// The text that a span is in, and where in it; nothing where there is no text.
    pub fn part(&self, span: Span) -> Option<Part> {
        let files = self.files.borrow();
        let file = files.partition_point(|(_, base)| *base <= span.start).checked_sub(1)?;
        let base = files[file].1;
        let end = span.end.saturating_sub(base);
        Some(Part { file: FileId(file as u32), start: span.start - base, end })
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

    /// The span of a part.
    pub fn span_of(&self, part: Part) -> Span {
        let base = self.base(part.file);
        Span { start: base + part.start, end: base + part.end }
    }

    /// Line and column of an offset, both from 1; columns count bytes, as in `builtins.unsafeGetAttrPos`.
    pub fn line_column(&self, file: FileId, offset: u32) -> (u32, u32) {
        let mut lines = self.lines.borrow_mut();
        let starts = lines.entry(file).or_insert_with(|| {
            let text = self.get(file).text;
            let ends = (0..text.len()).filter(|at| ends_line(&text, *at));
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
