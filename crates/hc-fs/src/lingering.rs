//! Descriptors that the kernel closes by itself.

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
    sendmsg, socketpair,
};
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};

/// Descriptors whose last close(2) waits for a grace period of the kernel, milliseconds or, on a
/// busy host, tens of them: detached mounts, mount namespaces, netfilter sockets after something was
/// deleted over them.
///
/// Dropping this does not wait: a thread closes them. A process that is about to end, and would wait for that
/// thread, [leaves](Self::leave) them to the kernel.
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

    /// Closes them here and now: where there must be no other thread, and time.
    pub fn close(mut self) {
        self.0.clear();
    }

    /// Has the kernel close them, in a worker of its own, when this process has ended; nobody waits for that.
    /// Nothing can be left behind: there is no process that could be killed meanwhile. They travel in a
    /// message of a socket, and the socket is a registered file of an `io_uring` that stays open. Where the
    /// kernel has no `io_uring`, or refuses it, they are closed on the spot.
    ///
    /// The ring is not closed here, because whoever made a ring is interrupted in its system calls when that
    /// ends before it.
    pub fn leave(mut self) {
        for some in std::mem::take(&mut self.0).chunks(MOST) {
            let some: Vec<BorrowedFd<'_>> = some.iter().map(AsFd::as_fd).collect();
            // What was not handed over is closed here, as it always could be.
            if let Ok(ring) = hand_over(&some) {
                let _ = ring.into_raw_fd();
            }
        }
    }
}

impl<T: Into<OwnedFd>> From<T> for Lingering {
    fn from(descriptor: T) -> Self {
        Self(vec![descriptor.into()])
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        let all = std::mem::take(&mut self.0);
        if !all.is_empty() {
            let thread = std::thread::Builder::new().name("hc-close".into()).stack_size(64 << 10);
            // Where there can be no thread, the closure is dropped with them here.
            let _ = thread.spawn(move || drop(all));
        }
    }
}

/// Gives an `io_uring` that holds them.
fn hand_over(descriptors: &[BorrowedFd<'_>]) -> rustix::io::Result<OwnedFd> {
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
    sendmsg(&sender, &[IoSlice::new(b"x")], &mut control, SendFlags::NOSIGNAL)?;
    Ok(ring)
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

    fn many() -> (Vec<OwnedFd>, Lingering) {
        let mut readers = Vec::new();
        let mut lingering = Lingering::default();
        for _ in 0..MOST + 10 {
            let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).unwrap();
            readers.push(reader);
            lingering.join(Lingering::from(writer));
        }
        (readers, lingering)
    }

    /// Waits until nobody has the other ends.
    fn ended(readers: &[OwnedFd]) {
        for reader in readers {
            assert_eq!(rustix::io::retry_on_intr(|| rustix::io::read(reader, &mut [0; 1])), Ok(0));
        }
    }

    #[test]
    fn what_is_dropped_is_closed() {
        let (readers, lingering) = many();
        drop(lingering);
        ended(&readers);
    }

    #[test]
    fn what_is_left_is_closed_when_the_process_has_ended() {
        let (readers, mut lingering) = many();
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        // SAFETY: the child makes system calls on what is there, allocates nothing but its own, and ends.
        let child = unsafe { libc::fork() };
        assert!(child >= 0);
        if child == 0 {
            drop((readers, reader));
            lingering.leave();
            // They are gone from here, and not closed: the kernel has them.
            // SAFETY: always sound.
            unsafe { libc::_exit(0) }
        }
        lingering.0.clear();
        drop(writer);
        ended(&readers);
        ended(&[reader]);
        let mut status = 0;
        // SAFETY: writes to a local.
        assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
        assert_eq!(status, 0);
    }

    #[test]
    fn a_ring_holds_them() {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).unwrap();
        let Ok(ring) = hand_over(&[writer.as_fd()]) else {
            return; // This kernel has no io_uring.
        };
        drop(writer);
        assert_eq!(rustix::io::read(&reader, &mut [0; 1]), Err(Errno::AGAIN));
        rustix::io::ioctl_fionbio(&reader, false).unwrap();
        drop(ring);
        ended(&[reader]);
    }
}
