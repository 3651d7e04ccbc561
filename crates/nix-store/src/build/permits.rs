//! How many builders run at once, apart from how many builds are being registered.

use crate::error::{Error, Result};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// A number of permits; whoever has one runs a builder. What comes after the builder, flushing to
/// the disk above all, needs none: it waits for the disk, and the next builder for the processor.
pub(super) struct Permits {
    free: Mutex<usize>,
    returned: Condvar,
}

/// Given back when it is dropped.
pub(super) struct Permit<'a>(&'a Permits);

impl Permits {
    pub fn new(count: usize) -> Self {
        Self { free: Mutex::new(count), returned: Condvar::new() }
    }

    /// Waits for one.
    pub fn take(&self, cancelled: &dyn Fn() -> bool) -> Result<Permit<'_>> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        while *free == 0 {
            if cancelled() {
                return Err(Error::Cancelled);
            }
            let wait = self.returned.wait_timeout(free, Duration::from_millis(100));
            free = wait.unwrap_or_else(PoisonError::into_inner).0;
        }
        *free -= 1;
        Ok(Permit(self))
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        *self.0.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.returned.notify_one();
    }
}
