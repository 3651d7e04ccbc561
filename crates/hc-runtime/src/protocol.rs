//! What the supervisor and the machine's init say to each other.

use crate::sys::socket;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// From the supervisor to init.
#[derive(Debug)]
pub(crate) enum Order {
    /// The ids are mapped and the control groups joined: start setting up.
    Mapped,
    /// The root file system, as a detached mount.
    Root(OwnedFd),
    /// The whole store, as a detached mount that cannot be written: to take some paths from.
    Store(OwnedFd),
    /// A detached mount to be put in its place, in the order of the description.
    Placed(OwnedFd),
    /// The network is connected: execute the payload.
    Go,
    /// Send this signal to the payload.
    Signal(i32),
}

/// From init to the supervisor.
#[derive(Debug)]
pub(crate) enum Report {
    /// Read ends of standard output and error, and the notify socket where there is one.
    Streams(Vec<OwnedFd>),
    /// The payload was executed.
    Started,
    /// The probe succeeded.
    Ready,
    /// The payload ended; the number wait(2) gave.
    Exited(i32),
    /// The payload was not executed.
    Failed(String),
}

fn packet(tag: u8, rest: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag];
    bytes.extend_from_slice(rest);
    bytes
}

fn number(bytes: &[u8]) -> Option<i32> {
    Some(i32::from_ne_bytes(bytes.try_into().ok()?))
}

impl Order {
    pub fn send(&self, to: BorrowedFd<'_>) -> io::Result<()> {
        match self {
            Self::Mapped => socket::send(to, b"m", &[]),
            Self::Root(root) => socket::send(to, b"r", &[root.as_fd()]),
            Self::Store(store) => socket::send(to, b"t", &[store.as_fd()]),
            Self::Placed(mount) => socket::send(to, b"l", &[mount.as_fd()]),
            Self::Go => socket::send(to, b"g", &[]),
            Self::Signal(signal) => socket::send(to, &packet(b's', &signal.to_ne_bytes()), &[]),
        }
    }

    /// `None` when the supervisor is gone.
    pub fn receive(from: BorrowedFd<'_>) -> io::Result<Option<Self>> {
        let (bytes, mut fds) = socket::receive(from, true)?;
        match (bytes.as_slice(), fds.pop()) {
            ([], _) => Ok(None),
            (b"m", _) => Ok(Some(Self::Mapped)),
            (b"r", Some(root)) => Ok(Some(Self::Root(root))),
            (b"t", Some(store)) => Ok(Some(Self::Store(store))),
            (b"l", Some(mount)) => Ok(Some(Self::Placed(mount))),
            (b"g", _) => Ok(Some(Self::Go)),
            ([b's', rest @ ..], _) if let Some(signal) = number(rest) => {
                Ok(Some(Self::Signal(signal)))
            }
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

impl Report {
    pub fn send(&self, to: BorrowedFd<'_>) -> io::Result<()> {
        match self {
            Self::Streams(fds) => {
                let fds: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
                socket::send(to, b"p", &fds)
            }
            Self::Started => socket::send(to, b"s", &[]),
            Self::Ready => socket::send(to, b"r", &[]),
            Self::Exited(status) => socket::send(to, &packet(b'x', &status.to_ne_bytes()), &[]),
            Self::Failed(text) => socket::send(to, &packet(b'f', text.as_bytes()), &[]),
        }
    }

    /// `None` when init is gone. Without `wait`, the error kind `WouldBlock` when it has said nothing.
    pub fn receive(from: BorrowedFd<'_>, wait: bool) -> io::Result<Option<Self>> {
        let (bytes, fds) = socket::receive(from, wait)?;
        match bytes.as_slice() {
            [] => Ok(None),
            b"p" => Ok(Some(Self::Streams(fds))),
            b"s" => Ok(Some(Self::Started)),
            b"r" => Ok(Some(Self::Ready)),
            [b'x', rest @ ..] if let Some(status) = number(rest) => Ok(Some(Self::Exited(status))),
            [b'f', rest @ ..] => Ok(Some(Self::Failed(String::from_utf8_lossy(rest).into_owned()))),
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_is_received() {
        let (a, b) = socket::pair().unwrap();
        Order::Signal(15).send(a.as_fd()).unwrap();
        assert!(matches!(Order::receive(b.as_fd()).unwrap(), Some(Order::Signal(15))));
        Order::Root(socket::pair().unwrap().0).send(a.as_fd()).unwrap();
        assert!(matches!(Order::receive(b.as_fd()).unwrap(), Some(Order::Root(_))));
        Report::Failed("no".into()).send(b.as_fd()).unwrap();
        let Some(Report::Failed(text)) = Report::receive(a.as_fd(), true).unwrap() else {
            panic!("another report");
        };
        assert_eq!(text, "no");
        let quiet = Report::receive(a.as_fd(), false).unwrap_err();
        assert_eq!(quiet.kind(), io::ErrorKind::WouldBlock);
        drop(b);
        assert!(Report::receive(a.as_fd(), false).unwrap().is_none());
    }
}
