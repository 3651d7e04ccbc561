//! Advisory locks on files, with the protocol of C++ Nix.

use crate::error::{Context, Error, Result};
use hc_fs::plain;
use rustix::fs::FlockOperation;
use rustix::io::Errno;
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Opens a lock file, making it when it is missing.
pub(crate) fn open(path: &Path) -> Result<File> {
    Ok(plain::append(path, 0o600)?)
}

/// Takes the lock, unless somebody else has it.
pub(crate) fn try_lock(file: &File, exclusive: bool, path: &Path) -> Result<bool> {
    let operation = if exclusive {
        FlockOperation::NonBlockingLockExclusive
    } else {
        FlockOperation::NonBlockingLockShared
    };
    loop {
        match rustix::fs::flock(file, operation) {
            Ok(()) => return Ok(true),
            Err(Errno::WOULDBLOCK) => return Ok(false),
            Err(Errno::INTR) => {}
            refused => return refused.on("lock", path).map(|()| false),
        }
    }
}

/// Takes the lock, waiting for whoever has it.
pub(crate) fn lock(file: &File, exclusive: bool, path: &Path) -> Result<()> {
    let operation =
        if exclusive { FlockOperation::LockExclusive } else { FlockOperation::LockShared };
    loop {
        match rustix::fs::flock(file, operation) {
            Err(Errno::INTR) => {}
            done => return done.on("lock", path),
        }
    }
}

pub(crate) fn unlock(file: &File, path: &Path) -> Result<()> {
    rustix::fs::flock(file, FlockOperation::Unlock).on("unlock", path)
}

/// Whether somebody has the lock on a file, which is neither made nor deleted for the question.
pub(crate) fn is_held(path: &Path) -> Result<bool> {
    match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        file => Ok(!try_lock(&file.on("open", path)?, false, path)?),
    }
}

/// The lock on a file that is deleted with it. Whoever deletes it writes into it first, so that
/// one who opened it before knows that what it locked is gone.
#[derive(Debug)]
pub(crate) struct OwnedLock {
    file: File,
    path: PathBuf,
}

impl OwnedLock {
    /// The lock, or nothing while somebody else has it.
    pub fn try_take(path: &Path) -> Result<Option<Self>> {
        loop {
            let file = open(path)?;
            if !try_lock(&file, true, path)? {
                return Ok(None);
            }
            if file.metadata().on("read", path)?.len() == 0 {
                return Ok(Some(Self { file, path: path.into() }));
            }
        }
    }

    /// The lock, once whoever has it is done; `cancelled` is asked meanwhile.
    pub fn take(path: &Path, cancelled: &dyn Fn() -> bool) -> Result<Self> {
        let mut pause = Duration::from_millis(5);
        loop {
            if let Some(lock) = Self::try_take(path)? {
                return Ok(lock);
            }
            if cancelled() {
                return Err(Error::Cancelled);
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(200));
        }
    }
}

impl Drop for OwnedLock {
    fn drop(&mut self) {
        // Still locked: nobody can have it open and think it is theirs.
        let _ = self.file.write_all(b"d");
        let _ = plain::remove_file(&self.path);
    }
}

/// The lock that C++ Nix and hc take before they write a store path.
pub(crate) fn path_lock(physical: &Path) -> PathBuf {
    let mut name = physical.as_os_str().to_owned();
    name.push(".lock");
    name.into()
}
