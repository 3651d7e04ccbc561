use crate::config::StoreConfig;
use crate::db::Database;
use crate::error::{Error, Result};
use crate::layout::Layout;
use crate::temp_roots::TempRoots;
use crate::together::Together;
use crate::{lock, scratch};
use nix_compat::{ModuloHashes, StorePath};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const SCHEMA_VERSION: &str = "10";

/// An open store: a cheap handle that threads can share.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    config: StoreConfig,
    layout: Layout,
    database: Mutex<Database>,
    temp_roots: Mutex<TempRoots>,
    modulo: Mutex<ModuloHashes>,
    together: Together,
    /// Held shared as long as the store is open: nobody upgrades the schema meanwhile.
    _big_lock: File,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("layout", &self.inner.layout).finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the store, making what is missing, and clears what a killed process left half made.
    ///
    /// # Errors
    /// When it cannot be written, or was made by a Nix with another schema.
    pub fn open(config: StoreConfig) -> Result<Self> {
        let layout = Layout::new(config.root.as_deref())?;
        layout.create()?;
        let big_lock = lock::open(&layout.state.join("db/big-lock"))?;
        let database = open_database(&layout, &big_lock)?;
        layout.reserve();
        scratch::clear_stale(&layout)?;
        let temp_roots = Mutex::new(TempRoots::new(&layout)?);
        let (database, modulo) = (Mutex::new(database), Mutex::new(ModuloHashes::default()));
        let together = Together::default();
        let inner =
            Inner { config, layout, database, temp_roots, modulo, together, _big_lock: big_lock };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Where a store path is on disk.
    #[must_use]
    pub fn physical(&self, path: &StorePath) -> PathBuf {
        self.layout().physical(path)
    }

    /// Where a file in the store (`/nix/store/…/bin/x`) is on disk; other paths stay as they are.
    #[must_use]
    pub fn physical_file(&self, path: &Path) -> PathBuf {
        self.layout().physical_file(path)
    }

    /// The store path that a file is or lies in, by its logical or physical name.
    #[must_use]
    pub fn path_of(&self, file: &Path) -> Option<StorePath> {
        self.layout().store_path(file)
    }

    /// What the store was opened with.
    #[must_use]
    pub fn config(&self) -> &StoreConfig {
        &self.inner.config
    }
}

impl Store {
    /// Where the store keeps what is not a store path: `<root>/nix/var/nix`.
    #[must_use]
    pub fn state_dir(&self) -> &Path {
        &self.layout().state
    }

    pub(crate) fn layout(&self) -> &Layout {
        &self.inner.layout
    }

    pub(crate) fn database(&self) -> MutexGuard<'_, Database> {
        // A panic elsewhere leaves no half transaction: rusqlite rolls back on drop.
        self.inner.database.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn modulo(&self) -> MutexGuard<'_, ModuloHashes> {
        self.inner.modulo.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn together(&self) -> &Together {
        &self.inner.together
    }

    /// Keeps a path from every collector as long as this store is open. Comes before the
    /// question whether the path is valid.
    pub(crate) fn add_temp_root(&self, path: &StorePath) -> Result<()> {
        let mut roots = self.inner.temp_roots.lock().unwrap_or_else(PoisonError::into_inner);
        roots.add(self.layout(), path)
    }

    /// Keeps nothing any more that this store has kept so far.
    pub(crate) fn forget_temp_roots(&self) -> Result<()> {
        let new = TempRoots::new(self.layout())?;
        let mut roots = self.inner.temp_roots.lock().unwrap_or_else(PoisonError::into_inner);
        *roots = new;
        Ok(())
    }
}

fn open_database(layout: &Layout, big_lock: &File) -> Result<Database> {
    let lock_path = layout.state.join("db/big-lock");
    let schema_path = layout.state.join("db/schema");
    lock::lock(big_lock, false, &lock_path)?;
    if read_schema(&schema_path)?.is_none() {
        // Two that both wait to turn a shared lock into an exclusive one would wait for ever.
        lock::unlock(big_lock, &lock_path)?;
        lock::lock(big_lock, true, &lock_path)?;
        if read_schema(&schema_path)?.is_none() {
            Database::open(&layout.database())?.create()?;
            hc_fs::durable::write(&schema_path, SCHEMA_VERSION.as_bytes(), 0o644)?;
        }
        lock::lock(big_lock, false, &lock_path)?;
    }
    match read_schema(&schema_path)? {
        Some(version) if version == SCHEMA_VERSION => Database::open(&layout.database()),
        found => Err(Error::Schema { path: schema_path, found: found.unwrap_or_default() }),
    }
}

fn read_schema(path: &Path) -> Result<Option<String>> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text.trim().to_owned())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(crate::error::io("read", path, error)),
    }
}
