//! POSIX extended regular expressions on bytes, with the matches that `builtins.match` and `builtins.split` of Nix give.
//!
//! C++ Nix uses `std::regex` of libstdc++, and derivations depend on which of several possible matches that finds. It does not
//! find the leftmost-longest match of the standard in every case: all alternatives are tried and the longest match is kept, the first
//! among equals, but a repetition that can go on and still match always goes on. This crate defines the same match, in time and memory
//! bounded by the size of the expression times the size of the text.

mod bracket;
mod compile;
mod exec;
mod parse;
#[cfg(test)]
mod tests;

use std::ops::Range;

/// Why an expression is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// `(` or `)` without the other, or something that cannot stand here.
    #[error("unbalanced parenthesis or misplaced operator")]
    Syntax,
    /// `*`, `+`, `?` or `{` without something to repeat.
    #[error("nothing to repeat")]
    BadRepeat,
    /// A malformed interval.
    #[error("invalid interval: write {{m}}, {{m,}} or {{m,n}} with m not above n")]
    BadInterval,
    /// `[` without `]`.
    #[error("`[` is not closed")]
    BadBracket,
    /// A range whose end is before its start, or a stray dash.
    #[error("invalid range in brackets")]
    BadRange,
    /// An unknown `[:name:]`.
    #[error("unknown character class")]
    BadClass,
    /// An unknown `[.name.]` or `[=name=]`.
    #[error("unknown collating element")]
    BadCollation,
    /// `\` before a character that needs no escape (`\d` and back references are no part of this syntax), or at the end.
    #[error("invalid escape: only . [ \\ ( ) * + ? {{ | ^ $ can follow a backslash")]
    BadEscape,
    /// The expression is larger than the limit once intervals are written out.
    #[error("the expression is too large")]
    TooLarge,
}

/// Where the whole match (index 0) and each group stand in the text.
pub type Captures = Vec<Option<Range<usize>>>;

/// A compiled expression.
#[derive(Clone, Debug)]
pub struct Regex {
    program: compile::Program,
}

impl Regex {
    /// Compiles an expression.
    pub fn new(pattern: &[u8]) -> Result<Self, Error> {
        Ok(Self { program: compile::compile(&parse::parse(pattern)?)? })
    }

    /// How many groups there are, the whole match not counted.
    pub fn groups(&self) -> usize {
        self.program.groups
    }

    /// The match of the whole text (`builtins.match`).
    pub fn full_match(&self, text: &[u8]) -> Option<Captures> {
        exec::Matcher::new(&self.program, text, exec::Mode::Exact).at(0)
    }

    /// The first match that starts at `start` or later. `^` matches at 0 only, whatever `start` is.
    pub fn find_at(&self, text: &[u8], start: usize) -> Option<Captures> {
        exec::Matcher::new(&self.program, text, exec::Mode::Longest).find(start)
    }

    /// The matches one after the other (`builtins.split`). After an empty match a non-empty one is tried at the same place
    /// before moving on, as `std::regex_iterator` does.
    pub fn matches<'r>(&'r self, text: &'r [u8]) -> Matches<'r> {
        Matches {
            matcher: exec::Matcher::new(&self.program, text, exec::Mode::Longest),
            program: &self.program,
            text,
            last: None,
            done: false,
        }
    }
}

/// The iterator of [`Regex::matches`].
pub struct Matches<'r> {
    matcher: exec::Matcher<'r>,
    program: &'r compile::Program,
    text: &'r [u8],
    last: Option<Range<usize>>,
    done: bool,
}

impl Iterator for Matches<'_> {
    type Item = Captures;

    fn next(&mut self) -> Option<Captures> {
        if self.done {
            return None;
        }
        let found = match self.last.clone() {
            None => self.matcher.find(0),
            Some(last) if last.is_empty() && last.end == self.text.len() => None,
            Some(last) if last.is_empty() => {
                exec::Matcher::new(self.program, self.text, exec::Mode::LongestNotEmpty(last.end))
                    .at(last.end)
                    .or_else(|| self.matcher.find(last.end + 1))
            }
            Some(last) => self.matcher.find(last.end),
        };
        self.last = found.as_ref().and_then(|captures| captures[0].clone());
        self.done = self.last.is_none();
        found
    }
}
