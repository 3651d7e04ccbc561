//! Equal files stored once: hard links to `.links/<hash>`, the layout that C++ Nix has for
//! `nix-store --optimise` and `auto-optimise-store`.

use crate::error::{Context, Result, archive};
use crate::layout::Layout;
use crate::store::Store;
use hc_fs::plain;
use nix_compat::{HashAlgorithm, StorePath, nar, nix32};
use rustix::io::Errno;
use std::fs::{File, Metadata};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// What optimising did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OptimiseReport {
    /// Files that are links to another's contents now, and were not before.
    pub linked: u64,
    /// Bytes that were freed by that.
    pub freed: u64,
}

/// A file that is to become another name of `to`.
struct Replacement {
    file: PathBuf,
    to: PathBuf,
    bytes: u64,
}

impl Store {
    /// Replaces equal files of all valid paths by hard links to one copy. `each` is told every
    /// path before it is looked at, and the whole count.
    ///
    /// # Errors
    /// When the system refuses; what was linked until then stays so, and the store is whole.
    pub fn optimise(&self, mut each: impl FnMut(&StorePath, usize)) -> Result<OptimiseReport> {
        let paths = self.valid_paths()?;
        let mut report = OptimiseReport::default();
        for path in &paths {
            each(path, paths.len());
            // Kept while it is worked on; it may have gone since the list was made.
            if self.is_valid(path)? {
                let one = optimise_tree(self.layout(), &self.physical(path))?;
                report.linked += one.linked;
                report.freed += one.freed;
            }
        }
        Ok(report)
    }
}

/// Links the files of one canonical tree that is valid or about to be.
pub(crate) fn optimise_tree(layout: &Layout, tree: &Path) -> Result<OptimiseReport> {
    let mut replacements = Vec::new();
    let mut open = vec![tree.to_path_buf()];
    while let Some(path) = open.pop() {
        let metadata = path.symlink_metadata().on("read", &path)?;
        if metadata.is_dir() {
            for entry in std::fs::read_dir(&path).on("read", &path)? {
                open.push(entry.on("read", &path)?.path());
            }
        } else if metadata.is_symlink() || is_canonical(&metadata) {
            replacements.extend(find_twin(layout, path, &metadata)?);
        }
    }
    let mut report = OptimiseReport::default();
    if replacements.is_empty() {
        return Ok(report);
    }
    // The other copy may be C++ Nix's, which does not flush: after a power cut it must not be
    // empty where this one was whole.
    let links = File::open(links(layout)).on("open", &links(layout))?;
    rustix::fs::syncfs(&links).on("flush", &layout.store)?;
    for replacement in replacements {
        if replace(layout, &replacement)? {
            report.linked += 1;
            report.freed += replacement.bytes;
        }
    }
    Ok(report)
}

/// Only what nobody can write to any more: a writable file would change with its twins.
fn is_canonical(metadata: &Metadata) -> bool {
    metadata.is_file() && metadata.permissions().mode() & 0o222 == 0
}

fn links(layout: &Layout) -> PathBuf {
    layout.store.join(".links")
}

/// Makes the file the first of its contents, or says which one it is to be replaced with.
fn find_twin(layout: &Layout, file: PathBuf, metadata: &Metadata) -> Result<Option<Replacement>> {
    let hash = nar::hash_path_with(HashAlgorithm::Sha256, &file).map_err(archive(&file))?;
    let link = links(layout).join(nix32::encode(hash.digest_as_bytes()));
    loop {
        let twin = match link.symlink_metadata() {
            Ok(twin) => twin,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                match plain::hard_link(&file, &link) {
                    Ok(()) => return Ok(None),
                    Err(error) => match errno(&error) {
                        Some(Errno::EXIST) => continue,
                        // A full directory index, or a file with as many names as there can be.
                        Some(Errno::NOSPC | Errno::MLINK) => return Ok(None),
                        _ => return Err(error.into()),
                    },
                }
            }
            Err(error) => return Err(crate::error::io("read", &link, error)),
        };
        if twin.ino() == metadata.ino() && twin.dev() == metadata.dev() {
            return Ok(None);
        }
        let looks_right = twin.size() == metadata.size() && twin.is_file() == metadata.is_file();
        if looks_right {
            let bytes = if metadata.nlink() == 1 { metadata.blocks() * 512 } else { 0 };
            return Ok(Some(Replacement { file, to: link, bytes }));
        }
        // Damaged: it must not spread. Whoever shares it is for `verify` to find.
        plain::remove_file(&link)?;
    }
}

/// Puts the link in the place of the file in one step.
fn replace(layout: &Layout, replacement: &Replacement) -> Result<bool> {
    let Replacement { file, to, .. } = replacement;
    let parent = file.parent().unwrap_or(&layout.store);
    let in_store_directory = parent == layout.store;
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let temporary = layout.store.join(format!(".tmp-link-hc-{}-{count}", std::process::id()));
    plain::remove_file(&temporary)?;
    if let Err(error) = plain::hard_link(to, &temporary) {
        return match errno(&error) {
            // As many names as there can be, or a collector just took the link away.
            Some(Errno::MLINK | Errno::NOENT) => Ok(false),
            _ => Err(error.into()),
        };
    }
    // Without root a canonical directory cannot be written; its time is part of being canonical.
    let unlock = !in_store_directory && !rustix::process::geteuid().is_root();
    if unlock {
        crate::layout::chmod(parent, 0o755)?;
    }
    let renamed = plain::rename(&temporary, file);
    if unlock {
        crate::layout::chmod(parent, 0o555)?;
    }
    match renamed {
        // A collector takes the temporary name for rubbish.
        Err(error) if errno(&error) == Some(Errno::NOENT) => return Ok(false),
        Err(error) => {
            let _ = plain::remove_file(&temporary);
            return Err(error.into());
        }
        Ok(()) => {}
    }
    if !in_store_directory {
        crate::canonical::set_time(parent)?;
    }
    Ok(true)
}

fn errno(error: &hc_fs::Error) -> Option<Errno> {
    error.io().and_then(|io| io.raw_os_error()).map(Errno::from_raw_os_error)
}

/// Deletes the links that no store path shares any more; says how many bytes that frees.
pub(crate) fn remove_unused(layout: &Layout) -> Result<u64> {
    let directory = links(layout);
    let mut freed = 0;
    for entry in std::fs::read_dir(&directory).on("read", &directory)? {
        let link = entry.on("read", &directory)?.path();
        let Ok(metadata) = link.symlink_metadata() else { continue };
        // Should somebody link to it just now, they have a name of their own for the contents.
        if metadata.nlink() == 1 && plain::remove_file(&link)? {
            freed += metadata.blocks() * 512;
        }
    }
    Ok(freed)
}
