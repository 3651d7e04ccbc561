//! One base's directory, locked.

use super::files::{discard, no_room};
use super::{Copying, DISK, Doing, ForkError, ImageFile, ROOT, tree};
use crate::sys::btrfs;
use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A base that cannot be removed as long as this is there.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(super) dir: PathBuf,
    pub(super) lock: OwnedFd,
}

impl Slot {
    pub(super) fn disk(&self, image: &ImageFile) -> Result<Option<File>, ForkError> {
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

    pub(super) fn copy_root(
        &self,
        image: &ImageFile,
        watch: &dyn Fn(Copying<'_>),
    ) -> Result<(), ForkError> {
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
    pub(super) fn clear(&self) -> Result<(), ForkError> {
        for entry in std::fs::read_dir(&self.dir).doing("read", &self.dir)? {
            let path = entry.doing("read", &self.dir)?.path();
            if path.extension().is_some_and(|extension| extension == "tmp") {
                discard(&path)?;
            }
        }
        Ok(())
    }

    pub(super) fn remove_if_empty(&self) {
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
