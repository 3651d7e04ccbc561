//! What evaluation asks of the world, answered.

use crate::pending::Pending;
use crate::store_io::StoreIo;
use nix_compat::flake_ref::registry::Registry;
use nix_compat::flake_ref::{Attr as RefAttr, Input};
use nix_compat::{CAHash, Derivation, NixHash, StoreDir, StorePath};
use nix_lang::{
    ClosureRequest, ContextElem, FetchRequest, Fetched, FileType, Ingestion, Io, IoError, LockFile,
    PathFilter,
};
use std::io;
use std::path::{Path, PathBuf};

impl Io for &StoreIo {
    fn read_file(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.made(path, Pending::read_file)
            .unwrap_or_else(|| self.compute().read_file(&self.physical(path)))
    }

    fn read_link(&self, path: &Path) -> io::Result<PathBuf> {
        self.made(path, Pending::read_link)
            .unwrap_or_else(|| self.compute().read_link(&self.physical(path)))
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<(Vec<u8>, FileType)>> {
        self.made(path, Pending::read_dir)
            .unwrap_or_else(|| self.compute().read_dir(&self.physical(path)))
    }

    fn file_type(&self, path: &Path) -> io::Result<Option<FileType>> {
        self.made(path, Pending::file_type)
            .unwrap_or_else(|| self.compute().file_type(&self.physical(path)))
    }

    fn env_var(&self, name: &str) -> Option<Vec<u8>> {
        self.compute().env_var(name)
    }

    fn current_system(&self) -> String {
        self.compute().current_system()
    }

    fn current_time(&self) -> i64 {
        self.compute().current_time()
    }

    fn message(&self, text: &str) {
        self.spoke.set(true);
        (self.options().message)(text);
    }

    fn add_text(
        &self,
        name: &str,
        contents: &[u8],
        references: &[StorePath],
    ) -> Result<StorePath, IoError> {
        let path = self.compute().add_text(name, contents, references)?;
        let pending = Pending::Text {
            name: name.to_owned(),
            contents: contents.to_vec(),
            references: references.iter().cloned().collect(),
        };
        self.remember(path.clone(), pending);
        Ok(path)
    }

    fn add_path(
        &self,
        name: &str,
        path: &Path,
        ingestion: Ingestion,
        filter: Option<PathFilter<'_>>,
    ) -> Result<StorePath, IoError> {
        Ok(self.add_tree(name, path, ingestion, filter)?.0)
    }

    fn hash_path(
        &self,
        name: &str,
        path: &Path,
        ingestion: Ingestion,
        filter: Option<PathFilter<'_>>,
    ) -> Result<(StorePath, CAHash), IoError> {
        let (from, only) = self.take(path, filter)?;
        let kept = |file: &Path| only.as_ref().is_none_or(|only| only.contains(file));
        let kept = only.is_some().then_some(&kept as PathFilter<'_>);
        nix_lang::hash_path(&StoreDir::default(), name, &from, ingestion, kept)
    }

    fn add_derivation(&self, path: &StorePath, text: Vec<u8>) -> Result<(), IoError> {
        self.compute().add_derivation(path, text)
    }

    fn is_valid_path(&self, path: &StorePath) -> Result<bool, IoError> {
        let known = self.is_remembered(path) || self.derivation(path).is_some();
        let logical = PathBuf::from(StoreDir::default().render_path(path));
        Ok(known || self.physical(&logical).symlink_metadata().is_ok())
    }

    fn references(&self, path: &StorePath) -> Result<Vec<StorePath>, IoError> {
        let made = self.compute().references(path)?;
        if !made.is_empty() || self.is_remembered(path) {
            return Ok(made);
        }
        let other = |error: &dyn std::fmt::Display| IoError::Other(error.to_string());
        let store = self.store().map_err(|error| other(&error))?;
        if !store.is_valid(path).map_err(|error| other(&error))? {
            return Ok(Vec::new());
        }
        let found = store.references(path).map_err(|error| other(&error))?;
        Ok(found.into_iter().collect())
    }

    fn realise(&self, context: &[ContextElem]) -> Result<Vec<(ContextElem, StorePath)>, IoError> {
        self.realise_all(context)
    }

    fn read_derivation(&self, path: &StorePath) -> Result<Derivation, IoError> {
        self.read(path)
    }

    fn physical(&self, path: &Path) -> PathBuf {
        // What evaluation made is read from where it came: its path stays as it is said.
        if self.made(path, |_, _| Ok(())).is_some() {
            return path.to_path_buf();
        }
        self.on_disk(path)
    }

    fn write_lock(&self, lock: &LockFile<'_>) -> Result<bool, IoError> {
        if !self.locks {
            return Ok(false);
        }
        // What was said until now was about this, and is not said again.
        self.spoke.set(false);
        let text = lock.contents.as_bytes();
        nix_fetch::put_file(lock.input, lock.root, lock.file, text, lock.message).map_err(words)?;
        Ok(true)
    }

    fn write_file(&self, path: &Path, contents: &[u8]) -> Result<(), IoError> {
        hc_fs::durable::write(path, contents, 0o644).map_err(words)
    }

    fn fetch(&self, request: &FetchRequest) -> Result<Fetched, IoError> {
        self.fetch_input(request)
    }

    fn fetch_fact(&self, input: &Input, name: &str) -> Result<RefAttr, IoError> {
        self.fetcher()?.fact(input, name).map_err(words)
    }

    fn fetch_file(
        &self,
        url: &str,
        name: &str,
        expected: Option<&NixHash>,
    ) -> Result<(StorePath, NixHash), IoError> {
        self.download(url, name, expected)
    }

    fn fetch_closure(&self, request: &ClosureRequest) -> Result<StorePath, IoError> {
        self.copy_closure(request)
    }

    fn registries(&self, global: bool) -> Result<Vec<Registry>, IoError> {
        self.all_registries(global)
    }
}

pub(crate) fn words(error: impl std::fmt::Display) -> IoError {
    IoError::Other(error.to_string())
}
