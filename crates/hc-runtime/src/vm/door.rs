//! A socket in a machine's run directory, for root alone.

use crate::error::{Doing, Res};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

/// Listens until it is dropped; then the socket is gone.
pub(super) struct Door {
    listener: UnixListener,
    path: PathBuf,
}

impl Door {
    /// Takes the place of one that a killed supervisor left.
    pub fn open(path: PathBuf) -> Res<Self> {
        let action = || format!("listen on {}", path.display());
        hc_fs::plain::remove_file(&path)?;
        // There is one thread: nobody else makes files meanwhile.
        let before = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o177));
        let bound = UnixListener::bind(&path);
        rustix::process::umask(before);
        let listener = bound.doing_with(action)?;
        listener.set_nonblocking(true).doing_with(action)?;
        Ok(Self { listener, path })
    }

    /// Whoever came in since.
    pub fn next(&self) -> Option<OwnedFd> {
        self.listener.accept().ok().map(|(socket, _)| socket.into())
    }
}

impl AsFd for Door {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        let _ = hc_fs::plain::remove_file(&self.path);
    }
}
