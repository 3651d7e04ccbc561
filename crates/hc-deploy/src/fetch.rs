//! Fetching for evaluation: what is fetched is read from the cache until the store needs it.

use crate::io_impl::words;
use crate::pending::Pending;
use crate::store_io::StoreIo;
use nix_compat::flake_ref::Input;
use nix_compat::flake_ref::registry::{Entry, Registry, RegistryKind};
use nix_compat::{CAHash, NixHash, StoreDir, StorePath};
use nix_fetch::{Content, Fetcher};
use nix_lang::{FetchRequest, Fetched, Ingestion, Io, IoError, LocalTree, Place};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

type Result<T> = std::result::Result<T, IoError>;

/// Where short names of flakes are looked up.
#[derive(Debug, Clone)]
pub struct Registries {
    /// What the user said for this run (`--override-flake`).
    pub flag: Vec<Entry>,
    /// The user's registry file.
    pub user: Option<PathBuf>,
    /// The host's registry file.
    pub system: Option<PathBuf>,
    /// The registry of everybody: an address, a file, or nothing (`flake-registry`).
    pub global: String,
}

impl Default for Registries {
    fn default() -> Self {
        Self {
            flag: Vec::new(),
            user: None,
            system: None,
            global: "https://channels.nixos.org/flake-registry.json".into(),
        }
    }
}

fn content_path(name: &str, ca: &CAHash) -> Result<StorePath> {
    nix_compat::path::content_addressed(name, ca, &BTreeSet::new()).map_err(words)
}

impl StoreIo {
    pub(crate) fn fetcher(&self) -> Result<Arc<Fetcher>> {
        let Some(config) = &self.options().fetch else {
            return Err(IoError::Unsupported("there is no cache to fetch into".into()));
        };
        let mut fetcher = self.fetcher.borrow_mut();
        Ok(fetcher.get_or_insert_with(|| Arc::new(Fetcher::new(config.clone()))).clone())
    }

    /// Takes something in the cache into account as something in the store.
    fn remember_kept(&self, name: &str, from: PathBuf, ca: &CAHash) -> Result<StorePath> {
        let path = content_path(name, ca)?;
        let ingestion = match ca {
            CAHash::Nar(_) => Ingestion::Recursive,
            _ => Ingestion::Flat,
        };
        let logical = PathBuf::from(StoreDir::default().render_path(&path));
        if !self.is_remembered(&path) && self.physical(&logical).symlink_metadata().is_err() {
            let name = name.to_owned();
            self.remember(path.clone(), Pending::Path { name, from, ingestion, only: None });
        }
        Ok(path)
    }

    pub(crate) fn fetch_input(&self, request: &FetchRequest) -> Result<Fetched> {
        let input = &request.input;
        let stored =
            |input: Input, path| Fetched { input, place: Place::Stored(path), facts: Vec::new() };
        if request.is_final
            && let Some(hash) = input.nar_hash().map_err(words)?
        {
            let ca = CAHash::Nar(hash.clone());
            let path = content_path(input.name(), &ca)?;
            if self.is_valid_path(&path)? {
                return Ok(stored(input.clone(), path));
            }
            if let Ok(fetcher) = self.fetcher()
                && let Some(from) = fetcher.kept(&hash, input.name())
            {
                let path = self.remember_kept(input.name(), from, &ca)?;
                return Ok(stored(input.clone(), path));
            }
        }
        // What evaluation made itself is there for the fetcher once it is written.
        if let Some(path) = input.text("path").map(Path::new)
            && Self::object(path).is_some_and(|object| self.is_remembered(&object))
        {
            self.written(path).map_err(words)?;
        }
        let tree = self.fetcher()?.fetch(input).map_err(words)?;
        let mut found = tree.input;
        let facts = tree.facts.to_vec();
        let (path, hash) = match tree.content {
            Content::Kept { path, hash } => {
                let ca = CAHash::Nar(hash.clone());
                (self.remember_kept(found.name(), path, &ca)?, hash)
            }
            Content::Local { path, files } if request.lazy => {
                let place = Place::Local(LocalTree { path, files });
                return Ok(Fetched { input: found, place, facts });
            }
            Content::Local { path, files } => self.add_local(found.name(), &path, files)?,
        };
        found.attrs_mut().insert("narHash".into(), hash.to_sri_string().into());
        Ok(Fetched { facts, ..stored(found, path) })
    }

    fn add_local(
        &self,
        name: &str,
        path: &Path,
        files: Option<Vec<PathBuf>>,
    ) -> Result<(StorePath, NixHash)> {
        let kept: Option<BTreeSet<PathBuf>> = files.map(|files| {
            let with_parents = files.iter().flat_map(|file| file.ancestors());
            with_parents.map(|file| path.join(file)).collect()
        });
        let filter = |file: &Path| kept.as_ref().is_none_or(|kept| kept.contains(file));
        let filter = kept.is_some().then_some(&filter as nix_lang::PathFilter<'_>);
        match self.add_tree(name, path, Ingestion::Recursive, filter)? {
            (path, CAHash::Nar(hash)) => Ok((path, hash)),
            (path, _) => Err(words(format!("{path} is no tree"))),
        }
    }

    pub(crate) fn download(
        &self,
        url: &str,
        name: &str,
        expected: Option<&NixHash>,
    ) -> Result<(StorePath, NixHash)> {
        let fetcher = self.fetcher()?;
        let known = expected.and_then(|hash| Some((fetcher.downloaded(hash)?, hash.clone())));
        let (from, hash) = match known {
            Some(known) => known,
            None => {
                let file = fetcher.download(url, name).map_err(words)?;
                (file.path, file.hash)
            }
        };
        let path = self.remember_kept(name, from, &CAHash::Flat(hash.clone()))?;
        Ok((path, hash))
    }

    pub(crate) fn all_registries(&self, global: bool) -> Result<Vec<Registry>> {
        let known = self.registries.borrow().clone();
        let own = known.unwrap_or_else(|| self.own_registries());
        let mut all = own.clone();
        self.registries.replace(Some(own));
        let address = &self.options().registries.global;
        if global && !address.is_empty() {
            let file = match address.starts_with('/') {
                true => PathBuf::from(address),
                false => {
                    let name = "flake-registry.json";
                    self.fetcher()?.download(address, name).map_err(words)?.path
                }
            };
            all.extend(self.read_registry(RegistryKind::Global, &file));
        }
        Ok(all)
    }

    fn own_registries(&self) -> Vec<Registry> {
        let said = &self.options().registries;
        let flag = Registry { kind: RegistryKind::Flag, entries: said.flag.clone() };
        let mut all = vec![flag];
        for (kind, file) in [(RegistryKind::User, &said.user), (RegistryKind::System, &said.system)]
        {
            all.extend(file.as_ref().and_then(|file| self.read_registry(kind, file)));
        }
        all
    }

    /// A registry file; one that is not there is empty, and a damaged one is told of.
    fn read_registry(&self, kind: RegistryKind, file: &Path) -> Option<Registry> {
        let text = std::fs::read(file).ok()?;
        match Registry::parse(kind, &text) {
            Ok(registry) => Some(registry),
            Err(error) => {
                let file = file.display();
                let message = format!("warning: cannot read flake registry '{file}': {error}");
                (self.options().message)(&message);
                None
            }
        }
    }
}
