//! A session in a virtual machine as somebody outside its supervisor has it: a connection to the machine's
//! socket, which carries the channel's own messages (`docs/guest-channel.md`).

use super::channel::OWN;
use super::stream::Stream;
use crate::config::Places;
use crate::error::{Doing, Problem, Res};
use hc_guest::wire::{self, Decoder, End, FromGuest, ToGuest};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// Name of the socket for sessions, in the machine's run directory.
pub(super) const CHANNEL: &str = "channel.sock";
/// Bytes of input that are sent at once.
pub(super) const PIECE: usize = 32 << 10;

/// Connects to a socket of the machine's run directory.
pub(super) fn connect(run_dir: &Path, name: &str, socket: &str) -> Res<Stream> {
    let path = Places::new(run_dir, Path::new(""), name).run.join(socket);
    let connected = UnixStream::connect(&path).doing_with(|| format!("use {}", path.display()))?;
    Ok(Stream::new(connected.into()))
}

/// A session.
pub(super) struct Session {
    stream: Stream,
    decoder: Decoder<FromGuest>,
    /// Bytes of input that may still be sent.
    room: usize,
}

impl Session {
    /// Begins one with what it is for.
    pub fn begin(run_dir: &Path, name: &str, first: &ToGuest) -> Res<Self> {
        let stream = connect(run_dir, name, CHANNEL)?;
        Self::on(stream, first)
    }

    fn on(stream: Stream, first: &ToGuest) -> Res<Self> {
        let mut session = Self { stream, decoder: Decoder::new(), room: wire::WINDOW as usize };
        session.say(first)?;
        Ok(session)
    }

    /// Says something that is no input.
    pub fn say(&mut self, message: &ToGuest) -> Res<()> {
        wire::encode(OWN, message, self.stream.out()).map_err(damaged)?;
        self.stream.flush();
        Ok(())
    }

    /// How much input may be sent now: nothing while what was sent before waits here.
    pub fn room(&self) -> usize {
        if self.stream.waiting() > 0 { 0 } else { self.room.min(PIECE) }
    }

    /// Sends input, not more than there is room for; none of it is its end.
    pub fn input(&mut self, bytes: Vec<u8>) -> Res<()> {
        self.room = self.room.saturating_sub(bytes.len());
        self.say(&ToGuest::Input(bytes))
    }

    /// So many bytes of output were taken, and may come again.
    pub fn taken(&mut self, bytes: usize) -> Res<()> {
        self.say(&ToGuest::Window(u32::try_from(bytes).unwrap_or(u32::MAX)))
    }

    /// What has been said since.
    pub fn hear(&mut self) -> Res<Vec<FromGuest>> {
        self.stream.flush();
        self.decoder.push(&self.stream.read());
        let mut said = Vec::new();
        while let Some((_, message)) = self.decoder.next().map_err(damaged)? {
            match message {
                FromGuest::Window(count) => self.room += count as usize,
                message => said.push(message),
            }
        }
        if said.is_empty() && !self.stream.is_open() {
            return Err(Problem::plain("the machine stopped, or its supervisor did"));
        }
        Ok(said)
    }

    /// Waits until there is something to hear or room again, or until then.
    pub fn wait(&self, until: Option<Instant>) -> Res<()> {
        let left = until.map(|until| {
            let left = until.saturating_duration_since(Instant::now());
            Timespec::try_from(left).unwrap_or(Timespec { tv_sec: 1, tv_nsec: 0 })
        });
        match poll(&mut [PollFd::new(self, self.events())], left.as_ref()) {
            Err(Errno::INTR) | Ok(_) => Ok(()),
            Err(error) => Err(error).doing("wait for the machine"),
        }
    }

    /// Waits until it has ended well.
    fn end(&mut self, until: Instant) -> Res<()> {
        let mut said = String::new();
        while Instant::now() < until {
            self.wait(Some(until))?;
            for message in self.hear()? {
                match message {
                    FromGuest::Output(_, bytes) => {
                        said.push_str(&String::from_utf8_lossy(&bytes));
                        self.taken(bytes.len())?;
                    }
                    FromGuest::Exit(End::Code(0)) => return Ok(()),
                    FromGuest::Exit(_) => return Err(Problem::plain(said.trim())),
                    FromGuest::Failed(why) => return Err(Problem::Plain(why)),
                    _ => {}
                }
            }
        }
        Err(Problem::plain("its guest does not answer"))
    }

    /// What to poll for.
    pub fn events(&self) -> PollFlags {
        self.stream.events()
    }
}

impl AsFd for Session {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// Has the guest of a machine do something, and waits so long for its end. Nothing when the machine is
/// none that runs and can be asked.
pub(crate) fn tell(
    run_dir: &Path,
    name: &str,
    what: &ToGuest,
    patience: Duration,
) -> Option<Res<()>> {
    let mut session = Session::begin(run_dir, name, what).ok()?;
    Some(session.end(Instant::now() + patience))
}

fn damaged(error: wire::WireError) -> Problem {
    Problem::plain(error.to_string())
}

/// A session, and what a test has in the guest's place.
#[cfg(test)]
pub(super) fn pretend(first: &ToGuest) -> (Session, Stream) {
    let (ours, theirs) = super::stream::pair().unwrap();
    (Session::on(Stream::new(ours), first).unwrap(), Stream::new(theirs))
}
