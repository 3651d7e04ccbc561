//! Asking a container: each question is a process of its own, so that no answer that is slow to come
//! keeps the supervisor from its work: in the machine's network namespace for ports, entered like
//! `hc exec` for commands. It ends with the supervisor.

use super::Run;
use super::health::{Answer, Ask};
use super::start::Init;
use crate::config::ExecConfig;
use crate::error::{Doing, Res};
use crate::exec::{Inside, run_quietly};
use crate::sys::process::{self, Cloned, Ended};
use crate::sys::signals;
use hc_guest::ask::{LOOPBACK, judge, request, suffices};
use hc_spec::health::Question;
use rustix::event::{PollFd, PollFlags};
use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

/// A container that runs, to be asked.
pub(super) struct Entered<'a>(pub &'a Init);

/// A question that a process asks.
pub(super) struct Asked {
    child: Cloned,
    said: File,
    waited: bool,
}

impl Ask for Entered<'_> {
    type Asked = Asked;

    fn ask(&mut self, run: &Run<'_>, question: &Question, timeout: Duration) -> Res<Asked> {
        let init = self.0.again().doing("use a descriptor")?;
        let inside = Inside { status: run.status.clone(), spec: run.spec.clone(), init };
        ask(question, inside, timeout)
    }

    fn answer(&mut self, asked: &mut Asked) -> Option<Answer> {
        if !ended(&asked.child.pidfd) {
            return None;
        }
        let ended = process::wait(asked.child.pid);
        asked.waited = true;
        let mut said = String::new();
        let _ = (&mut asked.said).take(300).read_to_string(&mut said);
        Some(match ended {
            Ok(Ended::Code(0)) => Ok(()),
            Ok(Ended::Code(_)) if !said.is_empty() => Err(said),
            Ok(Ended::Code(code)) => Err(format!("exit status {code}")),
            Ok(Ended::Signal(signal)) => Err(format!("signal {signal}")),
            Err(error) => Err(error.to_string()),
        })
    }

    fn give_up(&mut self, _asked: Asked) {}
}

impl Asked {
    /// What tells that an answer is there.
    pub fn wants(&self) -> PollFd<'_> {
        PollFd::new(&self.child.pidfd, PollFlags::IN)
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        if !self.waited {
            let _ = signals::kill_fd(self.child.pidfd.as_fd(), libc::SIGKILL);
            let _ = process::wait(self.child.pid);
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
    Ok(Asked { child, said: said.into(), waited: false })
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
    let mut why = String::new();
    for address in LOOPBACK {
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
    let mut asked = || -> std::io::Result<Vec<u8>> {
        stream.set_read_timeout(Some(timeout))?;
        stream.write_all(request(path).as_bytes())?;
        let mut line = Vec::new();
        let mut bytes = [0; 256];
        while !suffices(&line) {
            match stream.read(&mut bytes)? {
                0 => break,
                length => line.extend_from_slice(&bytes[..length]),
            }
        }
        Ok(line)
    };
    judge(&asked().map_err(|error| error.to_string())?)
}
