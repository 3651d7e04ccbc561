//! The process that keeps evaluators warm: `exe agent evaluator`, a child of the agent, so that neither a
//! crash nor the memory of an evaluation is the agent's.
//!
//! It is started when there is something to keep, answers one line of JSON with one line of JSON, one at
//! a time, and is ended when nobody asked for a while. What is asked and answered is no business of the
//! agent's. Whoever asks can do without: whatever is not as it should be, the answer is none.

use crate::config::AgentConfig;
use crate::wire::{EvaluateRequest, EvaluatorStatus, Surroundings};
use serde_json::Value;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::Mutex;
use tokio::time::Instant;

#[derive(Default)]
pub(crate) struct Evaluator {
    running: Arc<Mutex<Option<Running>>>,
    /// Counts the processes, to tell one from the next.
    number: AtomicU64,
    pid: AtomicU32,
    answered: AtomicU64,
}

struct Running {
    /// Ends with this.
    _child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    surroundings: Surroundings,
    used: Instant,
    number: u64,
}

impl Evaluator {
    /// What it does, when there is one.
    pub(crate) fn status(&self) -> Option<EvaluatorStatus> {
        let busy = match self.running.try_lock() {
            Ok(slot) if slot.is_none() => return None,
            slot => slot.is_err(),
        };
        let (pid, answered) = (self.pid.load(Relaxed), self.answered.load(Relaxed));
        Some(EvaluatorStatus { pid, busy, answered })
    }

    /// Asks, and starts the process for it when `start`. Nothing when there is none, or it is at work, or
    /// it has other surroundings than whoever asks.
    ///
    /// Dropped before the answer is there, it takes the process with it: an evaluation cannot be called off.
    pub(crate) async fn ask(
        &self,
        config: &AgentConfig,
        request: EvaluateRequest,
        start: bool,
    ) -> Option<Value> {
        if Surroundings::of_this_process(config.store_root.clone())?.place
            != request.surroundings.place
        {
            return None;
        }
        let mut slot = Arc::clone(&self.running).try_lock_owned().ok()?;
        let known = slot.take().filter(|running| running.surroundings == request.surroundings);
        let mut running = match known {
            Some(running) => running,
            None if start => self.start(config, request.surroundings)?,
            None => return None,
        };
        let answer = running.exchange(&request.order).await?;
        running.used = Instant::now();
        if !start && answer.get("answer").is_some_and(|kind| kind != "declined") {
            self.answered.fetch_add(1, Relaxed);
        }
        *slot = Some(running);
        Some(answer)
    }

    fn start(&self, config: &AgentConfig, surroundings: Surroundings) -> Option<Running> {
        let mut command = Command::new(&config.exe);
        command.args(["agent", "evaluator"]).args(&config.agent_args).current_dir("/");
        command.env_clear().envs(surroundings.environment.iter().cloned());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = match command.kill_on_drop(true).spawn() {
            Ok(child) => child,
            Err(error) => {
                tracing::warn!(%error, "cannot start the evaluator");
                return None;
            }
        };
        let (input, output) = (child.stdin.take()?, BufReader::new(child.stdout.take()?));
        let number = self.number.fetch_add(1, Relaxed);
        self.pid.store(child.id()?, Relaxed);
        tokio::spawn(end_when_idle(Arc::clone(&self.running), number, config.evaluator_idle));
        Some(Running { _child: child, input, output, surroundings, used: Instant::now(), number })
    }
}

/// Ends process `number` when nobody asked it for a while.
async fn end_when_idle(
    running: Arc<Mutex<Option<Running>>>,
    number: u64,
    idle: std::time::Duration,
) {
    let mut until = Instant::now() + idle;
    loop {
        tokio::time::sleep_until(until).await;
        let mut slot = running.lock().await;
        let Some(one) = slot.as_ref().filter(|one| one.number == number) else { return };
        until = one.used + idle;
        if until <= Instant::now() {
            *slot = None;
            return;
        }
    }
}

impl Running {
    async fn exchange(&mut self, order: &Value) -> Option<Value> {
        let mut line = serde_json::to_vec(order).ok()?;
        line.push(b'\n');
        self.input.write_all(&line).await.ok()?;
        let mut answer = Vec::new();
        self.output.read_until(b'\n', &mut answer).await.ok()?;
        serde_json::from_slice(&answer).ok()
    }
}
