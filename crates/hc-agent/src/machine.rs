//! Keeping one machine as it is to be: one task per machine.

use crate::goal::{Goal, View};
use crate::machines::Machines;
use crate::process::Process;
use crate::restarts::{self, Restarts};
use crate::status::{Exit, Phase, Status};
use crate::target::Target;
use hc_spec::Name;
use hc_spec::machine::{ReadyWhen, RestartPolicy};
use rustix::process::Signal;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Instant;

/// A machine that ran this long has shown that it works: back-off begins anew.
const STABLE: Duration = Duration::from_secs(10);
/// Longer than `stop.timeoutSec`, after which the supervisor itself kills what it runs.
const STOP_MARGIN: Duration = Duration::from_secs(5);

struct Running {
    process: Arc<Process>,
    closure: PathBuf,
    run: u64,
    since: Instant,
    stop_timeout: Duration,
}

/// Why a machine without a process has none.
enum Idle {
    Due,
    Until(Instant),
    Over,
}

pub(crate) type StopTimeout = Arc<dyn Fn(&Name, &Path) -> Duration + Send + Sync>;

/// The task of one machine. Ends when there is to be no such machine and there is none, or when
/// the agent ends; then the machine goes on running.
pub(crate) struct Keeper {
    pub name: Name,
    pub machines: Arc<dyn Machines>,
    pub goal: watch::Receiver<Goal>,
    pub view: watch::Sender<View>,
    /// Told whenever readiness changes, or whether it is to be expected.
    pub ready_changed: Arc<Notify>,
    /// Reads how long a machine of another closure may take to stop.
    pub stop_timeout: StopTimeout,
    pub boot_id: Arc<str>,
    /// How many machines may be starting at once: more would only slow each other down, and all
    /// would miss their time.
    pub starts: Arc<Semaphore>,
    /// How often it was started again by itself.
    pub restarts: Restarts,
}

/// A start that takes longer no longer keeps others from theirs.
const LONGEST_TURN: Duration = Duration::from_secs(5);

impl Keeper {
    pub(crate) async fn keep(mut self) {
        let mut changes = self.machines.changes(&self.name);
        let first = self.goal.borrow().clone();
        let mut running = self.adopt(first.run);
        let mut idle = if running.is_none() { self.left_over(&first) } else { Idle::Due };
        self.restarts = self.machines.restarts(&self.name);
        self.set(|view| view.restarts = self.restarts.count);
        let mut version = None;
        let mut quick = 0u32;
        loop {
            let goal = self.goal.borrow_and_update().clone();
            if version != Some(goal.version) {
                if version.replace(goal.version).is_some() {
                    idle = Idle::Due;
                    self.begin();
                    if !std::mem::take(&mut self.restarts.recent).is_empty() {
                        self.remember();
                    }
                }
                quick = 0;
                self.set(|view| view.version = goal.version);
            }
            let target = goal.target.as_ref().filter(|_| !goal.stopped);
            if let Some(now) = running.take() {
                let wanted =
                    target.is_some_and(|t| t.closure == now.closure && goal.run == now.run);
                if !wanted {
                    self.stop(now).await;
                    continue;
                }
                self.refresh(&now, target);
                let ended = tokio::select! {
                    changed = self.goal.changed() => {
                        if changed.is_err() { return }
                        None
                    }
                    exit = now.process.wait() => Some(exit),
                    _ = changes.changed() => None,
                };
                match (ended, target) {
                    (Some(exit), Some(target)) => {
                        if now.since.elapsed() >= STABLE {
                            quick = 0;
                        }
                        idle = self.ended(&now, exit, target, quick);
                        quick = quick.saturating_add(1);
                    }
                    _ => running = Some(now),
                }
                continue;
            }
            let Some(target) = target else {
                if goal.target.is_none() {
                    self.forget();
                    if !self.goal.has_changed().unwrap_or(false) {
                        return;
                    }
                    continue;
                }
                self.set(|view| view.phase = Phase::Stopped);
                if self.goal.changed().await.is_err() {
                    return;
                }
                continue;
            };
            match idle {
                // One that runs in spite of all is taken over, never doubled.
                Idle::Due => match self.adopt(goal.run) {
                    Some(now) => running = Some(now),
                    None => {
                        // Wanted otherwise while it waited.
                        let Some(turn) = self.turn().await else { continue };
                        match self.spawn(target, goal.run, turn).await {
                            Ok(now) => running = Some(now),
                            Err(error) => {
                                idle = self.unspawned(error, target, quick);
                                quick = quick.saturating_add(1);
                            }
                        }
                    }
                },
                Idle::Until(then) => tokio::select! {
                    changed = self.goal.changed() => {
                        if changed.is_err() { return }
                    }
                    () = tokio::time::sleep_until(then) => {
                        idle = Idle::Due;
                        self.restarts.count += 1;
                        self.view.send_modify(|view| view.restarts = self.restarts.count);
                        self.remember();
                    }
                },
                Idle::Over => {
                    if self.goal.changed().await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    fn set(&self, change: impl FnOnce(&mut View)) {
        let mut flipped = false;
        self.view.send_modify(|view| {
            let before = view.phase.for_names();
            change(view);
            view.was_ready |= view.phase == Phase::Ready;
            if !matches!(
                view.phase,
                Phase::Starting | Phase::Running | Phase::Ready | Phase::Stopping
            ) {
                (view.payload, view.supervisor) = (None, None);
            }
            flipped = before != view.phase.for_names();
        });
        if flipped {
            self.ready_changed.notify_one();
        }
    }

    fn begin(&self) {
        self.set(|view| {
            view.failures = 0;
            (view.was_ready, view.over, view.unstartable) = (false, false, false);
            view.gave_up = false;
            view.spawned = None;
            // Whatever was said before is not about this goal.
            view.phase = Phase::Starting;
        });
    }

    /// The process an earlier agent started.
    fn adopt(&self, run: u64) -> Option<Running> {
        let found = self.machines.adopt(&self.name).unwrap_or_else(|error| {
            tracing::error!(machine = %self.name, %error, "cannot tell whether it runs");
            None
        });
        let (process, closure) = found?;
        tracing::info!(machine = %self.name, pid = process.pid(), "found running");
        let stop_timeout = (self.stop_timeout)(&self.name, &closure);
        let since = Instant::now();
        Some(Running { process: Arc::new(process), closure, run, since, stop_timeout })
    }

    /// A machine that had done its work before the agent was started again does not do it twice.
    fn left_over(&self, goal: &Goal) -> Idle {
        let Some((target, status)) = goal.target.as_ref().zip(self.machines.status(&self.name))
        else {
            return Idle::Due;
        };
        let ended = status.closure == target.closure
            && status.boot_id == *self.boot_id
            && matches!(status.phase, Phase::Exited | Phase::Failed);
        let Some(exit) = status.exit.filter(|_| ended) else { return Idle::Due };
        let gave_up = self.machines.is_left_alone(&self.name, &target.closure);
        if restarts(target.restart.policy, &exit) && !gave_up {
            return Idle::Due;
        }
        self.view.send_modify(|view| {
            let phase = if gave_up { Phase::Failed } else { status.phase };
            (view.exit, view.over, view.phase, view.gave_up) = (Some(exit), true, phase, gave_up);
        });
        Idle::Over
    }

    fn own_status(&self, process: &Process) -> Option<Status> {
        let own =
            |s: &Status| (s.supervisor_pid, s.supervisor_start) == (process.pid(), process.start());
        self.machines.status(&self.name).filter(own)
    }

    fn refresh(&self, now: &Running, target: Option<&Arc<Target>>) {
        let status = self.own_status(&now.process);
        let started = target.is_some_and(|t| t.ready.when == ReadyWhen::Started);
        self.set(|view| {
            view.supervisor = Some((now.process.pid(), now.process.start()));
            view.spawned.get_or_insert(now.since);
            let Some(status) = status else {
                view.phase = Phase::Starting;
                return;
            };
            view.phase = match status.phase {
                Phase::Running if started => Phase::Ready,
                // Its supervisor is about to end; that is what counts.
                Phase::Exited | Phase::Failed => Phase::Stopping,
                phase => phase,
            };
            view.payload = status.payload_pid;
            (view.addresses, view.text) = (status.addresses, status.text);
        });
    }

    /// Waits for the right to start; `None` when something else is wanted meanwhile.
    async fn turn(&mut self) -> Option<OwnedSemaphorePermit> {
        tokio::select! {
            turn = Arc::clone(&self.starts).acquire_owned() => turn.ok(),
            _ = self.goal.changed() => None,
        }
    }

    async fn spawn(
        &self,
        target: &Arc<Target>,
        run: u64,
        turn: OwnedSemaphorePermit,
    ) -> crate::error::Result<Running> {
        let now = unix_micros();
        self.set(|view| {
            (view.phase, view.spawned_at) = (Phase::Starting, now);
            view.spawned.get_or_insert_with(Instant::now);
        });
        let (machines, name) = (Arc::clone(&self.machines), self.name.clone());
        let closure = target.closure.clone();
        let spawn = move || {
            let spawned = machines.spawn(&name, &closure);
            spawned.map(|process| (process, closure))
        };
        // Fork and exec block; the pool lets many machines start at the same time.
        let (process, closure) = match tokio::task::spawn_blocking(spawn).await {
            Ok(spawned) => spawned?,
            Err(error) => {
                return Err(crate::AgentError::Part {
                    what: "start a machine",
                    source: error.into(),
                });
            }
        };
        tracing::info!(machine = %self.name, pid = process.pid(), closure = %closure.display(), "started");
        let mut view = self.view.subscribe();
        tokio::spawn(async move {
            let begun = view.wait_for(|view| view.phase != Phase::Starting);
            let _ = tokio::time::timeout(LONGEST_TURN, begun).await;
            drop(turn);
        });
        let since = Instant::now();
        let stop_timeout = target.stop_timeout;
        Ok(Running { process: Arc::new(process), closure, run, since, stop_timeout })
    }

    async fn stop(&self, now: Running) {
        self.set(|view| view.phase = Phase::Stopping);
        tracing::info!(machine = %self.name, pid = now.process.pid(), "stopping");
        now.process.signal(Signal::TERM);
        let limit = now.stop_timeout + STOP_MARGIN;
        if tokio::time::timeout(limit, now.process.wait()).await.is_err() {
            tracing::warn!(machine = %self.name, "its supervisor does not stop: killed");
            now.process.signal(Signal::KILL);
            now.process.wait().await;
        }
        let exit = self.own_status(&now.process).and_then(|s| s.exit);
        self.set(|view| (view.exit, view.phase) = (exit, Phase::Starting));
    }

    fn ended(&mut self, now: &Running, exit: Option<Exit>, target: &Target, quick: u32) -> Idle {
        let status = self.own_status(&now.process);
        let unstartable = status.as_ref().is_some_and(|s| s.phase == Phase::Failed);
        let exit = status.and_then(|s| s.exit).unwrap_or_else(|| {
            let how = exit.map(|e| format!(" ({e})")).unwrap_or_default();
            Exit::error(format!("its supervisor ended without a word{how}"))
        });
        tracing::info!(machine = %self.name, %exit, "ended");
        self.idle(exit, unstartable, target, quick)
    }

    fn unspawned(&mut self, error: crate::AgentError, target: &Target, quick: u32) -> Idle {
        tracing::error!(machine = %self.name, %error, "cannot be started");
        self.idle(Exit::error(error.to_string()), true, target, quick)
    }

    fn idle(&mut self, exit: Exit, unstartable: bool, target: &Target, quick: u32) -> Idle {
        let again = restarts(target.restart.policy, &exit);
        let gave_up =
            again && self.restarts.is_enough(&target.restart, &target.closure, restarts::now());
        if gave_up {
            tracing::warn!(machine = %self.name, "started again too often: left alone");
        }
        if gave_up && let Err(error) = self.machines.leave_alone(&self.name, &target.closure) {
            tracing::warn!(machine = %self.name, %error, "another agent will start it again");
        }
        let again = again && !gave_up;
        self.set(|view| {
            if !(exit.is_success() && (view.was_ready || target.ready.when == ReadyWhen::Started)) {
                view.failures += 1;
            }
            (view.exit, view.unstartable, view.over) = (Some(exit), unstartable, !again);
            view.gave_up = gave_up;
            view.phase = match (again, unstartable || gave_up) {
                (true, _) => Phase::Backoff,
                (false, true) => Phase::Failed,
                (false, false) => Phase::Exited,
            };
        });
        let delay = backoff(target.restart.delay_ms, target.restart.max_delay_ms, quick);
        if again { Idle::Until(Instant::now() + delay) } else { Idle::Over }
    }

    /// Writes down how often it was started again, for another agent.
    fn remember(&self) {
        if let Err(error) = self.machines.remember(&self.name, &self.restarts) {
            tracing::warn!(machine = %self.name, %error, "another agent will count its restarts anew");
        }
    }

    fn forget(&self) {
        if let Err(error) = self.machines.forget(&self.name) {
            tracing::warn!(machine = %self.name, %error, "something of it is left");
        }
    }
}

fn restarts(policy: RestartPolicy, exit: &Exit) -> bool {
    match policy {
        RestartPolicy::Always => true,
        RestartPolicy::OnFailure => !exit.is_success(),
        RestartPolicy::Never => false,
    }
}

/// Delay after `quick` earlier ends in quick succession: it doubles, up to a limit.
fn backoff(delay_ms: u64, max_delay_ms: u64, quick: u32) -> Duration {
    // Never none at all: a machine that cannot work must not take a processor for itself.
    let first = delay_ms.max(10);
    let factor = 1u64.checked_shl(quick).unwrap_or(u64::MAX);
    Duration::from_millis(first.saturating_mul(factor).min(max_delay_ms.max(first)))
}

fn unix_micros() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |d| u64::try_from(d.as_micros()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_doubles_to_its_limit() {
        let delays =
            |first, max| [0, 1, 2, 3, 63, 64, u32::MAX].map(|n| backoff(first, max, n).as_millis());
        assert_eq!(delays(100, 500), [100, 200, 400, 500, 500, 500, 500]);
        assert_eq!(delays(0, 0)[..2], [10, 10]);
    }
}
