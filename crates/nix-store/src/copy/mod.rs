//! Moving store paths between stores: where they can be read from, and where they can be put.

mod batch;
mod closure;
mod local;
mod readdressed;
mod trust;
mod work;

pub use closure::copy_closure;
pub(crate) use readdressed::readdress_closure;
pub use trust::Trust;

use crate::error::{Error, Result};
use crate::info::PathInfo;
use crate::realisations::Realisation;
use crate::store::Store;
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

    /// How many archives may be read at once.
    fn at_once(&self) -> usize {
        1
    }

    /// Which outputs of derivations are known to have come to a path, of which it has said `info`.
    ///
    /// # Errors
    /// When it cannot be asked.
    fn realisations(&self, path: &StorePath, info: Option<&PathInfo>) -> Result<Vec<Realisation>> {
        let _ = (path, info);
        Ok(Vec::new())
    }

    /// Called when a copy of the path failed: what is said about it elsewhere, if there is another
    /// place, from where [`Source::nar`] then reads it.
    fn elsewhere(&self, path: &StorePath, why: &Error) -> Option<PathInfo> {
        let _ = (path, why);
        None
    }
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

    /// Remembers what outputs came to; it has the paths.
    ///
    /// # Errors
    /// When that cannot be written.
    fn add_realisations(&self, realisations: &[Realisation]) -> Result<()> {
        let _ = realisations;
        Ok(())
    }

    /// Adds paths in one go, those first that others refer to; `send` writes the archive of one.
    /// Whether it did: where it does not do so, they are added one by one. Those that came before an
    /// error stay.
    ///
    /// # Errors
    /// As for [`Sink::add`].
    fn add_many(
        &self,
        infos: &[PathInfo],
        send: &mut dyn FnMut(&PathInfo, &mut dyn Write) -> Result<()>,
    ) -> Result<bool> {
        let _ = (infos, send);
        Ok(false)
    }

    /// How many paths may be added at once.
    fn at_once(&self) -> usize {
        1
    }

    /// The store itself, where it is on this host: it takes archives in any order, and makes many
    /// paths valid in one go.
    fn local(&self) -> Option<&Store> {
        None
    }
}

/// Who is told about a copy; called from several threads.
pub trait CopyObserver: Sync {
    /// So many paths will be sent, with so many bytes in their archives.
    fn planned(&self, paths: usize, bytes: u64) {
        let _ = (paths, bytes);
    }

    /// A path is begun to be sent.
    fn begun(&self, info: &PathInfo) {
        let _ = info;
    }

    /// More bytes of archives have come.
    fn sent(&self, bytes: u64) {
        let _ = bytes;
    }

    /// A path has come.
    fn done(&self, info: &PathInfo) {
        let _ = info;
    }

    /// Asked several times a second: `true` ends the copy with [`Error::Cancelled`].
    fn cancelled(&self) -> bool {
        false
    }
}

/// Nobody.
impl CopyObserver for () {}
