//! Where things are: the same places as C++ Nix's, below the physical root.

use crate::error::{Context, Result};
use hc_fs::{durable, plain};
use nix_compat::{STORE_DIR, StorePath};
use std::path::{Path, PathBuf};

/// The size of the file whose deletion lets a collector run on a full disk.
const RESERVED: u64 = 8 << 20;

#[derive(Debug)]
pub(crate) struct Layout {
    /// `/nix/store`.
    pub store: PathBuf,
    /// `/nix/var/nix`.
    pub state: PathBuf,
    /// `/nix/var/log/nix`.
    pub log: PathBuf,
}

impl Layout {
    pub fn new(root: Option<&Path>) -> Result<Self> {
        let root = root.unwrap_or(Path::new("/"));
        if !root.is_dir() {
            durable::create_dir_all(root, 0o755)?;
        }
        // Links and running processes are compared with these paths: no symlinks in them.
        let root = std::fs::canonicalize(root).on("find", root)?;
        let nix = root.join("nix");
        Ok(Self {
            store: nix.join("store"),
            state: nix.join("var/nix"),
            log: nix.join("var/log/nix"),
        })
    }

    /// Makes what is missing.
    pub fn create(&self) -> Result<()> {
        if !self.store.is_dir() {
            durable::create_dir_all(&self.store, 0o755)?;
            chmod(&self.store, 0o1775)?;
        }
        for dir in [
            "db",
            "gcroots/auto",
            "gcroots/per-user",
            "profiles/per-user",
            "temproots",
            "userpool2",
            "hc-scratch",
            "gc-socket",
        ] {
            durable::create_dir_all(&self.state.join(dir), 0o755)?;
        }
        durable::create_dir_all(&self.store.join(".links"), 0o755)?;
        let profiles = self.state.join("gcroots/profiles");
        if profiles.symlink_metadata().is_err() {
            durable::symlink(&self.state.join("profiles"), &profiles)?;
        }
        Ok(())
    }

    /// Sets disk space aside for a collector; a full disk is no reason not to open the store.
    pub fn reserve(&self) {
        let path = self.state.join("db/reserved");
        if path.metadata().is_ok_and(|m| m.len() == RESERVED) {
            return;
        }
        let filled = plain::append(&path, 0o600).is_ok_and(|file| {
            rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, RESERVED).is_ok()
        });
        if !filled {
            self.release_reserve();
        }
    }

    pub fn release_reserve(&self) {
        let _ = plain::remove_file(&self.state.join("db/reserved"));
    }

    pub fn database(&self) -> PathBuf {
        self.state.join("db/db.sqlite")
    }

    pub fn gc_lock(&self) -> PathBuf {
        self.state.join("gc.lock")
    }

    pub fn gc_roots(&self) -> PathBuf {
        self.state.join("gcroots")
    }

    pub fn temp_roots(&self) -> PathBuf {
        self.state.join("temproots")
    }

    /// One lock file for every tree that is being made in the store.
    pub fn scratch_records(&self) -> PathBuf {
        self.state.join("hc-scratch")
    }

    pub fn physical(&self, path: &StorePath) -> PathBuf {
        self.store.join(path.to_basename())
    }

    /// Where a file in the store is on disk; other paths stay as they are.
    pub fn physical_file(&self, path: &Path) -> PathBuf {
        match self.below_store(path) {
            Some(below) => self.store.join(below),
            None => path.into(),
        }
    }

    /// The logical or physical path as a path in the store's directory, if it is in it.
    pub fn below_store<'a>(&self, path: &'a Path) -> Option<&'a Path> {
        path.strip_prefix(STORE_DIR).or_else(|_| path.strip_prefix(&self.store)).ok()
    }

    /// The store path that a logical or physical path is or lies in.
    pub fn store_path(&self, path: &Path) -> Option<StorePath> {
        let first = self.below_store(path)?.components().next()?;
        StorePath::from_basename(first.as_os_str().as_encoded_bytes()).ok()
    }

    pub fn build_log(&self, drv: &StorePath) -> PathBuf {
        let name = drv.to_basename();
        let (dir, file) = name.split_at(2);
        self.log.join("drvs").join(dir).join(file)
    }
}

pub(crate) fn chmod(path: &Path, mode: u32) -> Result<()> {
    rustix::fs::chmod(path, rustix::fs::Mode::from_raw_mode(mode)).on("set the mode of", path)
}
