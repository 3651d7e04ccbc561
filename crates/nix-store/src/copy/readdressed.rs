//! Copying paths under names that follow from what they hold: nobody has to be trusted for those.

use super::Source;
use super::closure::{in_order, missing};
use crate::canonical::canonicalise;
use crate::db::Registration;
use crate::error::{Context, Error, Result, archive, io};
use crate::export::Place;
use crate::info::PathInfo;
use crate::lock::{OwnedLock, path_lock};
use crate::readdress::{Addressed, Tree};
use crate::scratch::Scratch;
use crate::store::Store;
use nix_compat::hash::HashWriter;
use nix_compat::{ContentAddressMethod, HashAlgorithm, StorePath, nar};
use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufReader, BufWriter, Write};
use std::path::Path;

impl Store {
    /// Copies a path and everything it refers to, each rewritten to a content address (SHA-256 of
    /// its archive), as `nix store make-content-addressed` does. Gives the path that takes its place.
    ///
    /// # Errors
    /// When `from` lacks a path, sends another archive than it says, or it cannot be written.
    pub fn copy_readdressed(&self, from: &dyn Source, path: &StorePath) -> Result<StorePath> {
        let place = || {
            let scratch = Scratch::temporary(self)?;
            Ok((scratch.path.clone(), Box::new(scratch) as Box<dyn Any>))
        };
        readdress_closure(from, path, &place, &|addressed| self.add_addressed(addressed))
    }

    fn add_addressed(&self, addressed: &Addressed) -> Result<()> {
        let Addressed { at, path, ca, references } = addressed;
        self.add_temp_root(path)?;
        let _lock = OwnedLock::take(&path_lock(&self.physical(path)), &|| false)?;
        if self.is_valid(path)? {
            return Ok(());
        }
        canonicalise(at, None)?;
        let hash = nar::hash_path(at).map_err(archive(at))?;
        let info = self.describe(path, hash, references, Some(ca.clone()), None)?;
        self.install(at, path)?;
        self.database().register(&[Registration { info: &info, derivation: None }])
    }
}

/// As [`Store::copy_readdressed`], for any store: `place` is where trees are rewritten, `add` gives
/// one to the store.
pub(crate) fn readdress_closure(
    from: &dyn Source,
    path: &StorePath,
    place: &dyn Fn() -> Result<Place>,
    add: &dyn Fn(&Addressed) -> Result<()>,
) -> Result<StorePath> {
    let infos = missing(from, &BTreeSet::from([path.clone()]), &|_| Ok(BTreeSet::new()))?;
    let mut moved = BTreeMap::new();
    for path in in_order(&infos)? {
        let (directory, _kept) = place()?;
        let addressed = readdress(from, &infos[&path], &moved, &directory)?;
        add(&addressed)?;
        moved.insert(path, addressed.path);
    }
    Ok(moved[path].clone())
}

fn readdress(
    from: &dyn Source,
    info: &PathInfo,
    moved: &BTreeMap<StorePath, StorePath>,
    directory: &Path,
) -> Result<Addressed> {
    hc_fs::plain::create_dir(directory, 0o700)?;
    let (came, work) = (directory.join("came"), directory.join("work"));
    hc_fs::plain::create_dir(&work, 0o700)?;
    unpack(from, info, &directory.join("nar"), &came)?;
    let refuse = |reason| Error::Refused { path: info.path.clone(), reason };
    let tree = Tree {
        at: &came,
        own: &info.path,
        name: info.path.name(),
        references: &info.references,
        moved,
        work: &work,
        refuse: &refuse,
    };
    tree.address(ContentAddressMethod::Nar, HashAlgorithm::Sha256)
}

/// Unpacks the archive of a path, which must be what was promised; `spool` is a file for it.
fn unpack(from: &dyn Source, info: &PathInfo, spool: &Path, to: &Path) -> Result<()> {
    let mut file = BufWriter::new(hc_fs::plain::create_new(spool, 0o600)?);
    let mut hash = HashWriter::new(info.nar_hash.algorithm());
    from.nar(&info.path, &mut Both { file: &mut file, hash: &mut hash })?;
    file.flush().on("write", spool)?;
    drop(file);
    if hash.finish() != info.nar_hash {
        let reason = format!("{} sent another archive than it says it has", from.name());
        return Err(Error::Refused { path: info.path.clone(), reason });
    }
    let opened = std::fs::File::open(spool).map_err(|source| io("read", spool, source))?;
    nar::restore(&mut BufReader::new(opened), to).map_err(archive(to))?;
    hc_fs::plain::remove_file(spool)?;
    Ok(())
}

struct Both<'a, W> {
    file: &'a mut W,
    hash: &'a mut HashWriter,
}

impl<W: Write> Write for Both<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.file.write_all(bytes)?;
        self.hash.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}
