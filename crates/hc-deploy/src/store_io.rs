//! Evaluation's door to the store: computes paths while evaluating, and remembers what to write.

use nix_compat::{Derivation, StoreDir, StorePath};
use nix_lang::{
    ComputeIo, ContextElem, FetchRequest, Fetched, FileType, Ingestion, Io, IoError, PathFilter,
};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

/// Something evaluation put into the store, in its own words, to be written when it is needed.
pub(crate) enum Pending {
    /// `builtins.toFile` and its like.
    Text { name: String, contents: Vec<u8>, references: BTreeSet<StorePath> },
    /// A file or tree on disk; with the files that a filter let through, if there was one.
    Path { name: String, from: PathBuf, ingestion: Ingestion, only: Option<BTreeSet<PathBuf>> },
}

/// An [`Io`] that writes nothing while evaluating. What evaluation would have written is known
/// afterwards, and only what is really built from gets written.
pub struct StoreIo {
    compute: ComputeIo,
    pending: RefCell<BTreeMap<StorePath, Pending>>,
    store_root: Option<PathBuf>,
    message: fn(&str),
}

impl StoreIo {
    /// For a store below `store_root`; `message` gets the lines of `trace` and `warn`.
    #[must_use]
    pub fn new(store_root: Option<PathBuf>, message: fn(&str)) -> Self {
        Self { compute: ComputeIo::new(), pending: RefCell::default(), store_root, message }
    }

    /// A derivation that evaluation made.
    pub(crate) fn derivation(&self, path: &StorePath) -> Option<Derivation> {
        self.compute.derivation(path)
    }

    /// Runs `f` with what has to be written for `path`, if evaluation made it.
    pub(crate) fn with_pending<T>(
        &self,
        path: &StorePath,
        f: impl FnOnce(Option<&Pending>) -> T,
    ) -> T {
        f(self.pending.borrow().get(path))
    }
}

/// The files below `root` that a filter lets through: the filter is a Nix function, and must be
/// asked while the evaluator lives.
fn filtered(root: &Path, filter: PathFilter<'_>) -> io::Result<BTreeSet<PathBuf>> {
    let mut kept = BTreeSet::new();
    let mut open = vec![root.to_path_buf()];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(directory)? {
            let entry = entry?;
            if filter(&entry.path()) {
                if entry.file_type()?.is_dir() {
                    open.push(entry.path());
                }
                kept.insert(entry.path());
            }
        }
    }
    Ok(kept)
}

impl Io for &StoreIo {
    fn read_file(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.compute.read_file(&self.physical(path))
    }

    fn read_link(&self, path: &Path) -> io::Result<PathBuf> {
        self.compute.read_link(&self.physical(path))
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<(Vec<u8>, FileType)>> {
        self.compute.read_dir(&self.physical(path))
    }

    fn file_type(&self, path: &Path) -> io::Result<Option<FileType>> {
        self.compute.file_type(&self.physical(path))
    }

    fn env_var(&self, _: &str) -> Option<Vec<u8>> {
        None
    }

    fn current_system(&self) -> String {
        self.compute.current_system()
    }

    fn current_time(&self) -> i64 {
        self.compute.current_time()
    }

    fn tracked_files(&self, dir: &Path) -> Result<Option<Vec<PathBuf>>, IoError> {
        self.compute.tracked_files(dir)
    }

    fn message(&self, text: &str) {
        (self.message)(text);
    }

    fn add_text(
        &self,
        name: &str,
        contents: &[u8],
        references: &[StorePath],
    ) -> Result<StorePath, IoError> {
        let path = self.compute.add_text(name, contents, references)?;
        let pending = Pending::Text {
            name: name.to_owned(),
            contents: contents.to_vec(),
            references: references.iter().cloned().collect(),
        };
        self.pending.borrow_mut().insert(path.clone(), pending);
        Ok(path)
    }

    fn add_path(
        &self,
        name: &str,
        path: &Path,
        ingestion: Ingestion,
        filter: Option<PathFilter<'_>>,
    ) -> Result<StorePath, IoError> {
        let from = self.physical(path);
        let only = filter.map(|filter| filtered(&from, filter)).transpose();
        let only =
            only.map_err(|source| IoError::File { what: "reading", path: from.clone(), source })?;
        // The filter is asked once: what was hashed is what will be written.
        let again = |file: &Path| only.as_ref().is_none_or(|kept| kept.contains(file));
        let added =
            self.compute.add_path(name, &from, ingestion, filter.is_some().then_some(&again))?;
        let pending = Pending::Path { name: name.to_owned(), from, ingestion, only: only.clone() };
        self.pending.borrow_mut().insert(added.clone(), pending);
        Ok(added)
    }

    fn add_derivation(&self, path: &StorePath, derivation: &Derivation) -> Result<(), IoError> {
        self.compute.add_derivation(path, derivation)
    }

    fn is_valid_path(&self, path: &StorePath) -> Result<bool, IoError> {
        let known = self.pending.borrow().contains_key(path) || self.derivation(path).is_some();
        let logical = PathBuf::from(StoreDir::default().render_path(path));
        Ok(known || self.physical(&logical).symlink_metadata().is_ok())
    }

    fn realise(&self, context: &[ContextElem]) -> Result<(), IoError> {
        self.compute.realise(context)
    }

    fn read_derivation(&self, path: &StorePath) -> Result<Derivation, IoError> {
        self.compute.read_derivation(path)
    }

    fn physical(&self, path: &Path) -> PathBuf {
        match &self.store_root {
            Some(root) if path.starts_with(nix_compat::STORE_DIR) => {
                root.join(path.strip_prefix("/").unwrap_or(path))
            }
            _ => path.to_path_buf(),
        }
    }

    fn write_lock(&self, path: &Path, contents: &[u8]) -> Result<(), IoError> {
        hc_fs::durable::write(path, contents, 0o644).map_err(|e| IoError::Other(e.to_string()))
    }

    fn fetch(&self, request: &FetchRequest) -> Result<Fetched, IoError> {
        self.compute.fetch(request)
    }
}
