use nix_compat::{DrvOutput, StorePath};
use std::path::{Path, PathBuf};

/// What went wrong in the store, where, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The system said no.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// A verb, such as "write".
        action: &'static str,
        /// The path it was about.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A deletion was refused because something is mounted in the tree.
    #[error(transparent)]
    Mounted(hc_fs::Error),
    /// The disk is full.
    #[error("no space left while trying to {action} {}: free some, or run `hc gc`", path.display())]
    NoSpace {
        /// A verb, such as "write".
        action: &'static str,
        /// The path it was about.
        path: PathBuf,
    },
    /// This process, or the host, has as many files open as it may.
    #[error(
        "too many open files while trying to {action} {}: allow more (ulimit -n, LimitNOFILE of a \
         service), or do less at once (--jobs)",
        path.display()
    )]
    TooManyFiles {
        /// A verb, such as "write".
        action: &'static str,
        /// The path it was about.
        path: PathBuf,
    },
    /// The store's database said no.
    #[error("the store database {}: {source}", path.display())]
    Database {
        /// The database.
        path: PathBuf,
        /// What it said.
        source: rusqlite::Error,
    },
    /// The store was made by a Nix that is too old or too new.
    #[error("the store in {} has schema {found}, this program knows schema 10; run a Nix release that upgrades it, or use another store", path.display())]
    Schema {
        /// The schema file.
        path: PathBuf,
        /// What it says.
        found: String,
    },
    /// A path was asked for that the store does not have.
    #[error("{path} is not in the store")]
    NotValid {
        /// The path.
        path: StorePath,
    },
    /// A path was to be deleted that something keeps.
    #[error("{path} is still alive: `hc store why {path}` says what keeps it")]
    Alive {
        /// The path.
        path: StorePath,
    },
    /// A name cannot be that of a store path.
    #[error("{name:?} cannot be stored: {source}")]
    Name {
        /// The name.
        name: String,
        /// Why.
        source: nix_compat::StorePathError,
    },
    /// A tree cannot be archived (it holds a socket, or changed meanwhile).
    #[error("cannot store {}: {source}", path.display())]
    Archive {
        /// The tree.
        path: PathBuf,
        /// Why.
        source: nix_compat::nar::Error,
    },
    /// A derivation is malformed, or its output paths are not what they must be.
    #[error("the derivation {path} is not right: {reason}")]
    Derivation {
        /// The derivation.
        path: StorePath,
        /// What is wrong.
        reason: String,
    },
    /// A derivation asks for something this store cannot do.
    #[error("cannot build {drv}: {what}")]
    Unsupported {
        /// The derivation.
        drv: StorePath,
        /// What, and what to do.
        what: String,
    },
    /// A derivation has no such output.
    #[error("{} has no output {:?}", output.drv_path(), output.output_name())]
    NoSuchOutput {
        /// What was asked for.
        output: DrvOutput,
    },
    /// The builder ended with an error.
    #[error(transparent)]
    BuildFailed(Box<BuildFailure>),
    /// A fixed output is something else than was promised.
    #[error(
        "hash mismatch in fixed-output derivation '{drv}':\n  specified: {specified}\n        got: {got}"
    )]
    HashMismatch {
        /// The derivation.
        drv: StorePath,
        /// The promised hash (SRI).
        specified: String,
        /// The hash of what came (SRI).
        got: String,
    },
    /// What a builder made cannot be an output.
    #[error("the output {output} of {drv} is refused: {reason}")]
    Output {
        /// The derivation.
        drv: StorePath,
        /// The output's path.
        output: StorePath,
        /// Why.
        reason: String,
    },
    /// A derivation, built again, came to something else.
    #[error(
        "{drv} may not be deterministic: its output {output} came out different{}",
        kept.as_ref().map(|kept| format!("; what came is kept in {}", kept.display())).unwrap_or_default()
    )]
    NotReproducible {
        /// The derivation.
        drv: StorePath,
        /// The output that is valid.
        output: StorePath,
        /// Where what came this time was kept.
        kept: Option<Box<Path>>,
    },
    /// Several builds failed, each for itself.
    #[error("{}", errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Several {
        /// Why, in the order in which it happened.
        errors: Vec<Error>,
    },
    /// A download failed.
    #[error("cannot download {url} for {drv}: {reason}")]
    Fetch {
        /// The derivation.
        drv: StorePath,
        /// The address.
        url: String,
        /// Why, for the last try.
        reason: String,
    },
    /// The sandbox of a build could not be made.
    #[error("cannot make the sandbox of {drv}: {step}: {source}{}", hint(note.as_ref()))]
    Sandbox {
        /// The derivation.
        drv: StorePath,
        /// What was being done.
        step: String,
        /// What the system said.
        source: std::io::Error,
        /// What to do, where something is known.
        note: Option<String>,
    },
    /// A path cannot be a root of the garbage collector.
    #[error("cannot make {} a root: {reason}", link.display())]
    Root {
        /// The link.
        link: PathBuf,
        /// Why.
        reason: &'static str,
    },
    /// A path that comes from elsewhere is not what it must be.
    #[error("{path} is refused: {reason}")]
    Refused {
        /// The path.
        path: StorePath,
        /// Why.
        reason: String,
    },
    /// A path that comes from elsewhere refers to one that is not there.
    #[error("{path} cannot be added: it refers to {reference}, which is not there")]
    MissingReference {
        /// The path.
        path: StorePath,
        /// What it refers to.
        reference: StorePath,
    },
    /// A path that comes from elsewhere has other contents than promised.
    #[error("hash mismatch importing path '{path}':\n  specified: {specified}\n        got: {got}")]
    NarMismatch {
        /// The path.
        path: StorePath,
        /// The promised hash.
        specified: String,
        /// The hash of what came (SRI).
        got: String,
    },
    /// A store, cache or daemon elsewhere said no, or cannot be reached.
    #[error("{address}: {reason}")]
    Peer {
        /// Its address.
        address: String,
        /// What it said.
        reason: String,
    },
    /// The store of this host can neither be written nor is there a daemon for it.
    #[error(
        "the store of this host cannot be used: {} cannot be written by this user, and no Nix daemon listens at {}",
        state.display(),
        socket.display()
    )]
    NoWay {
        /// The store's directory for what is no store path.
        state: PathBuf,
        /// Where a daemon's socket would be.
        socket: PathBuf,
    },
    /// The caller's observer asked to stop.
    #[error("cancelled")]
    Cancelled,
}

/// How a build failed.
#[derive(Debug, thiserror::Error)]
#[error("the builder of {drv} failed: {status}{}{}{}", hint(note.as_ref()), tail(log_tail, drv), kept_at(kept.as_ref()))]
pub struct BuildFailure {
    /// The derivation.
    pub drv: StorePath,
    /// How it ended, such as "exit code 1".
    pub status: String,
    /// What may be the cause, where something is known.
    pub note: Option<String>,
    /// The last lines it wrote.
    pub log_tail: String,
    /// Everything it wrote.
    pub log: PathBuf,
    /// Where its build directory was kept.
    pub kept: Option<PathBuf>,
}

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

fn hint(note: Option<&String>) -> String {
    note.map(|note| format!(" ({note})")).unwrap_or_default()
}

fn tail(lines: &str, drv: &StorePath) -> String {
    if lines.is_empty() {
        return String::from("; it wrote nothing");
    }
    let mut out = String::from("; its last lines:");
    for line in lines.lines() {
        out.push_str("\n  > ");
        out.push_str(line);
    }
    out.push_str(&format!("\nfor the whole log, run: hc log {drv}"));
    out
}

fn kept_at(directory: Option<&PathBuf>) -> String {
    directory
        .map(|kept| format!("\nits build directory is kept in {}", kept.display()))
        .unwrap_or_default()
}

fn is_any(error: &std::io::Error, of: [rustix::io::Errno; 2]) -> bool {
    of.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

pub(crate) fn io(action: &'static str, path: &Path, source: std::io::Error) -> Error {
    use rustix::io::Errno;
    if is_any(&source, [Errno::NOSPC, Errno::DQUOT]) {
        Error::NoSpace { action, path: path.into() }
    } else if is_any(&source, [Errno::MFILE, Errno::NFILE]) {
        Error::TooManyFiles { action, path: path.into() }
    } else {
        Error::Io { action, path: path.into(), source }
    }
}

impl From<hc_fs::Error> for Error {
    fn from(error: hc_fs::Error) -> Self {
        match error {
            hc_fs::Error::Io { action, path, source } => io(action, &path, source),
            other => Self::Mounted(other),
        }
    }
}

pub(crate) trait Context<T> {
    /// Says what was being done, to what.
    fn on(self, action: &'static str, path: &Path) -> Result<T>;
}

impl<T, E: Into<std::io::Error>> Context<T> for std::result::Result<T, E> {
    fn on(self, action: &'static str, path: &Path) -> Result<T> {
        self.map_err(|source| io(action, path, source.into()))
    }
}

pub(crate) fn archive(path: &Path) -> impl FnOnce(nix_compat::nar::Error) -> Error + '_ {
    move |source| match source {
        nix_compat::nar::Error::Io(source) => io("archive", path, source),
        source => Error::Archive { path: path.into(), source },
    }
}

impl Error {
    /// Whether the cause is a full disk.
    #[must_use]
    pub fn is_no_space(&self) -> bool {
        matches!(self, Self::NoSpace { .. })
    }
}
