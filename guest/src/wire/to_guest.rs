//! Messages from the host.

use super::fields::{Body, Field, structure};
use super::identity::{Identity, Size};
use super::{LONGEST, Message, WireError};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

/// A message from the host to the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToGuest {
    /// Session 0: the host's end was opened, and speaks this version. Ends every session that another
    /// connection left, but the payload.
    Hello(u32),
    /// Session 0: who the machine is.
    Identity(Box<Identity>),
    /// Session 0: end the payload, and power off when it has ended.
    Stop,
    /// Session 0: stand still until the next `Identity`.
    Quiesce,
    /// Begins a session: run a program.
    Exec(Box<Exec>),
    /// Bytes for the session's standard input, or of the tar stream to unpack; none: no more come.
    Input(Vec<u8>),
    /// The session's terminal has this size now.
    Resize(Size),
    /// Send this signal to the session's process.
    Signal(u8),
    /// Begins a session: the file or tree at this path as a tar stream, as `Output` of stream 1.
    Pack(String),
    /// Begins a session: unpack the tar stream that follows as `Input` as cp(1) would: into this directory,
    /// or as it.
    Unpack(String),
    /// The guest may send so many bytes more of this session's `Output`.
    Window(u32),
    /// Nobody is interested in this session any more: its process is hung up on, then killed.
    Close,
    /// Begins a session: ask a service of the machine whether it works, on the machine's own loopback. Well
    /// when it ends with code 0; why not is `Output` of stream 2.
    Ask(Question),
    /// Begins a session: write everything out.
    Flush,
    /// Begins a session: the disk with this serial number has so many bytes now, and its file system is to
    /// have them too.
    Grow(String, u64),
    /// Session 0: mount the root, on a layer that is nobody's yet, and read these files, so that they are in
    /// memory; the host saves the machine with it.
    Mount(Vec<String>),
    /// Session 0: `Quiesce` comes soon. What is done only then is gone through once, with nothing of the
    /// machine's, so that it takes no longer than it has to.
    Rehearse,
}

/// How a service is asked whether it works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// Connect to this TCP port.
    Tcp(u16),
    /// Get this path from this port by HTTP; a status of 200 to 399 is a good answer.
    Http(u16, String),
}

impl Field for Question {
    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Tcp(port) => (0u8, *port).put(out),
            Self::Http(port, path) => {
                (1u8, *port).put(out);
                path.put(out);
            }
        }
    }
    fn take(body: &mut Body<'_>) -> Result<Self, WireError> {
        match u8::take(body)? {
            0 => Ok(Self::Tcp(u16::take(body)?)),
            1 => Ok(Self::Http(u16::take(body)?, String::take(body)?)),
            _ => Err(body.damaged()),
        }
    }
}

/// A program to run beside the payload.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Exec {
    /// Program and arguments; a program without `/` is looked for in `PATH`. None: the user's shell, as at
    /// a login.
    pub arguments: Vec<String>,
    /// Environment beside the payload's, and before it.
    pub environment: Vec<(String, String)>,
    /// User name or number, with `:` and a group or not; absent: root.
    pub user: Option<String>,
    /// Working directory; absent: `/`.
    pub directory: Option<String>,
    /// Size of its terminal, when it is to have one.
    pub terminal: Option<Size>,
}
structure!(Exec { arguments, environment, user, directory, terminal });

impl Message for ToGuest {
    const LONGEST: usize = LONGEST;
    const HELLO: (u8, u8) = (1, 4);

    fn kind(&self) -> u8 {
        match self {
            Self::Hello(_) => 1,
            Self::Identity(_) => 2,
            Self::Stop => 3,
            Self::Quiesce => 4,
            Self::Exec(_) => 5,
            Self::Input(_) => 6,
            Self::Resize(_) => 7,
            Self::Signal(_) => 8,
            Self::Pack(_) => 9,
            Self::Unpack(_) => 10,
            Self::Window(_) => 11,
            Self::Close => 12,
            Self::Ask(_) => 13,
            Self::Flush => 14,
            Self::Grow(..) => 15,
            Self::Mount(_) => 16,
            Self::Rehearse => 17,
        }
    }

    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Hello(number) | Self::Window(number) => number.put(out),
            Self::Identity(identity) => identity.put(out),
            Self::Stop | Self::Quiesce | Self::Close | Self::Flush | Self::Rehearse => {}
            Self::Mount(files) => files.put(out),
            Self::Exec(exec) => exec.put(out),
            Self::Input(bytes) => out.extend_from_slice(bytes),
            Self::Resize(size) => size.put(out),
            Self::Signal(signal) => signal.put(out),
            Self::Pack(path) | Self::Unpack(path) => path.put(out),
            Self::Ask(question) => question.put(out),
            Self::Grow(serial, bytes) => {
                serial.put(out);
                bytes.put(out);
            }
        }
    }

    fn take(kind: u8, body: &mut Body<'_>) -> Result<Option<Self>, WireError> {
        Ok(Some(match kind {
            1 => Self::Hello(Field::take(body)?),
            2 => Self::Identity(Box::new(Field::take(body)?)),
            3 => Self::Stop,
            4 => Self::Quiesce,
            5 => Self::Exec(Box::new(Field::take(body)?)),
            6 => Self::Input(body.all()),
            7 => Self::Resize(Field::take(body)?),
            8 => Self::Signal(Field::take(body)?),
            9 => Self::Pack(Field::take(body)?),
            10 => Self::Unpack(Field::take(body)?),
            11 => Self::Window(Field::take(body)?),
            12 => Self::Close,
            13 => Self::Ask(Field::take(body)?),
            14 => Self::Flush,
            15 => Self::Grow(Field::take(body)?, Field::take(body)?),
            16 => Self::Mount(Field::take(body)?),
            17 => Self::Rehearse,
            _ => return Ok(None),
        }))
    }
}
