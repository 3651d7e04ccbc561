//! Evaluation's door to the store: computes paths while evaluating, remembers what to write, and
//! writes and builds only what something really needs.

use crate::Result;
use crate::fetch::Registries;
use crate::pending::{Pending, filtered};
use nix_compat::flake_ref::registry::Registry;
use nix_compat::{CAHash, Derivation, StoreDir, StorePath};
use nix_fetch::Fetcher;
use nix_lang::{ComputeIo, ContextElem, Ingestion, Io, IoError, PathFilter};
use nix_store::{BuildObserver, HostConfig, HostStore, Quiet};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What evaluation may see and do.
pub struct IoOptions {
    /// How the store is opened, when it has to be.
    pub store: HostConfig,
    /// Let `getEnv` see the environment of the process.
    pub environment: bool,
    /// `builtins.currentSystem`, when it is not that of this machine.
    pub system: Option<String>,
    /// Build what evaluation wants to read (`allow-import-from-derivation`).
    pub import_from_derivation: bool,
    /// Say so (`trace-import-from-derivation`).
    pub trace_builds: bool,
    /// Where what is fetched is kept, and how it is fetched; nothing is fetched without it.
    pub fetch: Option<nix_fetch::Config>,
    /// What short names of flakes stand for.
    pub registries: Registries,
    /// Gets the lines of `builtins.trace` and `builtins.warn`.
    pub message: fn(&str),
    /// Is told about builds.
    pub observer: Box<dyn BuildObserver + Send>,
}

impl Default for IoOptions {
    fn default() -> Self {
        Self {
            store: HostConfig::default(),
            environment: false,
            system: None,
            import_from_derivation: true,
            trace_builds: false,
            fetch: None,
            registries: Registries::default(),
            message: |_| {},
            observer: Box::new(Quiet),
        }
    }
}

/// An [`Io`] that writes nothing until something must really exist: what evaluation would have
/// written is known afterwards, and only what is really built from gets written.
pub struct StoreIo {
    compute: ComputeIo,
    pending: RefCell<BTreeMap<StorePath, Pending>>,
    store: RefCell<Option<HostStore>>,
    pub(crate) fetcher: RefCell<Option<Arc<Fetcher>>>,
    pub(crate) registries: RefCell<Option<Vec<Registry>>>,
    /// Whether evaluation had something to say.
    pub(crate) spoke: Cell<bool>,
    /// Whether lock files are written.
    pub(crate) locks: bool,
    options: IoOptions,
}

impl StoreIo {
    /// The store is opened when it is first needed.
    #[must_use]
    pub fn new(options: IoOptions) -> Self {
        let mut compute = ComputeIo::new();
        if options.environment {
            compute = compute.with_environment();
        }
        if let Some(system) = &options.system {
            compute = compute.with_system(system);
        }
        Self {
            compute,
            pending: RefCell::default(),
            store: RefCell::default(),
            fetcher: RefCell::default(),
            registries: RefCell::default(),
            spoke: Cell::new(false),
            locks: true,
            options,
        }
    }

    /// Works with a store that is open already.
    #[must_use]
    pub fn with_store(self, store: HostStore) -> Self {
        self.store.replace(Some(store));
        self
    }

    /// The store, opened when it is not yet.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn store(&self) -> Result<HostStore> {
        if let Some(store) = &*self.store.borrow() {
            return Ok(store.clone());
        }
        let store = HostStore::open(self.options.store.clone())?;
        Ok(self.store.borrow_mut().insert(store).clone())
    }

    /// Leaves lock files as they are: somebody else is to write them, and to say so.
    pub(crate) fn without_locks(mut self) -> Self {
        self.locks = false;
        self
    }

    /// Closes the store, and forgets what was looked up and may change: for an evaluation that goes on
    /// later. What an open store looked at is kept from the collector.
    pub(crate) fn rest(&self) {
        self.store.replace(None);
        self.registries.replace(None);
        self.fetcher.replace(None);
    }

    /// Whether `builtins.trace` or `builtins.warn` printed something.
    pub(crate) fn has_spoken(&self) -> bool {
        self.spoke.get()
    }

    pub(crate) fn compute(&self) -> &ComputeIo {
        &self.compute
    }

    pub(crate) fn options(&self) -> &IoOptions {
        &self.options
    }

    pub(crate) fn remember(&self, path: StorePath, pending: Pending) {
        self.pending.borrow_mut().insert(path, pending);
    }

    pub(crate) fn is_remembered(&self, path: &StorePath) -> bool {
        self.pending.borrow().contains_key(path)
    }

    /// Where a tree really lies, and which of its files count.
    pub(crate) fn take(
        &self,
        path: &Path,
        filter: Option<PathFilter<'_>>,
    ) -> std::result::Result<(PathBuf, Option<BTreeSet<PathBuf>>), IoError> {
        let failed = |source| IoError::File { what: "reading", path: path.to_owned(), source };
        let (from, among) = match self.made(path, Pending::disk).transpose().map_err(failed)? {
            None => ((&self).physical(path), None),
            Some(Some(made)) => made,
            Some(None) => (self.written(path).map_err(failed)?, None),
        };
        if filter.is_none() && among.is_none() {
            return Ok((from, None));
        }
        // The filter knows the files by what they are called, and not by where they lie. It is asked
        // once: what was hashed is what will be written.
        let wanted = |file: &Path| {
            let named = file.strip_prefix(&from).map_or(file.to_owned(), |rest| path.join(rest));
            among.as_ref().is_none_or(|among| among.contains(file))
                && filter.is_none_or(|filter| filter(&named))
        };
        let only = filtered(&from, &wanted).map_err(failed)?;
        Ok((from, Some(only)))
    }

    /// Takes a tree or file into account as something in the store.
    pub(crate) fn add_tree(
        &self,
        name: &str,
        path: &Path,
        ingestion: Ingestion,
        filter: Option<PathFilter<'_>>,
    ) -> std::result::Result<(StorePath, CAHash), IoError> {
        let (from, only) = self.take(path, filter)?;
        let kept = |file: &Path| only.as_ref().is_none_or(|only| only.contains(file));
        let kept = only.is_some().then_some(&kept as PathFilter<'_>);
        let added = nix_lang::hash_path(&StoreDir::default(), name, &from, ingestion, kept)?;
        let pending = Pending::Path { name: name.to_owned(), from, ingestion, only };
        self.remember(added.0.clone(), pending);
        Ok(added)
    }

    /// A derivation that evaluation made.
    #[must_use]
    pub fn derivation(&self, path: &StorePath) -> Option<Derivation> {
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

    /// Makes what the context names exist: adds sources and derivations, builds outputs; where they
    /// are.
    ///
    /// # Errors
    /// When the store cannot be opened or written, or a build fails.
    pub fn make<'e>(
        &self,
        context: impl IntoIterator<Item = &'e ContextElem, IntoIter: Clone>,
    ) -> Result<Vec<(&'e ContextElem, StorePath)>> {
        let (store, context) = (self.store()?, context.into_iter());
        self.add_all(&store, context.clone())?;
        crate::built::build(&store, context, &*self.options.observer)
    }

    /// Where an output lies once it is built; `None` when its path is not known before.
    pub(crate) fn output_path(&self, drv: &StorePath, output: &str) -> Option<StorePath> {
        let derivation = self.read(drv).ok()?;
        derivation.resolved_outputs().ok()?.get(output)?.path.clone()
    }

    pub(crate) fn read(&self, path: &StorePath) -> std::result::Result<Derivation, IoError> {
        if let Some(derivation) = self.compute.derivation(path) {
            return Ok(derivation);
        }
        let other = |error: &dyn std::fmt::Display| IoError::Other(error.to_string());
        let file = (&self).physical(Path::new(&StoreDir::default().render_path(path)));
        let bytes = std::fs::read(&file).map_err(|source| IoError::File {
            what: "reading the derivation",
            path: file,
            source,
        })?;
        let name = path.name().strip_suffix(".drv").unwrap_or(path.name());
        Derivation::from_aterm_bytes(&bytes, name).map_err(|error| other(&error))
    }

    /// Whether a store path is there. Where the store cannot be opened, what lies on disk counts.
    pub(crate) fn is_present(&self, path: &StorePath) -> bool {
        let logical = PathBuf::from(StoreDir::default().render_path(path));
        (&self).physical(&logical).symlink_metadata().is_ok()
            && self.store().map_or(true, |store| store.is_valid(path).unwrap_or(false))
    }

    /// What evaluation made, and where in it a path is; nothing for other paths.
    pub(crate) fn made<T>(
        &self,
        path: &Path,
        f: impl FnOnce(&Pending, &Path) -> io::Result<T>,
    ) -> Option<io::Result<T>> {
        let object = Self::object(path)?;
        let below = path.strip_prefix(StoreDir::default().render_path(&object)).ok()?;
        if let Some(pending) = self.pending.borrow().get(&object) {
            return Some(f(pending, below));
        }
        let contents = self.compute.derivation_text(&object)?.into();
        let (name, references) = (object.name().to_owned(), BTreeSet::new());
        Some(f(&Pending::Text { name, contents, references }, below))
    }

    /// What of the store a path is in or is.
    pub(crate) fn object(path: &Path) -> Option<StorePath> {
        use std::os::unix::ffi::OsStrExt;
        if !path.starts_with(nix_compat::STORE_DIR) {
            return None;
        }
        nix_compat::path::split(path.as_os_str().as_bytes()).ok().map(|(object, _)| object)
    }

    /// Where a text that evaluation made lies, which is written for that.
    pub(crate) fn written(&self, path: &Path) -> io::Result<PathBuf> {
        let object = Self::object(path).ok_or(io::ErrorKind::NotFound)?;
        let store = self.store().map_err(io::Error::other)?;
        self.add(&store, &object).map_err(io::Error::other)?;
        Ok(self.on_disk(path))
    }

    /// Where a path of the store is on disk.
    pub(crate) fn on_disk(&self, path: &Path) -> PathBuf {
        match &self.options.store.store.root {
            Some(root) if path.starts_with(nix_compat::STORE_DIR) => {
                root.join(path.strip_prefix("/").unwrap_or(path))
            }
            _ => path.to_path_buf(),
        }
    }

    pub(crate) fn realise_all(
        &self,
        context: &[ContextElem],
    ) -> std::result::Result<Vec<(ContextElem, StorePath)>, IoError> {
        let mut missing = Vec::new();
        for element in context {
            match element {
                ContextElem::Opaque(path) | ContextElem::DrvDeep(path) => {
                    if !(&self).is_valid_path(path)? {
                        let path = StoreDir::default().render_path(path);
                        return Err(IoError::Other(format!("path '{path}' is not valid")));
                    }
                }
                ContextElem::Built { .. } | ContextElem::Dynamic { .. } => {
                    if !self.options.import_from_derivation {
                        let what = element.to_installable(&StoreDir::default());
                        return Err(IoError::Other(format!(
                            "cannot build '{what}' during evaluation because the option \
                             'allow-import-from-derivation' is disabled"
                        )));
                    }
                    let path = match element {
                        ContextElem::Built { drv, output } => self.output_path(drv, output),
                        _ => None,
                    };
                    if !path.is_some_and(|path| self.is_present(&path)) {
                        missing.push(element);
                    }
                }
            }
        }
        if missing.is_empty() {
            return Ok(Vec::new());
        }
        let made = self.make(missing).map_err(|error| IoError::Other(error.to_string()))?;
        if self.options.trace_builds {
            for (element, _) in &made {
                let what = element.to_installable(&StoreDir::default());
                (self.options.message)(&format!(
                    "warning: built '{what}' during evaluation due to an import from derivation"
                ));
            }
        }
        Ok(made.into_iter().map(|(element, path)| (element.clone(), path)).collect())
    }
}
