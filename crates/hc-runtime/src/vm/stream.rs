//! Bytes to and from somebody who may be slow.

use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// A connected socket that is never waited for: what it does not take now is kept.
#[derive(Debug)]
pub(super) struct Stream {
    socket: OwnedFd,
    out: Vec<u8>,
    /// How much of `out` was sent.
    sent: usize,
    is_open: bool,
}

impl Stream {
    pub fn new(socket: OwnedFd) -> Self {
        Self { socket, out: Vec::new(), sent: 0, is_open: true }
    }

    /// Whether the other end is there.
    pub fn is_open(&self) -> bool {
        self.is_open
    }

    /// Bytes that wait to be sent.
    pub fn waiting(&self) -> usize {
        self.out.len() - self.sent
    }

    /// What to poll for, besides its end.
    pub fn events(&self) -> PollFlags {
        if self.waiting() > 0 { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN }
    }

    /// Where to put what is to be sent; [`flush`](Self::flush) sends it.
    pub fn out(&mut self) -> &mut Vec<u8> {
        if self.sent > 64 << 10 {
            self.out.drain(..self.sent);
            self.sent = 0;
        }
        &mut self.out
    }

    /// Sends what can be sent now.
    pub fn flush(&mut self) {
        while self.is_open && self.waiting() > 0 {
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            match send(&self.socket, &self.out[self.sent..], flags) {
                Ok(count) => self.sent += count,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                Err(_) => self.is_open = false,
            }
        }
        self.out.clear();
        self.sent = 0;
    }

    /// Sends bytes and a descriptor, now or not at all.
    pub fn send_with(&mut self, bytes: &[u8], descriptor: BorrowedFd<'_>) -> io::Result<()> {
        crate::sys::socket::send(self.socket.as_fd(), bytes, &[descriptor])
    }

    /// Reads what is there: nothing when that is nothing yet, or the end.
    pub fn read(&mut self) -> Vec<u8> {
        let mut bytes = vec![0; 64 << 10];
        let length = loop {
            match recv(&self.socket, &mut bytes[..], RecvFlags::DONTWAIT) {
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break 0,
                Ok((count, _)) if count > 0 => break count,
                Ok(_) | Err(_) => {
                    self.is_open = false;
                    break 0;
                }
            }
        };
        bytes.truncate(length);
        bytes
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Two connected ends of a stream.
pub(super) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
    Ok(socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_taken_is_kept_in_order() {
        let (one, other) = pair().unwrap();
        let (mut one, mut other) = (Stream::new(one), Stream::new(other));
        let sent: Vec<u8> = (0..4_000_000u32).flat_map(|n| n.to_le_bytes()).collect();
        let mut received = Vec::new();
        for piece in sent.chunks(100_000) {
            one.out().extend_from_slice(piece);
            one.flush();
            received.extend(other.read());
        }
        assert!(one.waiting() > 0);
        while received.len() < sent.len() {
            one.flush();
            received.extend(other.read());
        }
        assert!(received == sent);
        assert!(other.read().is_empty() && other.is_open());
        drop(one);
        assert!(other.read().is_empty() && !other.is_open());
    }
}
