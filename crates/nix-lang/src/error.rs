//! Evaluation errors: a class, a message, where, and the trail of calls that led there.

use std::borrow::Cow;
use std::fmt;

use crate::source::{Location, Pos, is_none};

/// The class of an evaluation error.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The text is not a Nix expression.
    Syntax,
    /// `throw`: caught by `tryEval`.
    Throw,
    /// `abort`.
    Abort,
    /// A failed `assert`: caught by `tryEval`.
    Assert,
    /// A value of the wrong type.
    Type,
    /// A variable that is not in scope.
    UndefinedVar,
    /// An attribute that is not in the set.
    MissingAttr,
    /// A value that needs itself.
    InfiniteRecursion,
    /// Calls nested too deeply.
    StackOverflow,
    /// The time or memory allowed for the evaluation is used up.
    Limit,
    /// Somebody asked for the evaluation to stop.
    Interrupted,
    /// Something that pure evaluation does not allow.
    Impure,
    /// A file or the store could not be read or written.
    Io,
    /// Something this version cannot do.
    Unsupported,
    /// Any other error of evaluation.
    Eval,
}

/// One step of the trail.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) pos: Pos,
    pub(crate) message: Cow<'static, str>,
}

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    message: String,
    pos: Pos,
    hint: Option<String>,
    trace: Vec<Frame>,
    location: Option<Location>,
    report: Option<String>,
}

/// An evaluation error. [`fmt::Display`] gives the message alone; [`Error::report`] gives the
/// source lines, the caret and the trail.
pub struct Error(Box<Inner>);

/// The result of evaluating something.
pub type Result<T> = std::result::Result<T, Error>;

/// A trail longer than this keeps its beginning and its end only.
const TRACE_MAX: usize = 64;

impl Error {
    #[cold]
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>, pos: Pos) -> Self {
        Error(Box::new(Inner {
            kind,
            message: message.into(),
            pos,
            hint: None,
            trace: Vec::new(),
            location: None,
            report: None,
        }))
    }

    #[cold]
    pub(crate) fn eval(message: impl Into<String>, pos: Pos) -> Self {
        Error::new(ErrorKind::Eval, message, pos)
    }

    #[cold]
    pub(crate) fn ty(message: impl Into<String>, pos: Pos) -> Self {
        Error::new(ErrorKind::Type, message, pos)
    }

    #[cold]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Say where, unless something closer to the fault already has.
    #[cold]
    pub(crate) fn at(mut self, pos: Pos) -> Self {
        if is_none(self.0.pos) {
            self.0.pos = pos;
        }
        self
    }

    #[cold]
    pub(crate) fn frame(mut self, pos: Pos, message: impl Into<Cow<'static, str>>) -> Self {
        let trace = &mut self.0.trace;
        if trace.len() >= TRACE_MAX {
            trace.remove(TRACE_MAX / 2);
        }
        trace.push(Frame { pos, message: message.into() });
        self
    }

    pub(crate) fn pos(&self) -> Pos {
        self.0.pos
    }

    pub(crate) fn trace(&self) -> &[Frame] {
        &self.0.trace
    }

    pub(crate) fn set_report(&mut self, location: Option<Location>, report: String) {
        self.0.location = location;
        self.0.report = Some(report);
    }

    pub(crate) fn has_report(&self) -> bool {
        self.0.report.is_some()
    }

    /// The class of the error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What went wrong, in one sentence.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What might help, if anything is known.
    #[must_use]
    pub fn help(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// Where it went wrong.
    #[must_use]
    pub fn location(&self) -> Option<&Location> {
        self.0.location.as_ref()
    }

    /// The whole story for a person: message, source line with a caret, trail of calls.
    #[must_use]
    pub fn report(&self) -> &str {
        self.0.report.as_deref().unwrap_or(&self.0.message)
    }

    /// Whether `builtins.tryEval` turns this into `success = false`.
    #[must_use]
    pub fn is_catchable(&self) -> bool {
        matches!(self.0.kind, ErrorKind::Throw | ErrorKind::Assert)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}: {}", self.0.kind, self.report())
    }
}

impl std::error::Error for Error {}
