//! Evaluation errors: a class, a message, where, and the trail of calls that led there.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

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

/// One step of the trail, and those before it: what failed on the way shares them.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) pos: Pos,
    pub(crate) message: Cow<'static, str>,
    before: Option<Arc<Frame>>,
    /// How many there are, this one included.
    count: usize,
}

impl Drop for Frame {
    /// One after the other: a trail is as long as calls are deep.
    fn drop(&mut self) {
        let mut next = self.before.take();
        while let Some(mut frame) = next.and_then(Arc::into_inner) {
            next = frame.before.take();
        }
    }
}

#[derive(Clone, Debug)]
struct Inner {
    kind: ErrorKind,
    message: Arc<str>,
    pos: Pos,
    hint: Option<Arc<str>>,
    trail: Option<Arc<Frame>>,
    told: Option<Box<Told>>,
}

/// What is said of an error that leaves the evaluator.
#[derive(Clone, Debug)]
struct Told {
    location: Option<Location>,
    report: String,
}

/// An evaluation error. [`fmt::Display`] gives the message alone; [`Error::report`] gives the
/// source lines, the caret and the trail.
#[derive(Clone)]
pub struct Error(Box<Inner>);

/// The result of evaluating something.
pub type Result<T> = std::result::Result<T, Error>;

/// Of a trail longer than this only the beginning and the end are told.
const TRACE_MAX: usize = 64;

/// A trail longer than this does not grow: the last step takes the place of the one before it.
const TRAIL_MAX: usize = 1 << 16;

impl Error {
    #[cold]
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>, pos: Pos) -> Self {
        Error(Box::new(Inner {
            kind,
            message: message.into().into(),
            pos,
            hint: None,
            trail: None,
            told: None,
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
        self.0.hint = Some(hint.into().into());
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
        let mut before = self.0.trail.take();
        if before.as_ref().is_some_and(|frame| frame.count >= TRAIL_MAX) {
            before = before.and_then(|frame| frame.before.clone());
        }
        let count = before.as_ref().map_or(0, |frame| frame.count) + 1;
        self.0.trail = Some(Arc::new(Frame { pos, message: message.into(), before, count }));
        self
    }

    pub(crate) fn pos(&self) -> Pos {
        self.0.pos
    }

    /// The steps to tell of, innermost first.
    pub(crate) fn trace(&self) -> Vec<&Frame> {
        let steps = std::iter::successors(self.0.trail.as_deref(), |step| step.before.as_deref());
        let mut steps: Vec<&Frame> = steps.collect();
        steps.reverse();
        if steps.len() > TRACE_MAX {
            steps.drain(TRACE_MAX / 2..steps.len() - TRACE_MAX / 2);
        }
        steps
    }

    pub(crate) fn set_report(&mut self, location: Option<Location>, report: String) {
        self.0.told = Some(Box::new(Told { location, report }));
    }

    pub(crate) fn has_report(&self) -> bool {
        self.0.told.is_some()
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
        self.0.told.as_ref()?.location.as_ref()
    }

    /// The whole story for a person: message, source line with a caret, trail of calls.
    #[must_use]
    pub fn report(&self) -> &str {
        self.0.told.as_ref().map_or(&*self.0.message, |told| &told.report)
    }

    /// Whether whatever failed with this fails with it whenever it is asked for: not where how deep
    /// the calls were, the time, the memory or somebody's wish was the reason.
    pub(crate) fn lasts(&self) -> bool {
        let kind = self.0.kind;
        !matches!(kind, ErrorKind::StackOverflow | ErrorKind::Limit | ErrorKind::Interrupted)
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
