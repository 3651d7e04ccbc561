//! The local store as a place to copy from and to.

use super::batch::Taken;
use super::{Sink, Source};
use crate::build::hash_output;
use crate::canonical::{flush_all, has_attributes, is_of_other_group, make_canonical};
use crate::db::Registration;
use crate::error::{Context, Error, Result, archive};
use crate::info::PathInfo;
use crate::lock::{OwnedLock, path_lock};
use crate::realisations::Realisation;
use crate::scratch::Scratch;
use crate::store::Store;
use nix_compat::{
    CAHash, ContentAddressMethod, Derivation, HashAlgorithm, NixHash, StoreDir, StorePath, nar,
};
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::path::Path;
use std::time::{Duration, SystemTime};

/// How long a path is left alone that somebody else is just adding.
const PAUSE: Duration = Duration::from_millis(50);

impl Source for Store {
    fn name(&self) -> String {
        match &self.config().root {
            Some(root) => root.display().to_string(),
            None => "the local store".into(),
        }
    }

    fn query(&self, path: &StorePath) -> Result<Option<PathInfo>> {
        if self.is_valid(path)? { self.info(path).map(Some) } else { Ok(None) }
    }

    fn nar(&self, path: &StorePath, mut to: &mut dyn Write) -> Result<()> {
        if !self.is_valid(path)? {
            return Err(Error::NotValid { path: path.clone() });
        }
        let at = self.physical(path);
        nar::dump(&at, &mut to).map_err(archive(&at))
    }

    fn realisations(&self, path: &StorePath, _: Option<&PathInfo>) -> Result<Vec<Realisation>> {
        self.realisations_of(path)
    }

    fn at_once(&self) -> usize {
        self.config().cores.max(2)
    }
}

impl Sink for Store {
    fn name(&self) -> String {
        Source::name(self)
    }

    fn valid(&self, paths: &BTreeSet<StorePath>) -> Result<BTreeSet<StorePath>> {
        let mut valid = BTreeSet::new();
        for path in paths {
            if self.is_valid(path)? {
                valid.insert(path.clone());
            }
        }
        Ok(valid)
    }

    fn add(&self, info: &PathInfo, nar: &mut dyn Read) -> Result<()> {
        loop {
            match self.begin(info)? {
                Taken::Valid => return Ok(()),
                Taken::Busy => std::thread::sleep(PAUSE),
                Taken::Place(space) => {
                    self.check_references_of(info)?;
                    return self.commit(vec![self.receive(space, info, nar)?]);
                }
            }
        }
    }

    fn add_realisations(&self, realisations: &[Realisation]) -> Result<()> {
        if realisations.is_empty() { Ok(()) } else { self.register_realisations(realisations) }
    }

    fn at_once(&self) -> usize {
        usize::MAX
    }

    fn local(&self) -> Option<&Store> {
        Some(self)
    }
}

/// A place to unpack a path in. The path is locked, and kept from collectors.
pub(super) struct Space {
    // The first that is dropped: the lock says that nobody else uses the name.
    scratch: Scratch,
    _lock: OwnedLock,
}

/// A path that has come, as it was promised, and is not valid yet.
pub(super) struct Incoming {
    pub info: PathInfo,
    space: Space,
    derivation: Option<Derivation>,
    /// Files, directories and symlinks.
    entries: usize,
}

impl Store {
    /// Takes a place for a path.
    pub(super) fn begin(&self, info: &PathInfo) -> Result<Taken> {
        let path = &info.path;
        self.add_temp_root(path)?;
        if self.database().is_valid(path)? {
            return Ok(Taken::Valid);
        }
        check_address(info)?;
        let Some(lock) = OwnedLock::try_take(&path_lock(&self.physical(path)))? else {
            return Ok(Taken::Busy);
        };
        if self.database().is_valid(path)? {
            return Ok(Taken::Valid);
        }
        Ok(Taken::Place(Space { scratch: incoming(self, path)?, _lock: lock }))
    }

    /// Unpacks an archive, which must be what was promised.
    pub(super) fn receive(
        &self,
        space: Space,
        info: &PathInfo,
        nar: &mut dyn Read,
    ) -> Result<Incoming> {
        let at = &space.scratch.path;
        let entries = restore(info, nar, at)?;
        check_contents(info, at)?;
        let derivation = read_derivation(info, at)?;
        // A directory can give more to what is made in it, which has to be undone.
        if has_attributes(at)? || is_of_other_group(at)? {
            make_canonical(at, None)?;
        }
        // What the sender thinks of itself does not count here.
        let info = PathInfo { registered: SystemTime::now(), ultimate: false, ..info.clone() };
        Ok(Incoming { info, space, derivation, entries })
    }

    /// Makes paths valid, all or none; what they refer to is valid or among them.
    pub(super) fn commit(&self, paths: Vec<Incoming>) -> Result<()> {
        let trees: Vec<(&Path, usize)> =
            paths.iter().map(|p| (p.space.scratch.path.as_path(), p.entries)).collect();
        flush_all(&self.layout().store, &trees)?;
        let moves: Vec<(&Path, &StorePath)> =
            paths.iter().map(|p| (p.space.scratch.path.as_path(), &p.info.path)).collect();
        self.install_all(&moves)?;
        let registrations: Vec<Registration<'_>> = paths
            .iter()
            .map(|p| Registration { info: &p.info, derivation: p.derivation.as_ref() })
            .collect();
        self.database().register(&registrations)?;
        Ok(())
    }

    fn check_references_of(&self, info: &PathInfo) -> Result<()> {
        for reference in info.references.iter().filter(|r| **r != info.path) {
            if !self.is_valid(reference)? {
                return Err(Error::MissingReference {
                    path: info.path.clone(),
                    reference: reference.clone(),
                });
            }
        }
        Ok(())
    }
}

/// A place for what comes. Its name has the path's hash, which is kept: no collector, not even
/// that of C++ Nix, takes it for rubbish. Whoever has the path's lock is the only one to use it.
fn incoming(store: &Store, path: &StorePath) -> Result<Scratch> {
    let name = format!("{}-incoming", nix_compat::path::hash_part(path));
    match Scratch::try_named(store.layout(), &name)? {
        Some(scratch) => Ok(scratch),
        // A path of the same hash and another name: nothing honest makes one.
        None => Err(refused(path, "a path with the same hash is just being added")),
    }
}

/// Unpacks exactly one archive of the promised size and hash; gives the number of its files,
/// directories and symlinks.
fn restore(info: &PathInfo, nar: &mut dyn Read, to: &Path) -> Result<usize> {
    let NixHash::Sha256(wanted) = &info.nar_hash else {
        return Err(refused(&info.path, "the hash of its archive must be a SHA-256"));
    };
    let mut hasher = nar::Hasher::new(HashAlgorithm::Sha256);
    let mut from = nar.take(info.nar_size);
    let unpacked = nix_compat::unpack_to(&mut from, to, &mut hasher);
    let done = info.nar_size - from.limit();
    let entries = unpacked.map_err(|error| match error {
        nar::Error::Io(source) => crate::error::io("unpack the archive of", to, source),
        nar::Error::UnexpectedEof if done < info.nar_size => {
            let size = info.nar_size;
            refused(&info.path, &format!("its archive ends after {done} of {size} bytes"))
        }
        source => refused(&info.path, &format!("its archive is malformed: {source}")),
    })?;
    if done != info.nar_size {
        let size = info.nar_size;
        return Err(refused(&info.path, &format!("its archive has {done} bytes, not {size}")));
    }
    let got = hasher.finish().unwrap_or_else(|| unreachable!("asked for SHA-256"));
    if got.sha256 != *wanted {
        return Err(Error::NarMismatch {
            path: info.path.clone(),
            specified: info.nar_hash.to_sri_string(),
            got: NixHash::Sha256(got.sha256).to_sri_string(),
        });
    }
    Ok(entries)
}

/// The content address it claims gives its path.
fn check_address(info: &PathInfo) -> Result<()> {
    let Some(ca) = &info.ca else { return Ok(()) };
    let itself = info.references.contains(&info.path);
    let others = info.references.iter().filter(|r| **r != info.path);
    let built = StoreDir::default().build_ca_path(info.path.name(), ca, others, itself);
    match built {
        Ok(path) if path == info.path => Ok(()),
        Ok(path) => Err(refused(&info.path, &format!("its content address belongs to {path}"))),
        Err(error) => Err(refused(&info.path, &format!("its content address: {error}"))),
    }
}

/// The contents have the content address they claim.
fn check_contents(info: &PathInfo, at: &Path) -> Result<()> {
    let Some(ca) = &info.ca else { return Ok(()) };
    let wanted = ca.hash();
    let itself = info.references.contains(&info.path);
    let got = if ca.method() == ContentAddressMethod::Nar && itself {
        let hash_part = nix_compat::path::hash_part(&info.path);
        let Ok(own) = hash_part.as_bytes().try_into() else {
            unreachable!("the hash part of a store path is 32 characters")
        };
        nix_compat::rewrite::hash_modulo(wanted.algorithm(), at, own).map_err(archive(at))?
    } else if ca.method() == ContentAddressMethod::Nar && wanted == info.nar_hash {
        return Ok(());
    } else {
        let refuse = |reason: String| refused(&info.path, &reason);
        hash_output(ca.method(), wanted.algorithm(), at, &refuse)?
    };
    if got == wanted {
        return Ok(());
    }
    Err(Error::NarMismatch {
        path: info.path.clone(),
        specified: ca_text(ca),
        got: got.to_sri_string(),
    })
}

fn ca_text(ca: &CAHash) -> String {
    format!("{} ({})", ca.hash().to_sri_string(), ca.to_nix_string())
}

/// A derivation brings its outputs' names into the database.
fn read_derivation(info: &PathInfo, at: &Path) -> Result<Option<Derivation>> {
    let Some(name) = info.path.name().strip_suffix(".drv") else { return Ok(None) };
    if !at.symlink_metadata().on("read", at)?.is_file() {
        return Ok(None);
    }
    let bytes = std::fs::read(at).on("read", at)?;
    Ok(Derivation::from_aterm_bytes(&bytes, name).ok())
}

fn refused(path: &StorePath, reason: &str) -> Error {
    Error::Refused { path: path.clone(), reason: reason.into() }
}
