//! A virtual machine that stands still while somebody keeps what it has written.
//!
//! Whoever comes in by `still.sock` has it stopped, is told `stopped`, and says `go` or is gone; then
//! it goes on, and `on` is said. It does not wait longer than [`LONGEST`].

use super::client::STILL;
use super::qmp::Qmp;
use crate::config::Places;
use crate::error::{Doing, Problem, Res};
use rustix::event::PollFlags;
use serde_json::json;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// How long a machine stands still for somebody who says nothing.
const LONGEST: Duration = Duration::from_secs(10);

/// Who a machine stands still for.
#[derive(Debug, Default)]
pub(super) struct Still(Option<(UnixStream, Instant)>);

impl Still {
    /// Stops the machine for whoever came in.
    pub fn welcome(&mut self, socket: OwnedFd, qmp: &mut Qmp) {
        let mut who = UnixStream::from(socket);
        let said = match self.0 {
            Some(_) => Err("it stands still for somebody else".to_owned()),
            None => qmp.ask("stop", &json!({})),
        };
        // One that is gone already is seen to be.
        match said {
            Ok(_) => drop(who.write_all(b"stopped\n")),
            Err(problem) => return drop(writeln!(who, "{problem}")),
        }
        self.0 = Some((who, Instant::now() + LONGEST));
    }

    /// What to poll for.
    pub fn wanted(&self) -> Option<(BorrowedFd<'_>, PollFlags)> {
        self.0.as_ref().map(|(who, _)| (who.as_fd(), PollFlags::IN))
    }

    /// How long it may go on.
    pub fn wait(&self) -> Option<Duration> {
        let (_, until) = self.0.as_ref()?;
        Some(until.saturating_duration_since(Instant::now()))
    }

    /// Lets the machine go on, if that was said or took too long.
    pub fn pass(&mut self, qmp: &mut Qmp) -> Result<(), String> {
        let Some((who, until)) = &mut self.0 else { return Ok(()) };
        let mut word = [0; 8];
        let late = *until <= Instant::now();
        let said = rustix::net::recv(&*who, &mut word[..], rustix::net::RecvFlags::DONTWAIT);
        if !late && said == Err(rustix::io::Errno::AGAIN) {
            return Ok(());
        }
        let went = qmp.ask("cont", &json!({})).map(drop);
        if !late && went.is_ok() {
            let _ = who.write_all(b"on\n");
        }
        self.0 = None;
        went
    }
}

/// A machine that stands still for this process.
pub(crate) struct Stopped(BufReader<UnixStream>);

/// Makes a machine stand still; what it wrote is then in its files.
pub(crate) fn stop(places: &Places) -> Res<Stopped> {
    let path = places.run.join(STILL);
    let action = || format!("use {}", path.display());
    let socket = UnixStream::connect(&path).doing_with(action)?;
    socket.set_read_timeout(Some(LONGEST)).doing_with(action)?;
    let mut stopped = Stopped(BufReader::new(socket));
    match stopped.heard()?.as_str() {
        "stopped" => Ok(stopped),
        problem => Err(Problem::plain(problem)),
    }
}

impl Stopped {
    fn heard(&mut self) -> Res<String> {
        let mut line = String::new();
        self.0.read_line(&mut line).doing("hear from the machine's supervisor")?;
        Ok(line.trim_end().to_owned())
    }

    /// Lets it go on. An error says that it may have done so before.
    pub fn end(mut self) -> Res<()> {
        let told = self.0.get_mut().write_all(b"go\n");
        match (told, self.heard()?.as_str()) {
            (Ok(()), "on") => Ok(()),
            _ => Err(Problem::plain("it went on before all was kept")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::stream::pair;
    use super::*;
    use std::io::Read;

    /// A QEMU that says yes to everything, and the commands that it was given.
    fn yes(socket: OwnedFd) -> std::thread::JoinHandle<Vec<String>> {
        std::thread::spawn(move || {
            let stream = UnixStream::from(socket);
            stream.set_nonblocking(false).unwrap();
            let mut answers = stream.try_clone().unwrap();
            let mut heard = Vec::new();
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                let command: serde_json::Value = serde_json::from_str(&line).unwrap();
                heard.push(command["execute"].as_str().unwrap().to_owned());
                let _ = writeln!(answers, r#"{{"return": {{}}, "id": {}}}"#, command["id"]);
            }
            heard
        })
    }

    #[test]
    fn it_goes_on_when_that_is_said_and_when_nobody_is_there() {
        let (ours, theirs) = pair().unwrap();
        let qemu = yes(theirs);
        let mut qmp = Qmp::new(ours);
        let mut still = Still::default();
        let come = |still: &mut Still, qmp: &mut Qmp| {
            let (mine, its) = UnixStream::pair().unwrap();
            still.welcome(its.into(), qmp);
            Stopped(BufReader::new(mine))
        };
        let mut first = come(&mut still, &mut qmp);
        assert_eq!(first.heard().unwrap(), "stopped");
        assert_eq!(
            come(&mut still, &mut qmp).heard().unwrap(),
            "it stands still for somebody else"
        );
        still.pass(&mut qmp).unwrap();
        assert!(still.wait().is_some(), "nothing was said yet");
        first.0.get_mut().write_all(b"go\n").unwrap();
        still.pass(&mut qmp).unwrap();
        assert_eq!(first.heard().unwrap(), "on");
        assert!(still.wait().is_none());
        drop(come(&mut still, &mut qmp));
        still.pass(&mut qmp).unwrap();
        assert!(still.wait().is_none());
        let mut late = come(&mut still, &mut qmp);
        still.0.as_mut().unwrap().1 = Instant::now();
        still.pass(&mut qmp).unwrap();
        let mut rest = String::new();
        late.0.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "stopped\n", "and not that it went on when it was asked to");
        drop(qmp);
        let commands = ["qmp_capabilities", "stop", "cont", "stop", "cont", "stop", "cont"];
        assert_eq!(qemu.join().unwrap(), commands);
    }
}
