//! From a library's error to a message, a hint and an exit code.

use std::fmt;
use std::process::ExitCode;

/// What `hc` exits with; the numbers are documented in `hc help` and never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// Something failed that has no number of its own.
    Failed = 1,
    /// What the arguments say does not go together.
    Usage = 2,
    /// The Nix code is wrong.
    Evaluation = 3,
    /// Something could not be built or fetched.
    Build = 4,
    /// A machine did not become ready.
    NotReady = 5,
    /// The new generation failed, and the recorded old one is in effect again.
    RolledBack = 6,
    /// Another deploy is under way.
    Busy = 7,
    /// This host cannot do it: not root, a program is missing, no agent.
    Host = 8,
}

/// The table of exit codes, for `--help` and the man page.
pub const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed
  2  wrong arguments
  3  evaluation error in the Nix files
  4  something could not be built or fetched
  5  a machine did not become ready
  6  the new generation failed; the recorded old one is in effect again
  7  another deploy is under way
  8  this host cannot do it: not root, a program or the agent is missing
  `hc exec` exits with the command's own code (128 + N after signal N)";

/// An error a person can act on.
#[derive(Debug)]
pub struct Failure {
    /// Exit code.
    pub code: Code,
    /// What went wrong, with its causes.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

impl Failure {
    /// A failure with a code of its own.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: None }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// Gives an error of a library its exit code.
pub trait Coded<T> {
    /// As `code`, with the whole chain of causes as the message.
    fn code(self, code: Code) -> anyhow::Result<T>;
}

impl<T, E: Into<anyhow::Error>> Coded<T> for Result<T, E> {
    fn code(self, code: Code) -> anyhow::Result<T> {
        self.map_err(|error| Failure::new(code, chain(&error.into())).into())
    }
}

/// Prints an error and gives its exit code.
pub fn report(error: &anyhow::Error) -> ExitCode {
    // Somebody closed our output, as `hc ps | head -1` does: not worth a word.
    if error.chain().any(|e| {
        e.downcast_ref::<std::io::Error>()
            .is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
    }) {
        return ExitCode::from(Code::Failed as u8);
    }
    let red = if crate::output::colour(&std::io::stderr()) {
        ("\x1b[1;31m", "\x1b[0m")
    } else {
        ("", "")
    };
    let (code, hint, message) = match error.downcast_ref::<Failure>() {
        Some(failure) => (failure.code, failure.hint.as_deref(), failure.message.clone()),
        None => (Code::Failed, None, chain(error)),
    };
    // Evaluation errors are rendered whole, with their own heading.
    if message.starts_with("error") || message.starts_with("\x1b") {
        eprintln!("{message}");
    } else {
        eprintln!("{}error{}: {message}", red.0, red.1);
    }
    if let Some(hint) = hint {
        eprintln!("  hint: {hint}");
    }
    ExitCode::from(code as u8)
}

/// The message and its causes, without saying anything twice.
fn chain(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}
