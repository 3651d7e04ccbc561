//! Terminals and relays for `exec`.

use crate::error::{Doing, Problem, Res};
use rustix::event::{PollFd, PollFlags};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::pty::OpenptFlags;
use rustix::stdio::{stderr, stdin, stdout};
use rustix::termios::{
    OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize,
};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// A terminal of the machine's own: the caller's end and the program's.
///
/// The machine may have put anything at the path: what is opened has to be the multiplexer of a
/// devpts, and the program's end is taken from the caller's end, not from a path.
pub(crate) fn open(uid: u32) -> Res<(OwnedFd, OwnedFd)> {
    const DEVPTS: u64 = 0x1cd1;
    let make = || -> rustix::io::Result<Option<(OwnedFd, OwnedFd)>> {
        let look = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let seen = rustix::fs::open("/dev/pts/ptmx", look, Mode::empty())?;
        let kind = rustix::fs::fstatfs(&seen)?.f_type;
        let mode = rustix::fs::fstat(&seen)?.st_mode;
        if u64::try_from(kind) != Ok(DEVPTS)
            || FileType::from_raw_mode(mode) != FileType::CharacterDevice
        {
            return Ok(None);
        }
        let path = "/dev/pts/ptmx";
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let ours = rustix::fs::open(path, flags, Mode::empty())?;
        if rustix::fs::fstatfs(&ours)?.f_type != kind {
            return Ok(None);
        }
        rustix::pty::unlockpt(&ours)?;
        let theirs = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let theirs = rustix::pty::ioctl_tiocgptpeer(&ours, theirs)?;
        rustix::fs::fchown(&theirs, Some(rustix::fs::Uid::from_raw(uid)), None)?;
        Ok(Some((ours, theirs)))
    };
    make()
        .doing("open a terminal in the machine")?
        .ok_or_else(|| Problem::plain("the machine has replaced its /dev/pts/ptmx"))
}

/// Rows and columns of this process's own terminal.
pub(crate) fn size() -> Option<(u16, u16)> {
    let size = tcgetwinsize(stdin()).or_else(|_| tcgetwinsize(stdout())).ok()?;
    Some((size.ws_row, size.ws_col))
}

/// Gives a terminal the size of this process's own.
pub(crate) fn copy_size(terminal: &OwnedFd) {
    if let Ok(size) = tcgetwinsize(stdin()).or_else(|_| tcgetwinsize(stdout())) {
        let _ = tcsetwinsize(terminal, size);
    }
}

/// This process's terminal without echo, lines and signals, until dropped.
pub(crate) struct Raw(Termios);

impl Raw {
    pub fn set() -> Option<Self> {
        let before = tcgetattr(stdin()).ok()?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(stdin(), OptionalActions::Now, &raw).ok()?;
        Some(Self(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = tcsetattr(stdin(), OptionalActions::Now, &self.0);
    }
}

enum From {
    Stdin,
    Fd(OwnedFd),
}

enum To {
    Stdout,
    Stderr,
    Fd(OwnedFd),
}

struct Way {
    from: From,
    to: To,
    /// At the end of input, what is typed to say so on a terminal.
    end: &'static [u8],
}

impl Way {
    fn from(&self) -> BorrowedFd<'_> {
        match &self.from {
            From::Stdin => stdin(),
            From::Fd(fd) => fd.as_fd(),
        }
    }

    fn to(&self) -> BorrowedFd<'_> {
        match &self.to {
            To::Stdout => stdout(),
            To::Stderr => stderr(),
            To::Fd(fd) => fd.as_fd(),
        }
    }

    /// Passes one piece on; whether there may be more.
    fn pass(&self) -> bool {
        let mut bytes = vec![0; 32 << 10];
        let length = match rustix::io::read(self.from(), &mut bytes) {
            Err(Errno::INTR | Errno::AGAIN) => return true,
            // A terminal whose last user is gone gives an error, not an end.
            Ok(0) | Err(_) => {
                let _ = rustix::io::write(self.to(), self.end);
                return false;
            }
            Ok(length) => length,
        };
        let mut rest = &bytes[..length];
        while !rest.is_empty() {
            match rustix::io::write(self.to(), rest) {
                Ok(written) => rest = &rest[written..],
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    let mut wanted = [PollFd::from_borrowed_fd(self.to(), PollFlags::OUT)];
                    let _ = rustix::event::poll(&mut wanted, None);
                }
                Err(_) => return false,
            }
        }
        true
    }

    fn is_input(&self) -> bool {
        matches!(self.from, From::Stdin)
    }

    fn is_ready(&self) -> bool {
        let mut wanted = [PollFd::from_borrowed_fd(self.from(), PollFlags::IN)];
        let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
        rustix::event::poll(&mut wanted, Some(&now)).is_ok_and(|ready| ready > 0)
    }
}

/// Carries bytes between this process's streams and the program's.
#[derive(Default)]
pub(crate) struct Relay(Vec<Way>);

impl Relay {
    /// Streams for a program without a terminal: this process's own, except that a terminal is
    /// replaced by a pipe, because a machine could type into it or change its settings.
    pub fn streams(&mut self) -> Res<[OwnedFd; 3]> {
        let pipe =
            || rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).doing("make a pipe");
        let own = |fd: BorrowedFd<'_>| fd.try_clone_to_owned().doing("use a standard stream");
        let input = if isatty(stdin()) {
            let (theirs, ours) = pipe()?;
            self.0.push(Way { from: From::Stdin, to: To::Fd(ours), end: b"" });
            theirs
        } else {
            own(stdin())?
        };
        let mut output = |fd: BorrowedFd<'_>, to| -> Res<OwnedFd> {
            if isatty(fd) {
                let (ours, theirs) = pipe()?;
                self.0.push(Way { from: From::Fd(ours), to, end: b"" });
                Ok(theirs)
            } else {
                own(fd)
            }
        };
        Ok([input, output(stdout(), To::Stdout)?, output(stderr(), To::Stderr)?])
    }

    /// Connects a program's terminal to this process's streams.
    pub fn terminal(&mut self, terminal: &OwnedFd) -> Res<Option<Raw>> {
        let again = || terminal.try_clone().doing("use the terminal");
        self.0.push(Way { from: From::Stdin, to: To::Fd(again()?), end: b"\x04" });
        self.0.push(Way { from: From::Fd(again()?), to: To::Stdout, end: b"" });
        copy_size(terminal);
        Ok(if isatty(stdin()) { Raw::set() } else { None })
    }

    pub fn want<'a>(&'a self, wanted: &mut Vec<PollFd<'a>>) {
        let reads = |way: &'a Way| PollFd::from_borrowed_fd(way.from(), PollFlags::IN);
        wanted.extend(self.0.iter().map(reads));
    }

    /// Passes on what is there now.
    pub fn pass(&mut self) {
        self.0.retain(|way| !way.is_ready() || way.pass());
    }

    /// Passes on the last of the output. Something the program left running may still hold it.
    pub fn finish(&mut self) {
        for way in self.0.iter().filter(|way| !way.is_input()) {
            while way.is_ready() && way.pass() {}
        }
    }
}
