//! Files that share their blocks until one of them is written to.

use rustix::io::Errno;
use std::fs::File;
use std::io;

/// What became of an attempt to share blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shared {
    /// Done.
    Yes,
    /// These two files cannot; the error number says why.
    No(Errno),
}

/// Makes `to`, which is empty, the same as `from` without copying (FICLONE, ioctl_ficlone(2)).
/// Refusals that mean "not here" are an answer; what went wrong is an error.
pub fn share(from: &File, to: &File) -> io::Result<Shared> {
    match rustix::fs::ioctl_ficlone(to, from) {
        Ok(()) => Ok(Shared::Yes),
        // No system call of this file system, another file system, one of the files is not
        // copied on write (btrfs without checksums), swap.
        Err(
            no @ (Errno::OPNOTSUPP
            | Errno::NOTTY
            | Errno::NOSYS
            | Errno::XDEV
            | Errno::INVAL
            | Errno::TXTBSY),
        ) => Ok(Shared::No(no)),
        Err(error) => Err(error.into()),
    }
}
