//! QMP, what QEMU is told while it runs: lines of JSON
//! (<https://www.qemu.org/docs/master/interop/qmp-spec.html>).

use super::stream::Stream;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::{Value, json};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

/// Longest line that is taken.
const LONGEST: usize = 1 << 20;

/// How long QEMU may take to answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// What QEMU says.
#[derive(Debug, PartialEq)]
pub(super) enum Said {
    /// It is there, in this version.
    Hello(String),
    /// The result of the command with this number.
    Return(u64, Value),
    /// Why the command with this number failed.
    Error(u64, String),
    /// Something happened: its name, and more about it.
    Event(String, Value),
}

impl Said {
    fn parse(line: &[u8]) -> Option<Self> {
        let mut value: Value = serde_json::from_slice(line).ok()?;
        let id = value["id"].as_u64().unwrap_or(0);
        if let Some(event) = value["event"].as_str() {
            return Some(Self::Event(event.to_owned(), value["data"].take()));
        }
        if let Some(result) = value.get_mut("return") {
            return Some(Self::Return(id, result.take()));
        }
        if let Some(problem) = value["error"]["desc"].as_str() {
            return Some(Self::Error(id, problem.to_owned()));
        }
        let version = &value["QMP"]["version"]["qemu"];
        let number = |part| version[part].as_u64();
        let (major, minor, micro) = (number("major")?, number("minor")?, number("micro")?);
        Some(Self::Hello(format!("{major}.{minor}.{micro}")))
    }
}

/// The line to QEMU.
#[derive(Debug)]
pub(super) struct Qmp {
    stream: Stream,
    begun: Vec<u8>,
    last: u64,
    /// What was heard while something else was waited for.
    passed_over: Vec<Said>,
}

impl Qmp {
    /// Takes the supervisor's end, and asks to be listened to.
    pub fn new(socket: OwnedFd) -> Self {
        let mut qmp = Self {
            stream: Stream::new(socket),
            begun: Vec::new(),
            last: 0,
            passed_over: Vec::new(),
        };
        qmp.command("qmp_capabilities", &json!({}));
        qmp
    }

    /// Gives a command; its number is what the answer bears.
    pub fn command(&mut self, name: &str, arguments: &Value) -> u64 {
        self.last += 1;
        let command = json!({"execute": name, "arguments": arguments, "id": self.last});
        let out = self.stream.out();
        out.extend_from_slice(command.to_string().as_bytes());
        out.push(b'\n');
        self.stream.flush();
        self.last
    }

    /// Lets whoever has the other end of `socket` look at the screen, and type.
    pub fn show(&mut self, socket: &OwnedFd) {
        // QEMU takes a descriptor with the line that it came with: nothing else may wait before it.
        self.stream.flush();
        if self.stream.waiting() > 0 {
            return;
        }
        self.last += 1;
        let name = format!("screen{}", self.last);
        let take = json!({"execute": "getfd", "arguments": {"fdname": name}, "id": self.last});
        if self.stream.send_with(format!("{take}\n").as_bytes(), socket.as_fd()).is_ok() {
            let client = json!({"protocol": "vnc", "fdname": name, "skipauth": true});
            self.command("add_client", &client);
        }
    }

    /// What it has said since; lines that are no QMP are passed over.
    pub fn hear(&mut self) -> Vec<Said> {
        self.stream.flush();
        let bytes = self.stream.read();
        let mut said = std::mem::take(&mut self.passed_over);
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            if self.begun.len() + piece.len() <= LONGEST {
                self.begun.extend_from_slice(piece);
            }
            if piece.ends_with(b"\n") {
                said.extend(Said::parse(&self.begun));
                self.begun.clear();
            }
        }
        said
    }

    /// Gives a command and waits for its result, or why it failed.
    pub fn ask(&mut self, name: &str, arguments: &Value) -> Result<Value, String> {
        let number = self.command(name, arguments);
        self.answer(name, number)
    }

    /// The same, with a descriptor that the command is about.
    pub fn ask_with(
        &mut self,
        name: &str,
        arguments: &Value,
        descriptor: BorrowedFd<'_>,
    ) -> Result<Value, String> {
        // QEMU takes a descriptor with the line that it came with: nothing else may wait before it.
        self.stream.flush();
        if self.stream.waiting() > 0 {
            return Err(format!("QEMU does not listen ({name})"));
        }
        self.last += 1;
        let command = json!({"execute": name, "arguments": arguments, "id": self.last});
        let sent = self.stream.send_with(format!("{command}\n").as_bytes(), descriptor);
        sent.map_err(|error| format!("QEMU does not listen ({name}): {error}"))?;
        self.answer(name, self.last)
    }

    fn answer(&mut self, name: &str, number: u64) -> Result<Value, String> {
        self.wait_for(name, |said| match said {
            Said::Return(id, result) if *id == number => Some(Ok(result.take())),
            Said::Error(id, problem) if *id == number => Some(Err(problem.clone())),
            _ => None,
        })
    }

    /// Waits until something is said that `means` something; the rest is heard later.
    pub fn wait_for<T>(
        &mut self,
        what: &str,
        mut means: impl FnMut(&mut Said) -> Option<Result<T, String>>,
    ) -> Result<T, String> {
        let until = Instant::now() + PATIENCE;
        let mut kept = Vec::new();
        loop {
            let mut said = self.hear().into_iter();
            for mut one in said.by_ref() {
                if let Some(result) = means(&mut one) {
                    // In the order in which they were said.
                    kept.extend(said);
                    self.passed_over = kept;
                    return result;
                }
                kept.push(one);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || !self.is_open() {
                self.passed_over = kept;
                return Err(format!("QEMU does not answer ({what})"));
            }
            let left = Timespec::try_from(left).unwrap_or(Timespec { tv_sec: 1, tv_nsec: 0 });
            let _ = poll(&mut [PollFd::new(&self.stream, self.stream.events())], Some(&left));
        }
    }

    /// What to poll for.
    pub fn events(&self) -> PollFlags {
        self.stream.events()
    }

    /// Whether QEMU still listens.
    pub fn is_open(&self) -> bool {
        self.stream.is_open()
    }
}

impl AsFd for Qmp {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::super::stream::pair;
    use super::*;

    #[test]
    fn what_qemu_10_said() {
        let lines = [
            r#"{"QMP": {"version": {"qemu": {"micro": 2, "minor": 0, "major": 10}, "package": "Debian 1:10.0.2+ds-2"}, "capabilities": ["oob"]}}"#,
            r#"{"return": {}, "id": 1}"#,
            "rubbish",
            r#"{"timestamp": {"seconds": 1795867837, "microseconds": 443533}, "event": "SHUTDOWN", "data": {"guest": true, "reason": "guest-shutdown"}}"#,
            r#"{"id": 2, "error": {"class": "CommandNotFound", "desc": "The command no-such has not been found"}}"#,
        ];
        let (ours, theirs) = pair().unwrap();
        let (mut qmp, mut qemu) = (Qmp::new(ours), Stream::new(theirs));
        let first: Value = serde_json::from_slice(&qemu.read()).unwrap();
        assert_eq!(first, json!({"execute": "qmp_capabilities", "arguments": {}, "id": 1}));
        assert_eq!(qmp.command("no-such", &json!({})), 2);
        // Cut where it hurts.
        let text = lines.map(|line| format!("{line}\r\n")).concat();
        let (one, rest) = text.as_bytes().split_at(97);
        let mut said = Vec::new();
        for piece in [one, rest] {
            qemu.out().extend_from_slice(piece);
            qemu.flush();
            said.extend(qmp.hear());
        }
        assert_eq!(
            said,
            [
                Said::Hello("10.0.2".into()),
                Said::Return(1, json!({})),
                Said::Event("SHUTDOWN".into(), json!({"guest": true, "reason": "guest-shutdown"})),
                Said::Error(2, "The command no-such has not been found".into()),
            ]
        );
        drop(qemu);
        assert!(qmp.hear().is_empty() && !qmp.is_open());
    }
}
