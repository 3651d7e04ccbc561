//! The garbage collector.

use crate::error::{Context, Error, Result};
use crate::gc_server::Server;
use crate::layout::Layout;
use crate::live::Keep;
use crate::lock::{self, OwnedLock};
use crate::store::Store;
use crate::{links, runtime_roots, scratch, temp_roots};
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
    /// What keeps paths besides references.
    pub keep: Keep,
    /// Stop once this many bytes are freed.
    pub max_freed: u64,
    /// Roots that are taken as gone: for a dry run of what their removal would free.
    pub without: BTreeSet<PathBuf>,
    /// Delete only these, and what refers to them; one that is kept is an error.
    pub only: Option<BTreeSet<StorePath>>,
}

impl Default for GcOptions {
    fn default() -> Self {
        Self {
            dry_run: false,
            keep: Keep::default(),
            max_freed: u64::MAX,
            without: BTreeSet::new(),
            only: None,
        }
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
        let permanent =
            found.roots.into_iter().filter(|root| !options.without.contains(&root.link));
        let mut roots: BTreeSet<StorePath> = permanent.map(|root| root.path).collect();
        roots.extend(temp_roots::read_all(layout)?);
        roots.extend(runtime_roots::find(layout).into_iter().map(|root| root.path));
        roots.extend(extra_roots.iter().cloned());
        let valid = self.valid_paths()?;
        let live = self.live(roots, &valid, options.keep)?;
        let only = options.only.as_ref().map(|paths| self.doomed(paths, &live)).transpose()?;
        let mut report = GcReport { stale_roots: found.stale, ..GcReport::default() };
        let mut collector = Collector {
            store: self,
            server: &server,
            live,
            only,
            max_freed: options.max_freed,
            report: &mut report,
        };
        if options.dry_run {
            collector.list(&valid)?;
            return Ok(report);
        }
        for link in &collector.report.stale_roots {
            hc_fs::durable::remove_file(link)?;
        }
        if collector.only.is_none() {
            let rubbish = collector.rubbish(&valid)?;
            collector.delete_rubbish(rubbish)?;
        }
        collector.delete(&valid)?;
        collector.report.freed += links::remove_unused(layout)?;
        layout.reserve();
        Ok(report)
    }
}

impl Store {
    /// What has to go with some paths: all that refers to them. They must be dead.
    fn doomed(
        &self,
        paths: &BTreeSet<StorePath>,
        live: &BTreeSet<StorePath>,
    ) -> Result<BTreeSet<StorePath>> {
        let mut doomed = BTreeSet::new();
        let mut open: Vec<StorePath> = paths.iter().cloned().collect();
        let database = self.database();
        while let Some(path) = open.pop() {
            if live.contains(&path) {
                return Err(Error::Alive { path });
            }
            if database.is_valid(&path)? && doomed.insert(path.clone()) {
                open.extend(database.referrers(&path)?);
            }
        }
        Ok(doomed)
    }
}

struct Collector<'a> {
    store: &'a Store,
    server: &'a Server,
    live: BTreeSet<StorePath>,
    /// Nothing else is to go.
    only: Option<BTreeSet<StorePath>>,
    max_freed: u64,
    report: &'a mut GcReport,
}

impl Collector<'_> {
    /// The dead paths, those that refer to others first.
    fn dead(&self, valid: &BTreeSet<StorePath>) -> Result<Vec<StorePath>> {
        let wanted = |path: &&StorePath| self.only.as_ref().is_none_or(|only| only.contains(*path));
        let dead: BTreeSet<&StorePath> = valid.difference(&self.live).filter(wanted).collect();
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

    fn enough(&self) -> bool {
        self.report.freed >= self.max_freed
    }

    fn list(&mut self, valid: &BTreeSet<StorePath>) -> Result<()> {
        let rubbish = if self.only.is_none() { self.rubbish(valid)? } else { Vec::new() };
        for name in rubbish {
            self.report.freed += disk_usage(&self.store.layout().store.join(&name), 1);
            self.report.rubbish.push(name);
        }
        for path in self.dead(valid)? {
            if self.enough() {
                break;
            }
            // The second name of a file is the one in `.links`, which would go too.
            self.report.freed += disk_usage(&self.store.physical(&path), 2);
            self.report.deleted.insert(path);
        }
        Ok(())
    }

    fn delete(&mut self, valid: &BTreeSet<StorePath>) -> Result<()> {
        let order = self.dead(valid)?;
        // With a limit, one by one: no more than asked for goes.
        let size = if self.max_freed == u64::MAX { BATCH } else { 1 };
        for batch in order.chunks(size) {
            if self.enough() {
                break;
            }
            // Whoever asks to keep one of these now has to wait until it is gone. Whoever asked
            // before keeps it, and with it all it refers to, which comes later in the order.
            let kept = self.server.condemn(batch);
            for path in &kept {
                self.live.extend(self.store.closure([path])?);
            }
            let condemned: Vec<StorePath> =
                batch.iter().filter(|path| !self.live.contains(*path)).cloned().collect();
            let swept = self.sweep(&condemned);
            self.server.release();
            swept?;
        }
        Ok(())
    }

    /// First it is not valid any more, then it is gone: never the other way round.
    fn sweep(&mut self, condemned: &[StorePath]) -> Result<()> {
        let forgotten = self.store.database().forget(condemned)?;
        for path in &forgotten {
            self.remove(&self.store.physical(path))?;
            self.report.deleted.insert(path.clone());
        }
        if forgotten.len() < condemned.len() {
            // What was registered meanwhile and refers to one of these keeps it.
            for path in condemned.iter().filter(|path| !forgotten.contains(path)) {
                if self.store.database().is_valid(path)? {
                    self.live.extend(self.store.closure([path])?);
                }
            }
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
        if is_link_of_living(name) {
            return Ok(true);
        }
        if is_lock(name) {
            return lock::is_held(&layout.store.join(name));
        }
        // Files beside a path (`….drv.chroot`) begin with its hash.
        let Some(path) = path else { return Ok(false) };
        let same = |kept: &StorePath| kept.digest() == path.digest();
        Ok(self.live.iter().any(same) || self.server.keeps(path))
    }

    fn delete_rubbish(&mut self, names: Vec<OsString>) -> Result<()> {
        for name in names {
            let at = self.store.layout().store.join(&name);
            if is_lock(&name) {
                // Only its holder may delete it: by now somebody may build under it.
                if OwnedLock::try_take(&at)?.is_some() {
                    self.report.rubbish.push(name);
                }
                continue;
            }
            // It may have become valid, or somebody's, since we looked.
            if let Ok(path) = StorePath::from_basename(name.as_bytes())
                && (!self.server.condemn(std::slice::from_ref(&path)).is_empty()
                    || self.store.database().is_valid(&path)?)
            {
                self.server.release();
                continue;
            }
            let removed = self.remove(&at);
            self.server.release();
            removed?;
            self.report.rubbish.push(name);
        }
        Ok(())
    }

    fn remove(&mut self, at: &Path) -> Result<()> {
        let bytes = disk_usage(at, 1);
        crate::canonical::remove_tree(at)?;
        self.report.freed += bytes;
        Ok(())
    }
}

/// Whether it is the lock of a path.
fn is_lock(name: &OsStr) -> bool {
    name.as_bytes().ends_with(b".lock")
}

/// Whether it is a file that is about to be put in place of an equal one: `.tmp-link-PROCESS-NUMBER`
/// where C++ Nix does it, `.tmp-link-hc-…` where hc does. One of a dead process is rubbish.
fn is_link_of_living(name: &OsStr) -> bool {
    let rest = name.to_str().and_then(|name| name.strip_prefix(".tmp-link-"));
    let rest = rest.map(|rest| rest.strip_prefix("hc-").unwrap_or(rest));
    let process = rest.and_then(|rest| rest.split('-').next()?.parse::<u32>().ok());
    process.is_some_and(|process| Path::new("/proc").join(process.to_string()).exists())
}

/// The bytes that deleting a tree frees: of files with at most so many names. What cannot be read
/// counts nothing.
fn disk_usage(path: &Path, names: u64) -> u64 {
    let mut bytes = 0;
    let mut open = vec![path.to_path_buf()];
    while let Some(path) = open.pop() {
        let Ok(metadata) = path.symlink_metadata() else { continue };
        if metadata.is_dir() {
            let entries = std::fs::read_dir(&path).into_iter().flatten().flatten();
            open.extend(entries.map(|entry| entry.path()));
        } else if metadata.nlink() > names {
            continue; // Another name keeps it.
        }
        bytes += metadata.blocks() * 512;
    }
    bytes
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods)]
    use super::*;
    use crate::StoreConfig;

    /// Two builders would think that they have the lock, and the second take away what the first
    /// has registered.
    #[test]
    fn a_lock_that_is_taken_after_the_collector_looked_stays() {
        let dir = tempfile::tempdir().unwrap();
        let config = StoreConfig { root: Some(dir.path().into()), ..StoreConfig::default() };
        let store = Store::open(config).unwrap();
        let server = Server::start(store.layout()).unwrap();
        let path =
            store.layout().store.join(format!("{:0>32}-made", "")).with_added_extension("lock");
        std::fs::write(&path, "").unwrap();
        let mut report = GcReport::default();
        let mut collector = Collector {
            only: None,
            store: &store,
            server: &server,
            live: BTreeSet::new(),
            max_freed: u64::MAX,
            report: &mut report,
        };
        let rubbish = collector.rubbish(&BTreeSet::new()).unwrap();
        assert_eq!(rubbish, [path.file_name().unwrap()]);
        let lock = OwnedLock::try_take(&path).unwrap().unwrap();
        collector.delete_rubbish(rubbish.clone()).unwrap();
        assert!(path.exists() && collector.report.rubbish.is_empty());
        assert!(OwnedLock::try_take(&path).unwrap().is_none());
        drop(lock);
        std::fs::write(&path, "").unwrap();
        collector.delete_rubbish(rubbish).unwrap();
        assert!(!path.exists() && collector.report.rubbish.len() == 1);
    }

    #[test]
    fn links_that_a_living_process_makes_are_in_use() {
        let link = |process: u32| OsString::from(format!(".tmp-link-{process}-1460100984"));
        assert!(is_link_of_living(&link(std::process::id())));
        assert!(!is_link_of_living(&link(u32::MAX)));
        let ours = format!(".tmp-link-hc-{}-0", std::process::id());
        assert!(is_link_of_living(OsStr::new(&ours)));
        assert!(!is_link_of_living(OsStr::new(".tmp-link-1x-2")));
        assert!(!is_link_of_living(OsStr::new(".links")));
    }
}
