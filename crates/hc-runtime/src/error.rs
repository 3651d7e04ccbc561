use std::io;
use std::path::PathBuf;

/// Why a machine could not be run, entered or cleaned up.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The machine closure cannot be read.
    #[error("cannot read the machine description {}: {source}", path.display())]
    Closure {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// What the image says about itself cannot be read.
    #[error("cannot read the image's manifest {}: {problem}", path.display())]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The machine closure makes no sense.
    #[error("{}: {source}", path.display())]
    Spec {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: hc_spec::machine::SpecError,
    },
    /// Somebody supervises this machine already.
    #[error("machine '{name}' is already running; stop it first")]
    AlreadyRunning {
        /// The machine.
        name: String,
    },
    /// There is nothing to enter.
    #[error("machine '{name}' is not running; start it first")]
    NotRunning {
        /// The machine.
        name: String,
    },
    /// The caller has threads: a process that is cloned then may deadlock.
    #[error(
        "machine '{name}' must be started from a process with one thread, this one has {threads}"
    )]
    Threads {
        /// The machine.
        name: String,
        /// How many there are.
        threads: usize,
    },
    /// A file could not be written or removed.
    #[error(transparent)]
    Fs(#[from] hc_fs::Error),
    /// The system refused something.
    #[error("machine '{machine}': cannot {action}: {source}{hint}")]
    System {
        /// The machine.
        machine: String,
        /// What was tried.
        action: String,
        /// What the system said.
        source: io::Error,
        /// What to do, or nothing.
        hint: &'static str,
    },
    /// The machine's description does not fit its image, or the payload could not be started.
    #[error("machine '{machine}': {problem}")]
    Machine {
        /// The machine.
        machine: String,
        /// What is wrong, and what would be right.
        problem: String,
    },
    /// Files could not be copied.
    #[error("{problem}")]
    Copy {
        /// On which side, and what is wrong.
        problem: String,
    },
    /// The network could not be connected.
    #[error("machine '{machine}': cannot connect the network: {source}")]
    Network {
        /// The machine.
        machine: String,
        /// What went wrong.
        source: crate::network::NetworkError,
    },
}

/// What went wrong, before it is known in which machine.
#[derive(Debug)]
pub(crate) enum Problem {
    /// The system refused something.
    System { action: String, source: io::Error, hint: &'static str },
    /// Said in full already.
    Plain(String),
    /// From the file-system module.
    Fs(hc_fs::Error),
}

pub(crate) type Res<T> = Result<T, Problem>;

impl Problem {
    pub fn plain(text: impl Into<String>) -> Self {
        Self::Plain(text.into())
    }

    pub fn of(self, machine: &str) -> RunError {
        let machine = machine.to_owned();
        match self {
            Self::System { action, source, hint } => {
                RunError::System { machine, action, source, hint }
            }
            Self::Plain(problem) => RunError::Machine { machine, problem },
            Self::Fs(error) => RunError::Fs(error),
        }
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::System { action, source, hint } => write!(f, "cannot {action}: {source}{hint}"),
            Self::Plain(text) => f.write_str(text),
            Self::Fs(error) => error.fmt(f),
        }
    }
}

impl From<hc_fs::Error> for Problem {
    fn from(error: hc_fs::Error) -> Self {
        Self::Fs(error)
    }
}

/// Says what was tried, in words that follow "cannot".
pub(crate) trait Doing<T> {
    fn doing(self, action: impl Into<String>) -> Res<T>;
    fn doing_with(self, action: impl FnOnce() -> String) -> Res<T>;
}

impl<T, E: Into<io::Error>> Doing<T> for Result<T, E> {
    fn doing(self, action: impl Into<String>) -> Res<T> {
        self.doing_with(|| action.into())
    }

    fn doing_with(self, action: impl FnOnce() -> String) -> Res<T> {
        self.map_err(|source| Problem::System { action: action(), source: source.into(), hint: "" })
    }
}

/// Adds what to do about it.
pub(crate) trait Hint {
    fn hint(self, hint: &'static str) -> Self;
}

impl<T> Hint for Res<T> {
    fn hint(self, words: &'static str) -> Self {
        self.map_err(|problem| match problem {
            Problem::System { action, source, hint: "" } => {
                Problem::System { action, source, hint: words }
            }
            other => other,
        })
    }
}
