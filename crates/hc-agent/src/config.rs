//! What an agent is told when it starts.

use crate::failpoints::Failpoints;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where an agent keeps its things, and what it runs.
#[derive(Debug, Clone)]
pub struct AgentConfig {
    /// What survives a reboot: generations, journal, machines' forks. `/var/lib/hc`.
    pub state_dir: PathBuf,
    /// What does not: sockets and status files. `/run/hc`.
    pub run_dir: PathBuf,
    /// Physical root of the store; `None` when `/nix/store` is where it says it is.
    pub store_root: Option<PathBuf>,
    /// The hc executable: `exe machine run` is a machine, `exe agent` is the agent.
    pub exe: PathBuf,
    /// Arguments put behind `machine run CLOSURE --state-dir … --run-dir …`.
    pub machine_args: Vec<OsString>,
    /// Arguments put behind `agent --state-dir … --run-dir …` by [`crate::start()`].
    pub agent_args: Vec<OsString>,
    /// Where whoever started the agent waits for word from it: sd_notify(3)'s `NOTIFY_SOCKET`.
    pub notify: Option<PathBuf>,
    /// How long the process that keeps evaluators warm lives when nobody asks it.
    pub evaluator_idle: Duration,
    /// Where activations are made to fail, for tests.
    pub failpoints: Failpoints,
}

impl AgentConfig {
    /// The usual places, with `exe` as the hc executable.
    #[must_use]
    pub fn new(exe: impl Into<PathBuf>) -> Self {
        Self {
            state_dir: "/var/lib/hc".into(),
            run_dir: "/run/hc".into(),
            store_root: None,
            exe: exe.into(),
            machine_args: Vec::new(),
            agent_args: Vec::new(),
            notify: None,
            evaluator_idle: Duration::from_secs(600),
            failpoints: Failpoints::default(),
        }
    }

    /// The socket the agent answers on.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.run_dir.join("agent.sock")
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.run_dir.join("agent.lock")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.state_dir.join("agent.log")
    }

    pub(crate) fn store(&self) -> Option<&Path> {
        self.store_root.as_deref()
    }
}
