//! Messages of rtnetlink(7), and asking the kernel with them.

use crate::sys::{self, Errno, File, io};
use alloc::vec;
use alloc::vec::Vec;

/// Kinds of messages.
pub const NEW_LINK: u16 = 16;
/// As above.
pub const GET_LINK: u16 = 18;
/// As above.
pub const NEW_ADDRESS: u16 = 20;
/// As above.
pub const DEL_ADDRESS: u16 = 21;
/// As above.
pub const GET_ADDRESS: u16 = 22;
/// As above.
pub const NEW_ROUTE: u16 = 24;
/// As above.
pub const NEW_NEIGHBOUR: u16 = 28;

const ERROR: u16 = 2;
const DONE: u16 = 3;
const REQUEST: u16 = 1;
const ACKNOWLEDGE: u16 = 4;
/// In place of one that is there, or new.
const REPLACE_CREATE: u16 = 0x500;
const DUMP: u16 = 0x300;
const HEADER: usize = 16;

/// One attribute: its number, and its value.
pub type Attribute<'a> = (u16, &'a [u8]);

fn message(kind: u16, flags: u16, fixed: &[u8], attributes: &[Attribute<'_>]) -> Vec<u8> {
    let mut bytes = vec![0; HEADER];
    bytes.extend_from_slice(fixed);
    for (number, value) in attributes {
        bytes.extend_from_slice(&(4 + value.len() as u16).to_le_bytes());
        bytes.extend_from_slice(&number.to_le_bytes());
        bytes.extend_from_slice(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    let length = bytes.len() as u32;
    bytes[..4].copy_from_slice(&length.to_le_bytes());
    bytes[4..6].copy_from_slice(&kind.to_le_bytes());
    bytes[6..8].copy_from_slice(&(REQUEST | flags).to_le_bytes());
    bytes
}

/// Kind and contents of each message in what the kernel sent.
fn messages(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    core::iter::from_fn(move || {
        let length = u32::from_le_bytes(*bytes.first_chunk()?) as usize;
        let whole = bytes.get(..length).filter(|whole| whole.len() >= HEADER)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or(&[]);
        Some((u16::from_le_bytes([whole[4], whole[5]]), &whole[HEADER..]))
    })
}

/// The attributes behind the first `fixed` bytes of a message.
pub fn attributes(message: &[u8], fixed: usize) -> impl Iterator<Item = Attribute<'_>> {
    let mut bytes = message.get(fixed..).unwrap_or(&[]);
    core::iter::from_fn(move || {
        let [a, b, c, d] = *bytes.first_chunk()?;
        let length = usize::from(u16::from_le_bytes([a, b]));
        let value = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or(&[]);
        Some((u16::from_le_bytes([c, d]), value))
    })
}

/// A socket to ask the kernel on.
#[derive(Debug)]
pub struct Netlink(File);

impl Netlink {
    /// Opens one.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn open() -> sys::Result<Self> {
        io::routing().map(Self)
    }

    /// Has something made or changed.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn set(&self, kind: u16, fixed: &[u8], with: &[Attribute<'_>]) -> sys::Result<()> {
        let create = match kind {
            NEW_LINK | DEL_ADDRESS => 0,
            _ => REPLACE_CREATE,
        };
        self.ask(&message(kind, ACKNOWLEDGE | create, fixed, with)).map(drop)
    }

    /// Everything of a kind.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn all(&self, kind: u16, fixed: &[u8]) -> sys::Result<Vec<Vec<u8>>> {
        self.ask(&message(kind, DUMP, fixed, &[]))
    }

    fn ask(&self, question: &[u8]) -> sys::Result<Vec<Vec<u8>>> {
        sys::write(&self.0, question)?;
        let mut answers = Vec::new();
        let mut buffer = vec![0; 32 << 10];
        loop {
            let count = io::read(&self.0, &mut buffer)?;
            for (kind, contents) in messages(&buffer[..count]) {
                match (kind, contents.first_chunk()) {
                    (ERROR, Some(code)) => {
                        return match i32::from_le_bytes(*code) {
                            0 => Ok(answers),
                            code => Err(Errno(-code)),
                        };
                    }
                    (DONE, _) => return Ok(answers),
                    _ => answers.push(contents.to_vec()),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_can_be_read() {
        let bytes = message(NEW_LINK, ACKNOWLEDGE, &[7; 16], &[(3, b"eth0\0"), (4, &[1, 2, 3, 4])]);
        assert_eq!(bytes.len(), 16 + 16 + 12 + 8);
        assert_eq!(bytes[..8], *b"\x34\0\0\0\x10\0\x05\0");
        let two = [bytes.as_slice(), &bytes].concat();
        let read: Vec<_> = messages(&two).collect();
        assert_eq!(read.len(), 2);
        assert_eq!(read[1].0, NEW_LINK);
        let read: Vec<_> = attributes(read[1].1, 16).collect();
        assert_eq!(read, [(3, &b"eth0\0"[..]), (4, &[1, 2, 3, 4])]);
        assert_eq!(messages(&[0; 40]).count(), 0, "a length of nothing ends it");
        assert_eq!(attributes(&[0; 40], 16).count(), 0);
    }

    #[test]
    fn the_kernel_answers() {
        let links = Netlink::open().unwrap().all(GET_LINK, &[0; 16]).unwrap();
        assert!(links.iter().any(|l| attributes(l, 16).any(|a| a == (3, &b"lo\0"[..]))));
        let refused = Netlink::open().unwrap().set(NEW_LINK, &[0xff; 16], &[]);
        assert!(refused.is_err());
    }
}
