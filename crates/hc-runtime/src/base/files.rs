//! What bases and forks do with files.

use super::{Doing, ForkError};
use crate::sys::btrfs;
use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Removes a subvolume or any other tree.
pub(crate) fn discard(path: &Path) -> Result<(), ForkError> {
    if btrfs::is_subvolume(path)
        && let (Some(parent), Some(name)) = (path.parent(), path.file_name())
    {
        let dir = File::open(parent).doing("open", parent)?;
        // What is left is a subvolume with others in it.
        if btrfs::destroy(dir.as_fd(), name).is_ok() {
            return Ok(());
        }
    }
    Ok(hc_fs::tree::remove(path)?)
}

/// Bytes on disk of a tree that nobody writes to; what cannot be read counts as nothing.
pub(super) fn usage(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let sizes = entries.map(|entry| match entry.metadata() {
        Ok(found) if found.is_dir() => usage(&entry.path()),
        // Small files lie in the metadata, and have no blocks.
        Ok(found) => (found.blocks() * 512).max(found.len().min(2048)),
        Err(_) => 0,
    });
    sizes.sum()
}

/// Bytes that are free for root.
pub(super) fn free(dir: &Path) -> Result<u64, ForkError> {
    let found = rustix::fs::statvfs(dir).doing("look at", dir)?;
    Ok(found.f_bfree.saturating_mul(found.f_frsize))
}

/// What a failed write to `path` means, which needed so many bytes.
pub(crate) fn no_room(error: std::io::Error, path: &Path, needed: u64) -> ForkError {
    match ForkError::from_full(&error, path, needed) {
        Some(full) => full,
        None => ForkError::System { action: "write", path: path.into(), source: error },
    }
}

/// Names of the directories in `dir`, sorted; none where there is no such directory.
pub(crate) fn names(dir: &Path) -> Result<Vec<String>, ForkError> {
    let entries = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.doing("read", dir)?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.doing("read", dir)?;
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            names.extend(entry.file_name().into_string());
        }
    }
    names.sort_unstable();
    Ok(names)
}
