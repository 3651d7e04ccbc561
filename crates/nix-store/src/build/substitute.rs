//! Taking outputs from binary caches instead of building them.

use super::{BuildEvent, BuildObserver, options};
use crate::cache::BinaryCache;
use crate::config::StoreConfig;
use crate::copy::{Source, Trust, copy_closure};
use crate::error::{Error, Result};
use crate::info::PathInfo;
use crate::store::Store;
use nix_compat::{Derivation, StorePath};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The caches of one call. One that fails is left alone from then on.
pub(super) struct Substituters {
    caches: Vec<BinaryCache>,
    trust: Trust,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Caches (by number) that cannot be asked.
    broken: BTreeSet<usize>,
    /// What a cache has and could not give.
    refused: BTreeSet<(usize, StorePath)>,
    /// What nobody was told yet.
    warnings: Vec<String>,
}

impl Substituters {
    pub fn new(config: &StoreConfig) -> Self {
        let (mut caches, mut state) = (Vec::new(), State::default());
        for address in &config.substituters {
            match BinaryCache::open(address, config) {
                Ok(cache) => caches.push(cache),
                Err(error) => state.warnings.push(error.to_string()),
            }
        }
        let trust =
            Trust { keys: config.trusted_keys.clone(), required: config.require_signatures };
        Self { caches, trust, state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a cache has the path, as far as is known. A derivation can forbid the question.
    pub fn offer(&self, path: &StorePath, derivation: &Derivation) -> bool {
        options::may_substitute(derivation)
            && (0..self.caches.len()).any(|number| self.has(number, path))
    }

    fn has(&self, number: usize, path: &StorePath) -> bool {
        {
            let state = self.state();
            if state.broken.contains(&number) || state.refused.contains(&(number, path.clone())) {
                return false;
            }
        }
        match self.caches[number].query(path) {
            Ok(info) => info.is_some(),
            Err(error) => {
                let mut state = self.state();
                state.broken.insert(number);
                state.warnings.push(format!("{error}; it is not asked again"));
                false
            }
        }
    }

    /// Copies the paths with what they refer to. What no cache gives is to be built.
    pub fn fetch(
        &self,
        store: &Store,
        paths: &BTreeSet<StorePath>,
        observer: &dyn BuildObserver,
    ) -> Result<()> {
        for path in paths {
            store.add_temp_root(path)?;
            for number in 0..self.caches.len() {
                if store.is_valid(path)? || !self.has(number, path) {
                    continue;
                }
                let cache = &self.caches[number];
                let from = Watched { cache, observer };
                let one = BTreeSet::from([path.clone()]);
                let copied = copy_closure(&from, store, &one, &self.trust, &());
                match copied {
                    Ok(_) => break,
                    Err(_) if observer.cancelled() => return Err(Error::Cancelled),
                    // The next one would not fit either.
                    Err(error) if error.is_no_space() => return Err(error),
                    Err(error) => {
                        let mut state = self.state();
                        state.refused.insert((number, path.clone()));
                        let address = cache.name();
                        let text = format!("{path} does not come from {address}: {error}");
                        state.warnings.push(text);
                    }
                }
            }
            self.warn(observer);
        }
        Ok(())
    }

    /// Tells what went wrong since the last time.
    pub fn warn(&self, observer: &dyn BuildObserver) {
        let warnings = std::mem::take(&mut self.state().warnings);
        for text in &warnings {
            observer.event(BuildEvent::Warning { text });
        }
    }
}

/// A cache whose copies are seen, and can be stopped.
struct Watched<'a> {
    cache: &'a BinaryCache,
    observer: &'a dyn BuildObserver,
}

impl Source for Watched<'_> {
    fn name(&self) -> String {
        self.cache.name()
    }

    fn query(&self, path: &StorePath) -> Result<Option<PathInfo>> {
        self.cache.query(path)
    }

    fn query_many(&self, paths: &BTreeSet<StorePath>) -> Result<BTreeMap<StorePath, PathInfo>> {
        self.cache.query_many(paths)
    }

    fn nar(&self, path: &StorePath, to: &mut dyn Write) -> Result<()> {
        let from = self.cache.name();
        self.observer.event(BuildEvent::Substituting { path, from: &from });
        let sent = self.cache.nar(path, &mut Stoppable { to, observer: self.observer });
        self.observer.event(BuildEvent::Substituted { path });
        sent
    }
}

/// Refuses to go on when the observer wants to stop.
struct Stoppable<'a> {
    to: &'a mut dyn Write,
    observer: &'a dyn BuildObserver,
}

impl Write for Stoppable<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        if self.observer.cancelled() {
            return Err(io::Error::other("cancelled"));
        }
        self.to.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}
