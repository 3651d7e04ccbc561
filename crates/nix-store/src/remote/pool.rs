//! Connections that are used again: some at once, as many as the peer likes.

use super::stream::Stream;
use crate::error::Result;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Something with a connection.
pub(super) trait Connected {
    fn stream(&self) -> &Stream;
}

/// Connections, at most `limit` of them.
#[derive(Debug)]
pub(super) struct Pool<C> {
    state: Mutex<State<C>>,
    freed: Condvar,
    limit: usize,
}

#[derive(Debug)]
struct State<C> {
    idle: Vec<C>,
    used: usize,
}

impl<C: Connected> Pool<C> {
    pub fn new(limit: usize) -> Self {
        let state = Mutex::new(State { idle: Vec::new(), used: 0 });
        Self { state, freed: Condvar::new(), limit }
    }

    /// How many connections there can be at once.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Does something with a connection; one that has lost its step is not used again. Waits for
    /// one where all are used.
    pub fn with<T>(
        &self,
        open: impl FnOnce() -> Result<C>,
        work: impl FnOnce(&mut C) -> Result<T>,
    ) -> Result<T> {
        let idle = {
            let mut state = self.lock();
            while state.used >= self.limit {
                state = self.freed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            state.used += 1;
            state.idle.pop()
        };
        let mut place = Place { pool: self, connection: idle };
        let connection = match &mut place.connection {
            Some(connection) => connection,
            none => none.insert(open()?),
        };
        work(connection)
    }

    fn lock(&self) -> MutexGuard<'_, State<C>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives the place of a connection back, whatever happens.
struct Place<'a, C: Connected> {
    pool: &'a Pool<C>,
    connection: Option<C>,
}

impl<C: Connected> Drop for Place<'_, C> {
    fn drop(&mut self) {
        let good = self.connection.take().filter(|connection| connection.stream().in_step);
        let mut state = self.pool.lock();
        state.used -= 1;
        state.idle.extend(good);
        drop(state);
        self.pool.freed.notify_one();
    }
}
