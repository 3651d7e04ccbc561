//! System calls that the libraries do not wrap, each behind a safe or documented function.

pub mod btrfs;
pub mod clone;
pub mod loopdev;
pub mod mount;
pub mod process;
pub mod signals;
pub mod socket;
pub mod xfs;

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

/// Turns -1 into the error it stands for.
pub fn check(result: libc::c_long) -> io::Result<libc::c_long> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Closes every descriptor but 0, 1, 2 and `keep`.
pub fn close_all_but(keep: &[RawFd]) -> io::Result<()> {
    let mut keep: Vec<u32> = keep.iter().filter_map(|fd| u32::try_from(*fd).ok()).collect();
    keep.extend([0, 1, 2]);
    keep.sort_unstable();
    keep.dedup();
    let ends = keep.iter().skip(1).map(|next| next - 1).chain([u32::MAX]);
    for (first, last) in keep.iter().map(|fd| fd + 1).zip(ends) {
        if first <= last {
            // SAFETY: closes numbers only; the caller is a process that uses none of the others.
            check(unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) })?;
        }
    }
    Ok(())
}

/// Puts `fd` at number `at`, without close-on-exec.
pub fn dup_to(fd: BorrowedFd<'_>, at: RawFd) -> io::Result<()> {
    if fd.as_raw_fd() == at {
        // SAFETY: plain flag change on a number.
        check(unsafe { libc::fcntl(at, libc::F_SETFD, 0) }.into()).map(drop)
    } else {
        // SAFETY: replaces a standard stream of a process about to execute something else.
        check(unsafe { libc::dup2(fd.as_raw_fd(), at) }.into()).map(drop)
    }
}
