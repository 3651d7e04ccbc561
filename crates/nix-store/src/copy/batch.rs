//! Paths that have come and are made valid together: one flush, one transaction.

use super::local::{Incoming, Space};
use crate::error::Result;
use crate::info::PathInfo;
use crate::store::Store;
use nix_compat::StorePath;
use std::collections::{BTreeMap, HashMap};
use std::io::Read;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// So many paths, so many bytes or so much time go into one batch.
const PATHS: usize = 64;
const BYTES: u64 = 512 << 20;
const TIME: Duration = Duration::from_secs(5);
/// Each path that is held has files open.
const ROOM: usize = 192;

/// What comes of asking for a place for a path.
pub(super) enum Taken {
    /// It is valid already.
    Valid,
    /// Somebody else is just adding it.
    Busy,
    /// It can be unpacked there.
    Place(Space),
}

pub(super) struct Batch<'a> {
    store: &'a Store,
    /// Where each path is in the order, references first.
    places: HashMap<&'a StorePath, usize>,
    held: Mutex<Held>,
    /// Taken while paths are made valid: each batch may need the one before.
    turn: Mutex<()>,
}

struct Held {
    /// By their places.
    paths: BTreeMap<usize, Incoming>,
    /// What came and was not made valid yet, and since when.
    bytes: u64,
    since: Instant,
    /// Places that are valid now.
    valid: Vec<bool>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<'a> Batch<'a> {
    pub fn new(store: &'a Store, infos: &'a [PathInfo]) -> Self {
        let places = infos.iter().enumerate().map(|(place, info)| (&info.path, place)).collect();
        let valid = vec![false; infos.len()];
        let held = Held { paths: BTreeMap::new(), bytes: 0, since: Instant::now(), valid };
        Self { store, places, held: Mutex::new(held), turn: Mutex::new(()) }
    }

    /// Whether more paths can be held.
    pub fn has_room(&self) -> bool {
        lock(&self.held).paths.len() < ROOM
    }

    /// Takes a place for a path.
    pub fn begin(&self, info: &PathInfo) -> Result<Taken> {
        let taken = self.store.begin(info)?;
        if let (Taken::Valid, Some(place)) = (&taken, self.places.get(&info.path)) {
            lock(&self.held).valid[*place] = true;
        }
        Ok(taken)
    }

    /// Unpacks an archive there.
    pub fn receive(&self, space: Space, info: &PathInfo, nar: &mut dyn Read) -> Result<Incoming> {
        self.store.receive(space, info, nar)
    }

    /// Keeps what has come, and makes valid what can be when it is much.
    pub fn hold(&self, place: usize, incoming: Incoming) -> Result<()> {
        let due = {
            let mut held = lock(&self.held);
            if held.paths.is_empty() {
                held.since = Instant::now();
            }
            held.bytes += incoming.info.nar_size;
            held.paths.insert(place, incoming);
            held.paths.len() >= PATHS || held.bytes >= BYTES || held.since.elapsed() >= TIME
        };
        // Whoever has the turn does not take this one; the next will.
        match self.turn.try_lock() {
            Ok(turn) if due => {
                let done = self.commit_some();
                drop(turn);
                done
            }
            _ => Ok(()),
        }
    }

    /// Makes valid what can be.
    pub fn commit(&self) -> Result<()> {
        let _turn = lock(&self.turn);
        self.commit_some()
    }

    /// The last of it; what cannot be made valid is thrown away.
    pub fn finish(self) -> Result<()> {
        self.commit()
    }

    fn commit_some(&self) -> Result<()> {
        let (places, incoming) = self.take();
        if incoming.is_empty() {
            return Ok(());
        }
        self.store.commit(incoming)?;
        let mut held = lock(&self.held);
        places.into_iter().for_each(|place| held.valid[place] = true);
        Ok(())
    }

    /// What refers to nothing that has not come, out of what is held.
    fn take(&self) -> (Vec<usize>, Vec<Incoming>) {
        let mut held = lock(&self.held);
        let Held { paths, valid, .. } = &mut *held;
        let mut chosen: Vec<usize> = Vec::new();
        for (place, incoming) in paths.iter() {
            let others = incoming.info.references.iter().filter(|r| **r != incoming.info.path);
            let mut awaited = others.filter_map(|reference| self.places.get(reference));
            // In the order of places, so that whatever is chosen has been.
            if awaited.all(|other| valid[*other] || chosen.binary_search(other).is_ok()) {
                chosen.push(*place);
            }
        }
        let incoming: Vec<Incoming> = chosen.iter().filter_map(|p| paths.remove(p)).collect();
        held.bytes = held.paths.values().map(|incoming| incoming.info.nar_size).sum();
        held.since = Instant::now();
        (chosen, incoming)
    }
}
