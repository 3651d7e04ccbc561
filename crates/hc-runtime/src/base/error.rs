use std::io;
use std::path::{Path, PathBuf};

/// Why there is no base or no fork.
#[derive(Debug, thiserror::Error)]
pub enum ForkError {
    /// The path is no image's.
    #[error(transparent)]
    Image(#[from] super::NotAnImage),
    /// The image's file is not there.
    #[error("{} is not in the store any more: build or copy the image again", .0.display())]
    Gone(PathBuf),
    /// A base or a fork does not fit.
    #[error(
        "no room for {}: {room} bytes are free there{}; `hc gc` frees some, or give the state \
         directory a larger file system",
        file.display(), takes(*needed)
    )]
    NoRoom {
        /// What was to be written.
        file: PathBuf,
        /// Bytes it takes, 0 where that is little.
        needed: u64,
        /// Bytes that are free.
        room: u64,
    },
    /// A fork of this name is there and came from another image.
    #[error(
        "disk '{disk}' of machine '{machine}' is a fork of {}, not of {}: what is on it would be \
         lost; replace or remove it explicitly",
        old.display(), new.display()
    )]
    OtherImage {
        /// The machine.
        machine: String,
        /// The disk.
        disk: String,
        /// What the fork came from.
        old: PathBuf,
        /// What was asked for.
        new: PathBuf,
    },
    /// A disk smaller than its image.
    #[error("disk '{disk}' of machine '{machine}' cannot have {asked} bytes: {why}")]
    Size {
        /// The machine.
        machine: String,
        /// The disk.
        disk: String,
        /// Bytes asked for.
        asked: u64,
        /// What is in the way.
        why: String,
    },
    /// No way of forking works here.
    #[error("nothing can be forked in {}: {}", dir.display(), reasons.join("; "))]
    Impossible {
        /// Where.
        dir: PathBuf,
        /// Why each way does not work.
        reasons: Vec<String>,
    },
    /// The image could not be kept from collectors.
    #[error("cannot keep {} from being collected: {source}", image.display())]
    Keep {
        /// The store path.
        image: PathBuf,
        /// What the store said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A file could not be written or removed.
    #[error(transparent)]
    Fs(hc_fs::Error),
    /// The system refused something.
    #[error("cannot {action} {}: {source}", path.display())]
    System {
        /// What was tried, in words that a path follows.
        action: &'static str,
        /// The path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl ForkError {
    /// The error that a full file system is.
    pub(super) fn from_full(error: &io::Error, file: &Path, needed: u64) -> Option<Self> {
        let full = error.raw_os_error().is_some_and(|n| [libc::ENOSPC, libc::EDQUOT].contains(&n));
        full.then(|| {
            let there = file.ancestors().find(|dir| dir.is_dir()).unwrap_or(file);
            let room = super::files::free(there).unwrap_or(0);
            Self::NoRoom { file: file.into(), needed, room }
        })
    }
}

impl From<hc_fs::Error> for ForkError {
    fn from(error: hc_fs::Error) -> Self {
        let full = match &error {
            hc_fs::Error::Io { source, path, .. } => Self::from_full(source, path, 0),
            hc_fs::Error::Mounted { .. } => None,
        };
        full.unwrap_or(Self::Fs(error))
    }
}

fn takes(bytes: u64) -> String {
    if bytes == 0 { String::new() } else { format!(", and it takes {bytes}") }
}

pub(crate) trait Doing<T> {
    fn doing(self, action: &'static str, path: &Path) -> Result<T, ForkError>;
}

impl<T, E: Into<io::Error>> Doing<T> for Result<T, E> {
    fn doing(self, action: &'static str, path: &Path) -> Result<T, ForkError> {
        self.map_err(|source| {
            let source = source.into();
            let full = ForkError::from_full(&source, path, 0);
            full.unwrap_or_else(|| ForkError::System { action, path: path.into(), source })
        })
    }
}
