//! Trees that are being made in the store directory, and what is left of them after a kill.

use crate::error::{Context, Result};
use crate::layout::Layout;
use crate::lock::OwnedLock;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// A name in the store directory that is this process's own; what is there is deleted at the end.
/// The record beside it is locked meanwhile, so that everybody can tell it from rubbish.
#[derive(Debug)]
pub(crate) struct Scratch {
    pub path: PathBuf,
    _record: OwnedLock,
}

impl Scratch {
    /// A fresh name for something small that is made quickly.
    pub fn temporary(layout: &Layout) -> Result<Self> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        loop {
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            let name = format!("tmp-hc-{}-{count}", std::process::id());
            if let Some(scratch) = Self::try_named(layout, &name)? {
                return Ok(scratch);
            }
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
    let record = layout.scratch_records().join(name);
    Ok(record.exists() && OwnedLock::try_take(&record)?.is_none())
}
