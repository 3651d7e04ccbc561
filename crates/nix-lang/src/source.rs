//! Places in source texts.

pub(crate) use nix_syntax::Place;
use nix_syntax::{FileId, Origin, Sources, Span};

/// A place in a source text.
pub(crate) type Pos = Span;

/// The place of what no text says.
pub(crate) const NO_POS: Pos = Span { file: FileId(u32::MAX), start: 0, end: 0 };

/// The same, to point to.
pub(crate) static NOWHERE: Pos = NO_POS;

/// The file of a [`Pos`] that only tells the number of a place.
const PLACES: FileId = FileId(u32::MAX - 1);

/// A place by its number; [`direct`] looks it up when somebody wants to know.
#[inline]
pub(crate) fn at(place: Place) -> Pos {
    if place == Place::NONE { NO_POS } else { Span { file: PLACES, start: place.0, end: 0 } }
}

/// A place by its file and offsets.
pub(crate) fn direct(sources: &Sources, pos: Pos) -> Pos {
    if pos.file == PLACES { sources.span(Place(pos.start)).unwrap_or(NO_POS) } else { pos }
}

pub(crate) fn is_none(pos: Pos) -> bool {
    pos.file.0 == u32::MAX
}

/// A position as people read it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Location {
    /// The path of the file, or a name such as `«string»`.
    pub file: String,
    /// Whether `file` is the path of a file.
    pub is_file: bool,
    /// The line, from 1.
    pub line: u32,
    /// The column in bytes, from 1.
    pub column: u32,
}

pub(crate) fn locate(sources: &Sources, pos: Pos) -> Option<Location> {
    let pos = direct(sources, pos);
    if is_none(pos) {
        return None;
    }
    let (line, column) = sources.line_column(pos.file, pos.start);
    let (file, is_file) = match sources.get(pos.file).origin {
        Origin::Path(path) => (String::from_utf8_lossy(&path).into_owned(), true),
        Origin::Text(label) => (label.to_string(), false),
    };
    Some(Location { file, is_file, line, column })
}
