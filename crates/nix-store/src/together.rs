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

/// Who is waiting to have something made valid.
#[derive(Default)]
pub(crate) struct Together {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: Vec<(u64, Vec<Ready>)>,
    /// Somebody is writing.
    busy: bool,
    next: u64,
    done: HashMap<u64, Result<()>>,
}

impl Together {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store {
    /// Makes trees valid, all or none. What they refer to is valid or among them.
    pub(crate) fn make_valid(&self, ready: Vec<Ready>) -> Result<()> {
        if ready.is_empty() {
            return Ok(());
        }
        let together = self.together();
        let mut state = together.state();
        let number = state.next;
        state.next += 1;
        state.waiting.push((number, ready));
        loop {
            if let Some(done) = state.done.remove(&number) {
                return done;
            }
            if state.busy {
                state = together.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            // Whoever comes first writes for all who wait.
            state.busy = true;
            let all = std::mem::take(&mut state.waiting);
            drop(state);
            let done = self.write_groups(all);
            state = together.state();
            state.done.extend(done);
            state.busy = false;
            together.changed.notify_all();
        }
    }

    fn write_groups(&self, groups: Vec<(u64, Vec<Ready>)>) -> Vec<(u64, Result<()>)> {
        if groups.len() > 1 && self.write(groups.iter().flat_map(|(_, ready)| ready)).is_ok() {
            return groups.into_iter().map(|(number, _)| (number, Ok(()))).collect();
        }
        // One of them cannot be: the others can.
        groups.into_iter().map(|(number, ready)| (number, self.write(&ready))).collect()
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
