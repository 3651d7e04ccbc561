//! Elements of nft sets, added and removed over netlink without starting `nft`.
//!
//! The messages are the kernel's `linux/netfilter/nf_tables.h`: a batch of `NEWSETELEM` or
//! `DELSETELEM` messages between a begin and an end message is one transaction.

use crate::message::{attribute, check, nested};
use hc_fs::Lingering;
use rtnetlink::sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};
use std::io;
use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd};

/// Protocol family of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    Inet = 1,
    Bridge = 7,
}

/// One element of a set in a table called `hc`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Element {
    family: Family,
    set: &'static str,
    key: Vec<u8>,
}

impl Element {
    pub(super) fn new(family: Family, set: &'static str) -> Self {
        Self { family, set, key: Vec::new() }
    }

    /// Appends an `ifname` to the key: 16 bytes, filled with zeros.
    pub(super) fn interface(mut self, name: &str) -> Self {
        let start = self.key.len();
        self.key.extend_from_slice(&name.as_bytes()[..name.len().min(15)]);
        self.key.resize(start + 16, 0);
        self
    }

    /// Appends an address to the key. Parts of a key end on a multiple of four bytes.
    pub(super) fn bytes(mut self, bytes: &[u8]) -> Self {
        self.key.extend_from_slice(bytes);
        self.key.resize(self.key.len().next_multiple_of(4), 0);
        self
    }
}

const NEWSETELEM: u8 = 12;
const DELSETELEM: u8 = 14;
const DESTROYSETELEM: u8 = 30;
const SUBSYSTEM: u8 = 10;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
/// Bytes of one answer, which holds the header of the message it is about and perhaps a word.
const ANSWERS: usize = 4096;

/// Adds elements in one transaction; ones that are there are fine.
pub(super) fn add(elements: &[Element]) -> io::Result<Lingering> {
    transact(NEWSETELEM, elements)
}

/// Removes elements; ones (or whole tables) that are not there are fine.
pub(super) fn remove(elements: &[Element]) -> io::Result<Lingering> {
    let one_by_one = |error: &io::Error| {
        // No such table or set, or a kernel before 6.3, which only knows DELSETELEM.
        matches!(error.raw_os_error(), Some(libc::ENOENT | libc::EINVAL | libc::EOPNOTSUPP))
    };
    match transact(DESTROYSETELEM, elements) {
        Err(error) if one_by_one(&error) => {}
        other => return other,
    }
    let mut lingering = Lingering::default();
    for element in elements {
        match transact(DELSETELEM, std::slice::from_ref(element)) {
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {}
            other => lingering.join(other?),
        }
    }
    Ok(lingering)
}

/// Everything is in effect when this returns. The socket is given back, because closing it is what
/// takes long: the kernel first frees what anybody has deleted, after a grace period.
fn transact(kind: u8, elements: &[Element]) -> io::Result<Lingering> {
    let mut socket = Socket::new(NETLINK_NETFILTER)?;
    socket.bind_auto()?;
    socket.set_non_blocking(true)?;
    let sent = socket.send_to(&batch(kind, elements), &SocketAddr::new(0, 0), 0);
    // The kernel has done everything, and answered, when the send returns.
    let answered = sent.and_then(|_| {
        let mut heard = false;
        loop {
            let mut answers = Vec::with_capacity(ANSWERS);
            match socket.recv(&mut answers, 0) {
                Ok(_) => check(&answers)?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && heard => return Ok(()),
                Err(error) => return Err(error),
            }
            heard = true;
        }
    });
    // SAFETY: the descriptor comes out of an owned socket, which gives up its ownership.
    let lingering = Lingering::from(unsafe { OwnedFd::from_raw_fd(socket.into_raw_fd()) });
    match answered {
        Ok(()) => Ok(lingering),
        Err(error) => {
            // Nothing was deleted over it.
            lingering.close();
            Err(error)
        }
    }
}

fn batch(kind: u8, elements: &[Element]) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    message(&mut out, BATCH_BEGIN, 0, 0, u16::from(SUBSYSTEM), |_| {});
    for (number, element) in (1..).zip(elements) {
        // Refusals come without being asked for: one answer says that all were heard.
        let heard = if number == elements.len() { libc::NLM_F_ACK } else { 0 };
        let flags = heard | if kind == NEWSETELEM { libc::NLM_F_CREATE } else { 0 };
        let kind = u16::from(SUBSYSTEM) << 8 | u16::from(kind);
        message(&mut out, kind, flags as u16, element.family as u8, 0, |out| {
            attribute(out, 1, |out| out.extend_from_slice(b"hc\0"));
            attribute(out, 2, |out| {
                out.extend_from_slice(element.set.as_bytes());
                out.push(0);
            });
            nested(out, 3, |out| {
                nested(out, 1, |out| {
                    nested(out, 1, |out| attribute(out, 1, |out| out.extend(&element.key)))
                });
            });
        });
    }
    message(&mut out, BATCH_END, 0, 0, u16::from(SUBSYSTEM), |_| {});
    out
}

fn message(
    out: &mut Vec<u8>,
    kind: u16,
    flags: u16,
    family: u8,
    resource: u16,
    body: impl FnOnce(&mut Vec<u8>),
) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&kind.to_ne_bytes());
    out.extend_from_slice(&(flags | libc::NLM_F_REQUEST as u16).to_ne_bytes());
    out.extend_from_slice(&[0; 8]);
    out.extend_from_slice(&[family, 0]);
    out.extend_from_slice(&resource.to_be_bytes());
    body(out);
    let length = u32::try_from(out.len() - start).unwrap_or(u32::MAX);
    out[start..start + 4].copy_from_slice(&length.to_ne_bytes());
}
