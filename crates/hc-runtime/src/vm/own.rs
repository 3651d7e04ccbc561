//! The supervisor's own streams as those of a virtual machine's command: session 0 of the channel.

use super::channel::Channel;
use super::client::{terminal_size, write_all};
use super::session::PIECE;
use crate::config::Streams;
use crate::exec::terminal::Raw;
use hc_guest::wire::{self, MACHINE, ToGuest, WireError};
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::stdio::{stderr, stdin, stdout};

/// Standard input, output and error of this process.
pub(super) struct Own {
    terminal: bool,
    /// Its terminal, as long as the machine has one.
    raw: Option<Raw>,
    /// Bytes of input that may still be sent: none before the command runs.
    room: usize,
    /// There may be more input.
    reads: bool,
    /// Somebody reads what the command writes.
    writes: bool,
}

impl Own {
    /// Where the streams are not the log's.
    pub fn of(streams: Streams) -> Option<Self> {
        let terminal = match streams {
            Streams::Log => return None,
            Streams::Own => false,
            Streams::Terminal => true,
        };
        Some(Self { terminal, raw: None, room: 0, reads: true, writes: true })
    }

    /// What the guest is told of them.
    pub fn describe(&self, payload: &mut wire::Payload) {
        payload.input = true;
        payload.terminal = self.terminal.then(terminal_size);
        let term = "TERM".to_owned();
        if self.terminal && payload.environment.iter().all(|(key, _)| *key != term) {
            payload.environment.push((term, "xterm-256color".into()));
        }
    }

    /// The command runs.
    pub fn started(&mut self) {
        self.room = wire::WINDOW as usize;
        if self.terminal {
            self.raw = Raw::set();
        }
    }

    /// So much more may be sent.
    pub fn allow(&mut self, bytes: u32) {
        self.room += bytes as usize;
    }

    /// What to poll for.
    pub fn wanted(&self) -> Option<PollFd<'static>> {
        let wanted = self.reads && self.room > 0;
        wanted.then(|| PollFd::from_borrowed_fd(stdin(), PollFlags::IN))
    }

    /// Passes on what can be read now.
    pub fn pass_input(&mut self, channel: &mut Channel) -> Result<(), WireError> {
        let Some(wanted) = self.wanted() else { return Ok(()) };
        let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
        if !rustix::event::poll(&mut [wanted], Some(&now)).is_ok_and(|ready| ready > 0) {
            return Ok(());
        }
        let mut bytes = vec![0; PIECE.min(self.room)];
        match rustix::io::read(stdin(), &mut bytes) {
            Err(Errno::INTR | Errno::AGAIN) => return Ok(()),
            Ok(length) => bytes.truncate(length),
            Err(_) => bytes.clear(),
        }
        self.reads = !bytes.is_empty();
        self.room -= bytes.len();
        channel.send(MACHINE, &ToGuest::Input(bytes))
    }

    /// Writes what the command wrote.
    pub fn write(
        &mut self,
        stream: u8,
        bytes: &[u8],
        channel: &mut Channel,
    ) -> Result<(), WireError> {
        if self.writes && !write_all(if stream == 2 { stderr() } else { stdout() }, bytes) {
            // Nobody reads: the command is told so, as a pipe would tell it.
            self.writes = false;
            return channel.send(MACHINE, &ToGuest::Signal(SIGPIPE));
        }
        Ok(())
    }

    /// The terminal has another size.
    pub fn resize(&self, channel: &mut Channel) -> Result<(), WireError> {
        if self.terminal {
            channel.send(MACHINE, &ToGuest::Resize(terminal_size()))?;
        }
        Ok(())
    }
}

const SIGPIPE: u8 = 13;
