//! What a text may say but better would not: settings of C++ Nix that warn of it, or forbid it.

use crate::source::Span;

/// What to do about something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lint {
    /// Nothing.
    #[default]
    Ignore,
    /// Say so.
    Warn,
    /// Refuse the text.
    Fatal,
}

impl std::str::FromStr for Lint {
    type Err = &'static str;

    /// As settings of C++ Nix name them.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "ignore" => Ok(Lint::Ignore),
            "warn" => Ok(Lint::Warn),
            "fatal" => Ok(Lint::Fatal),
            _ => Err("'ignore', 'warn' or 'fatal'"),
        }
    }
}

/// `lint-url-literals`, `lint-short-path-literals` and `lint-absolute-path-literals`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lints {
    /// URLs without quotation marks.
    pub url_literals: Lint,
    /// Relative paths that do not begin with a dot.
    pub short_path_literals: Lint,
    /// Paths that begin with `/` or `~`.
    pub absolute_path_literals: Lint,
}

/// Something that a text says and that is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// Where.
    pub span: Span,
    /// What.
    pub text: String,
    /// Whether the place is said before the text.
    pub place_first: bool,
}
