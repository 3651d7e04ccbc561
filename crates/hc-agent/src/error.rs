//! What goes wrong in an agent, as typed errors.

use std::path::PathBuf;

/// An error of a part behind a trait ([`crate::Networks`], [`crate::Roots`]).
pub type PartError = Box<dyn std::error::Error + Send + Sync>;

/// Why the agent could not do something.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// A file could not be changed.
    #[error(transparent)]
    Fs(#[from] hc_fs::Error),
    /// The system said no.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// A verb, such as "read".
        action: &'static str,
        /// The path it was about.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file of the state directory does not hold what it should.
    #[error("{} is damaged: {problem}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A machine set or a closure in it cannot be used.
    #[error("the machine set {} cannot be used: {problem}", path.display())]
    Set {
        /// The set, or the file in it that is wrong.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// There is no such generation.
    #[error("there is no generation {0}")]
    NoGeneration(u64),
    /// There is no generation before the current one.
    #[error("there is no earlier generation to go back to")]
    NoPrevious,
    /// There is no such machine in the current generation.
    #[error("there is no machine '{0}' in the current generation")]
    NoMachine(String),
    /// A fork begins as its original is, and cannot begin again.
    #[error("'{0}' is a fork of a machine, which can only be stopped")]
    Fork(String),
    /// Something else is being activated.
    #[error("{by} is {what} since {since}")]
    Busy {
        /// Who asked for it.
        by: String,
        /// What it is doing, such as "activating /nix/store/…".
        what: String,
        /// When it began, as text.
        since: String,
    },
    /// Another agent owns the run directory.
    #[error("an agent is already running here (process {pid}, lock {})", lock.display())]
    AlreadyRunning {
        /// Its process.
        pid: String,
        /// The lock it holds.
        lock: PathBuf,
    },
    /// A part said no.
    #[error("cannot {what}: {source}")]
    Part {
        /// What it was asked for.
        what: &'static str,
        /// What it said.
        source: PartError,
    },
    /// An activation failed and so did going back; the journal stays, the next start tries again.
    #[error("{failed}; and going back failed too: {undo}")]
    Stuck {
        /// Why the activation failed.
        failed: String,
        /// Why going back failed.
        undo: String,
    },
    /// The agent does not come up.
    #[error("the agent does not answer on {}: {why}", socket.display())]
    NotStarted {
        /// Its socket.
        socket: PathBuf,
        /// What is known, such as the end of its log.
        why: String,
    },
}

/// A result of this crate.
pub type Result<T, E = AgentError> = std::result::Result<T, E>;

impl AgentError {
    /// A word for programs.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Fs(_) | Self::Io { .. } => "io",
            Self::Damaged { .. } => "damaged-state",
            Self::Set { .. } => "invalid-set",
            Self::NoGeneration(_) => "no-generation",
            Self::NoPrevious => "no-previous-generation",
            Self::NoMachine(_) => "no-machine",
            Self::Fork(_) => "fork",
            Self::Busy { .. } => "busy",
            Self::AlreadyRunning { .. } => "already-running",
            Self::Part { .. } => "part",
            Self::Stuck { .. } => "stuck",
            Self::NotStarted { .. } => "not-started",
        }
    }

    /// What a person can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::NoGeneration(_) => "hc generations lists those there are",
            Self::NoPrevious => "name one: hc rollback --to N",
            Self::NoMachine(_) => "hc ps lists those there are",
            Self::Fork(_) => "stop it, and fork the machine again: hc fork MACHINE NAME",
            Self::Busy { .. } => "wait for it, or ask again with --wait",
            Self::AlreadyRunning { .. } => "there is one agent per run directory; use that one",
            Self::Stuck { .. } => {
                "mend the cause and restart the agent: it goes on from the journal"
            }
            Self::Damaged { .. } => "move the file away and deploy again",
            _ => return None,
        })
    }
}

pub(crate) trait Context<T> {
    fn on(self, action: &'static str, path: &std::path::Path) -> Result<T>;
}

impl<T, E: Into<std::io::Error>> Context<T> for std::result::Result<T, E> {
    fn on(self, action: &'static str, path: &std::path::Path) -> Result<T> {
        self.map_err(|source| AgentError::Io { action, path: path.into(), source: source.into() })
    }
}
