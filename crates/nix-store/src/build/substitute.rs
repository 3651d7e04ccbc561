//! Taking outputs from binary caches instead of building them.

use super::{BuildEvent, BuildObserver, options};
use crate::cache::{BinaryCache, at_once};
use crate::config::StoreConfig;
use crate::copy::{CopyObserver, Source, Trust, copy_closure};
use crate::error::{Error, Result};
use crate::info::PathInfo;
use crate::realisations::Realisation;
use crate::store::Store;
use nix_compat::{Derivation, StorePath};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// The caches of one call. One that fails is left alone from then on.
pub(super) struct Substituters {
    caches: Vec<BinaryCache>,
    /// The caches by their priorities, once one is needed.
    order: OnceLock<Vec<usize>>,
    trust: Trust,
    /// Archives, and questions, that are on their way at once.
    at_once: (usize, usize),
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Caches (by number) that cannot be asked.
    broken: BTreeSet<usize>,
    /// What a cache has and could not give, or may not.
    refused: BTreeSet<(usize, StorePath)>,
    /// Where each path is read from.
    chosen: HashMap<StorePath, usize>,
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
        let at_once = (config.fetches.max(1), config.connections.max(1));
        Self { caches, order: OnceLock::new(), trust, at_once, state: Mutex::new(state) }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.caches.is_empty()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn give_up(&self, number: usize, error: &Error) {
        let mut state = self.state();
        if state.broken.insert(number) {
            state.warnings.push(format!("{error}; it is not asked again"));
        }
    }

    /// The caches that can be asked, the best first; those of one priority as they were named.
    fn usable(&self) -> impl Iterator<Item = usize> {
        let order = self.order.get_or_init(|| {
            let all: Vec<usize> = (0..self.caches.len()).collect();
            let asked = at_once(self.at_once.1, all, |number| {
                let priority = self.caches[*number].priority();
                Ok(priority
                    .map_err(|error| self.give_up(*number, &error))
                    .ok()
                    .map(|p| (p, *number)))
            });
            let mut known: Vec<(i64, usize)> =
                asked.unwrap_or_default().into_iter().flatten().collect();
            known.sort_unstable();
            known.into_iter().map(|(_, number)| number).collect()
        });
        let broken = self.state().broken.clone();
        order.iter().copied().filter(move |number| !broken.contains(number))
    }

    /// What the best cache says that has the path and may give it.
    fn find(&self, path: &StorePath) -> Option<PathInfo> {
        for number in self.usable() {
            if self.state().refused.contains(&(number, path.clone())) {
                continue;
            }
            match self.caches[number].query(path) {
                Ok(Some(info)) if self.caches[number].is_trusted() || self.trust.accepts(&info) => {
                    self.state().chosen.insert(path.clone(), number);
                    return Some(info);
                }
                Ok(Some(_)) => {
                    let address = self.caches[number].name();
                    let text = format!(
                        "{path} does not come from {address}: it has no signature by a trusted key"
                    );
                    let mut state = self.state();
                    state.refused.insert((number, path.clone()));
                    state.warnings.push(text);
                }
                Ok(None) => {}
                Err(error) => self.give_up(number, &error),
            }
        }
        None
    }

    /// Whether a cache has the path, as far as is known. A derivation can forbid the question.
    pub fn offer(&self, path: &StorePath, derivation: &Derivation) -> bool {
        options::may_substitute(derivation) && self.find(path).is_some()
    }

    /// Asks the caches that want it for many paths at once; what they say is remembered.
    pub fn prepare(&self, paths: &BTreeSet<StorePath>) {
        let mut open = paths.clone();
        for number in self.usable() {
            if open.len() < 2 {
                return;
            }
            let cache = &self.caches[number];
            if cache.wants_mass_query().unwrap_or(false) {
                match cache.query_many(&open) {
                    Ok(found) => open.retain(|path| !found.contains_key(path)),
                    Err(error) => self.give_up(number, &error),
                }
            }
        }
    }

    /// What an output came to elsewhere, by the key of its derivation.
    pub fn realisation(&self, key: &str, output: &str) -> Option<Realisation> {
        for number in self.usable() {
            match self.caches[number].realisation(key, output) {
                Ok(Some(found))
                    if self.caches[number].is_trusted()
                        || self.trust.accepts_realisation(&found) =>
                {
                    return Some(found);
                }
                Ok(Some(found)) => {
                    let address = self.caches[number].name();
                    let text = format!(
                        "{address} says what {key}!{output} came to ({}), which has no signature \
                         by a trusted key",
                        found.path
                    );
                    let mut state = self.state();
                    if !state.warnings.contains(&text) {
                        state.warnings.push(text);
                    }
                }
                Ok(None) => {}
                Err(error) => self.give_up(number, &error),
            }
        }
        None
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
        }
        // All of them together; one by one, if one of them does not come.
        if paths.len() < 2 || self.copy(store, paths, observer)?.is_err() {
            for path in paths {
                if store.is_valid(path)? {
                    continue;
                }
                let one = BTreeSet::from([path.clone()]);
                if let Err(error) = self.copy(store, &one, observer)? {
                    self.refuse(path, &error);
                }
            }
        }
        self.warn(observer);
        Ok(())
    }

    /// The outer error ends the build; the inner one is a path that did not come.
    fn copy(
        &self,
        store: &Store,
        paths: &BTreeSet<StorePath>,
        observer: &dyn BuildObserver,
    ) -> Result<Result<()>> {
        let from = Caches { all: self, observer };
        // They are trusted already, each as it must be.
        let trust = Trust { keys: Vec::new(), required: false };
        match copy_closure(&from, store, paths, &trust, &Observed(observer)) {
            Ok(_) => Ok(Ok(())),
            Err(_) if observer.cancelled() => Err(Error::Cancelled),
            // The next one would not fit either.
            Err(error) if error.is_no_space() => Err(error),
            Err(error) => Ok(Err(error)),
        }
    }

    /// No cache is asked for the path again.
    fn refuse(&self, path: &StorePath, error: &Error) {
        let mut state = self.state();
        let number = state.chosen.get(path).copied();
        let from = number.map_or_else(|| "any cache".into(), |number| self.caches[number].name());
        state.warnings.push(format!("{path} does not come from {from}: {error}"));
        state.refused.extend((0..self.caches.len()).map(|number| (number, path.clone())));
    }

    /// Tells what went wrong since the last time.
    pub fn warn(&self, observer: &dyn BuildObserver) {
        let warnings = std::mem::take(&mut self.state().warnings);
        for text in &warnings {
            observer.event(BuildEvent::Warning { text });
        }
    }
}

/// All caches as one place.
struct Caches<'a> {
    all: &'a Substituters,
    observer: &'a dyn BuildObserver,
}

impl Caches<'_> {
    fn chosen(&self, path: &StorePath) -> Option<(usize, &BinaryCache)> {
        let number = self.all.state().chosen.get(path).copied()?;
        Some((number, &self.all.caches[number]))
    }
}

impl Source for Caches<'_> {
    fn name(&self) -> String {
        let names: Vec<String> =
            self.all.usable().map(|number| self.all.caches[number].name()).collect();
        names.join(", ")
    }

    fn query(&self, path: &StorePath) -> Result<Option<PathInfo>> {
        Ok(self.all.find(path))
    }

    fn query_many(&self, paths: &BTreeSet<StorePath>) -> Result<BTreeMap<StorePath, PathInfo>> {
        let infos = at_once(self.all.at_once.1, paths, |path| self.query(path))?;
        Ok(infos.into_iter().flatten().map(|info| (info.path.clone(), info)).collect())
    }

    fn nar(&self, path: &StorePath, to: &mut dyn Write) -> Result<()> {
        let Some((_, cache)) = self.chosen(path) else {
            return Err(Error::NotValid { path: path.clone() });
        };
        let from = cache.name();
        self.observer.event(BuildEvent::Substituting { path, from: &from });
        let sent = cache.nar(path, &mut Stoppable { to, observer: self.observer });
        self.observer.event(BuildEvent::Substituted { path });
        sent
    }

    fn at_once(&self) -> usize {
        self.all.at_once.0
    }

    fn elsewhere(&self, path: &StorePath, why: &Error) -> Option<PathInfo> {
        let (number, cache) = self.chosen(path)?;
        self.all.state().refused.insert((number, path.clone()));
        let other = self.all.find(path)?;
        let text = format!("{path} does not come from {}, but from another: {why}", cache.name());
        self.all.state().warnings.push(text);
        Some(other)
    }
}

/// The observer of a build looks at a copy.
struct Observed<'a>(&'a dyn BuildObserver);

impl CopyObserver for Observed<'_> {
    fn cancelled(&self) -> bool {
        self.0.cancelled()
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
