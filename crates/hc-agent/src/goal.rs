//! What a machine is to be, what it is, and whether that is good enough.

use crate::status::{Exit, Phase};
use crate::target::Target;
use hc_spec::machine::ReadyWhen;
use std::net::IpAddr;
use std::sync::Arc;
use tokio::time::Instant;

/// A machine that ended this often before it was ready is not waited for any longer.
const HOPELESS: u32 = 5;

/// What a machine is to be.
#[derive(Debug, Clone, Default)]
pub(crate) struct Goal {
    /// Counts changes of this goal: with each, earlier failures are forgotten.
    pub version: u64,
    /// Counts restarts asked for.
    pub run: u64,
    /// What it is to run; `None` when there is to be no such machine.
    pub target: Option<Arc<Target>>,
    /// Somebody stopped it.
    pub stopped: bool,
}

/// What a machine is.
#[derive(Debug, Clone)]
pub(crate) struct View {
    /// Goal that this is about.
    pub version: u64,
    pub phase: Phase,
    pub payload: Option<i32>,
    /// Process and start time of its supervisor.
    pub supervisor: Option<(i32, u64)>,
    pub addresses: Vec<IpAddr>,
    pub text: Option<String>,
    pub restarts: u64,
    /// How the last run ended.
    pub exit: Option<Exit>,
    /// It never got as far as executing its command.
    pub unstartable: bool,
    /// It was started again too often and is left alone.
    pub gave_up: bool,
    /// It has been ready since the goal changed.
    pub was_ready: bool,
    /// Ends since the goal changed that were no success, or came before it was ready.
    pub failures: u32,
    /// It ended and is not started again.
    pub over: bool,
    /// When it was first started for this goal.
    pub spawned: Option<Instant>,
    /// The same in Unix microseconds, as its log has it.
    pub spawned_at: u64,
}

impl Default for View {
    fn default() -> Self {
        Self {
            version: 0,
            phase: Phase::Starting,
            payload: None,
            supervisor: None,
            addresses: Vec::new(),
            text: None,
            restarts: 0,
            exit: None,
            unstartable: false,
            gave_up: false,
            was_ready: false,
            failures: 0,
            over: false,
            spawned: None,
            spawned_at: 0,
        }
    }
}

impl View {
    /// Whether a machine that is waited for is ready, or why it will not be; `None` is not yet.
    pub(crate) fn verdict(&self, when: ReadyWhen) -> Option<Result<(), String>> {
        let exit = || self.exit.as_ref().map_or_else(|| "it ended".into(), Exit::to_string);
        let done = self.exit.as_ref().is_some_and(Exit::is_success)
            && (self.was_ready || when == ReadyWhen::Started);
        match self.phase {
            Phase::Ready | Phase::Stopped => Some(Ok(())),
            Phase::Exited | Phase::Backoff if done => Some(Ok(())),
            Phase::Failed if self.gave_up => {
                Some(Err(format!("it ended too often and is left alone: {}", exit())))
            }
            Phase::Failed => Some(Err(format!("it cannot be started: {}", exit()))),
            Phase::Backoff if self.unstartable => {
                Some(Err(format!("it cannot be started: {}", exit())))
            }
            Phase::Exited if self.over => {
                Some(Err(format!("it ended before it was ready: {}", exit())))
            }
            Phase::Backoff if self.failures >= HOPELESS => Some(Err(format!(
                "it ended {} times before it was ready: {}",
                self.failures,
                exit()
            ))),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_counts_as_ready() {
        let view = |phase, exit: Option<Exit>| View { phase, exit, ..View::default() };
        let said = |view: &View, when| view.verdict(when).map(|v| v.is_ok());
        let done = Some(Exit::code(0));
        let bad = Some(Exit::code(1));
        use {Phase as P, ReadyWhen as W};
        assert_eq!(said(&view(P::Ready, None), W::Notify), Some(true));
        assert_eq!(said(&view(P::Running, None), W::Notify), None);
        assert_eq!(said(&view(P::Backoff, done.clone()), W::Started), Some(true));
        assert_eq!(said(&view(P::Backoff, done.clone()), W::Notify), None);
        assert_eq!(said(&view(P::Backoff, bad.clone()), W::Started), None);
        let hopeless = View { failures: HOPELESS, ..view(P::Backoff, bad.clone()) };
        assert_eq!(said(&hopeless, W::Started), Some(false));
        let over = View { over: true, ..view(P::Exited, bad) };
        assert_eq!(said(&over, W::Started), Some(false));
        let over = View { over: true, ..view(P::Exited, done) };
        assert_eq!(said(&over, W::Started), Some(true));
        assert_eq!(said(&over, W::Tcp), Some(false));
    }
}
