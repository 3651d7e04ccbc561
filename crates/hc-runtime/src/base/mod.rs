//! Bases: what the forks of one image on this host's file system share.
//!
//! `<state>/bases/NAME/` is one image's, named as its store path is:
//!
//! | file | what |
//! |---|---|
//! | `disk.raw` | a copy of the image's disk, where forks share blocks with it and the store is on another file system |
//! | `rootfs` | a subvolume with the image's root file system, that roots are snapshots of |
//! | `image` | link to the store path, a root of the store's: forks read the image where it lies |
//! | `kept` | the link is known to the store |
//!
//! A shared lock on the directory is held while something is forked from it, an exclusive one by
//! who makes or removes something in it. What is not whole is called `*.tmp` and is nobody's as
//! soon as the lock is free: killed at any time, the next to come finds the old or the new.

mod copy;
mod error;
mod files;
mod image;
mod slot;
mod tree;

pub(crate) use copy::{data as copy_data, read_data};
pub(crate) use error::Doing;
pub use error::ForkError;
pub(crate) use files::{discard, names, no_room};
pub use image::{ImageFile, NotAnImage};
pub(crate) use slot::{Slot, lock};

use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The name of a base's disk, whatever the image's file is called.
const DISK: &str = "disk.raw";
const ROOT: &str = "rootfs";
const LINK: &str = "image";
const KEPT: &str = "kept";

/// How far the copy of an image is.
#[derive(Debug, Clone, Copy)]
pub struct Copying<'a> {
    /// The file that is copied.
    pub file: &'a Path,
    /// Bytes of data so far.
    pub done: u64,
    /// Bytes of data in all; holes do not count.
    pub total: u64,
}

/// Tells the store about a link that keeps its target from being collected; called before
/// anything depends on it, and again after a crash.
pub type Keep<'a> = &'a dyn Fn(&Path) -> Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// The bases of one state directory.
#[derive(Debug, Clone)]
pub struct Bases {
    dir: PathBuf,
}

/// One base, as [`Bases::list`] finds it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Base {
    /// The image: the last part of its store path.
    pub image: String,
    /// The copy, where there is one.
    pub copy: Option<PathBuf>,
    /// The subvolume with its root file system, where there is one.
    pub root: Option<PathBuf>,
    /// Bytes that both take on disk.
    pub bytes: u64,
    /// The link that keeps the image, where forks read it in the store.
    pub link: Option<PathBuf>,
}

impl Bases {
    /// Those below `state_dir`, such as `/var/lib/hc`.
    #[must_use]
    pub fn new(state_dir: &Path) -> Self {
        Self { dir: state_dir.join("bases") }
    }

    /// Where they lie.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    fn slot(&self, image: &str, operation: FlockOperation) -> Result<Slot, ForkError> {
        let dir = self.dir.join(image);
        loop {
            hc_fs::durable::create_dir_all(&dir, 0o700)?;
            if let Some(lock) = lock(&dir, operation)? {
                return Ok(Slot { dir, lock });
            }
        }
    }

    /// The copy of the image's disk, if it is there and whole.
    pub(crate) fn disk(&self, image: &ImageFile) -> Result<Option<(File, Slot)>, ForkError> {
        let dir = self.dir.join(&image.image);
        let Some(lock) = lock(&dir, FlockOperation::LockShared)? else { return Ok(None) };
        let slot = Slot { dir, lock };
        Ok(slot.disk(image)?.map(|file| (file, slot)))
    }

    /// Makes the copy of the image's disk, unless it is there; waits for whoever is at it already.
    ///
    /// # Errors
    /// [`ForkError::NoRoom`], or when the image cannot be read. Nothing is then left of it.
    pub fn make_disk(
        &self,
        image: &ImageFile,
        watch: &dyn Fn(Copying<'_>),
    ) -> Result<PathBuf, ForkError> {
        let slot = self.slot(&image.image, FlockOperation::LockExclusive)?;
        let path = slot.dir.join(DISK);
        if slot.disk(image)?.is_some() {
            return Ok(path);
        }
        slot.clear()?;
        let temporary = slot.dir.join("disk.raw.tmp");
        let copied = copy::sparse(&image.physical, &temporary, watch)
            .and_then(|()| Ok(hc_fs::durable::rename(&temporary, &path)?));
        if let Err(error) = copied {
            let _ = hc_fs::plain::remove_file(&temporary);
            slot.remove_if_empty();
            return Err(error);
        }
        Ok(path)
    }

    /// The subvolume with the image's root file system, if it is there and whole.
    pub(crate) fn root(&self, image: &ImageFile) -> Result<Option<(OwnedFd, Slot)>, ForkError> {
        let dir = self.dir.join(&image.image);
        let Some(lock) = lock(&dir, FlockOperation::LockShared)? else { return Ok(None) };
        let slot = Slot { dir, lock };
        let path = slot.dir.join(ROOT);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match rustix::fs::open(&path, flags, Mode::empty()) {
            Ok(root) => Ok(Some((root, slot))),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error).doing("open", &path),
        }
    }

    /// Copies the image's root file system, an EROFS file, into a subvolume, unless it is there:
    /// containers that are new from then on run on snapshots of it. Only on btrfs.
    ///
    /// # Errors
    /// [`ForkError::NoRoom`], [`ForkError::Impossible`], or when the image cannot be mounted.
    pub fn make_root(
        &self,
        image: &ImageFile,
        watch: &dyn Fn(Copying<'_>),
    ) -> Result<PathBuf, ForkError> {
        let slot = self.slot(&image.image, FlockOperation::LockExclusive)?;
        let path = slot.dir.join(ROOT);
        if path.is_dir() {
            return Ok(path);
        }
        slot.clear()?;
        let copied = slot.copy_root(image, watch);
        if copied.is_err() {
            let _ = slot.clear();
            slot.remove_if_empty();
        }
        copied.map(|()| path)
    }

    /// Keeps the image in the store as long as forks read it there.
    pub(crate) fn keep(&self, image: &ImageFile, keep: Keep<'_>) -> Result<Slot, ForkError> {
        loop {
            let slot = self.slot(&image.image, FlockOperation::LockShared)?;
            if slot.dir.join(KEPT).exists() {
                return Ok(slot);
            }
            drop(slot);
            let slot = self.slot(&image.image, FlockOperation::LockExclusive)?;
            slot.clear()?;
            let link = slot.dir.join(LINK);
            hc_fs::durable::symlink(&image.store_path(), &link)?;
            if let Err(source) = keep(&link) {
                let _ = hc_fs::plain::remove_file(&link);
                slot.remove_if_empty();
                return Err(ForkError::Keep { image: image.store_path(), source });
            }
            hc_fs::durable::write(&slot.dir.join(KEPT), b"", 0o600)?;
        }
    }

    /// All that are there, by name.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn list(&self) -> Result<Vec<Base>, ForkError> {
        let mut bases = Vec::new();
        for image in names(&self.dir)? {
            let dir = self.dir.join(&image);
            let found = dir.join(DISK).symlink_metadata();
            let bytes =
                found.as_ref().map_or(0, |m| m.blocks() * 512) + files::usage(&dir.join(ROOT));
            let link = dir.join(LINK);
            bases.push(Base {
                image,
                copy: found.is_ok().then(|| dir.join(DISK)),
                bytes,
                root: Some(dir.join(ROOT)).filter(|root| root.is_dir()),
                link: link.is_symlink().then_some(link),
            });
        }
        Ok(bases)
    }

    /// The links that no fork needs any more: those of images that `needed` says no to. Before a
    /// collection of the store, so that their images can go; `needed` is asked under the base's
    /// lock, when no fork can come that it has not seen.
    ///
    /// # Errors
    /// What the system refused.
    pub fn release(
        &self,
        needed: &dyn Fn(&str) -> Result<bool, ForkError>,
        dry_run: bool,
    ) -> Result<Vec<PathBuf>, ForkError> {
        let mut released = Vec::new();
        for image in names(&self.dir)? {
            let dir = self.dir.join(&image);
            let link = dir.join(LINK);
            let Some(lock) = lock(&dir, FlockOperation::NonBlockingLockExclusive)? else {
                continue;
            };
            let slot = Slot { dir, lock };
            if link.symlink_metadata().is_err() || needed(&image)? {
                continue;
            }
            if !dry_run {
                // In this order: a link without the mark is told to the store again.
                hc_fs::durable::remove_file(&slot.dir.join(KEPT))?;
                hc_fs::durable::remove_file(&link)?;
                slot.remove_if_empty();
            }
            released.push(link);
        }
        Ok(released)
    }

    /// Removes the bases of images that are not in the store any more, and what makers that were
    /// killed left; gives what is gone, or would be.
    ///
    /// # Errors
    /// What the system refused.
    pub fn collect(
        &self,
        in_store: &dyn Fn(&str) -> bool,
        dry_run: bool,
    ) -> Result<Vec<Base>, ForkError> {
        let mut gone = Vec::new();
        for base in self.list()? {
            let dir = self.dir.join(&base.image);
            let Some(lock) = lock(&dir, FlockOperation::NonBlockingLockExclusive)? else {
                continue;
            };
            let slot = Slot { dir, lock };
            // A link says that forks are there; without the image they are lost, but known.
            let dead = !in_store(&base.image) && base.link.is_none();
            if !dry_run {
                if dead {
                    discard(&slot.dir.join(ROOT))?;
                    hc_fs::tree::remove(&slot.dir)?;
                } else {
                    slot.clear()?;
                    slot.remove_if_empty();
                }
            }
            if dead {
                gone.push(base);
            }
        }
        Ok(gone)
    }
}
