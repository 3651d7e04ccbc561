//! How much of its memory a virtual machine may use while it runs.
//!
//! Whoever comes in by `memory.sock` says a number of bytes, and is told `ok` or why not. The guest gives
//! the rest back to the host page by page; where that leaves it too little, it takes some of it again
//! rather than end programs.

use super::qmp::Qmp;
use crate::config::Places;
use crate::error::{Doing, Problem, Res, RunError};
use rustix::event::PollFlags;
use rustix::net::RecvFlags;
use serde_json::json;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// Name of the socket for those who say how much.
pub(super) const MEMORY: &str = "memory.sock";
/// How long the machine's supervisor may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Those who came in and have said nothing yet.
#[derive(Debug, Default)]
pub(super) struct Balloon(Vec<UnixStream>);

impl Balloon {
    /// Lets somebody in.
    pub fn welcome(&mut self, socket: OwnedFd) {
        self.0.push(socket.into());
    }

    /// What to poll for.
    pub fn wanted(&self) -> impl Iterator<Item = (BorrowedFd<'_>, PollFlags)> {
        self.0.iter().map(|who| (who.as_fd(), PollFlags::IN))
    }

    /// Does what was asked for since, at most `most` bytes.
    pub fn pass(&mut self, qmp: &mut Qmp, most: u64) {
        self.0.retain_mut(|who| {
            let mut text = [0; 24];
            let said = rustix::net::recv(&*who, &mut text[..], RecvFlags::DONTWAIT);
            let length = match said {
                Err(rustix::io::Errno::AGAIN) => return true,
                Err(_) => return false,
                Ok((length, _)) => length,
            };
            let asked =
                std::str::from_utf8(&text[..length]).ok().and_then(|t| t.trim().parse().ok());
            let done = match asked {
                Some(bytes @ 1u64..) if bytes <= most => {
                    qmp.ask("balloon", &json!({"value": bytes})).map(drop)
                }
                _ => Err(format!("it may use from 1 to {most} bytes, which it has")),
            };
            let _ = writeln!(who, "{}", done.err().unwrap_or_else(|| "ok".into()));
            false
        });
    }
}

/// Says how many bytes of its memory a virtual machine may use from now on, until that is said again or it
/// is started again.
///
/// # Errors
/// When it does not run, has less memory, or its supervisor refuses.
pub fn balloon(run_dir: &Path, name: &str, bytes: u64) -> Result<(), RunError> {
    let path = Places::new(run_dir, Path::new(""), name).run.join(MEMORY);
    let ask = || -> Res<()> {
        let socket = UnixStream::connect(&path);
        let mut socket = socket.doing_with(|| format!("use {}", path.display()))?;
        let action = "ask the machine's supervisor";
        socket.set_read_timeout(Some(PATIENCE)).doing(action)?;
        // In one go: it is answered as soon as some of it is there.
        socket.write_all(format!("{bytes}\n").as_bytes()).doing(action)?;
        let mut answer = String::new();
        BufReader::new(socket).read_line(&mut answer).doing(action)?;
        match answer.trim_end() {
            "ok" => Ok(()),
            problem => Err(Problem::plain(problem)),
        }
    };
    ask().map_err(|problem| problem.of(name))
}
