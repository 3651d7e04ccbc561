//! Moving store paths between stores: where they can be read from, and where they can be put.

mod closure;
mod local;
mod trust;

pub use closure::copy_closure;
pub use trust::Trust;

use crate::error::Result;
use crate::info::PathInfo;
use nix_compat::StorePath;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};

/// Where store paths can be read from: a local store, a binary cache, a daemon, a far store.
pub trait Source: Send + Sync {
    /// What errors and progress call it: an address.
    fn name(&self) -> String;

    /// What it says about a path; nothing when it does not have it.
    ///
    /// # Errors
    /// When it cannot be asked, or its answer makes no sense.
    fn query(&self, path: &StorePath) -> Result<Option<PathInfo>>;

    /// [`Source::query`] for many paths; those it does not have are left out.
    ///
    /// # Errors
    /// As for [`Source::query`].
    fn query_many(&self, paths: &BTreeSet<StorePath>) -> Result<BTreeMap<StorePath, PathInfo>> {
        let mut found = BTreeMap::new();
        for path in paths {
            if let Some(info) = self.query(path)? {
                found.insert(path.clone(), info);
            }
        }
        Ok(found)
    }

    /// Writes the path's archive, uncompressed. Nobody has checked what comes: the one who
    /// receives it does.
    ///
    /// # Errors
    /// When it does not have the path, stops half way, or `to` refuses.
    fn nar(&self, path: &StorePath, to: &mut dyn Write) -> Result<()>;
}

/// Where store paths can be put.
pub trait Sink: Send + Sync {
    /// What errors and progress call it: an address.
    fn name(&self) -> String;

    /// Those of the paths that it has already.
    ///
    /// # Errors
    /// When it cannot be asked.
    fn valid(&self, paths: &BTreeSet<StorePath>) -> Result<BTreeSet<StorePath>>;

    /// Adds a path whose references it has. `nar` is at the first byte of the archive and may go
    /// on after its last one (`info.nar_size` bytes are read). The path is there afterwards,
    /// complete, or was never there. A path that is there already is fine; nothing is read then.
    ///
    /// # Errors
    /// When the archive is malformed or not the one promised, a reference is missing, or it cannot
    /// be written.
    fn add(&self, info: &PathInfo, nar: &mut dyn Read) -> Result<()>;
}
