//! The one door between evaluation and the world: files, environment, store, fetchers, builds.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use nix_compat::{CAHash, Derivation, NixHash, StoreDir, StorePath};

use crate::context::ContextElem;

/// What kind of thing a path names, symlinks not followed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FileType {
    /// A regular file.
    Regular,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// Anything else.
    Unknown,
}

impl FileType {
    /// The name that `builtins.readFileType` gives.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            FileType::Regular => "regular",
            FileType::Directory => "directory",
            FileType::Symlink => "symlink",
            FileType::Unknown => "unknown",
        }
    }

    /// The type of a file from its metadata.
    #[must_use]
    pub fn of(file_type: std::fs::FileType) -> Self {
        if file_type.is_file() {
            FileType::Regular
        } else if file_type.is_dir() {
            FileType::Directory
        } else if file_type.is_symlink() {
            FileType::Symlink
        } else {
            FileType::Unknown
        }
    }
}

/// A failure of the store, a fetcher or a build: what, where, why and what to do.
#[derive(Debug, thiserror::Error)]
pub enum IoError {
    /// The file system said no.
    #[error("{what} '{}': {source}", path.display())]
    File {
        /// What was being done, such as `reading`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// This version cannot do it.
    #[error("{0}")]
    Unsupported(String),
    /// Anything else, in words.
    #[error("{0}")]
    Other(String),
}

/// How a path becomes a store object.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ingestion {
    /// The bytes of one file.
    Flat,
    /// The NAR of a file or tree.
    Recursive,
}

/// Which entries of a tree to take; given paths below (not including) the root of the tree.
pub type PathFilter<'f> = &'f dyn Fn(&Path) -> bool;

/// Something to fetch: the attributes of a flake reference or fetcher call, all text.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FetchRequest {
    /// `path`, `git`, `github`, `tarball`, `file`, …
    pub kind: String,
    /// The other attributes: `url`, `rev`, `ref`, `owner`, `repo`, `narHash`, …
    pub attrs: BTreeMap<String, String>,
    /// The store name wanted, `source` when not said.
    pub name: Option<String>,
}

/// What a fetch gave.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fetched {
    /// The store path of the tree or file.
    pub store_path: StorePath,
    /// The tree on disk, if it can be read somewhere else than at its store path.
    pub disk: Option<PathBuf>,
    /// The NAR hash, if known.
    pub nar_hash: Option<NixHash>,
    /// Other facts: `rev`, `lastModified`, `revCount`, …
    pub info: BTreeMap<String, String>,
}

/// Everything evaluation asks of the world.
///
/// Paths given to the reading methods are absolute. Implementations may record each call: two
/// evaluations whose calls had the same answers have the same result.
pub trait Io {
    /// The bytes of a file, symlinks followed.
    ///
    /// # Errors
    ///
    /// As the file system says.
    fn read_file(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// The target of a symlink.
    ///
    /// # Errors
    ///
    /// As the file system says.
    fn read_link(&self, path: &Path) -> io::Result<PathBuf>;

    /// The names in a directory with their types, in any order.
    ///
    /// # Errors
    ///
    /// As the file system says.
    fn read_dir(&self, path: &Path) -> io::Result<Vec<(Vec<u8>, FileType)>>;

    /// The type of a path, symlinks not followed; `None` when there is nothing.
    ///
    /// # Errors
    ///
    /// As the file system says.
    fn file_type(&self, path: &Path) -> io::Result<Option<FileType>>;

    /// An environment variable.
    fn env_var(&self, name: &str) -> Option<Vec<u8>>;

    /// `builtins.currentSystem`.
    fn current_system(&self) -> String;

    /// `builtins.currentTime`: seconds since 1970.
    fn current_time(&self) -> i64;

    /// The logical store directory.
    fn store_dir(&self) -> StoreDir {
        StoreDir::default()
    }

    /// The files of `dir` that its version control tracks, relative to `dir`; `None` when the
    /// directory is not under version control. Evaluation sees no other file of such a tree.
    ///
    /// # Errors
    ///
    /// When the tool that knows cannot be asked.
    fn tracked_files(&self, dir: &Path) -> Result<Option<Vec<PathBuf>>, IoError>;

    /// A line for the user: `trace` and `warn`.
    fn message(&self, text: &str);

    /// Add a text with references (`toFile`).
    ///
    /// # Errors
    ///
    /// When the store cannot take it.
    fn add_text(
        &self,
        name: &str,
        contents: &[u8],
        references: &[StorePath],
    ) -> Result<StorePath, IoError>;

    /// Add a file or tree.
    ///
    /// # Errors
    ///
    /// When it cannot be read, or the store cannot take it.
    fn add_path(
        &self,
        name: &str,
        path: &Path,
        ingestion: Ingestion,
        filter: Option<PathFilter<'_>>,
    ) -> Result<StorePath, IoError>;

    /// The store path and content address `add_path` would give, nothing written.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    fn hash_path(
        &self,
        name: &str,
        path: &Path,
        ingestion: Ingestion,
        filter: Option<PathFilter<'_>>,
    ) -> Result<(StorePath, CAHash), IoError> {
        crate::compute_io::hash_path(&self.store_dir(), name, path, ingestion, filter)
    }

    /// Add a derivation; `path` is what its bytes give.
    ///
    /// # Errors
    ///
    /// When the store cannot take it.
    fn add_derivation(&self, path: &StorePath, derivation: &Derivation) -> Result<(), IoError>;

    /// Whether the store has this path.
    ///
    /// # Errors
    ///
    /// When the store cannot be asked.
    fn is_valid_path(&self, path: &StorePath) -> Result<bool, IoError>;

    /// Make the outputs that `context` names exist (import from derivation).
    ///
    /// # Errors
    ///
    /// When they cannot be built.
    fn realise(&self, context: &[ContextElem]) -> Result<(), IoError>;

    /// The derivation at a store path that this evaluation did not make itself.
    ///
    /// # Errors
    ///
    /// When it is not there or not a derivation.
    fn read_derivation(&self, path: &StorePath) -> Result<Derivation, IoError>;

    /// Where a store path lies on disk.
    fn physical(&self, path: &Path) -> PathBuf {
        path.to_owned()
    }

    /// Write the lock file of a flake. Does nothing where nothing can be written.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    fn write_lock(&self, path: &Path, contents: &[u8]) -> Result<(), IoError> {
        let _ = (path, contents);
        Ok(())
    }

    /// Fetch a tree or file.
    ///
    /// # Errors
    ///
    /// When it cannot be fetched, or this version does not know how.
    fn fetch(&self, request: &FetchRequest) -> Result<Fetched, IoError>;
}
