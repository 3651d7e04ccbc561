//! A socket of a machine's supervisor where a line is said, and answered by `ok` or why not.

use crate::error::{Doing, Problem, Res};
use rustix::event::PollFlags;
use rustix::net::RecvFlags;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// How long the machine's supervisor may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest line.
const LONGEST: usize = 128;

/// Those who came in and have said nothing yet.
#[derive(Debug, Default)]
pub(super) struct Desk(Vec<UnixStream>);

impl Desk {
    /// Lets somebody in.
    pub fn welcome(&mut self, socket: OwnedFd) {
        self.0.push(socket.into());
    }

    /// What to poll for.
    pub fn wanted(&self) -> impl Iterator<Item = (BorrowedFd<'_>, PollFlags)> {
        self.0.iter().map(|who| (who.as_fd(), PollFlags::IN))
    }

    /// Answers what was said since.
    pub fn pass(&mut self, mut answer: impl FnMut(&str) -> Result<(), String>) {
        self.0.retain_mut(|who| {
            let mut text = [0; LONGEST];
            let length = match rustix::net::recv(&*who, &mut text[..], RecvFlags::DONTWAIT) {
                Err(rustix::io::Errno::AGAIN) => return true,
                Err(_) => return false,
                Ok((length, _)) => length,
            };
            let done = answer(String::from_utf8_lossy(&text[..length]).trim());
            let _ = writeln!(who, "{}", done.err().unwrap_or_else(|| "ok".into()));
            false
        });
    }
}

/// Says a line at a socket, and waits until it is done.
pub(super) fn ask(socket: &Path, line: &str) -> Res<()> {
    let opened = UnixStream::connect(socket);
    let mut socket = opened.doing_with(|| format!("use {}", socket.display()))?;
    let action = "ask the machine's supervisor";
    socket.set_read_timeout(Some(PATIENCE)).doing(action)?;
    // In one go: it is answered as soon as some of it is there.
    socket.write_all(format!("{line}\n").as_bytes()).doing(action)?;
    let mut answer = String::new();
    BufReader::new(socket).read_line(&mut answer).doing(action)?;
    match answer.trim_end() {
        "ok" => Ok(()),
        "" => Err(Problem::plain("the machine's supervisor ended")),
        problem => Err(Problem::plain(problem)),
    }
}
