//! Progress for people: on a terminal, and only for what takes longer than half a second.

use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// How long something may take before anybody is told.
const PATIENCE: Duration = Duration::from_millis(500);

/// One line at the bottom of the terminal that says what is going on.
pub struct Progress {
    started: Instant,
    bar: Mutex<Option<ProgressBar>>,
    wanted: bool,
}

impl Progress {
    /// Silent at first, and for good where there is no terminal.
    pub fn new() -> Self {
        Self {
            started: Instant::now(),
            bar: Mutex::new(None),
            wanted: std::io::stderr().is_terminal(),
        }
    }

    /// Says what is going on now.
    pub fn say(&self, message: impl Into<String>) {
        self.say_with(|| message.into());
    }

    /// The same, for texts that nobody needs where they are not shown.
    pub fn say_with(&self, message: impl FnOnce() -> String) {
        if !self.wanted || self.started.elapsed() < PATIENCE {
            return;
        }
        let mut bar = self.bar.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let bar = bar.get_or_insert_with(|| {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg} {elapsed}") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        bar.set_message(message());
    }

    /// Takes the line away.
    pub fn clear(&self) {
        let bar = self.bar.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        if let Some(bar) = bar {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}
