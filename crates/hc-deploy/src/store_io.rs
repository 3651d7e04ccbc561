//! Evaluation's door to the store: computes paths while evaluating, remembers what to write, and
//! writes and builds only what something really needs.

use crate::pending::{Pending, filtered};
use crate::{Error, Result};
use nix_compat::{Derivation, DrvOutput, StoreDir, StorePath};
use nix_lang::{
    ComputeIo, ContextElem, FetchRequest, Fetched, FileType, Ingestion, Io, IoError, PathFilter,
};
use nix_store::{BuildObserver, Quiet, Store, StoreConfig};
use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

/// What evaluation may see and do.
pub struct IoOptions {
    /// How the store is opened, when it has to be.
    pub store: StoreConfig,
    /// Let `getEnv` see the environment of the process.
    pub environment: bool,
    /// `builtins.currentSystem`, when it is not that of this machine.
    pub system: Option<String>,
    /// Build what evaluation wants to read (`allow-import-from-derivation`).
    pub import_from_derivation: bool,
    /// Gets the lines of `builtins.trace` and `builtins.warn`.
    pub message: fn(&str),
    /// Is told about builds.
    pub observer: Box<dyn BuildObserver + Send>,
}

impl Default for IoOptions {
    fn default() -> Self {
        Self {
            store: StoreConfig::default(),
            environment: false,
            system: None,
            import_from_derivation: true,
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
    store: OnceCell<Store>,
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
        let (pending, store) = (RefCell::default(), OnceCell::new());
        Self { compute, pending, store, options }
    }

    /// Works with a store that is open already.
    #[must_use]
    pub fn with_store(self, store: Store) -> Self {
        let _ = self.store.set(store);
        self
    }

    /// The store, opened when it is not yet.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn store(&self) -> Result<&Store> {
        if let Some(store) = self.store.get() {
            return Ok(store);
        }
        let store = Store::open(self.options.store.clone())?;
        Ok(self.store.get_or_init(|| store))
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

    /// Makes what the context names exist: adds sources and derivations, builds outputs.
    ///
    /// # Errors
    /// When the store cannot be opened or written, or a build fails.
    pub fn make<'e>(&self, context: impl IntoIterator<Item = &'e ContextElem>) -> Result<()> {
        let store = self.store()?;
        let wanted: Vec<DrvOutput> = self.add_all(store, context)?.into_iter().collect();
        store.build(&wanted, &*self.options.observer)?;
        Ok(())
    }

    /// Where an output lies once it is built; `None` when its path is not known before.
    pub(crate) fn output_path(&self, drv: &StorePath, output: &str) -> Option<StorePath> {
        let derivation = self.read(drv).ok()?;
        derivation.resolved_outputs().ok()?.get(output)?.path.clone()
    }

    fn read(&self, path: &StorePath) -> std::result::Result<Derivation, IoError> {
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
    fn is_present(&self, path: &StorePath) -> bool {
        let logical = PathBuf::from(StoreDir::default().render_path(path));
        (&self).physical(&logical).symlink_metadata().is_ok()
            && self.store().map_or(true, |store| store.is_valid(path).unwrap_or(false))
    }

    /// What evaluation made, and where in it a path is; nothing for other paths.
    fn made<T>(
        &self,
        path: &Path,
        f: impl FnOnce(&Pending, &Path) -> io::Result<T>,
    ) -> Option<io::Result<T>> {
        use std::os::unix::ffi::OsStrExt;
        let pending = self.pending.borrow();
        if pending.is_empty() || !path.starts_with(nix_compat::STORE_DIR) {
            return None;
        }
        let (object, _) = nix_compat::path::split(path.as_os_str().as_bytes()).ok()?;
        let below = path.strip_prefix(StoreDir::default().render_path(&object)).ok()?;
        pending.get(&object).map(|pending| f(pending, below))
    }

    fn realise_all(&self, context: &[ContextElem]) -> std::result::Result<(), IoError> {
        let mut missing = Vec::new();
        for element in context {
            match element {
                ContextElem::Opaque(path) | ContextElem::DrvDeep(path) => {
                    if !(&self).is_valid_path(path)? {
                        let path = StoreDir::default().render_path(path);
                        return Err(IoError::Other(format!("path '{path}' is not valid")));
                    }
                }
                ContextElem::Built { drv, output } => {
                    if !self.options.import_from_derivation {
                        let drv = StoreDir::default().render_path(drv);
                        return Err(IoError::Other(format!(
                            "cannot build '{drv}^{output}' during evaluation because the option \
                             'allow-import-from-derivation' is disabled"
                        )));
                    }
                    let path = self.output_path(drv, output);
                    if !path.is_some_and(|path| self.is_present(&path)) {
                        missing.push(element);
                    }
                }
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        self.make(missing).map_err(|error| IoError::Other(error.to_string()))
    }
}

impl Io for &StoreIo {
    fn read_file(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.made(path, Pending::read_file)
            .unwrap_or_else(|| self.compute.read_file(&self.physical(path)))
    }

    fn read_link(&self, path: &Path) -> io::Result<PathBuf> {
        self.made(path, Pending::read_link)
            .unwrap_or_else(|| self.compute.read_link(&self.physical(path)))
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<(Vec<u8>, FileType)>> {
        self.made(path, Pending::read_dir)
            .unwrap_or_else(|| self.compute.read_dir(&self.physical(path)))
    }

    fn file_type(&self, path: &Path) -> io::Result<Option<FileType>> {
        self.made(path, Pending::file_type)
            .unwrap_or_else(|| self.compute.file_type(&self.physical(path)))
    }

    fn env_var(&self, name: &str) -> Option<Vec<u8>> {
        self.compute.env_var(name)
    }

    fn current_system(&self) -> String {
        self.compute.current_system()
    }

    fn current_time(&self) -> i64 {
        self.compute.current_time()
    }

    fn tracked_files(&self, dir: &Path) -> std::result::Result<Option<Vec<PathBuf>>, IoError> {
        self.compute.tracked_files(dir)
    }

    fn message(&self, text: &str) {
        (self.options.message)(text);
    }

    fn add_text(
        &self,
        name: &str,
        contents: &[u8],
        references: &[StorePath],
    ) -> std::result::Result<StorePath, IoError> {
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
    ) -> std::result::Result<StorePath, IoError> {
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

    fn add_derivation(
        &self,
        path: &StorePath,
        derivation: &Derivation,
    ) -> std::result::Result<(), IoError> {
        self.compute.add_derivation(path, derivation)
    }

    fn is_valid_path(&self, path: &StorePath) -> std::result::Result<bool, IoError> {
        let known = self.pending.borrow().contains_key(path) || self.derivation(path).is_some();
        let logical = PathBuf::from(StoreDir::default().render_path(path));
        Ok(known || self.physical(&logical).symlink_metadata().is_ok())
    }

    fn realise(&self, context: &[ContextElem]) -> std::result::Result<(), IoError> {
        self.realise_all(context)
    }

    fn read_derivation(&self, path: &StorePath) -> std::result::Result<Derivation, IoError> {
        self.read(path)
    }

    fn physical(&self, path: &Path) -> PathBuf {
        match &self.options.store.root {
            Some(root) if path.starts_with(nix_compat::STORE_DIR) => {
                // What evaluation made is read from where it came: its path stays as it is said.
                if self.made(path, |_, _| Ok(())).is_some() {
                    return path.to_path_buf();
                }
                root.join(path.strip_prefix("/").unwrap_or(path))
            }
            _ => path.to_path_buf(),
        }
    }

    fn write_lock(&self, path: &Path, contents: &[u8]) -> std::result::Result<(), IoError> {
        hc_fs::durable::write(path, contents, 0o644).map_err(|e| IoError::Other(e.to_string()))
    }

    fn fetch(&self, request: &FetchRequest) -> std::result::Result<Fetched, IoError> {
        self.compute.fetch(request)
    }
}

impl StoreIo {
    /// Adds sources and derivations; the outputs that are left to build.
    pub(crate) fn add_all<'e>(
        &self,
        store: &Store,
        context: impl IntoIterator<Item = &'e ContextElem>,
    ) -> Result<BTreeSet<DrvOutput>> {
        let mut wanted = BTreeSet::new();
        for element in context {
            match element {
                ContextElem::Opaque(path) => self.add(store, path)?,
                ContextElem::DrvDeep(drv) => self.write_derivation(store, drv)?,
                ContextElem::Built { drv, output } => {
                    self.write_derivation(store, drv)?;
                    wanted.insert(DrvOutput::new(drv.clone(), output.clone()));
                }
            }
        }
        Ok(wanted)
    }

    /// Adds a path that evaluation named; one it did not make must be in the store already.
    ///
    /// # Errors
    /// When it is neither, or the store cannot take it.
    pub fn add(&self, store: &Store, path: &StorePath) -> Result<()> {
        if store.is_valid(path)? {
            return Ok(());
        }
        if self.derivation(path).is_some() {
            return self.write_derivation(store, path);
        }
        self.with_pending(path, |pending| self.write_pending(store, path, pending))
    }

    fn write_pending(
        &self,
        store: &Store,
        path: &StorePath,
        pending: Option<&Pending>,
    ) -> Result<()> {
        let added = match pending {
            None => return Err(Error::Missing { path: path.clone() }),
            Some(Pending::Text { name, contents, references }) => {
                for reference in references {
                    self.add(store, reference)?;
                }
                store.add_text(name, contents, references)?
            }
            Some(Pending::Path { name, from, ingestion, only }) => {
                let method = match ingestion {
                    Ingestion::Flat => nix_store::IngestMethod::Flat,
                    Ingestion::Recursive => nix_store::IngestMethod::Recursive,
                };
                let keep = |file: &Path, _| only.as_ref().is_none_or(|kept| kept.contains(file));
                let keep = only.is_some().then_some(&keep as &nix_store::Filter<'_>);
                store.add_path(name, from, method, &BTreeSet::new(), keep)?
            }
        };
        // A file that was edited since it was hashed is not what was evaluated.
        if added == *path { Ok(()) } else { Err(Error::Changed { path: path.clone() }) }
    }

    /// Writes a derivation after everything it refers to. An explicit stack: graphs can be deep.
    ///
    /// # Errors
    /// When something it refers to is nowhere, or the store cannot take it.
    pub fn write_derivation(&self, store: &Store, drv: &StorePath) -> Result<()> {
        let mut open = vec![(drv.clone(), false)];
        let mut done = BTreeSet::new();
        while let Some((path, inputs_added)) = open.pop() {
            if done.contains(&path) || (!inputs_added && store.is_valid(&path)?) {
                continue;
            }
            let derivation =
                self.derivation(&path).ok_or_else(|| Error::Missing { path: path.clone() })?;
            if inputs_added {
                store.add_derivation(&derivation)?;
                done.insert(path);
                continue;
            }
            for source in derivation.input_sources() {
                self.add(store, source)?;
            }
            open.push((path, true));
            open.extend(derivation.input_derivations().keys().map(|input| (input.clone(), false)));
        }
        Ok(())
    }
}
