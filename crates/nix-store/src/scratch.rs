//! Trees that are being made in the store directory, and what is left of them after a kill.

use crate::error::{Context, Result};
use crate::layout::Layout;
use crate::lock::{self, OwnedLock};
use crate::store::Store;
use nix_compat::StorePath;
use std::mem::MaybeUninit;
use std::path::{Path, PathBuf};

/// A name in the store directory that is this process's own; what is there is deleted at the end.
/// The record beside it is locked meanwhile, so that everybody can tell it from rubbish.
#[derive(Debug)]
pub(crate) struct Scratch {
    pub path: PathBuf,
    _record: OwnedLock,
}

impl Scratch {
    /// A fresh name for what has no store path yet. It has the form of a store path with a random
    /// hash and is a temporary root, so that no collector takes it for rubbish, C++ Nix's of any
    /// version included.
    pub fn temporary(store: &Store) -> Result<Self> {
        loop {
            let path = random_path(store.layout())?;
            store.add_temp_root(&path)?;
            if let Some(scratch) = Self::try_named(store.layout(), &path.to_basename())? {
                return Ok(scratch);
            }
        }
    }

    /// A name beside a path that is kept and locked by the caller.
    pub fn beside(store: &Store, path: &StorePath) -> Result<Self> {
        match Self::try_named(store.layout(), &format!("{}.new", path.to_basename()))? {
            Some(scratch) => Ok(scratch),
            None => Self::temporary(store),
        }
    }

    /// A given name, unless it is in use. What an earlier user left there is deleted.
    pub fn try_named(layout: &Layout, name: &str) -> Result<Option<Self>> {
        let Some(record) = OwnedLock::try_take(&layout.scratch_records().join(name))? else {
            return Ok(None);
        };
        let path = layout.store.join(name);
        crate::canonical::remove_tree(&path)?;
        Ok(Some(Self { path, _record: record }))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Comes before the record is unlocked. Should it fail, the next collector deletes it.
        let _ = crate::canonical::remove_tree(&self.path);
    }
}

fn random_path(layout: &Layout) -> Result<StorePath> {
    let mut digest = [MaybeUninit::uninit(); nix_compat::path::DIGEST_LEN];
    let (filled, _) =
        rustix::rand::getrandom(&mut digest[..], rustix::rand::GetRandomFlags::empty())
            .on("choose a name in", &layout.store)?;
    let mut bytes = [0; nix_compat::path::DIGEST_LEN];
    bytes[..filled.len()].copy_from_slice(filled);
    match StorePath::from_parts(bytes, "hc-new") {
        Ok(path) => Ok(path),
        Err(_) => unreachable!("the name follows the rules"),
    }
}

/// Deletes what killed processes left.
pub(crate) fn clear_stale(layout: &Layout) -> Result<()> {
    let records = layout.scratch_records();
    for entry in std::fs::read_dir(&records).on("read", &records)? {
        let name = entry.on("read", &records)?.file_name();
        if let Some(name) = name.to_str() {
            drop(Scratch::try_named(layout, name)?);
        }
    }
    Ok(())
}

/// Whether somebody is making the tree of this name.
pub(crate) fn in_use(layout: &Layout, name: &Path) -> Result<bool> {
    lock::is_held(&layout.scratch_records().join(name))
}
