//! The host's end of the channel into a guest, and those who use it: each connection to the machine's
//! socket is one session, in the channel's own messages (`docs/guest-channel.md`).

use super::stream::Stream;
use crate::supervise::health::Answer;
use hc_guest::wire::{self, Decoder, Exec, FromGuest, MACHINE, ToGuest};
use rustix::event::PollFlags;
use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// The session's number as its client sees it.
pub(super) const OWN: u32 = 1;
/// More than anybody may send who keeps to its window, and a message besides.
const MOST: usize = wire::LONGEST + (wire::WINDOW as usize) * 2;

/// What the guest says about the machine itself.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// It listens, and speaks this version.
    Hello(u32),
    Identified,
    Started,
    Ready,
    Notify(String),
    Failed(String),
    Quiet,
    /// Its root is mounted, before it is anybody.
    Mounted,
    /// It can stand still at once.
    Rehearsed,
    /// How, and whether memory had run out.
    Ended(wire::End, bool),
    Output(u8, Vec<u8>),
    /// Somebody wants the volume of this name to be known as grown, in this session.
    Grow(u32, String),
    /// So many more bytes may be sent to its command.
    Room(u32),
    /// Nothing more will come: it spoke nonsense.
    Broken(wire::WireError),
}

/// Somebody with a session, or about to have one.
struct Client {
    stream: Stream,
    decoder: Decoder<ToGuest>,
    session: Option<u32>,
    /// Its session is over: it has only to read what waits.
    done: bool,
}

/// A session of the supervisor's own, of which only the end counts.
#[derive(Default)]
struct Question {
    said: String,
    answer: Option<Answer>,
}

/// The channel and its clients.
pub(super) struct Channel {
    guest: Stream,
    decoder: Decoder<FromGuest>,
    clients: BTreeMap<u32, Client>,
    /// What the supervisor itself asks the guest.
    questions: BTreeMap<u32, Question>,
    /// Sessions whose client is gone, until the guest has ended them.
    abandoned: Vec<u32>,
    next: u32,
    identified: bool,
    broken: bool,
    /// The guest stands still, or is about to: nobody may say anything to it meanwhile.
    held: bool,
}

impl Channel {
    /// The same to a guest that was copied while it spoke to somebody else: what is left of that is
    /// passed over.
    pub fn open_to_copy(guest: Stream) -> Result<Self, wire::WireError> {
        Ok(Self { decoder: Decoder::until_hello(), ..Self::open(guest)? })
    }

    /// Greets the guest; it hears that as soon as it listens.
    pub fn open(guest: Stream) -> Result<Self, wire::WireError> {
        let mut channel = Self {
            guest,
            decoder: Decoder::new(),
            clients: BTreeMap::new(),
            questions: BTreeMap::new(),
            abandoned: Vec::new(),
            next: 1,
            identified: false,
            broken: false,
            held: false,
        };
        channel.send(MACHINE, &ToGuest::Hello(wire::VERSION))?;
        Ok(channel)
    }

    /// Tells the guest who it is, answered or not.
    pub fn identify(&mut self, identity: wire::Identity) -> Result<(), wire::WireError> {
        self.send(MACHINE, &ToGuest::Identity(Box::new(identity)))
    }

    /// Sends a message to the guest.
    pub fn send(&mut self, session: u32, message: &ToGuest) -> Result<(), wire::WireError> {
        wire::encode(session, message, self.guest.out())?;
        self.guest.flush();
        Ok(())
    }

    /// Holds clients back, so that nothing half said is in the guest; or no longer.
    pub fn hold(&mut self, held: bool) {
        self.held = held;
    }

    /// Takes in a new client.
    pub fn welcome(&mut self, socket: OwnedFd) {
        let (stream, decoder) = (Stream::new(socket), Decoder::new());
        let client = Client { stream, decoder, session: None, done: false };
        self.clients.insert(self.next, client);
        self.next += 1;
    }

    /// What to poll for. Clients are heard once the guest knows who it is, and while what they said
    /// before has gone to the guest.
    pub fn wanted(&self) -> Vec<(BorrowedFd<'_>, PollFlags)> {
        let mut wanted = Vec::with_capacity(1 + self.clients.len());
        if !self.broken && self.guest.is_open() {
            wanted.push((self.guest.as_fd(), self.guest.events()));
        }
        let heard = self.identified && !self.held && self.guest.waiting() < MOST;
        for client in self.clients.values() {
            let mut events = client.stream.events();
            events.set(PollFlags::IN, heard);
            wanted.push((client.stream.as_fd(), events));
        }
        wanted
    }

    /// Passes on what is there now, in both directions; gives what is about the machine itself.
    pub fn pass(&mut self) -> Vec<Told> {
        let mut told = self.hear_guest();
        if self.identified && !self.broken && !self.held {
            for number in self.clients.keys().copied().collect::<Vec<_>>() {
                match self.hear_client(number) {
                    Ok(asked) => told.extend(asked),
                    Err(error) => {
                        self.broken = true;
                        told.push(Told::Broken(error));
                    }
                }
            }
        }
        if !self.held {
            self.guest.flush();
        }
        for client in self.clients.values_mut() {
            client.stream.flush();
        }
        self.let_go();
        told
    }

    fn hear_guest(&mut self) -> Vec<Told> {
        let mut told = Vec::new();
        if self.broken {
            return told;
        }
        self.decoder.push(&self.guest.read());
        loop {
            match self.decoder.next() {
                Ok(None) => return told,
                Ok(Some((MACHINE, message))) => told.extend(self.about_machine(message)),
                Ok(Some((session, message))) => {
                    if let Err(error) = self.about_session(session, message) {
                        told.push(Told::Broken(error));
                        self.broken = true;
                        return told;
                    }
                }
                Err(error) => {
                    self.broken = true;
                    told.push(Told::Broken(error));
                    return told;
                }
            }
        }
    }

    fn about_machine(&mut self, message: FromGuest) -> Option<Told> {
        Some(match message {
            FromGuest::Identified => {
                self.identified = true;
                Told::Identified
            }
            // A copy says this of what it was before.
            FromGuest::Started | FromGuest::Ready if !self.identified => return None,
            FromGuest::Started => Told::Started,
            FromGuest::Ready => Told::Ready,
            FromGuest::Notify(text) => Told::Notify(text),
            FromGuest::Failed(why) => Told::Failed(why),
            FromGuest::Quiet => Told::Quiet,
            FromGuest::Mounted => Told::Mounted,
            FromGuest::Rehearsed => Told::Rehearsed,
            FromGuest::Ended { end, oom } => Told::Ended(end, oom),
            FromGuest::Output(stream, bytes) => {
                self.grant(MACHINE, bytes.len());
                Told::Output(stream, bytes)
            }
            FromGuest::Hello { version, .. } => Told::Hello(version),
            FromGuest::Window(count) => Told::Room(count),
            FromGuest::Exit(_) => return None,
        })
    }

    fn about_session(&mut self, session: u32, message: FromGuest) -> Result<(), wire::WireError> {
        let ends = matches!(message, FromGuest::Exit(_) | FromGuest::Failed(_));
        if let Some(question) = self.questions.get_mut(&session) {
            let taken = question.hear(message);
            self.grant(session, taken);
            return Ok(());
        }
        let client = self.clients.values_mut().find(|client| client.session == Some(session));
        match client {
            Some(client) => {
                wire::encode(OWN, &message, client.stream.out())?;
                client.done |= ends;
            }
            None => {
                if ends {
                    self.abandoned.retain(|abandoned| *abandoned != session);
                } else if let FromGuest::Output(_, bytes) = message {
                    self.grant(session, bytes.len());
                }
            }
        }
        Ok(())
    }

    /// Begins a session of the supervisor's own, which is well when it ends with code 0.
    pub fn begin(&mut self, message: &ToGuest) -> Result<u32, wire::WireError> {
        let session = self.next;
        self.next += 1;
        self.send(session, message)?;
        self.questions.insert(session, Question::default());
        Ok(session)
    }

    /// How it ended, once.
    pub fn ended(&mut self, session: u32) -> Option<Answer> {
        self.questions.get(&session)?.answer.as_ref()?;
        self.questions.remove(&session)?.answer
    }

    /// Ends it.
    pub fn end(&mut self, session: u32) {
        if self.questions.remove(&session).is_some() {
            self.abandoned.push(session);
            // No message is shorter.
            let _ = self.send(session, &ToGuest::Close);
        }
    }

    /// What was taken from the guest may come again.
    fn grant(&mut self, session: u32, bytes: usize) {
        if bytes == 0 {
            return;
        }
        let count = u32::try_from(bytes).unwrap_or(u32::MAX);
        // A number always fits.
        let _ = wire::encode(session, &ToGuest::Window(count), self.guest.out());
    }

    /// Passes on what a client says; gives what is for the host to do first.
    fn hear_client(&mut self, number: u32) -> Result<Option<Told>, wire::WireError> {
        let Some(client) = self.clients.get_mut(&number) else { return Ok(None) };
        client.decoder.push(&client.stream.read());
        loop {
            let Some(client) = self.clients.get_mut(&number) else { return Ok(None) };
            // Who speaks nonsense is not spoken to any more.
            let Ok(said) = client.decoder.next() else {
                client.done = true;
                return Ok(None);
            };
            let Some((_, message)) = said else { return Ok(None) };
            let begins = matches!(
                message,
                ToGuest::Exec(_)
                    | ToGuest::Pack(_)
                    | ToGuest::Unpack(_)
                    | ToGuest::Flush
                    | ToGuest::Grow(..)
            );
            let goes_on = matches!(
                message,
                ToGuest::Input(_)
                    | ToGuest::Resize(_)
                    | ToGuest::Signal(_)
                    | ToGuest::Window(_)
                    | ToGuest::Close
            );
            match client.session {
                None if begins => client.session = Some(number),
                Some(_) if goes_on && !client.done => {}
                _ => continue,
            }
            if let ToGuest::Grow(volume, _) = message {
                return Ok(Some(Told::Grow(number, volume)));
            }
            wire::encode(number, &message, self.guest.out())?;
        }
    }

    /// Ends a client's session that does not come to the guest.
    pub fn refuse(&mut self, session: u32, why: String) -> Result<(), wire::WireError> {
        self.about_session(session, FromGuest::Failed(why))
    }

    /// Forgets clients that are gone or have all they get.
    fn let_go(&mut self) {
        let (mut gone, abandoned) = (Vec::new(), &mut self.abandoned);
        self.clients.retain(|_, client| {
            let over = client.done && client.stream.waiting() == 0;
            if client.stream.is_open() && !over {
                return true;
            }
            gone.extend(client.session.filter(|_| !client.done));
            false
        });
        for session in gone {
            abandoned.push(session);
            let _ = wire::encode(session, &ToGuest::Close, self.guest.out());
        }
        if !self.held {
            self.guest.flush();
        }
    }

    /// Whether the guest knows who it is: it can be asked for things.
    pub fn is_identified(&self) -> bool {
        self.identified && !self.broken && self.guest.is_open()
    }
}

impl Question {
    /// Takes in what the guest says; how many bytes of output that were.
    fn hear(&mut self, message: FromGuest) -> usize {
        const LONGEST: usize = 300;
        match message {
            FromGuest::Output(stream, bytes) => {
                if stream == 2 && self.said.len() < LONGEST {
                    let more = &bytes[..bytes.len().min(LONGEST)];
                    self.said.push_str(&String::from_utf8_lossy(more));
                }
                return bytes.len();
            }
            FromGuest::Exit(wire::End::Code(0)) => self.answer = Some(Ok(())),
            FromGuest::Exit(wire::End::Code(code)) => {
                let said = self.said.trim();
                let said =
                    if said.is_empty() { format!("exit status {code}") } else { said.into() };
                self.answer = Some(Err(said));
            }
            FromGuest::Exit(wire::End::Signal(signal)) => {
                self.answer = Some(Err(format!("signal {signal}")));
            }
            FromGuest::Failed(why) => self.answer = Some(Err(why)),
            _ => {}
        }
        0
    }
}

/// A session's first message, of the parts that `hc exec` knows.
pub(super) fn exec(config: &crate::ExecConfig, terminal: Option<wire::Size>) -> ToGuest {
    ToGuest::Exec(Box::new(Exec {
        arguments: config.argv.clone(),
        environment: config.env.clone().into_iter().collect(),
        user: config.user.clone(),
        directory: config.workdir.as_ref().map(|dir| dir.to_string_lossy().into_owned()),
        terminal,
    }))
}

#[cfg(test)]
mod tests;
