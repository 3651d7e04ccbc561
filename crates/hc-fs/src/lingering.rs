//! Descriptors that the kernel closes by itself.

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
    sendmsg, socketpair,
};
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// Descriptors whose last close(2) waits for a grace period of the kernel, milliseconds or, on a
/// busy host, tens of them: detached mounts, mount namespaces, netfilter sockets after something was
/// deleted over them.
///
/// Dropping this waits for none of it, and the end of the process does not either: the descriptors are
/// handed to the kernel, which closes them in a worker of its own. They travel in a message of a socket,
/// and the socket is a registered file of an `io_uring` that nobody has any more. Nothing of that can be
/// left behind: there is no process that could be killed meanwhile. Where the kernel has no `io_uring`, or
/// refuses it, they are closed on the spot.
#[derive(Debug, Default)]
pub struct Lingering(Vec<OwnedFd>);

/// Descriptors in one message (SCM_MAX_FD is 253).
const MOST: usize = 250;

impl Lingering {
    /// Takes one more.
    pub fn hold(&mut self, descriptor: impl Into<OwnedFd>) {
        self.0.push(descriptor.into());
    }

    /// Takes what another one has.
    pub fn join(&mut self, mut other: Self) {
        self.0.append(&mut other.0);
    }
}

impl<T: Into<OwnedFd>> From<T> for Lingering {
    fn from(descriptor: T) -> Self {
        Self(vec![descriptor.into()])
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        for some in self.0.chunks(MOST) {
            let some: Vec<BorrowedFd<'_>> = some.iter().map(AsFd::as_fd).collect();
            // What was not handed over is closed here, as it always could be.
            let _ = hand_over(&some);
        }
    }
}

fn hand_over(descriptors: &[BorrowedFd<'_>]) -> rustix::io::Result<()> {
    let (sender, keeper) =
        socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(Errno::TOOBIG);
    }
    // Before anything is sent: whoever cannot keep it must not have it.
    let ring = ring()?;
    let number = keeper.as_raw_fd();
    // SAFETY: the kernel reads one descriptor's number from where the third argument points, and takes
    // a reference of its own to the file.
    let kept = unsafe {
        const REGISTER_FILES: libc::c_uint = 2;
        libc::syscall(
            libc::SYS_io_uring_register,
            ring.as_raw_fd(),
            REGISTER_FILES,
            &raw const number,
            1u32,
        )
    };
    if kept < 0 {
        return Err(last());
    }
    sendmsg(&sender, &[IoSlice::new(b"x")], &mut control, SendFlags::NOSIGNAL).map(drop)
}

/// An `io_uring` with nothing in it.
fn ring() -> rustix::io::Result<OwnedFd> {
    // struct io_uring_params of linux/io_uring.h: no flags are set, and what it answers is of no use here.
    let mut parameters = [0_u32; 30];
    // SAFETY: the kernel reads and writes 120 bytes, which is what these are.
    let ring = unsafe {
        libc::syscall(libc::SYS_io_uring_setup, 1u32, std::ptr::from_mut(&mut parameters))
    };
    let ring = i32::try_from(ring).unwrap_or(-1);
    if ring < 0 {
        return Err(last());
    }
    // SAFETY: the kernel has just made this descriptor (close-on-exec), and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(ring) })
}

fn last() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::pipe::{PipeFlags, pipe_with};

    #[test]
    fn what_is_dropped_is_closed() {
        let (readers, writers): (Vec<_>, Vec<_>) =
            (0..MOST + 10).map(|_| pipe_with(PipeFlags::CLOEXEC).unwrap()).unzip();
        let mut lingering = Lingering::default();
        for writer in writers {
            let mut one = Lingering::default();
            one.hold(writer);
            lingering.join(one);
        }
        drop(lingering);
        for reader in readers {
            // Waits until nobody has the other end.
            assert_eq!(rustix::io::read(&reader, &mut [0; 1]).unwrap(), 0);
        }
    }
}
