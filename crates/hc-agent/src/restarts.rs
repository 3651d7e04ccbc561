//! How often a machine was started again by itself: a new agent goes on counting.

use hc_spec::machine::Restart;
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};

/// What is written down of it in `/run`, which ends with the boot that the times are of.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restarts {
    /// All since the host booted.
    pub count: u64,
    /// What the machine ran at the last.
    pub closure: PathBuf,
    /// When the last of them were, in milliseconds since the host booted, the oldest first.
    pub recent: VecDeque<u64>,
}

impl Restarts {
    /// Whether one more, at `now`, would be one too many; else it is one of them.
    pub(crate) fn is_enough(&mut self, restart: &Restart, closure: &Path, now: u64) -> bool {
        if self.closure != closure {
            (self.closure, self.recent) = (closure.into(), VecDeque::new());
        }
        let Some(most) = restart.max_restarts else { return false };
        let window = u64::from(restart.window_sec.unwrap_or(600)) * 1000;
        self.recent.retain(|at| now.saturating_sub(*at) < window);
        if self.recent.len() >= usize::try_from(most).unwrap_or(usize::MAX) {
            return true;
        }
        self.recent.push_back(now);
        false
    }
}

/// Milliseconds since the host booted.
pub(crate) fn now() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    u64::try_from(now.tv_sec * 1000 + now.tv_nsec / 1_000_000).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_those_of_the_window_and_the_closure_count() {
        let restart = Restart { max_restarts: Some(2), window_sec: Some(10), ..Restart::default() };
        let mut restarts = Restarts::default();
        let mut enough = |closure: &str, now| restarts.is_enough(&restart, Path::new(closure), now);
        assert_eq!([0, 5000, 9999].map(|now| enough("/a", now)), [false, false, true]);
        assert_eq!([10_000, 14_999, 15_000].map(|now| enough("/a", now)), [false, true, false]);
        assert_eq!([15_000, 15_001, 15_002].map(|now| enough("/b", now)), [false, false, true]);
        assert_eq!(restarts.closure, Path::new("/b"));
        let unlimited = Restart { max_restarts: None, ..restart };
        assert!(!restarts.is_enough(&unlimited, Path::new("/b"), 15_003));
        assert_eq!(restarts.recent, [15_000, 15_001]);
    }
}
