//! Several archives on their way at once.

use super::batch::{Batch, Taken};
use super::{CopyObserver, Sink, Source, Trust};
use crate::error::{Context, Error, Result};
use crate::info::PathInfo;
use std::collections::{BTreeSet, HashMap};
use std::io::{self, Read};
use std::path::Path;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// More threads than this do not make a copy faster.
const AT_MOST: usize = 64;
/// Paths that are sent in one go where the sink takes several, and the bytes they may have together.
const BATCH: usize = 256;
const BATCH_BYTES: u64 = 16 << 20;
/// How long a path is left alone that somebody else is just adding.
const PAUSE: Duration = Duration::from_millis(100);

pub(super) struct Work<'a> {
    pub from: &'a dyn Source,
    pub to: &'a dyn Sink,
    pub trust: &'a Trust,
    pub observer: &'a dyn CopyObserver,
    /// What is to be sent, references first.
    pub infos: &'a [PathInfo],
}

#[derive(Default)]
struct State {
    /// Paths that can be begun, by their place in the order.
    ready: BTreeSet<usize>,
    /// Paths that somebody else is adding.
    busy: BTreeSet<usize>,
    /// How many others each path waits for.
    waits: Vec<usize>,
    /// Paths that wait for this one.
    dependents: HashMap<usize, Vec<usize>>,
    running: usize,
    error: Option<Error>,
}

struct Shared<'a> {
    work: &'a Work<'a>,
    batch: Option<Batch<'a>>,
    state: Mutex<State>,
    changed: Condvar,
}

impl Work<'_> {
    /// Sends all.
    pub fn run(&self) -> Result<()> {
        let rest = self.in_batches()?;
        let infos = &self.infos[rest..];
        Work { infos, ..*self }.run_each()
    }

    /// Sends as many as the sink takes several of at once; gives how many those are. One that fails
    /// is sent again by itself, from elsewhere if need be.
    fn in_batches(&self) -> Result<usize> {
        let mut sent = 0;
        while sent < self.infos.len() {
            let mut bytes = 0;
            let batch = self.infos[sent..].iter().take(BATCH).take_while(|info| {
                bytes += info.nar_size;
                bytes <= BATCH_BYTES
            });
            // A large one goes alone, watched.
            let batch = &self.infos[sent..][..batch.count()];
            if batch.len() < 2 {
                return Ok(sent);
            }
            let done = self.to.add_many(batch, &mut |info, to| {
                if self.observer.cancelled() {
                    return Err(Error::Cancelled);
                }
                self.observer.begun(info);
                let mut counted = Counted { to, observer: self.observer };
                self.from.nar(&info.path, &mut counted)
            });
            match done {
                Ok(true) => batch.iter().for_each(|info| self.observer.done(info)),
                Err(Error::Cancelled) => return Err(Error::Cancelled),
                // By themselves, those that came are found to be there.
                Ok(false) | Err(_) => return Ok(sent),
            }
            sent += batch.len();
        }
        Ok(sent)
    }

    /// Sends each by itself.
    fn run_each(&self) -> Result<()> {
        let batch = self.to.local().map(|store| Batch::new(store, self.infos));
        // A local store takes archives in any order; others must have the references first.
        let state = if batch.is_some() { self.any_order() } else { self.references_first() };
        let shared =
            Shared { work: self, batch, state: Mutex::new(state), changed: Condvar::new() };
        let threads = self.from.at_once().min(self.to.at_once()).clamp(1, AT_MOST);
        std::thread::scope(|scope| {
            for _ in 0..threads.min(self.infos.len()) {
                scope.spawn(|| shared.worker());
            }
        });
        let Shared { batch, state, .. } = shared;
        let error = state.into_inner().unwrap_or_else(PoisonError::into_inner).error;
        // What has come stays, if it can.
        let finished = batch.map_or(Ok(()), Batch::finish);
        error.map_or(finished, Err)
    }

    fn any_order(&self) -> State {
        let ready = (0..self.infos.len()).collect();
        State { ready, waits: vec![0; self.infos.len()], ..State::default() }
    }

    fn references_first(&self) -> State {
        let places: HashMap<_, _> =
            self.infos.iter().enumerate().map(|(place, info)| (&info.path, place)).collect();
        let mut state = State { waits: vec![0; self.infos.len()], ..State::default() };
        for (place, info) in self.infos.iter().enumerate() {
            let others = info.references.iter().filter(|r| **r != info.path);
            for other in others.filter_map(|reference| places.get(reference)) {
                state.waits[place] += 1;
                state.dependents.entry(*other).or_default().push(place);
            }
            if state.waits[place] == 0 {
                state.ready.insert(place);
            }
        }
        state
    }

    /// One path, from wherever it can be had; false when somebody else is just adding it.
    fn send(&self, place: usize, batch: Option<&Batch<'_>>) -> Result<bool> {
        let mut info = self.infos[place].clone();
        loop {
            let sent = match batch {
                None => pipe(self.from, &info, self.observer, |nar| self.to.add(&info, nar)),
                Some(batch) => match batch.begin(&info) {
                    Ok(Taken::Valid) => return Ok(true),
                    Ok(Taken::Busy) => return Ok(false),
                    Ok(Taken::Place(space)) => {
                        self.observer.begun(&info);
                        pipe(self.from, &info, self.observer, |nar| {
                            batch.receive(space, &info, nar)
                        })
                        .and_then(|received| batch.hold(place, received))
                    }
                    Err(error) => Err(error),
                },
            };
            let Err(error) = sent else { return Ok(true) };
            if self.observer.cancelled() {
                return Err(Error::Cancelled);
            }
            // The next one would not fit either.
            if error.is_no_space() {
                return Err(error);
            }
            match self.from.elsewhere(&info.path, &error) {
                // What it refers to must have been planned.
                Some(other)
                    if other.references == info.references && self.trust.accepts(&other) =>
                {
                    info = other;
                }
                _ => return Err(error),
            }
        }
    }
}

impl Shared<'_> {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn worker(&self) {
        while let Some(place) = self.next() {
            let info = &self.work.infos[place];
            if self.batch.is_none() {
                self.work.observer.begun(info);
            }
            let sent = self.work.send(place, self.batch.as_ref());
            if matches!(sent, Ok(true)) {
                self.work.observer.done(info);
            }
            self.finish(place, sent);
        }
    }

    /// The next path; nothing when there will be none.
    fn next(&self) -> Option<usize> {
        let mut state = self.state();
        loop {
            if state.error.is_some() {
                return None;
            }
            if self.work.observer.cancelled() {
                state.error = Some(Error::Cancelled);
                return None;
            }
            // Later paths wait while there is no room for what cannot be made valid yet.
            let room = self.batch.as_ref().is_none_or(Batch::has_room) || state.running == 0;
            if let Some(place) = state.ready.first().copied().filter(|_| room) {
                state.ready.remove(&place);
                state.running += 1;
                return Some(place);
            }
            if state.running == 0 && state.ready.is_empty() && state.busy.is_empty() {
                return None;
            }
            let timed = self.changed.wait_timeout(state, PAUSE);
            let (held, result) = timed.unwrap_or_else(PoisonError::into_inner);
            state = held;
            if result.timed_out() && !state.busy.is_empty() {
                // Whoever adds them may be waiting for what is held here.
                let busy = std::mem::take(&mut state.busy);
                state.ready.extend(busy);
                drop(state);
                if let Some(error) = self.batch.as_ref().and_then(|batch| batch.commit().err()) {
                    self.state().error.get_or_insert(error);
                }
                state = self.state();
            }
        }
    }

    fn finish(&self, place: usize, sent: Result<bool>) {
        let mut state = self.state();
        state.running -= 1;
        match sent {
            Ok(true) => {
                for dependent in state.dependents.remove(&place).unwrap_or_default() {
                    state.waits[dependent] -= 1;
                    if state.waits[dependent] == 0 {
                        state.ready.insert(dependent);
                    }
                }
            }
            Ok(false) => {
                state.busy.insert(place);
            }
            // The first is the cause.
            Err(error) => {
                state.error.get_or_insert(error);
            }
        }
        drop(state);
        self.changed.notify_all();
    }
}

/// One archive through a pipe: it is never in memory.
fn pipe<T>(
    from: &dyn Source,
    info: &PathInfo,
    observer: &dyn CopyObserver,
    receive: impl FnOnce(&mut dyn Read) -> Result<T>,
) -> Result<T> {
    let (reader, mut writer) = io::pipe().on("make a pipe for", Path::new("a copy"))?;
    let mut reader = Watched { from: reader, observer };
    std::thread::scope(|scope| {
        // The writer is closed when the sender is done, the reader when the receiver is.
        let sender = scope.spawn(move || from.nar(&info.path, &mut writer));
        let received = receive(&mut reader);
        drop(reader);
        let sent = sender.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        match (received, sent) {
            // Nobody reads any more: somebody else added it meanwhile.
            (Ok(received), _) => Ok(received),
            // An archive that ends too soon is the receiver's trouble; the sender knows why.
            (Err(_), Err(sent)) if !is_closed_pipe(&sent) => Err(sent),
            (received, _) => received,
        }
    })
}

fn is_closed_pipe(error: &Error) -> bool {
    matches!(error, Error::Io { source, .. } if source.kind() == io::ErrorKind::BrokenPipe)
}

/// Tells how much was sent.
struct Counted<'a> {
    to: &'a mut dyn io::Write,
    observer: &'a dyn CopyObserver,
}

impl io::Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = self.to.write(bytes)?;
        self.observer.sent(taken as u64);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// Tells how much has come, and ends when nobody wants it any more.
struct Watched<'a, R> {
    from: R,
    observer: &'a dyn CopyObserver,
}

impl<R: Read> Read for Watched<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.observer.cancelled() {
            return Err(io::Error::other("cancelled"));
        }
        let n = self.from.read(buffer)?;
        self.observer.sent(n as u64);
        Ok(n)
    }
}
