//! Builds that end at about the same time are made valid together: one flush and one transaction
//! for all that came while the one before was being written.

use crate::canonical::flush_all;
use crate::db::Registration;
use crate::error::Result;
use crate::info::PathInfo;
use crate::store::Store;
use nix_compat::{Derivation, StorePath};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// A canonical tree that is to become a path. The path is locked by whoever brings it.
pub(crate) struct Ready {
    pub at: PathBuf,
    pub info: PathInfo,
    /// Files, directories and symlinks that nobody has flushed.
    pub unflushed: usize,
    /// What it is, if it is a derivation that a build made.
    pub derivation: Option<Derivation>,
}

/// Who is waiting to have something written: one of them writes for all.
pub(crate) struct Together<T = Ready> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

struct State<T> {
    waiting: Vec<(u64, Vec<T>)>,
    /// Somebody is writing.
    busy: bool,
    next: u64,
    done: HashMap<u64, Result<()>>,
}

impl<T> Default for Together<T> {
    fn default() -> Self {
        let state = State { waiting: Vec::new(), busy: false, next: 0, done: HashMap::new() };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }
}

impl<T> Together<T> {
    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has `ready` written by `write`, which may get more than that, and gives what came of it.
    fn make(
        &self,
        ready: Vec<T>,
        write: impl Fn(&[(u64, Vec<T>)]) -> Vec<(u64, Result<()>)>,
    ) -> Result<()> {
        let mut state = self.state();
        let number = state.next;
        state.next += 1;
        state.waiting.push((number, ready));
        loop {
            if let Some(done) = state.done.remove(&number) {
                return done;
            }
            if state.busy {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            // Whoever comes first writes for all who wait.
            state.busy = true;
            let groups = std::mem::take(&mut state.waiting);
            drop(state);
            let mut turn = Turn { of: self, number, groups, done: Vec::new() };
            turn.done = write(&turn.groups);
            drop(turn);
            state = self.state();
        }
    }
}

/// What one writes for all. It ends also when a panic ends it: the others then write for themselves.
struct Turn<'a, T> {
    of: &'a Together<T>,
    number: u64,
    groups: Vec<(u64, Vec<T>)>,
    done: Vec<(u64, Result<()>)>,
}

impl<T> Drop for Turn<'_, T> {
    fn drop(&mut self) {
        let mut state = self.of.state();
        state.busy = false;
        let groups = std::mem::take(&mut self.groups);
        if std::thread::panicking() {
            let others = groups.into_iter().filter(|(number, _)| *number != self.number);
            state.waiting.extend(others);
        }
        state.done.extend(std::mem::take(&mut self.done));
        drop(state);
        self.of.changed.notify_all();
    }
}

impl Store {
    /// Makes trees valid, all or none. What they refer to is valid or among them.
    pub(crate) fn make_valid(&self, ready: Vec<Ready>) -> Result<()> {
        if ready.is_empty() {
            return Ok(());
        }
        self.together().make(ready, |groups| self.write_groups(groups))
    }

    fn write_groups(&self, groups: &[(u64, Vec<Ready>)]) -> Vec<(u64, Result<()>)> {
        if groups.len() > 1 && self.write(groups.iter().flat_map(|(_, ready)| ready)).is_ok() {
            return groups.iter().map(|(number, _)| (*number, Ok(()))).collect();
        }
        // One of them cannot be: the others can.
        groups.iter().map(|(number, ready)| (*number, self.write(ready))).collect()
    }

    fn write<'r>(&self, ready: impl IntoIterator<Item = &'r Ready>) -> Result<()> {
        // After a failure half of them may be in place already.
        let ready: Vec<&Ready> = ready.into_iter().collect();
        let open: Vec<&Ready> =
            ready.iter().copied().filter(|r| r.at.symlink_metadata().is_ok()).collect();
        let trees: Vec<(&Path, usize)> = open
            .iter()
            .filter(|r| r.unflushed > 0)
            .map(|r| (r.at.as_path(), r.unflushed))
            .collect();
        flush_all(&self.layout().store, &trees)?;
        let moves: Vec<(&Path, &StorePath)> =
            open.iter().map(|r| (r.at.as_path(), &r.info.path)).collect();
        self.install_all(&moves)?;
        let rows: Vec<Registration<'_>> = ready
            .iter()
            .map(|r| Registration { info: &r.info, derivation: r.derivation.as_ref() })
            .collect();
        self.database().register(&rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn who_waits_for_one_that_panics_goes_on() {
        let together = Together::default();
        let (begun, written) = (Barrier::new(2), AtomicUsize::new(0));
        let done = |groups: &[(u64, Vec<u32>)]| {
            written.fetch_add(groups.iter().map(|(_, ready)| ready.len()).sum(), Ordering::Relaxed);
            groups.iter().map(|(number, _)| (*number, Ok(()))).collect()
        };
        std::thread::scope(|scope| {
            let panicking = scope.spawn(|| {
                together.make(vec![0], |_| {
                    begun.wait();
                    // Until all others wait.
                    while together.state().waiting.len() < 3 {
                        std::thread::yield_now();
                    }
                    panic!("as a test has it")
                })
            });
            begun.wait();
            let (together, done) = (&together, &done);
            let other = |number| scope.spawn(move || together.make(vec![number], done));
            let waiting: Vec<_> = (1..4).map(other).collect();
            assert!(panicking.join().is_err());
            for other in waiting {
                other.join().unwrap().unwrap();
            }
        });
        assert_eq!(written.load(Ordering::Relaxed), 3);
        // And the next.
        together.make(vec![4], done).unwrap();
        assert_eq!(written.load(Ordering::Relaxed), 4);
    }

    #[test]
    fn all_come_to_an_end_when_one_of_them_makes_others_panic() {
        let together = Together::default();
        let (begun, first) = (Barrier::new(2), AtomicUsize::new(0));
        let write = |groups: &[(u64, Vec<u32>)]| {
            if first.fetch_add(1, Ordering::Relaxed) == 0 {
                begun.wait();
                while together.state().waiting.len() < 2 {
                    std::thread::yield_now();
                }
            }
            assert!(groups.iter().all(|(_, ready)| ready[0] != 9), "as a test has it");
            groups.iter().map(|(number, _)| (*number, Ok(()))).collect()
        };
        let make = |number| together.make(vec![number], write);
        std::thread::scope(|scope| {
            let one = scope.spawn(|| make(1));
            begun.wait();
            let (bad, two) = (scope.spawn(|| make(9)), scope.spawn(|| make(2)));
            one.join().unwrap().unwrap();
            assert!(bad.join().is_err());
            // It may have been its turn.
            let _ = two.join();
        });
    }
}
