//! The store of this host, whoever may write to it: this process, or the Nix daemon for it.

mod add;
mod daemon;
mod open;

pub use daemon::DaemonStore;
pub use open::{HostConfig, Way};

use crate::add::{Filter, IngestMethod};
use crate::build::{BuildMode, BuildObserver, Plan};
use crate::config::StoreConfig;
use crate::copy::{Sink, Source};
use crate::error::Result;
use crate::gc::GcOptions;
use crate::info::PathInfo;
use crate::live::{Keep, Reason};
use crate::roots::Root;
use crate::store::Store;
use crate::verify::Damage;
use nix_compat::{Derivation, DrvOutput, StorePath};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// The store of this host: a cheap handle that threads can share.
///
/// What is said about the methods of [`Store`] holds here too. A daemon has rules of its own about
/// who may do what, which its errors tell.
#[derive(Debug, Clone)]
pub enum HostStore {
    /// This process reads and writes it.
    Local(Store),
    /// A Nix daemon writes it for us; what is in it we read ourselves.
    Daemon(DaemonStore),
}

impl From<Store> for HostStore {
    fn from(store: Store) -> Self {
        Self::Local(store)
    }
}

/// The same call of either kind of store.
macro_rules! either {
    ($host:expr, $store:ident => $call:expr) => {
        match $host {
            HostStore::Local($store) => $call,
            HostStore::Daemon($store) => $call,
        }
    };
}

/// Asking.
impl HostStore {
    /// Whether the store has the path, complete. It stays so as long as this store is open.
    ///
    /// # Errors
    /// When the store cannot be asked.
    pub fn is_valid(&self, path: &StorePath) -> Result<bool> {
        either!(self, store => store.is_valid(path))
    }

    /// What is known about a valid path.
    ///
    /// # Errors
    /// [`crate::Error::NotValid`], or when the store cannot be asked.
    pub fn info(&self, path: &StorePath) -> Result<PathInfo> {
        either!(self, store => store.info(path))
    }

    /// The paths that a valid path refers to.
    ///
    /// # Errors
    /// As for [`HostStore::info`].
    pub fn references(&self, path: &StorePath) -> Result<BTreeSet<StorePath>> {
        either!(self, store => store.references(path))
    }

    /// The paths and everything they refer to, directly or not.
    ///
    /// # Errors
    /// As for [`HostStore::info`].
    pub fn closure(&self, paths: &BTreeSet<StorePath>) -> Result<BTreeSet<StorePath>> {
        either!(self, store => store.closure(paths))
    }

    /// The derivation a valid path was built from, where that is known.
    ///
    /// # Errors
    /// As for [`HostStore::info`].
    pub fn deriver(&self, path: &StorePath) -> Result<Option<StorePath>> {
        Ok(self.info(path)?.deriver)
    }

    /// All valid paths.
    ///
    /// # Errors
    /// When the store cannot be asked.
    pub fn valid_paths(&self) -> Result<BTreeSet<StorePath>> {
        either!(self, store => store.valid_paths())
    }

    /// Reads a derivation from the store.
    ///
    /// # Errors
    /// When it is not there, or malformed.
    pub fn derivation(&self, path: &StorePath) -> Result<Derivation> {
        either!(self, store => store.derivation(path))
    }

    /// The outputs of a derivation, with the paths that are known, valid or not.
    ///
    /// # Errors
    /// When the derivation is not there or not right.
    pub fn outputs(&self, drv: &StorePath) -> Result<BTreeMap<String, Option<StorePath>>> {
        either!(self, store => store.outputs(drv))
    }

    /// The log of the last build of a derivation; nothing where there is none.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn build_log(&self, drv: &StorePath) -> Result<Option<Box<dyn Read>>> {
        either!(self, store => store.build_log(drv))
    }

    /// Everything that keeps paths from a collector.
    ///
    /// # Errors
    /// When the roots cannot be read.
    pub fn roots(&self) -> Result<BTreeSet<Root>> {
        either!(self, store => store.roots())
    }

    /// Why a collector leaves a valid path: for every root that leads to it, the shortest way.
    ///
    /// # Errors
    /// As for [`HostStore::info`], or when the roots cannot be read.
    pub fn why(&self, path: &StorePath, keep: Keep) -> Result<Vec<Reason>> {
        either!(self, store => store.why(path, keep))
    }

    /// What is wrong with a path, if something is.
    ///
    /// # Errors
    /// When the store cannot be asked, or the path cannot be read.
    pub fn damage(&self, path: &StorePath, contents: bool) -> Result<Option<Damage>> {
        either!(self, store => store.damage(path, contents))
    }

    /// Looks for valid paths that are not there or, with `contents`, are not what was registered.
    /// `each` is told the number of the path and of all.
    ///
    /// # Errors
    /// When the store cannot be asked, or a path cannot be read.
    pub fn verify(
        &self,
        contents: bool,
        each: &mut dyn FnMut(usize, usize),
    ) -> Result<Vec<Damage>> {
        let valid = self.valid_paths()?;
        let mut damaged = Vec::new();
        for (number, path) in valid.iter().enumerate() {
            each(number + 1, valid.len());
            // It may have been deleted since.
            damaged.extend(self.damage(path, contents)?);
        }
        Ok(damaged)
    }
}

/// Where things are.
impl HostStore {
    /// What the store was opened with.
    #[must_use]
    pub fn config(&self) -> &StoreConfig {
        either!(self, store => store.config())
    }

    /// Where a store path is on disk.
    #[must_use]
    pub fn physical(&self, path: &StorePath) -> PathBuf {
        either!(self, store => store.physical(path))
    }

    /// Where a file in the store (`/nix/store/…/bin/x`) is on disk; other paths stay as they are.
    #[must_use]
    pub fn physical_file(&self, path: &Path) -> PathBuf {
        either!(self, store => store.layout().physical_file(path))
    }

    /// The store path that a file is or lies in, by its logical or physical name.
    #[must_use]
    pub fn path_of(&self, file: &Path) -> Option<StorePath> {
        either!(self, store => store.layout().store_path(file))
    }

    /// Where the store keeps what is not a store path: `<root>/nix/var/nix`.
    #[must_use]
    pub fn state_dir(&self) -> &Path {
        either!(self, store => &store.layout().state)
    }

    /// As a place to copy from.
    #[must_use]
    pub fn source(&self) -> &dyn Source {
        either!(self, store => store)
    }

    /// As a place to copy to.
    #[must_use]
    pub fn sink(&self) -> &dyn Sink {
        either!(self, store => store)
    }
}

/// Adding and building.
impl HostStore {
    /// Adds a text with references, as `builtins.toFile` does.
    ///
    /// # Errors
    /// When the name breaks the rules, a reference is not valid, or the store cannot take it.
    pub fn add_text(
        &self,
        name: &str,
        contents: &[u8],
        references: &BTreeSet<StorePath>,
    ) -> Result<StorePath> {
        either!(self, store => store.add_text(name, contents, references))
    }

    /// Adds a copy of the tree or file at `from`, addressed by its content (SHA-256), with the
    /// references told.
    ///
    /// # Errors
    /// When the name breaks the rules, a reference is not valid, it cannot be read or the store
    /// cannot take it.
    pub fn add_path(
        &self,
        name: &str,
        from: &Path,
        method: IngestMethod,
        references: &BTreeSet<StorePath>,
        filter: Option<&Filter<'_>>,
    ) -> Result<StorePath> {
        either!(self, store => store.add_path(name, from, method, references, filter))
    }

    /// Adds a copy of one file, executable.
    ///
    /// # Errors
    /// When the name breaks the rules, it cannot be read or the store cannot take it.
    pub fn add_executable(&self, name: &str, from: &Path) -> Result<StorePath> {
        either!(self, store => store.add_executable(name, from))
    }

    /// Adds derivations, those first that others have as inputs.
    ///
    /// # Errors
    /// When its output paths are not what they must be, an input is not valid, or the store cannot
    /// take it.
    pub fn add_derivations(&self, derivations: &[&Derivation]) -> Result<Vec<StorePath>> {
        either!(self, store => store.add_derivations(derivations))
    }

    /// Adds a signature of a valid path; gives whether it is new.
    ///
    /// # Errors
    /// As for [`HostStore::info`], or when the store cannot take it.
    pub fn add_signature(&self, path: &StorePath, signature: &str) -> Result<bool> {
        either!(self, store => store.add_signature(path, signature))
    }

    /// Makes the target of the symlink `link` a root, as long as the link is there and leads into
    /// the store.
    ///
    /// # Errors
    /// When `link` is no symlink into the store, or the root cannot be written.
    pub fn add_root(&self, link: &Path) -> Result<()> {
        either!(self, store => store.add_root(link))
    }

    /// Has a path fetched from binary caches, with what it refers to, if it is not valid; says whether
    /// it is then.
    ///
    /// # Errors
    /// When the store cannot be asked, or there is no space; of a daemon, also why it did not come.
    pub fn ensure(&self, path: &StorePath, observer: &dyn BuildObserver) -> Result<bool> {
        either!(self, store => store.ensure(path, observer))
    }

    /// Makes the outputs valid.
    ///
    /// # Errors
    /// Why a build failed; all reasons, where builds go on after the first.
    pub fn build(
        &self,
        outputs: &[DrvOutput],
        observer: &dyn BuildObserver,
    ) -> Result<BTreeMap<DrvOutput, StorePath>> {
        self.build_in_mode(outputs, BuildMode::Normal, observer)
    }

    /// As [`HostStore::build`], for outputs that may be valid already.
    ///
    /// # Errors
    /// As for [`HostStore::build`].
    pub fn build_in_mode(
        &self,
        outputs: &[DrvOutput],
        mode: BuildMode,
        observer: &dyn BuildObserver,
    ) -> Result<BTreeMap<DrvOutput, StorePath>> {
        either!(self, store => store.build_in_mode(outputs, mode, observer))
    }

    /// What would be built and downloaded to make the outputs valid.
    ///
    /// # Errors
    /// When a derivation is not there or not right.
    pub fn plan(&self, outputs: &[DrvOutput]) -> Result<Plan> {
        either!(self, store => store.plan(outputs))
    }

    /// Deletes paths that nothing keeps, and what refers to them. Gives what went, and the bytes
    /// that this freed.
    ///
    /// # Errors
    /// [`crate::Error::Alive`], or when the store cannot do it.
    pub fn delete(
        &self,
        paths: &BTreeSet<StorePath>,
        keep: Keep,
    ) -> Result<(BTreeSet<StorePath>, u64)> {
        match self {
            Self::Daemon(store) => store.daemon().delete(paths),
            Self::Local(store) => {
                let only = Some(paths.clone());
                let options = GcOptions { keep, only, ..GcOptions::default() };
                let report = store.gc(&options, &BTreeSet::new())?;
                Ok((report.deleted, report.freed))
            }
        }
    }

    /// Writes paths as `nix-store --export` does, references first.
    ///
    /// # Errors
    /// When a path is not valid, is not what was registered, or `to` refuses.
    pub fn export(&self, paths: &BTreeSet<StorePath>, to: &mut dyn Write) -> Result<()> {
        crate::export::export(self.source(), paths, to)
    }

    /// Adds what is in a stream of `nix-store --export`, and tells of each path that came. Nobody
    /// has signed it: whoever calls this trusts it. What had come before an error stays.
    ///
    /// # Errors
    /// When it is no such stream, ends too soon, a reference is missing, or the store cannot take
    /// it.
    pub fn import(&self, from: &mut dyn Read, came: &dyn Fn(&StorePath)) -> Result<Vec<StorePath>> {
        either!(self, store => store.import(from, came))
    }

    /// Copies a path and everything it refers to, each rewritten to a content address.
    ///
    /// # Errors
    /// When `from` lacks a path, sends another archive than it says, or the store cannot take it.
    pub fn copy_readdressed(&self, from: &dyn Source, path: &StorePath) -> Result<StorePath> {
        either!(self, store => store.copy_readdressed(from, path))
    }

    /// Downloads a list or an index, as [`Store::download`] does.
    ///
    /// # Errors
    /// What the server or the network said.
    pub fn download(&self, url: &str) -> std::result::Result<Vec<u8>, String> {
        crate::build::download(self.config(), url)
    }
}
