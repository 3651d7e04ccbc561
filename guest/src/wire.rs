//! What host and guest say to each other on the port `hc.guest`: frames, and the messages in them.
//! `docs/guest-channel.md` says what they are for.
//!
//! A frame is `u32 length | u8 kind | u8 flags | u16 0 | u32 session`, little endian, then `length`
//! bytes. Flag 1 says that the message goes on in the next frame, which has the same kind and session.

mod fields;
mod from_guest;
mod identity;
mod to_guest;

pub use fields::Body;
pub use from_guest::{End, FromGuest};
pub use identity::{
    Address, Identity, Interface, LaidFile, Mount, Mounted, Neighbour, Payload, Readiness, Route,
    Size,
};
pub use to_guest::{Exec, Question, ToGuest};

use alloc::vec::Vec;
use core::marker::PhantomData;

/// Name of the virtio-serial port.
pub const PORT: &str = "hc.guest";
/// Version of the protocol that this code speaks.
pub const VERSION: u32 = 2;
/// The first that knows `Mount` and `Rehearse`.
pub const MOUNTS: u32 = 2;
/// The session that is the machine itself and its payload.
pub const MACHINE: u32 = 0;
/// The most bytes behind one frame's header.
pub const FRAME: usize = 64 << 10;
/// The most bytes of a message to the guest, over all of its frames.
pub const LONGEST: usize = 16 << 20;
/// How many bytes of a session's stream each side may send before the first `Window`.
pub const WINDOW: u32 = 256 << 10;
/// Bytes of a frame's header.
pub const HEADER: usize = 12;

const GOES_ON: u8 = 1;

/// Why what arrived makes no sense, or a message cannot be sent. A connection on which it happened
/// is of no more use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WireError {
    /// A frame says it is longer than [`FRAME`].
    FrameTooLong(u32),
    /// A message is longer than its direction's limit, which is given.
    MessageTooLong(usize),
    /// In the middle of a message of several frames came one of another.
    Interrupted,
    /// The contents of a message of this kind end too early, or are none.
    Damaged(u8),
}

impl core::fmt::Display for WireError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::FrameTooLong(length) => {
                write!(f, "guest channel: a frame of {length} bytes; {FRAME} is the most")
            }
            Self::MessageTooLong(most) => {
                write!(f, "guest channel: a message is longer than {most} bytes")
            }
            Self::Interrupted => f.write_str("guest channel: a message was not finished"),
            Self::Damaged(kind) => {
                write!(f, "guest channel: a message of kind {kind} has damaged contents")
            }
        }
    }
}

impl core::error::Error for WireError {}

/// One direction's messages: [`ToGuest`] or [`FromGuest`].
pub trait Message: Sized {
    /// The most bytes of one, over all of its frames.
    const LONGEST: usize;
    /// Kind and length of the one that begins a connection; no version changes them.
    const HELLO: (u8, u8);

    /// The number that says which it is.
    fn kind(&self) -> u8;

    /// Appends its contents.
    fn put(&self, out: &mut Vec<u8>);

    /// Reads the contents of one; nothing when this code knows no such kind. Bytes behind what it
    /// knows are left: a newer version has more there.
    ///
    /// # Errors
    /// [`WireError::Damaged`].
    fn take(kind: u8, body: &mut Body<'_>) -> Result<Option<Self>, WireError>;
}

/// Appends a message to `out`, in as many frames as it needs.
///
/// # Errors
/// [`WireError::MessageTooLong`]; nothing is appended then.
pub fn encode<M: Message>(session: u32, message: &M, out: &mut Vec<u8>) -> Result<(), WireError> {
    let begin = out.len();
    out.resize(begin + HEADER, 0);
    message.put(out);
    let length = out.len() - begin - HEADER;
    if length > M::LONGEST {
        out.truncate(begin);
        return Err(WireError::MessageTooLong(M::LONGEST));
    }
    let header = |length: usize, flags: u8| {
        let mut header = [0; HEADER];
        header[..4].copy_from_slice(&(length as u32).to_le_bytes());
        header[4] = message.kind();
        header[5] = flags;
        header[8..].copy_from_slice(&session.to_le_bytes());
        header
    };
    if length <= FRAME {
        out[begin..begin + HEADER].copy_from_slice(&header(length, 0));
        return Ok(());
    }
    let body = out.split_off(begin + HEADER);
    out.truncate(begin);
    let mut pieces = body.chunks(FRAME).peekable();
    while let Some(piece) = pieces.next() {
        let flags = if pieces.peek().is_some() { GOES_ON } else { 0 };
        out.extend_from_slice(&header(piece.len(), flags));
        out.extend_from_slice(piece);
    }
    Ok(())
}

/// Messages out of bytes that come in arbitrary pieces.
#[derive(Debug)]
pub struct Decoder<M> {
    buffer: Vec<u8>,
    /// How much of `buffer` was decoded.
    done: usize,
    /// Kind, session and contents so far of a message of several frames.
    begun: Option<(u8, u32, Vec<u8>)>,
    /// Whether everything in front of a `Hello` is passed over.
    searching: bool,
    message: PhantomData<M>,
}

impl<M> Default for Decoder<M> {
    fn default() -> Self {
        Self { buffer: Vec::new(), done: 0, begun: None, searching: false, message: PhantomData }
    }
}

impl<M: Message> Decoder<M> {
    /// One that has read nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// One that passes over what is left of another connection, until the first `Hello`.
    #[must_use]
    pub fn until_hello() -> Self {
        Self { searching: true, ..Self::default() }
    }

    /// Takes in what was read. Call [`next`](Self::next) until it has no more before the next piece.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.done);
        self.done = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The next message and its session, or nothing until more was read.
    ///
    /// # Errors
    /// When the bytes make no sense; they never will again.
    #[allow(clippy::should_implement_trait)] // It can go on after it had nothing.
    pub fn next(&mut self) -> Result<Option<(u32, M)>, WireError> {
        if self.searching {
            let hello = [M::HELLO.1, 0, 0, 0, M::HELLO.0, 0, 0, 0, 0, 0, 0, 0];
            let found = self.buffer[self.done..].windows(HEADER).position(|bytes| *bytes == hello);
            let rest = self.buffer.len() - self.done;
            self.done += found.unwrap_or(rest.saturating_sub(HEADER - 1));
            self.searching = found.is_none();
            if self.searching {
                return Ok(None);
            }
        }
        loop {
            let rest = &self.buffer[self.done..];
            let Some((header, rest)) = rest.split_first_chunk::<HEADER>() else { return Ok(None) };
            let [a, b, c, d, kind, flags, _, _, s @ ..] = *header;
            let (said, session) = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes(s));
            let length = said as usize;
            if length > FRAME {
                return Err(WireError::FrameTooLong(said));
            }
            let Some(contents) = rest.get(..length) else { return Ok(None) };
            self.done += HEADER + length;
            let goes_on = flags & GOES_ON != 0;
            let whole = match self.begun.take() {
                None if goes_on => contents.to_vec(),
                None => match M::take(kind, &mut Body::new(kind, contents))? {
                    Some(message) => return Ok(Some((session, message))),
                    None => continue,
                },
                Some((begun, of, mut whole)) if begun == kind && of == session => {
                    if whole.len() + length > M::LONGEST {
                        return Err(WireError::MessageTooLong(M::LONGEST));
                    }
                    whole.extend_from_slice(contents);
                    whole
                }
                Some(_) => return Err(WireError::Interrupted),
            };
            if goes_on {
                self.begun = Some((kind, session, whole));
            } else if let Some(message) = M::take(kind, &mut Body::new(kind, &whole))? {
                return Ok(Some((session, message)));
            }
        }
    }
}

#[cfg(test)]
mod tests;
