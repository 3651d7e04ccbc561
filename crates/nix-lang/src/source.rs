//! Places in source texts.

pub(crate) use nix_syntax::Place;
use nix_syntax::{Origin, Sources, Span};

/// A place in a source text.
pub(crate) type Pos = Span;

/// The place of what no text says.
pub(crate) const NO_POS: Pos = Span { start: u32::MAX, end: u32::MAX };

/// The same, to point to.
pub(crate) static NOWHERE: Pos = NO_POS;

/// A place by its number; [`direct`] looks it up when somebody wants to know. Such a [`Pos`] ends
/// before it begins.
#[inline]
pub(crate) fn at(place: Place) -> Pos {
    if place == Place::NONE { NO_POS } else { Span { start: place.0 + 1, end: 0 } }
}

/// A place as texts count it.
pub(crate) fn direct(sources: &Sources, pos: Pos) -> Pos {
    if pos.end < pos.start { sources.span(Place(pos.start - 1)).unwrap_or(NO_POS) } else { pos }
}

pub(crate) fn is_none(pos: Pos) -> bool {
    pos == NO_POS
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
    let part = sources.part(pos)?;
    let (line, column) = sources.line_column(part.file, part.start);
    let (file, is_file) = match sources.origin(part.file) {
        Origin::Path(path) => (String::from_utf8_lossy(&path).into_owned(), true),
        Origin::Text(label) => (label.to_string(), false),
    };
    Some(Location { file, is_file, line, column })
}
