//! Progress for people: on a terminal, and only for what takes longer than half a second.

use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long something may take before anybody is told.
const PATIENCE: Duration = Duration::from_millis(500);

/// One line at the bottom of the terminal that says what is going on.
pub struct Progress {
    started: Instant,
    line: Arc<Mutex<Line>>,
    wanted: bool,
}

#[derive(Default)]
struct Line {
    bar: Option<ProgressBar>,
    /// What was said before it was time to show anything; something shows it then.
    early: Option<String>,
    waiting: bool,
}

impl Line {
    fn show(&mut self, message: String) {
        let bar = self.bar.get_or_insert_with(|| {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg} {elapsed}") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        bar.set_message(message);
    }
}

impl Progress {
    /// Silent at first, and for good where there is no terminal.
    pub fn new() -> Self {
        Self {
            started: Instant::now(),
            line: Arc::default(),
            wanted: std::io::stderr().is_terminal(),
        }
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says what is going on now.
    pub fn say(&self, message: impl Into<String>) {
        self.say_with(|| message.into());
    }

    /// The same, for texts that nobody needs where they are not shown.
    pub fn say_with(&self, message: impl FnOnce() -> String) {
        if !self.wanted {
            return;
        }
        let mut line = self.line();
        let early = PATIENCE.saturating_sub(self.started.elapsed());
        if early.is_zero() {
            return line.show(message());
        }
        line.early = Some(message());
        if !std::mem::replace(&mut line.waiting, true) {
            // What was said may well be the last word for a while.
            let line = Arc::clone(&self.line);
            std::thread::spawn(move || {
                std::thread::sleep(early);
                let mut line = line.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(message) = line.early.take() {
                    line.show(message);
                }
            });
        }
    }

    /// Takes the line away.
    pub fn clear(&self) {
        let mut line = self.line();
        line.early = None;
        let bar = line.bar.take();
        drop(line);
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
