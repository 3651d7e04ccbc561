//! Adding files, texts and derivations.

use crate::canonical::{canonicalise, flush, flush_all, make_canonical, remove_tree, rename_trees};
use crate::db::Registration;
use crate::error::{Context, Error, Result, archive};
use crate::info::PathInfo;
use crate::ingest;
use crate::lock::{OwnedLock, path_lock};
use crate::scratch::Scratch;
use crate::store::Store;
use hc_fs::plain;
use nix_compat::modulo::ModuloError;
use nix_compat::{CAHash, Derivation, HashAlgorithm, NixHash, StorePath, nar, path};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, FileType};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// How something that is added is addressed by its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IngestMethod {
    /// By its archive: any tree, or a file with its executable bit.
    Recursive,
    /// By the bytes of one file that is not executable.
    Flat,
}

/// Says which files below a path are added: gets the path on disk and its type.
pub type Filter<'a> = dyn Fn(&Path, FileType) -> bool + 'a;

impl Store {
    /// Adds a text with references, as `builtins.toFile` does.
    ///
    /// # Errors
    /// When the name breaks the rules, a reference is not valid, or it cannot be written.
    pub fn add_text(
        &self,
        name: &str,
        contents: &[u8],
        references: &BTreeSet<StorePath>,
    ) -> Result<StorePath> {
        let path = path::text(name, contents, references).map_err(bad_name(name))?;
        if self.is_valid(&path)? {
            return Ok(path);
        }
        self.add_made(&path, CAHash::Text(sha256(contents)), references, |at| {
            plain::create_new(at, 0o444)?.write_all(contents).on("write", at)
        })?;
        Ok(path)
    }

    /// Adds a copy of the tree or file at `from`, addressed by its content (SHA-256), with the
    /// references told.
    ///
    /// # Errors
    /// When the name breaks the rules, a reference is not valid, it cannot be read or written.
    pub fn add_path(
        &self,
        name: &str,
        from: &Path,
        method: IngestMethod,
        references: &BTreeSet<StorePath>,
        filter: Option<&Filter<'_>>,
    ) -> Result<StorePath> {
        let scratch = Scratch::temporary(self)?;
        let copied = ingest::copy(from, &scratch.path, filter)?;
        if !copied.canonical {
            canonicalise(&scratch.path, None)?;
        }
        let unflushed = copied.canonical.then_some(copied.entries);
        self.add_copied(name, scratch, method, references, copied.hash, unflushed)
    }

    /// Adds a copy of one file, executable.
    ///
    /// # Errors
    /// When the name breaks the rules, or it cannot be read or written.
    pub fn add_executable(&self, name: &str, from: &Path) -> Result<StorePath> {
        let scratch = Scratch::temporary(self)?;
        ingest::copy_file(from, &scratch.path, true)?;
        canonicalise(&scratch.path, None)?;
        let hash = nar::hash_path(&scratch.path).map_err(archive(from))?;
        self.add_copied(name, scratch, IngestMethod::Recursive, &BTreeSet::new(), hash, None)
    }

    /// Adds what comes in a stream, addressed by its content: an archive, or the bytes of a file.
    ///
    /// # Errors
    /// When the name breaks the rules, a reference is not valid, the archive is malformed, or it
    /// cannot be written.
    pub(crate) fn add_incoming(
        &self,
        name: &str,
        method: IngestMethod,
        references: &BTreeSet<StorePath>,
        mut from: &mut dyn Read,
    ) -> Result<StorePath> {
        let scratch = Scratch::temporary(self)?;
        let at = &scratch.path;
        match method {
            IngestMethod::Recursive => {
                let mut tree = nar::ArchiveReader::new(&mut from);
                nar::restore(&mut tree, at).map_err(archive(Path::new(name)))?;
            }
            IngestMethod::Flat => {
                let mut file = plain::create_new(at, 0o444)?;
                std::io::copy(from, &mut file).on("write", at)?;
            }
        }
        canonicalise(at, None)?;
        let hash = nar::hash_path(at).map_err(archive(at))?;
        self.add_copied(name, scratch, method, references, hash, None)
    }

    /// Adds a derivation: writes it as the text `<name>.drv`.
    ///
    /// # Errors
    /// When its output paths are not what they must be, an input is not valid, or it cannot be
    /// written.
    pub fn add_derivation(&self, derivation: &Derivation) -> Result<StorePath> {
        let added = self.add_derivations(&[derivation])?;
        let [path] = added.try_into().unwrap_or_else(|_| unreachable!("one for one"));
        Ok(path)
    }

    /// The same for many, those first that others have as inputs: one flush and one transaction.
    /// Each holds two files open until all are there.
    ///
    /// # Errors
    /// As for [`Store::add_derivation`]; none is added then.
    pub fn add_derivations(&self, derivations: &[&Derivation]) -> Result<Vec<StorePath>> {
        let mut paths = Vec::with_capacity(derivations.len());
        // By their paths: locks are taken in one order everywhere.
        let mut open = BTreeMap::new();
        for &derivation in derivations {
            let name = format!("{}.drv", derivation.name());
            let contents = derivation.to_aterm_bytes();
            let references: BTreeSet<StorePath> = derivation
                .input_derivations()
                .keys()
                .chain(derivation.input_sources())
                .cloned()
                .collect();
            let path = path::text(&name, &contents, &references).map_err(bad_name(&name))?;
            if !self.is_valid(&path)? {
                self.check_derivation(&path, derivation)?;
                open.insert(path.clone(), (derivation, contents, references));
            }
            paths.push(path);
        }
        let mut locks = Vec::with_capacity(open.len());
        for path in open.keys() {
            self.add_temp_root(path)?;
            locks.push(OwnedLock::take(&path_lock(&self.physical(path)), &|| false)?);
        }
        let mut made = Vec::with_capacity(open.len());
        for (path, (derivation, contents, references)) in &open {
            if self.database().is_valid(path)? {
                continue;
            }
            let scratch = Scratch::beside(self, path)?;
            let at = &scratch.path;
            plain::create_new(at, 0o444)?.write_all(contents).on("write", at)?;
            make_canonical(at, None)?;
            let hash = nar::hash_path(at).map_err(archive(at))?;
            let others = references.iter().filter(|r| !open.contains_key(*r));
            self.check_references(others)?;
            let ca = CAHash::Text(sha256(contents));
            let info = describe(path, hash, references, Some(ca), None);
            made.push((scratch, info, *derivation));
        }
        let trees: Vec<(&Path, usize)> = made.iter().map(|(s, ..)| (s.path.as_path(), 1)).collect();
        flush_all(&self.layout().store, &trees)?;
        let moves: Vec<(&Path, &StorePath)> =
            made.iter().map(|(s, info, _)| (s.path.as_path(), &info.path)).collect();
        self.install_all(&moves)?;
        let rows: Vec<Registration<'_>> = made
            .iter()
            .map(|(_, info, derivation)| Registration { info, derivation: Some(derivation) })
            .collect();
        self.database().register(&rows)?;
        Ok(paths)
    }

    /// Computes the output paths again from what is in the store.
    pub(crate) fn check_derivation(&self, path: &StorePath, derivation: &Derivation) -> Result<()> {
        let wrong = |reason: String| Error::Derivation { path: path.clone(), reason };
        let mut hashes = self.modulo();
        for input in derivation.input_derivations().keys() {
            hashes.resolve(input, |drv| self.derivation(drv)).map_err(|error| match error {
                ModuloError::Read(error) => error,
                other => wrong(other.to_string()),
            })?;
        }
        hashes.check(derivation).map_err(|error| wrong(error.to_string()))?;
        hashes.tell::<()>(path, derivation).map_err(|_| wrong("it has no hash".into()))?;
        Ok(())
    }

    fn add_copied(
        &self,
        name: &str,
        scratch: Scratch,
        method: IngestMethod,
        references: &BTreeSet<StorePath>,
        hash: nar::NarHash,
        unflushed: Option<usize>,
    ) -> Result<StorePath> {
        let at = &scratch.path;
        if let Some(entries) = unflushed {
            flush(at, entries)?;
        }
        let ca = match method {
            IngestMethod::Recursive => CAHash::Nar(NixHash::Sha256(hash.sha256)),
            IngestMethod::Flat => CAHash::Flat(hash_file(at, HashAlgorithm::Sha256)?),
        };
        let path = path::content_addressed(name, &ca, references).map_err(bad_name(name))?;
        self.add_temp_root(&path)?;
        let _lock = OwnedLock::take(&path_lock(&self.physical(&path)), &|| false)?;
        if !self.database().is_valid(&path)? {
            let info = self.describe(&path, hash, references, Some(ca), None)?;
            self.install(&scratch.path, &path)?;
            self.database().register(&[Registration { info: &info, derivation: None }])?;
        }
        Ok(path)
    }

    fn add_made(
        &self,
        path: &StorePath,
        ca: CAHash,
        references: &BTreeSet<StorePath>,
        make: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<()> {
        self.add_temp_root(path)?;
        let _lock = OwnedLock::take(&path_lock(&self.physical(path)), &|| false)?;
        if self.database().is_valid(path)? {
            return Ok(());
        }
        let scratch = Scratch::beside(self, path)?;
        make(&scratch.path)?;
        canonicalise(&scratch.path, None)?;
        let hash = nar::hash_path(&scratch.path).map_err(archive(&scratch.path))?;
        let info = self.describe(path, hash, references, Some(ca), None)?;
        self.install(&scratch.path, path)?;
        self.database().register(&[Registration { info: &info, derivation: None }])
    }

    pub(crate) fn describe(
        &self,
        path: &StorePath,
        hash: nar::NarHash,
        references: &BTreeSet<StorePath>,
        ca: Option<CAHash>,
        deriver: Option<&StorePath>,
    ) -> Result<PathInfo> {
        self.check_references(references.iter().filter(|r| *r != path))?;
        Ok(describe(path, hash, references, ca, deriver))
    }

    fn check_references<'a>(
        &self,
        references: impl IntoIterator<Item = &'a StorePath>,
    ) -> Result<()> {
        for reference in references {
            if !self.is_valid(reference)? {
                return Err(Error::NotValid { path: reference.clone() });
            }
        }
        Ok(())
    }

    /// Moves a flushed tree to its place. The path is locked and not valid: what is there is
    /// left over from somebody who was killed.
    pub(crate) fn install(&self, from: &Path, path: &StorePath) -> Result<()> {
        self.install_all(&[(from, path)])
    }

    /// The same for several trees, in one go.
    pub(crate) fn install_all(&self, trees: &[(&Path, &StorePath)]) -> Result<()> {
        let moves: Vec<(&Path, PathBuf)> =
            trees.iter().map(|(from, path)| (*from, self.physical(path))).collect();
        for (_, to) in &moves {
            remove_tree(to)?;
        }
        rename_trees(&self.layout().store, &moves)?;
        if self.config().auto_optimise {
            for (_, to) in &moves {
                crate::links::optimise_tree(self.layout(), to)?;
            }
        }
        Ok(())
    }
}

pub(crate) fn describe(
    path: &StorePath,
    hash: nar::NarHash,
    references: &BTreeSet<StorePath>,
    ca: Option<CAHash>,
    deriver: Option<&StorePath>,
) -> PathInfo {
    PathInfo {
        path: path.clone(),
        nar_hash: NixHash::Sha256(hash.sha256),
        nar_size: hash.size,
        references: references.clone(),
        deriver: deriver.cloned(),
        registered: SystemTime::now(),
        ultimate: deriver.is_some(),
        signatures: Vec::new(),
        ca,
    }
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    match nix_compat::hash_bytes(HashAlgorithm::Sha256, bytes) {
        NixHash::Sha256(digest) => digest,
        _ => unreachable!("asked for SHA-256"),
    }
}

pub(crate) fn bad_name(name: &str) -> impl FnOnce(nix_compat::StorePathError) -> Error + '_ {
    move |source| Error::Name { name: name.into(), source }
}

/// The digest of a file's bytes.
pub(crate) fn hash_file(path: &Path, algorithm: HashAlgorithm) -> Result<NixHash> {
    let metadata = path.symlink_metadata().on("read", path)?;
    if !metadata.is_file() {
        let other = std::io::Error::other("it must be a regular file to be hashed flat");
        return Err(crate::error::io("hash", path, other));
    }
    let file = File::open(path).on("open", path)?;
    nix_compat::hash::hash_reader(algorithm, file).on("read", path)
}
