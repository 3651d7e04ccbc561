//! Asking a machine whether it is ready, and whether it still works.
//!
//! Each question is a process of its own, so that no answer that is slow to come keeps the
//! supervisor from its work: in the machine's network namespace for ports, entered like `hc exec`
//! for commands. It ends with the supervisor.

use crate::config::ExecConfig;
use crate::error::{Doing, Res};
use crate::exec::{Inside, run_quietly};
use crate::sys::process::{self, Cloned, Ended};
use crate::sys::signals;
use hc_spec::health::Question;
use rustix::event::{PollFd, PollFlags};
use std::fs::File;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

/// How a machine answered: well, or why not.
pub(super) type Answer = Result<(), String>;

/// A question that is asked again and again.
pub(super) struct Asker {
    question: Question,
    /// Longest time to the answer.
    timeout: Duration,
    /// Time between an answer and the next question, which may grow up to a limit.
    pause: Duration,
    longest_pause: Duration,
    due: Instant,
    asked: Option<Asked>,
}

struct Asked {
    child: Cloned,
    said: File,
    deadline: Instant,
}

impl Asker {
    /// Asked at once, then less and less often.
    pub fn eager(question: Question) -> Self {
        Self {
            question,
            timeout: Duration::from_secs(5),
            pause: Duration::from_millis(5),
            longest_pause: Duration::from_millis(500),
            due: Instant::now(),
            asked: None,
        }
    }

    /// Asked every `interval`, first after one.
    pub fn regular(question: Question, interval: Duration, timeout: Duration) -> Self {
        let due = Instant::now() + interval;
        Self { question, timeout, pause: interval, longest_pause: interval, due, asked: None }
    }

    /// When it wants to be looked at, if nothing happens before.
    pub fn next(&self) -> Instant {
        self.asked.as_ref().map_or(self.due, |asked| asked.deadline)
    }

    /// What tells that an answer is there.
    pub fn wants(&self) -> Option<PollFd<'_>> {
        let asked = self.asked.as_ref()?;
        Some(PollFd::new(&asked.child.pidfd, PollFlags::IN))
    }

    /// Takes an answer that is there, or asks if it is time to.
    pub fn attend(&mut self, inside: impl FnOnce() -> Res<Inside>) -> Option<Answer> {
        let Some(asked) = &mut self.asked else {
            if self.due > Instant::now() {
                return None;
            }
            return match inside().and_then(|inside| ask(&self.question, inside, self.timeout)) {
                Ok(asked) => {
                    self.asked = Some(asked);
                    None
                }
                Err(problem) => self.answered(Err(problem.to_string())),
            };
        };
        let late = asked.deadline <= Instant::now();
        if late {
            let _ = signals::kill_fd(asked.child.pidfd.as_fd(), libc::SIGKILL);
        } else if !ended(&asked.child.pidfd) {
            return None;
        }
        let ended = process::wait(asked.child.pid);
        let mut said = String::new();
        let _ = (&mut asked.said).take(300).read_to_string(&mut said);
        let answer = match ended {
            _ if late => Err(format!("no answer within {} s", self.timeout.as_secs())),
            Ok(Ended::Code(0)) => Ok(()),
            Ok(Ended::Code(_)) if !said.is_empty() => Err(said),
            Ok(Ended::Code(code)) => Err(format!("exit status {code}")),
            Ok(Ended::Signal(signal)) => Err(format!("signal {signal}")),
            Err(error) => Err(error.to_string()),
        };
        self.asked = None;
        self.answered(answer)
    }

    fn answered(&mut self, answer: Answer) -> Option<Answer> {
        self.due = Instant::now() + self.pause;
        self.pause = (self.pause * 3 / 2).min(self.longest_pause);
        let what = match &self.question {
            Question::Command(argv) => argv.join(" "),
            Question::Tcp(port) => format!("port {port}"),
            Question::Http(port, path) => format!("http://localhost:{port}{path}"),
        };
        Some(answer.map_err(|why| format!("{what}: {why}")))
    }
}

impl Drop for Asker {
    fn drop(&mut self) {
        if let Some(asked) = &self.asked {
            let _ = signals::kill_fd(asked.child.pidfd.as_fd(), libc::SIGKILL);
            let _ = process::wait(asked.child.pid);
        }
    }
}

fn ended(pidfd: &OwnedFd) -> bool {
    let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
    let mut wanted = [PollFd::new(pidfd, PollFlags::IN)];
    rustix::event::poll(&mut wanted, Some(&now)).is_ok_and(|count| count > 0)
}

fn ask(question: &Question, inside: Inside, timeout: Duration) -> Res<Asked> {
    let (said, theirs) =
        rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).doing("make a pipe")?;
    // SAFETY: the supervisor has one thread while it watches, and the child never returns.
    let child = unsafe { process::clone(0, None, libc::SIGCHLD) }.doing("make a process")?;
    let Some(child) = child else {
        let answered = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            // One that outlived the supervisor would keep what it has open.
            process::die_with_parent().map_err(|error| error.to_string())?;
            match question {
                Question::Command(argv) => command(argv, &inside),
                Question::Tcp(port) => connect(&inside, *port, timeout).map(drop),
                Question::Http(port, path) => get(&inside, *port, path, timeout),
            }
        }));
        let code = match answered {
            Ok(Ok(())) => 0,
            Ok(Err(why)) => {
                let _ = File::from(theirs).write_all(why.as_bytes());
                1
            }
            Err(_) => 70,
        };
        process::exit_now(code)
    };
    rustix::io::ioctl_fionbio(&said, true).doing("make a pipe")?;
    Ok(Asked { child, said: said.into(), deadline: Instant::now() + timeout })
}

fn command(argv: &[String], inside: &Inside) -> Answer {
    let name = inside.spec.name.as_str();
    let mut config = ExecConfig::new("", name, argv.to_vec());
    config.user = Some(inside.spec.user().to_owned());
    config.workdir = Some(inside.spec.workdir().to_owned());
    match run_quietly(&config, inside) {
        Ok(0) => Ok(()),
        Ok(code) if code > 128 => Err(format!("signal {}", code - 128)),
        Ok(code) => Err(format!("exit status {code}")),
        Err(problem) => Err(problem.to_string()),
    }
}

/// Connects to the machine's own loopback, from there and without any privilege.
fn connect(inside: &Inside, port: u16, timeout: Duration) -> Result<TcpStream, String> {
    process::enter(inside.init.as_fd(), libc::CLONE_NEWNET)
        .and_then(|()| process::set_capabilities(0))
        .map_err(|error| format!("cannot enter the machine's network: {error}"))?;
    let loopback = [IpAddr::V6(Ipv6Addr::LOCALHOST), IpAddr::V4(Ipv4Addr::LOCALHOST)];
    let mut why = String::new();
    for address in loopback {
        match TcpStream::connect_timeout(&SocketAddr::new(address, port), timeout) {
            Ok(stream) => return Ok(stream),
            Err(error) => why = error.to_string(),
        }
    }
    Err(why)
}

/// Asks by HTTP/1.1 and reads the first line of the answer.
fn get(inside: &Inside, port: u16, path: &str, timeout: Duration) -> Answer {
    let mut stream = connect(inside, port, timeout)?;
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: hc\r\nConnection: close\r\n\r\n"
    );
    let mut asked = || -> std::io::Result<Vec<u8>> {
        stream.set_read_timeout(Some(timeout))?;
        stream.write_all(request.as_bytes())?;
        let mut line = Vec::new();
        let mut bytes = [0; 256];
        while line.len() < 1024 && !line.contains(&b'\n') {
            match stream.read(&mut bytes)? {
                0 => break,
                length => line.extend_from_slice(&bytes[..length]),
            }
        }
        Ok(line)
    };
    let line = asked().map_err(|error| error.to_string())?;
    match status(&line) {
        Some(200..=399) => Ok(()),
        Some(status) => Err(format!("status {status}")),
        None => Err("the answer is no HTTP".into()),
    }
}

/// The number in `HTTP/1.1 200 OK`.
fn status(line: &[u8]) -> Option<u16> {
    let rest = line.strip_prefix(b"HTTP/1.")?;
    let number = rest.get(2..5).filter(|_| rest.get(1) == Some(&b' '))?;
    let ends = rest.get(5).is_none_or(|byte| b" \r\n".contains(byte));
    std::str::from_utf8(number).ok()?.parse().ok().filter(|status| ends && *status >= 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_status_counts() {
        for (line, expected) in [
            (&b"HTTP/1.1 200 OK\r\n"[..], Some(200)),
            (b"HTTP/1.0 503\r\n", Some(503)),
            (b"HTTP/1.1 404 ", Some(404)),
            (b"HTTP/1.1 2000", None),
            (b"HTTP/1.1 20", None),
            (b"HTTP/1.1 +20 x", None),
            (b"SSH-2.0-x", None),
            (b"", None),
        ] {
            assert_eq!(status(line), expected, "{}", String::from_utf8_lossy(line));
        }
    }
}
