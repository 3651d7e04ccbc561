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
mod image;
mod tree;

pub(crate) use error::Doing;
pub use error::ForkError;
pub use image::{ImageFile, NotAnImage};

use crate::sys::btrfs;
use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
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

/// A base that cannot be removed as long as this is there.
#[derive(Debug)]
pub(crate) struct Slot {
    dir: PathBuf,
    lock: OwnedFd,
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
            let bytes = found.as_ref().map_or(0, |m| m.blocks() * 512) + usage(&dir.join(ROOT));
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

impl Slot {
    fn disk(&self, image: &ImageFile) -> Result<Option<File>, ForkError> {
        let path = self.dir.join(DISK);
        let file = match File::open(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            opened => opened.doing("open", &path)?,
        };
        // An image that was collected and built again under the same name may be another.
        let length = file.metadata().doing("look at", &path)?.len();
        let same = image.physical.metadata().map_or(true, |source| source.len() == length);
        Ok(same.then_some(file))
    }

    fn copy_root(&self, image: &ImageFile, watch: &dyn Fn(Copying<'_>)) -> Result<(), ForkError> {
        if !btrfs::is_btrfs(&self.dir) {
            let reasons = vec!["only btrfs has snapshots".into()];
            return Err(ForkError::Impossible { dir: self.dir.clone(), reasons });
        }
        let name = "rootfs.tmp";
        let temporary = self.dir.join(name);
        let source = crate::fork::mount_image(&image.physical).map_err(|problem| {
            let source = std::io::Error::other(problem.to_string());
            ForkError::System { action: "read", path: image.physical.clone(), source }
        })?;
        let from =
            rustix::fs::openat(&source, c".", OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())
                .doing("read", &image.physical)?;
        btrfs::create(self.lock.as_fd(), name.as_ref()).doing("make the subvolume", &temporary)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let to = rustix::fs::open(&temporary, flags, Mode::empty()).doing("open", &temporary)?;
        let total = image.physical.metadata().map_or(0, |metadata| metadata.len());
        let mut done = 0;
        tree::copy(from, to, &mut |bytes| {
            done += bytes;
            watch(Copying { file: &image.physical, done, total: total.max(done) });
        })
        .map_err(|error| no_room(error, &temporary, 0))?;
        rustix::fs::syncfs(&self.lock).doing("flush", &temporary)?;
        Ok(hc_fs::durable::rename(&temporary, &self.dir.join(ROOT))?)
    }

    /// Removes what makers that were killed left; under an exclusive lock.
    fn clear(&self) -> Result<(), ForkError> {
        for entry in std::fs::read_dir(&self.dir).doing("read", &self.dir)? {
            let path = entry.doing("read", &self.dir)?.path();
            if path.extension().is_some_and(|extension| extension == "tmp") {
                discard(&path)?;
            }
        }
        Ok(())
    }

    fn remove_if_empty(&self) {
        let _ = hc_fs::plain::remove_dir(&self.dir);
    }
}

/// Locks a directory for as long as this is open; `None` when it is not there (any more), or is
/// taken and `operation` does not wait.
pub(crate) fn lock(dir: &Path, operation: FlockOperation) -> Result<Option<OwnedFd>, ForkError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let lock = match rustix::fs::open(dir, flags, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(None),
        opened => opened.doing("open", dir)?,
    };
    loop {
        match rustix::fs::flock(&lock, operation) {
            Err(Errno::INTR) => {}
            Err(Errno::WOULDBLOCK) => return Ok(None),
            locked => break locked.doing("lock", dir)?,
        }
    }
    // Who collects may have removed it between the two calls.
    let ours = rustix::fs::fstat(&lock).doing("look at", dir)?;
    let there = dir.symlink_metadata().is_ok_and(|m| m.ino() == ours.st_ino);
    Ok(there.then_some(lock))
}

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
fn usage(dir: &Path) -> u64 {
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
fn free(dir: &Path) -> Result<u64, ForkError> {
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
