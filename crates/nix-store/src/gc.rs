//! The garbage collector.

use crate::error::{Context, Result};
use crate::gc_server::Server;
use crate::layout::Layout;
use crate::lock::{self, OwnedLock};
use crate::store::Store;
use crate::{runtime_roots, scratch, temp_roots};
use nix_compat::StorePath;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Paths that are forgotten in one transaction.
const BATCH: usize = 128;

/// What a collection does.
#[derive(Debug, Clone)]
pub struct GcOptions {
    /// Only tell what would be deleted.
    pub dry_run: bool,
    /// Keep the derivations that live paths were built from (as C++ Nix does by default).
    pub keep_derivers: bool,
}

impl Default for GcOptions {
    fn default() -> Self {
        Self { dry_run: false, keep_derivers: true }
    }
}

/// What a collection did, or would do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GcReport {
    /// Valid paths that were deleted.
    pub deleted: BTreeSet<StorePath>,
    /// Other files and trees in the store directory that were deleted.
    pub rubbish: Vec<OsString>,
    /// Bytes on disk that were freed.
    pub freed: u64,
    /// Links in `gcroots/auto` whose target is gone.
    pub stale_roots: Vec<PathBuf>,
}

impl Store {
    /// Deletes every path that no root leads to, and none that one does. Waits for other
    /// collectors; others may add and build meanwhile.
    ///
    /// # Errors
    /// When the system refuses; what was not deleted is then still valid, or rubbish for the next.
    pub fn gc(&self, options: &GcOptions, extra_roots: &BTreeSet<StorePath>) -> Result<GcReport> {
        let layout = self.layout();
        if !options.dry_run {
            layout.release_reserve();
            scratch::clear_stale(layout)?;
        }
        let lock_path = layout.gc_lock();
        let gc_lock = lock::open(&lock_path)?;
        lock::lock(&gc_lock, true, &lock_path)?;
        // From here on new temporary roots are told to us, not written down.
        let server = Server::start(layout)?;
        let found = self.permanent_roots()?;
        let mut roots: BTreeSet<StorePath> = found.roots.into_iter().map(|r| r.path).collect();
        roots.extend(temp_roots::read_all(layout)?);
        roots.extend(runtime_roots::find(layout).into_iter().map(|root| root.path));
        roots.extend(extra_roots.iter().cloned());
        let valid = self.valid_paths()?;
        let live = self.live(roots, &valid, options)?;
        let mut report = GcReport { stale_roots: found.stale, ..GcReport::default() };
        let mut collector = Collector { store: self, server: &server, live, report: &mut report };
        if options.dry_run {
            collector.list(&valid)?;
            return Ok(report);
        }
        for link in &collector.report.stale_roots {
            hc_fs::durable::remove_file(link)?;
        }
        collector.delete(&valid)?;
        collector.delete_rubbish(&valid)?;
        layout.reserve();
        Ok(report)
    }

    /// Everything the roots lead to. A temporary root may be a path that is not valid yet.
    fn live(
        &self,
        roots: BTreeSet<StorePath>,
        valid: &BTreeSet<StorePath>,
        options: &GcOptions,
    ) -> Result<BTreeSet<StorePath>> {
        let mut live = BTreeSet::new();
        let mut open: Vec<StorePath> = roots.into_iter().collect();
        while let Some(path) = open.pop() {
            if !live.insert(path.clone()) || !valid.contains(&path) {
                continue;
            }
            open.extend(self.references(&path)?);
            if options.keep_derivers {
                let database = self.database();
                open.extend(database.derivers(&path)?);
                let deriver = database.info(&path)?.and_then(|info| info.deriver);
                open.extend(deriver.filter(|drv| valid.contains(drv)));
            }
        }
        Ok(live)
    }
}

struct Collector<'a> {
    store: &'a Store,
    server: &'a Server,
    live: BTreeSet<StorePath>,
    report: &'a mut GcReport,
}

impl Collector<'_> {
    /// The dead paths, those that refer to others first.
    fn dead(&self, valid: &BTreeSet<StorePath>) -> Result<Vec<StorePath>> {
        let dead: BTreeSet<&StorePath> = valid.difference(&self.live).collect();
        let mut referrers: BTreeMap<&StorePath, usize> = dead.iter().map(|p| (*p, 0)).collect();
        let mut references = BTreeMap::new();
        for path in &dead {
            let mut all = self.store.references(path)?;
            all.remove(*path);
            for reference in &all {
                if let Some(count) = referrers.get_mut(reference) {
                    *count += 1;
                }
            }
            references.insert(*path, all);
        }
        let mut ready: Vec<&StorePath> =
            referrers.iter().filter(|(_, count)| **count == 0).map(|(path, _)| *path).collect();
        let mut order = Vec::with_capacity(dead.len());
        while let Some(path) = ready.pop() {
            order.push(path.clone());
            for reference in &references[path] {
                if let Some((key, count)) =
                    referrers.get_key_value(reference).map(|(k, c)| (*k, *c))
                {
                    referrers.insert(key, count - 1);
                    if count == 1 {
                        ready.push(key);
                    }
                }
            }
        }
        Ok(order)
    }

    fn list(&mut self, valid: &BTreeSet<StorePath>) -> Result<()> {
        for path in self.dead(valid)? {
            self.report.freed += disk_usage(&self.store.physical(&path));
            self.report.deleted.insert(path);
        }
        for name in self.rubbish(valid)? {
            self.report.freed += disk_usage(&self.store.layout().store.join(&name));
            self.report.rubbish.push(name);
        }
        Ok(())
    }

    fn delete(&mut self, valid: &BTreeSet<StorePath>) -> Result<()> {
        let order = self.dead(valid)?;
        for batch in order.chunks(BATCH) {
            // Whoever asks to keep one of these now has to wait until it is gone. Whoever asked
            // before keeps it, and with it all it refers to, which comes later in the order.
            let kept = self.server.condemn(batch);
            for path in &kept {
                self.live.extend(self.store.closure([path])?);
            }
            let condemned: Vec<StorePath> =
                batch.iter().filter(|path| !self.live.contains(*path)).cloned().collect();
            // First it is not valid any more, then it is gone: never the other way round.
            let forgotten = self.store.database().forget(&condemned);
            let deleted = forgotten.and_then(|()| {
                condemned.iter().try_for_each(|path| {
                    let at = self.store.physical(path);
                    let bytes = disk_usage(&at);
                    crate::canonical::remove_tree(&at)?;
                    self.report.freed += bytes;
                    self.report.deleted.insert(path.clone());
                    Ok(())
                })
            });
            self.server.release();
            deleted?;
        }
        Ok(())
    }

    /// What is in the store directory and is neither valid nor in use.
    fn rubbish(&self, valid: &BTreeSet<StorePath>) -> Result<Vec<OsString>> {
        let layout = self.store.layout();
        let mut rubbish = Vec::new();
        for entry in std::fs::read_dir(&layout.store).on("read", &layout.store)? {
            let name = entry.on("read", &layout.store)?.file_name();
            let path = StorePath::from_basename(name.as_bytes()).ok();
            let is_valid = path.as_ref().is_some_and(|path| valid.contains(path));
            if !is_valid && name != ".links" && !self.in_use(layout, &name, path.as_ref())? {
                rubbish.push(name);
            }
        }
        Ok(rubbish)
    }

    fn in_use(&self, layout: &Layout, name: &OsStr, path: Option<&StorePath>) -> Result<bool> {
        if scratch::in_use(layout, Path::new(name))? {
            return Ok(true);
        }
        if name.as_bytes().ends_with(b".lock") {
            return Ok(OwnedLock::try_take(&layout.store.join(name))?.is_none());
        }
        // Files beside a path (`….drv.chroot`) begin with its hash.
        let Some(path) = path else { return Ok(false) };
        let same = |kept: &StorePath| kept.digest() == path.digest();
        Ok(self.live.iter().any(same) || self.server.keeps(path))
    }

    fn delete_rubbish(&mut self, valid: &BTreeSet<StorePath>) -> Result<()> {
        for name in self.rubbish(valid)? {
            let at = self.store.layout().store.join(&name);
            // It may have become valid, or somebody's, since we looked.
            if let Ok(path) = StorePath::from_basename(name.as_bytes())
                && (!self.server.condemn(std::slice::from_ref(&path)).is_empty()
                    || self.store.database().is_valid(&path)?)
            {
                self.server.release();
                continue;
            }
            let bytes = disk_usage(&at);
            let removed = crate::canonical::remove_tree(&at);
            self.server.release();
            removed?;
            self.report.freed += bytes;
            self.report.rubbish.push(name);
        }
        Ok(())
    }
}

/// The bytes that deleting a tree frees. What cannot be read counts nothing.
fn disk_usage(path: &Path) -> u64 {
    let mut bytes = 0;
    let mut open = vec![path.to_path_buf()];
    while let Some(path) = open.pop() {
        let Ok(metadata) = path.symlink_metadata() else { continue };
        if metadata.is_dir() {
            let entries = std::fs::read_dir(&path).into_iter().flatten().flatten();
            open.extend(entries.map(|entry| entry.path()));
        } else if metadata.nlink() > 1 {
            continue; // Another name keeps it.
        }
        bytes += metadata.blocks() * 512;
    }
    bytes
}
