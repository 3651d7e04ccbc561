//! Files of a virtual machine, as tar streams through its guest channel.

use super::session::Session;
use crate::copy::{Done, Files, Sink, Source};
use crate::error::{Problem, Res, RunError};
use hc_guest::wire::{End, FromGuest, ToGuest};
use std::collections::VecDeque;
use std::io::{Error, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

/// The files of a virtual machine that runs.
#[derive(Debug)]
pub(crate) struct Guest {
    run_dir: PathBuf,
    name: String,
}

impl Guest {
    /// The machine `name`, found in `run_dir`.
    pub fn new(run_dir: &Path, name: &str) -> Self {
        Self { run_dir: run_dir.into(), name: name.into() }
    }

    fn begin(&self, path: &Path, what: impl FnOnce(String) -> ToGuest) -> Result<Copy, RunError> {
        let begin = || -> Res<Session> {
            Session::begin(&self.run_dir, &self.name, &what(in_machine(path)?))
        };
        let session = begin()
            .map_err(|problem| RunError::Copy { problem: format!("{}: {problem}", self.name) })?;
        Ok(Copy::new(&self.name, session))
    }
}

impl Files for Guest {
    fn pack(&self, path: &Path) -> Result<Box<dyn Source>, RunError> {
        let copy = self.begin(path, |path| {
            // The guest goes by the last part of a path.
            ToGuest::Pack(if path.ends_with('/') { path + "." } else { path })
        })?;
        Ok(Box::new(copy))
    }

    fn unpack(&self, path: &Path) -> Result<Box<dyn Sink>, RunError> {
        Ok(Box::new(self.begin(path, ToGuest::Unpack)?))
    }
}

/// A path that begins at the machine's root, as text.
fn in_machine(path: &Path) -> Res<String> {
    let path = Path::new("/").join(path);
    let text = path.to_str().ok_or_else(|| {
        Problem::plain(format!("{} is not UTF-8, and the guest channel is", path.display()))
    })?;
    Ok(text.to_owned())
}

/// One side of a copy.
struct Copy {
    name: String,
    session: Session,
    /// Of the tar stream, not read yet.
    bytes: VecDeque<u8>,
    /// What was said beside it.
    said: String,
    ended: Option<Result<End, String>>,
}

impl Copy {
    fn new(name: &str, session: Session) -> Self {
        let (bytes, said) = (VecDeque::new(), String::new());
        Self { name: name.into(), session, bytes, said, ended: None }
    }

    fn problem(&self, problem: impl std::fmt::Display) -> RunError {
        RunError::Copy { problem: format!("{}: {problem}", self.name) }
    }

    /// Takes in what the guest has said.
    fn hear(&mut self) -> Res<()> {
        for message in self.session.hear()? {
            match message {
                FromGuest::Output(1, bytes) => self.bytes.extend(bytes),
                FromGuest::Output(_, bytes) => {
                    self.said.push_str(&String::from_utf8_lossy(&bytes));
                    self.session.taken(bytes.len())?;
                }
                FromGuest::Exit(end) => self.ended = Some(Ok(end)),
                FromGuest::Failed(why) => self.ended = Some(Err(why)),
                _ => {}
            }
        }
        Ok(())
    }

    fn end(mut self) -> Result<Done, RunError> {
        while self.ended.is_none() {
            let heard = self.session.wait(None).and_then(|()| self.hear());
            heard.map_err(|problem| self.problem(problem))?;
            let unread = std::mem::take(&mut self.bytes).len();
            if unread > 0 {
                self.session.taken(unread).map_err(|problem| self.problem(problem))?;
            }
        }
        let mut lines: Vec<String> = self.said.lines().map(str::to_owned).collect();
        match self.ended.take() {
            Some(Ok(End::Code(0))) => {
                Ok(lines.into_iter().map(|line| format!("{}: {line}", self.name)).collect())
            }
            Some(Err(why)) => Err(self.problem(why)),
            // What was left out before is no news then.
            ended => match lines.pop() {
                Some(why) => Err(self.problem(why)),
                None => Err(self.problem(format!("it ended in the middle ({ended:?})"))),
            },
        }
    }
}

fn other(problem: Problem) -> Error {
    Error::other(problem.to_string())
}

impl Read for Copy {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        while self.bytes.is_empty() && self.ended.is_none() {
            self.session.wait(None).map_err(other)?;
            self.hear().map_err(other)?;
        }
        let count = self.bytes.read(bytes)?;
        if count > 0 && self.ended.is_none() {
            self.session.taken(count).map_err(other)?;
        }
        Ok(count)
    }
}

impl Write for Copy {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        loop {
            self.hear().map_err(other)?;
            if self.ended.is_some() {
                return Err(ErrorKind::BrokenPipe.into());
            }
            let count = self.session.room().min(bytes.len());
            if count > 0 || bytes.is_empty() {
                self.session.input(bytes[..count].to_vec()).map_err(other)?;
                return Ok(count);
            }
            self.session.wait(None).map_err(other)?;
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Source for Copy {
    fn finish(self: Box<Self>) -> Result<Done, RunError> {
        self.end()
    }
}

impl Sink for Copy {
    fn finish(mut self: Box<Self>) -> Result<Done, RunError> {
        if self.ended.is_none() {
            let ended = self.session.input(Vec::new());
            ended.map_err(|problem| self.problem(problem))?;
        }
        self.end()
    }
}

#[cfg(test)]
mod tests {
    use super::super::channel::OWN;
    use super::super::session::pretend;
    use super::super::stream::Stream;
    use super::*;
    use hc_guest::wire::{self, Decoder};

    fn begin(first: &ToGuest) -> (Copy, Stream) {
        let (session, guest) = pretend(first);
        (Copy::new("db", session), guest)
    }

    fn says(guest: &mut Stream, all: &[FromGuest]) {
        for one in all {
            wire::encode(OWN, one, guest.out()).unwrap();
        }
        guest.flush();
    }

    #[test]
    fn a_stream_is_read_to_its_end_and_granted_as_it_is_read() {
        let (mut copy, mut guest) = begin(&ToGuest::Pack("/srv".into()));
        let all = [
            FromGuest::Output(1, b"one".to_vec()),
            FromGuest::Output(2, b"srv/x: a socket\n".to_vec()),
            FromGuest::Output(1, b"two".to_vec()),
        ];
        says(&mut guest, &all);
        let mut read = vec![0; 6];
        copy.read_exact(&mut read).unwrap();
        assert_eq!(read, b"onetwo");
        says(&mut guest, &[FromGuest::Exit(End::Code(0))]);
        assert_eq!(copy.read(&mut read).unwrap(), 0);
        assert_eq!(Source::finish(Box::new(copy)).unwrap(), ["db: srv/x: a socket"]);
        let mut decoder = Decoder::<ToGuest>::new();
        decoder.push(&guest.read());
        let mut granted = 0;
        while let Some((_, message)) = decoder.next().unwrap() {
            granted += if let ToGuest::Window(count) = message { count } else { 0 };
        }
        assert_eq!(granted, 6 + 16);
    }

    #[test]
    fn what_the_guest_refuses_is_said_and_nothing_more_is_sent() {
        let (mut copy, mut guest) = begin(&ToGuest::Unpack("/srv".into()));
        copy.write_all(b"some").unwrap();
        let why = b"x: a device\ncannot write /srv/y: no space left\n".to_vec();
        says(&mut guest, &[FromGuest::Output(2, why), FromGuest::Exit(End::Code(1))]);
        let broken = loop {
            if let Err(error) = copy.write(b"more") {
                break error;
            }
        };
        assert_eq!(broken.kind(), ErrorKind::BrokenPipe);
        let said = Sink::finish(Box::new(copy)).unwrap_err().to_string();
        assert!(said.contains("db: cannot write /srv/y: no space left"), "{said}");
    }

    #[test]
    fn no_more_is_sent_than_the_guest_has_room_for() {
        let (mut copy, mut guest) = begin(&ToGuest::Unpack("/".into()));
        let bytes = vec![7; 2 * wire::WINDOW as usize];
        let received = std::thread::spawn(move || {
            let (mut decoder, mut received, mut granted) = (Decoder::<ToGuest>::new(), 0, 0);
            loop {
                decoder.push(&guest.read());
                while let Some((_, message)) = decoder.next().unwrap() {
                    match message {
                        ToGuest::Input(bytes) if bytes.is_empty() => {
                            says(&mut guest, &[FromGuest::Exit(End::Code(0))]);
                            return received;
                        }
                        ToGuest::Input(bytes) => received += bytes.len(),
                        _ => {}
                    }
                }
                assert!(received <= granted + wire::WINDOW as usize);
                if received - granted == wire::WINDOW as usize {
                    granted = received;
                    says(&mut guest, &[FromGuest::Window(wire::WINDOW)]);
                }
                std::thread::yield_now();
            }
        });
        copy.write_all(&bytes).unwrap();
        assert!(Sink::finish(Box::new(copy)).unwrap().is_empty());
        assert_eq!(received.join().unwrap(), bytes.len());
    }

    #[test]
    fn paths_begin_at_the_machines_root() {
        for (path, expected) in [("etc/x", "/etc/x"), ("/a/", "/a/"), ("a/.", "/a/."), ("/", "/")] {
            assert_eq!(in_machine(Path::new(path)).unwrap(), expected);
        }
        let odd = <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(b"a\xff");
        assert!(in_machine(Path::new(odd)).unwrap_err().to_string().contains("not UTF-8"));
    }
}
