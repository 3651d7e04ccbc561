//! Copying paths under names that follow from what they hold: nobody has to be trusted for those.

use super::Source;
use super::closure::{in_order, missing};
use crate::canonical::canonicalise;
use crate::db::Registration;
use crate::error::{Context, Error, Result, archive, io};
use crate::info::PathInfo;
use crate::lock::{OwnedLock, path_lock};
use crate::readdress::{Addressed, Tree};
use crate::scratch::Scratch;
use crate::store::Store;
use nix_compat::hash::HashWriter;
use nix_compat::{ContentAddressMethod, HashAlgorithm, StorePath, nar};
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
        let infos = missing(from, &BTreeSet::from([path.clone()]), &|_| Ok(BTreeSet::new()))?;
        let mut moved = BTreeMap::new();
        for path in in_order(&infos)? {
            let to = self.readdress(from, &infos[&path], &moved)?;
            moved.insert(path, to);
        }
        Ok(moved[path].clone())
    }

    fn readdress(
        &self,
        from: &dyn Source,
        info: &PathInfo,
        moved: &BTreeMap<StorePath, StorePath>,
    ) -> Result<StorePath> {
        let scratch = Scratch::temporary(self)?;
        hc_fs::plain::create_dir(&scratch.path, 0o700)?;
        let (came, work) = (scratch.path.join("came"), scratch.path.join("work"));
        hc_fs::plain::create_dir(&work, 0o700)?;
        unpack(from, info, &scratch.path.join("nar"), &came)?;
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
        let addressed = tree.address(ContentAddressMethod::Nar, HashAlgorithm::Sha256)?;
        let Addressed { at, path, ca, references } = addressed;
        self.add_temp_root(&path)?;
        let _lock = OwnedLock::take(&path_lock(&self.physical(&path)), &|| false)?;
        if self.is_valid(&path)? {
            return Ok(path);
        }
        canonicalise(&at, None)?;
        let hash = nar::hash_path(&at).map_err(archive(&at))?;
        let info = self.describe(&path, hash, &references, Some(ca), None)?;
        self.install(&at, &path)?;
        self.database().register(&[Registration { info: &info, derivation: None }])?;
        Ok(path)
    }
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
