use std::path::{Path, PathBuf};

/// What could not be done, to what.
#[derive(Debug, thiserror::Error)]
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
    /// A tree holds a mount point, so nothing in it was deleted.
    #[error("refusing to delete {}: {} is mounted below it; unmount it first", path.display(), mount.display())]
    Mounted {
        /// The tree.
        path: PathBuf,
        /// The first mount point found.
        mount: PathBuf,
    },
}

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// What the system said, where it said something.
    #[must_use]
    pub fn io(&self) -> Option<&std::io::Error> {
        match self {
            Self::Io { source, .. } => Some(source),
            Self::Mounted { .. } => None,
        }
    }
}

pub(crate) trait Context<T> {
    fn on(self, action: &'static str, path: &Path) -> Result<T>;
}

impl<T, E: Into<std::io::Error>> Context<T> for std::result::Result<T, E> {
    fn on(self, action: &'static str, path: &Path) -> Result<T> {
        self.map_err(|source| Error::Io { action, path: path.into(), source: source.into() })
    }
}
