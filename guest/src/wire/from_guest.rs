//! Messages from the guest.

use super::fields::{Body, Field};
use super::{FRAME, Message, WireError};
use alloc::string::String;
use alloc::vec::Vec;

/// A message from the guest to the host. None is longer than one frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FromGuest {
    /// Session 0: the answer to `Hello`. Sessions of another connection are over.
    Hello {
        /// Version of the protocol that the guest speaks.
        version: u32,
        /// Whether it has had an identity.
        identified: bool,
    },
    /// Session 0: it is now who `Identity` says.
    Identified,
    /// Session 0: the payload was executed.
    Started,
    /// Session 0: the payload counts as ready.
    Ready,
    /// Session 0: what the payload said on its `NOTIFY_SOCKET`.
    Notify(String),
    /// What was asked for was not done, and why. Ends the session, when it is one.
    Failed(String),
    /// Session 0: everything is written out, and nothing is done until the next `Hello`.
    Quiet,
    /// Session 0: how the payload ended; the machine powers off.
    Ended {
        /// How.
        end: End,
        /// Whether the kernel has killed something of the machine because its memory had run out.
        oom: bool,
    },
    /// Bytes of standard output (1) or standard error (2), or of a tar stream (1).
    Output(u8, Vec<u8>),
    /// Ends a session: how its process ended, or that what was asked for is done.
    Exit(End),
    /// The host may send so many bytes more of this session's `Input`.
    Window(u32),
    /// Session 0: the answer to `Mount`. Nobody is the machine yet.
    Mounted,
    /// Session 0: the answer to `Rehearse`.
    Rehearsed,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// With this exit code.
    Code(u8),
    /// By this signal.
    Signal(u8),
}

impl Field for End {
    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Code(code) => [0, *code].put(out),
            Self::Signal(signal) => [1, *signal].put(out),
        }
    }
    fn take(body: &mut Body<'_>) -> Result<Self, WireError> {
        match <[u8; 2]>::take(body)? {
            [0, code] => Ok(Self::Code(code)),
            [1, signal] => Ok(Self::Signal(signal)),
            _ => Err(body.damaged()),
        }
    }
}

impl Message for FromGuest {
    const LONGEST: usize = FRAME;
    const HELLO: (u8, u8) = (65, 5);

    fn kind(&self) -> u8 {
        match self {
            Self::Hello { .. } => 65,
            Self::Identified => 66,
            Self::Started => 67,
            Self::Ready => 68,
            Self::Notify(_) => 69,
            Self::Failed(_) => 70,
            Self::Quiet => 71,
            Self::Ended { .. } => 72,
            Self::Output(..) => 73,
            Self::Exit(_) => 74,
            Self::Window(_) => 75,
            Self::Mounted => 76,
            Self::Rehearsed => 77,
        }
    }

    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Hello { version, identified } => (*version, *identified).put(out),
            Self::Identified | Self::Started | Self::Ready | Self::Quiet => {}
            Self::Mounted | Self::Rehearsed => {}
            Self::Notify(text) | Self::Failed(text) => text.put(out),
            Self::Ended { end, oom } => (*end, *oom).put(out),
            Self::Exit(end) => end.put(out),
            Self::Output(stream, bytes) => {
                stream.put(out);
                out.extend_from_slice(bytes);
            }
            Self::Window(count) => count.put(out),
        }
    }

    fn take(kind: u8, body: &mut Body<'_>) -> Result<Option<Self>, WireError> {
        Ok(Some(match kind {
            65 => Self::Hello { version: Field::take(body)?, identified: Field::take(body)? },
            66 => Self::Identified,
            67 => Self::Started,
            68 => Self::Ready,
            69 => Self::Notify(Field::take(body)?),
            70 => Self::Failed(Field::take(body)?),
            71 => Self::Quiet,
            72 => {
                let end = Field::take(body)?;
                // An older guest does not say.
                Self::Ended { end, oom: Field::take(body).unwrap_or(false) }
            }
            73 => Self::Output(Field::take(body)?, body.all()),
            74 => Self::Exit(Field::take(body)?),
            75 => Self::Window(Field::take(body)?),
            76 => Self::Mounted,
            77 => Self::Rehearsed,
            _ => return Ok(None),
        }))
    }
}
