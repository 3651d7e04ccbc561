//! What a daemon says while it works.

use crate::build::{BuildEvent, BuildObserver};
use nix_compat::StorePath;
use nix_compat::wire::{self, Writer};
use nix_compat::worker::{Field, Message};
use std::collections::HashMap;
use std::io::{BufWriter, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

pub(super) type Gone<'a> = &'a (dyn Fn() -> bool + Sync);
pub(super) type Out<'a> = Writer<BufWriter<&'a mut (dyn Write + Send)>>;

/// Where a client listens, for many threads.
pub(super) struct Speaker<'a> {
    to: Mutex<Out<'a>>,
    gone: Gone<'a>,
    deaf: AtomicBool,
    /// The numbers of the builds under way.
    builds: Mutex<(u64, HashMap<StorePath, u64>)>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<'a> Speaker<'a> {
    pub fn new(to: Out<'a>, gone: Gone<'a>) -> Self {
        Self { to: Mutex::new(to), gone, deaf: AtomicBool::new(false), builds: Mutex::default() }
    }

    /// For answers.
    pub fn out(&self) -> MutexGuard<'_, Out<'a>> {
        lock(&self.to)
    }

    /// Says something, at once.
    pub fn say(&self, message: &Message) -> wire::Result<()> {
        let mut to = self.out();
        message.write(&mut to)?;
        to.flush()
    }

    fn mention(&self, message: &Message) {
        if self.say(message).is_err() {
            self.deaf.store(true, Ordering::Relaxed);
        }
    }
}

impl super::worker::Session<'_> {
    /// Tells the client of something that it can do without.
    pub fn warn(&self, error: &crate::Error) {
        self.speaker.event(BuildEvent::Warning { text: &error.to_string() });
    }
}

impl BuildObserver for Speaker<'_> {
    fn event(&self, event: BuildEvent<'_>) {
        let message = match event {
            BuildEvent::Started { drv } => {
                let mut builds = lock(&self.builds);
                builds.0 += 1;
                let id = builds.0;
                builds.1.insert(drv.clone(), id);
                let text = |text: String| Field::Text(text);
                Message::Start {
                    id,
                    level: 3,
                    kind: Message::BUILD,
                    text: format!("building '{drv}'"),
                    // The derivation, the host (none), and which of how many rounds.
                    fields: vec![
                        text(drv.to_string()),
                        text(String::new()),
                        Field::Number(1),
                        Field::Number(1),
                    ],
                    parent: 0,
                }
            }
            BuildEvent::Log { drv, line } => match lock(&self.builds).1.get(drv) {
                Some(id) => Message::Result {
                    id: *id,
                    kind: Message::LOG_LINE,
                    fields: vec![Field::Text(line.into())],
                },
                None => return,
            },
            BuildEvent::Finished { drv } | BuildEvent::Failed { drv } => {
                match lock(&self.builds).1.remove(drv) {
                    Some(id) => Message::Stop { id },
                    None => return,
                }
            }
            BuildEvent::Warning { text } => Message::Line(format!("warning: {text}\n")),
            _ => return,
        };
        self.mention(&message);
    }

    fn cancelled(&self) -> bool {
        self.deaf.load(Ordering::Relaxed) || (self.gone)()
    }
}
