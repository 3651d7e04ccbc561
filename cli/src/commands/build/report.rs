//! What a person sees of builds while they run.

use crate::output;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use nix_store::{BuildEvent, BuildObserver, StorePath};
use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a build may take before anybody is told.
const PATIENCE: Duration = Duration::from_millis(500);
/// More lines than this are no overview.
const MOST_LINES: usize = 16;

/// Set by the first Ctrl-C or SIGTERM; what runs is ended, and the call returns.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// One line on the terminal for each build that runs: its name, for how long, what it wrote last.
/// Without a terminal, only the logs that were asked for.
pub struct Report {
    logs: bool,
    wanted: bool,
    lines: MultiProgress,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    running: BTreeMap<StorePath, Running>,
    sum: Option<ProgressBar>,
    all: usize,
    done: usize,
}

struct Running {
    since: Instant,
    last: String,
    bar: Option<ProgressBar>,
}

impl Report {
    /// Says nothing yet; Ctrl-C from now on ends builds cleanly.
    pub fn new(logs: bool) -> Self {
        interrupt();
        Self {
            logs,
            wanted: std::io::stderr().is_terminal(),
            lines: MultiProgress::new(),
            state: Mutex::new(State::default()),
        }
    }

    /// Takes all lines away.
    pub fn clear(&self) {
        let mut state = self.state();
        state.running.clear();
        state.sum = None;
        let _ = self.lines.clear();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refresh(&self) {
        if !self.wanted {
            return;
        }
        let mut state = self.state();
        let shown = state.running.values().filter(|running| running.bar.is_some()).count();
        let (all, done) = (state.all, state.done);
        let mut room = MOST_LINES.saturating_sub(shown);
        let mut sum = state.sum.take();
        for (drv, running) in &mut state.running {
            if running.bar.is_none() && room > 0 && running.since.elapsed() > PATIENCE {
                let sum = sum.get_or_insert_with(|| self.lines.add(line("{spinner} {msg}")));
                let bar =
                    self.lines.insert_before(sum, line("  {prefix} {elapsed} {wide_msg:.dim}"));
                let name = drv.name();
                bar.set_prefix(name.strip_suffix(".drv").unwrap_or(name).to_owned());
                running.bar = Some(bar);
                room -= 1;
            }
            if let Some(bar) = &running.bar {
                bar.set_message(running.last.clone());
                bar.tick();
            }
        }
        if let Some(sum) = &sum {
            sum.set_message(format!("{done} of {all} done, {} running", state.running.len()));
            sum.tick();
        }
        state.sum = sum;
    }

    fn ended(&self, drv: &StorePath) {
        let mut state = self.state();
        state.done += 1;
        if let Some(bar) = state.running.remove(drv).and_then(|running| running.bar) {
            bar.finish_and_clear();
            self.lines.remove(&bar);
        }
    }
}

fn line(template: &str) -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}

impl BuildObserver for Report {
    fn event(&self, event: BuildEvent<'_>) {
        match event {
            BuildEvent::Plan { builds, fetches } => self.state().all += builds + fetches,
            BuildEvent::Started { drv } => {
                let running = Running { since: Instant::now(), last: String::new(), bar: None };
                self.state().running.insert(drv.clone(), running);
            }
            BuildEvent::Log { drv, line } => {
                if self.logs {
                    let name = drv.name().strip_suffix(".drv").unwrap_or(drv.name());
                    let text = format!("{name}> {line}");
                    if self.wanted {
                        let _ = self.lines.println(text);
                    } else {
                        eprintln!("{text}");
                    }
                }
                if let Some(running) = self.state().running.get_mut(drv) {
                    // What moves a cursor has no place in a line of ours.
                    running.last = line.chars().filter(|c| !c.is_control()).collect();
                }
            }
            BuildEvent::Progress { drv, done, total } => {
                let of = total.map(|total| format!(" of {}", output::bytes(total)));
                if let Some(running) = self.state().running.get_mut(drv) {
                    running.last = format!("{}{}", output::bytes(done), of.unwrap_or_default());
                }
                self.refresh();
            }
            BuildEvent::Substituting { path, from } => {
                let last = format!("from {from}");
                let since = Instant::now();
                let mut state = self.state();
                state.all += 1;
                state.running.insert(path.clone(), Running { since, last, bar: None });
            }
            BuildEvent::Substituted { path } => self.ended(path),
            BuildEvent::Warning { text } => {
                let text = format!("warning: {text}");
                if self.wanted {
                    let _ = self.lines.println(text);
                } else {
                    eprintln!("{text}");
                }
            }
            BuildEvent::Finished { drv } | BuildEvent::Failed { drv } => self.ended(drv),
            _ => {}
        }
    }

    fn cancelled(&self) -> bool {
        self.refresh();
        INTERRUPTED.load(Ordering::Relaxed)
    }
}

/// From now on the first Ctrl-C or SIGTERM asks builds to end; a second one ends this program.
fn interrupt() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        std::thread::spawn(|| {
            let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_io().build()
            else {
                return;
            };
            runtime.block_on(async {
                use tokio::signal::unix::{SignalKind, signal};
                let (Ok(mut int), Ok(mut term)) =
                    (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
                else {
                    return;
                };
                for again in [false, true] {
                    tokio::select! {
                        _ = int.recv() => {}
                        _ = term.recv() => {}
                    }
                    if again {
                        std::process::exit(130);
                    }
                    INTERRUPTED.store(true, Ordering::Relaxed);
                }
            });
        });
    });
}
