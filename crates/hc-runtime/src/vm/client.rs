//! `exec` and the console of a virtual machine, from outside its supervisor.

use super::channel::exec;
use super::session::{Session, connect};
use crate::config::{ExecConfig, Places};
use crate::error::{Doing, Problem, Res};
use crate::exec::terminal::{Raw, size};
use crate::sys::signals::Blocked;
use hc_guest::wire::{self, End, FromGuest, ToGuest};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::stdio::{stderr, stdin, stdout};
use std::os::fd::BorrowedFd;
use std::path::Path;

/// Name of the socket for those who watch the console.
pub(super) const CONSOLE: &str = "console.sock";
/// Name of the socket for those who have the machine stand still.
pub(super) const STILL: &str = "still.sock";
/// Name of the socket for those who look at the screen.
pub(super) const SCREEN: &str = "vnc.sock";
/// What ends `hc console`: Ctrl-].
const ESCAPE: u8 = 0x1d;

const PASSED_ON: [i32; 5] =
    [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGQUIT, libc::SIGUSR1];

/// The socket on which a PC shows its screen to VNC viewers.
#[must_use]
pub fn screen(run_dir: &Path, name: &str) -> std::path::PathBuf {
    Places::new(run_dir, Path::new(""), name).run.join(SCREEN)
}

/// Reads input and passes it on; whether there may be more. At its end, `end` and the end.
fn pass_input(session: &mut Session, end: &[u8]) -> Res<bool> {
    let mut bytes = vec![0; session.room()];
    match rustix::io::read(stdin(), &mut bytes) {
        Err(Errno::INTR | Errno::AGAIN) => {}
        Ok(length) if length > 0 => {
            bytes.truncate(length);
            session.input(bytes)?;
        }
        Ok(_) | Err(_) => {
            if !end.is_empty() {
                session.input(end.to_vec())?;
            }
            session.input(Vec::new())?;
            return Ok(false);
        }
    }
    Ok(true)
}

/// Runs a program in a virtual machine, connected to this process's standard streams.
pub(crate) fn run(config: &ExecConfig) -> Res<i32> {
    let mut watched = PASSED_ON.to_vec();
    watched.push(libc::SIGWINCH);
    let signals = Blocked::new(&watched).doing("take over signals")?;
    let first = exec(config, config.tty.then(terminal_size));
    let mut session = Session::begin(&config.run_dir, &config.name, &first)?;
    let raw = if config.tty { Raw::set() } else { None };
    let ended = attend(config, &mut session, &signals);
    drop(raw);
    ended
}

pub(super) fn terminal_size() -> wire::Size {
    let (rows, columns) = size().unwrap_or((24, 80));
    wire::Size { rows, columns }
}

fn attend(config: &ExecConfig, session: &mut Session, signals: &Blocked) -> Res<i32> {
    let end: &[u8] = if config.tty { b"\x04" } else { b"" };
    let mut reads = true;
    loop {
        let mut wanted =
            vec![PollFd::new(&signals.fd, PollFlags::IN), PollFd::new(session, session.events())];
        let may_read = reads && session.room() > 0;
        if may_read {
            wanted.push(PollFd::from_borrowed_fd(stdin(), PollFlags::IN));
        }
        match poll(&mut wanted, None) {
            Err(Errno::INTR) => continue,
            ready => ready.doing("wait for the program")?,
        };
        let typed = may_read && !wanted[2].revents().is_empty();
        drop(wanted);
        while let Some(signal) = signals.next() {
            match u8::try_from(signal) {
                Ok(_) if signal == libc::SIGWINCH && config.tty => {
                    session.say(&ToGuest::Resize(terminal_size()))?;
                }
                Ok(number) if signal != libc::SIGWINCH => session.say(&ToGuest::Signal(number))?,
                _ => {}
            }
        }
        if typed {
            reads = pass_input(session, end)?;
        }
        for message in session.hear()? {
            match message {
                FromGuest::Output(stream, bytes) => {
                    let to = if stream == 2 { stderr() } else { stdout() };
                    if !write_all(to, &bytes) {
                        // Nobody reads: the program is told so, as a pipe would tell it.
                        return Ok(128 + libc::SIGPIPE);
                    }
                    session.taken(bytes.len())?;
                }
                FromGuest::Exit(End::Code(code)) => return Ok(code.into()),
                FromGuest::Exit(End::Signal(signal)) => return Ok(128 + i32::from(signal)),
                FromGuest::Failed(problem) => return Err(Problem::Plain(problem)),
                _ => {}
            }
        }
    }
}

/// Whether all of it was written; waits where it has to.
pub(super) fn write_all(to: BorrowedFd<'_>, mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        match rustix::io::write(to, bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                let _ = poll(&mut [PollFd::from_borrowed_fd(to, PollFlags::OUT)], None);
            }
            Err(_) => return false,
        }
    }
    true
}

/// Connects this process's terminal with the console, until Ctrl-] or the machine's end. Without
/// `attached` it shows what was said so far, and ends.
pub(crate) fn watch_console(run_dir: &Path, name: &str) -> Res<()> {
    let mut line = connect(run_dir, name, CONSOLE)?;
    let raw = Raw::set();
    let mut reads = true;
    while line.is_open() {
        let mut wanted = vec![PollFd::new(&line, line.events())];
        if reads {
            wanted.push(PollFd::from_borrowed_fd(stdin(), PollFlags::IN));
        }
        match poll(&mut wanted, None) {
            Err(Errno::INTR) => continue,
            ready => ready.doing("wait for the console")?,
        };
        let typed = reads && !wanted[1].revents().is_empty();
        drop(wanted);
        if typed {
            let mut bytes = [0; 4096];
            let length = match rustix::io::read(stdin(), &mut bytes) {
                Err(Errno::INTR | Errno::AGAIN) => continue,
                Ok(length) => length,
                Err(_) => 0,
            };
            reads = length > 0;
            let typed = &bytes[..length];
            let escape = typed.iter().position(|byte| *byte == ESCAPE);
            line.out().extend_from_slice(&typed[..escape.unwrap_or(length)]);
            line.flush();
            if escape.is_some() {
                break;
            }
        }
        line.flush();
        if !write_all(stdout(), &line.read()) {
            break;
        }
    }
    drop(raw);
    Ok(())
}
