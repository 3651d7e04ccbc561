//! The one door between evaluation and the world: files, environment, store, fetchers, builds.

use std::io;
use std::path::{Path, PathBuf};

use nix_compat::flake_ref::registry::Registry;
use nix_compat::flake_ref::{Attr as RefAttr, Input};
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

/// Something to fetch.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct FetchRequest {
    /// Where from.
    pub input: Input,
    /// The attributes are all there is to know: what has a `narHash` may come from anywhere.
    pub is_final: bool,
    /// A directory of this machine may be read where it lies.
    pub lazy: bool,
}

/// A directory of this machine that is read where it lies.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LocalTree {
    /// The directory.
    pub path: PathBuf,
    /// The files that count, relative to it; all when not said.
    pub files: Option<Vec<PathBuf>>,
}

/// What a fetch gave.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fetched {
    /// What exactly it is: the input with everything that was found out. Has a `narHash` unless it
    /// is local.
    pub input: Input,
    /// The tree or file.
    pub place: Place,
    /// Attributes that [`Io::fetch_fact`] can tell.
    pub facts: Vec<&'static str>,
}

/// Where something fetched is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Place {
    /// In the store (or about to be, and readable as if it was).
    Stored(StorePath),
    /// In a directory of this machine.
    Local(LocalTree),
}

/// A store path in a binary cache, wanted with everything it refers to (`fetchClosure`).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClosureRequest {
    /// The address of the cache.
    pub store: String,
    /// The path there.
    pub path: StorePath,
    /// What kind of path is expected here.
    pub form: ClosureForm,
}

/// What kind of path a closure is fetched as.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ClosureForm {
    /// It follows from its contents, and is taken on its word.
    ContentAddressed,
    /// It does not: somebody trusted has signed it.
    InputAddressed,
    /// It is rewritten to one that follows from its contents: to this one, if it is known.
    Rewritten(Option<StorePath>),
}

/// A lock file that is to be written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LockFile<'l> {
    /// The flake's input.
    pub input: &'l Input,
    /// The directory on this machine that the input is.
    pub root: &'l Path,
    /// The file, relative to it.
    pub file: &'l Path,
    /// What it is to hold.
    pub contents: &'l str,
    /// The message to commit it with, if it is to be committed.
    pub message: Option<&'l str>,
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

    /// Add a derivation, as its file has it; `path` is what these bytes give.
    ///
    /// # Errors
    ///
    /// When the store cannot take it.
    fn add_derivation(&self, path: &StorePath, text: Vec<u8>) -> Result<(), IoError>;

    /// Whether the store has this path.
    ///
    /// # Errors
    ///
    /// When the store cannot be asked.
    fn is_valid_path(&self, path: &StorePath) -> Result<bool, IoError>;

    /// What a path of the store refers to, when it is no derivation: a text that was added with
    /// references, or what a store knows. Whoever stands in front of another `Io` passes it on.
    ///
    /// # Errors
    ///
    /// When the store cannot be asked.
    fn references(&self, path: &StorePath) -> Result<Vec<StorePath>, IoError> {
        let _ = path;
        Ok(Vec::new())
    }

    /// Make the outputs that `context` names exist (import from derivation). Of those whose path was
    /// not known before they were built, where they are.
    ///
    /// # Errors
    ///
    /// When they cannot be built.
    fn realise(&self, context: &[ContextElem]) -> Result<Vec<(ContextElem, StorePath)>, IoError>;

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

    /// Write the lock file of a flake. Whether it was written.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    fn write_lock(&self, lock: &LockFile<'_>) -> Result<bool, IoError> {
        let _ = lock;
        Ok(false)
    }

    /// Write a file that the user named.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    fn write_file(&self, path: &Path, contents: &[u8]) -> Result<(), IoError> {
        let _ = contents;
        Err(IoError::Unsupported(format!("'{}' cannot be written here", path.display())))
    }

    /// Fetch a tree or file.
    ///
    /// # Errors
    ///
    /// When it cannot be fetched, or this version does not know how.
    fn fetch(&self, request: &FetchRequest) -> Result<Fetched, IoError>;

    /// Something about what was fetched that costs more than fetching it.
    ///
    /// # Errors
    ///
    /// When it cannot be found out.
    fn fetch_fact(&self, input: &Input, name: &str) -> Result<RefAttr, IoError> {
        Err(IoError::Unsupported(format!("'{}' has no '{name}' here", input.describe())))
    }

    /// Download one file into the store, by the hash of its bytes; which hash that is.
    ///
    /// # Errors
    ///
    /// When it cannot be had.
    fn fetch_file(
        &self,
        url: &str,
        name: &str,
        expected: Option<&NixHash>,
    ) -> Result<(StorePath, NixHash), IoError> {
        let _ = (name, expected);
        Err(IoError::Unsupported(format!("downloading is not possible here: {url}")))
    }

    /// Copies a path out of a binary cache; gives the path that is here now.
    ///
    /// # Errors
    ///
    /// When the cache lacks it, or it is of another form than expected.
    fn fetch_closure(&self, request: &ClosureRequest) -> Result<StorePath, IoError> {
        Err(IoError::Unsupported(format!("copying from {} is not possible here", request.store)))
    }

    /// The registries that say what short names stand for; the first that knows a name counts.
    /// That of everybody may have to be downloaded, and is only among them when asked for.
    ///
    /// # Errors
    ///
    /// When one of them cannot be had.
    fn registries(&self, global: bool) -> Result<Vec<Registry>, IoError> {
        let _ = global;
        Ok(Vec::new())
    }
}
