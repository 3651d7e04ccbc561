//! What the supervisor of a machine writes down about it (`status.json`).

use crate::networks::State;
pub use hc_runtime::Exit;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

/// `/run/hc/machines/NAME/status.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Name of the machine.
    pub name: String,
    /// Closure it runs.
    pub closure: PathBuf,
    /// Process that supervises it.
    pub supervisor_pid: i32,
    /// Start time of that process in clock ticks since boot (proc_pid_stat(5), field 22).
    pub supervisor_start: u64,
    /// First process inside, as the host sees it.
    #[serde(default)]
    pub payload_pid: Option<i32>,
    /// Boot in which this was written.
    #[serde(default)]
    pub boot_id: String,
    /// How far it has come.
    pub phase: Phase,
    /// How it ended, once it has.
    #[serde(default)]
    pub exit: Option<Exit>,
    /// Unix milliseconds at which `phase` began.
    #[serde(default)]
    pub since: u64,
    /// Its addresses.
    #[serde(default)]
    pub addresses: Vec<IpAddr>,
    /// What the machine says about itself (`STATUS=` of sd_notify(3)).
    #[serde(default)]
    pub text: Option<String>,
}

/// How far a machine has come. The last three are the agent's own words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Fork, network and namespaces are being made.
    Starting,
    /// The command was executed.
    Running,
    /// It answers, by the measure of its `ready` option.
    Ready,
    /// It was asked to stop.
    Stopping,
    /// The command ended.
    Exited,
    /// The command could not be started.
    Failed,
    /// It ended and is started again after a while.
    Backoff,
    /// Somebody stopped it.
    Stopped,
}

impl Phase {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Ready => "ready",
            Self::Stopping => "stopping",
            Self::Exited => "exited",
            Self::Failed => "failed",
            Self::Backoff => "backoff",
            Self::Stopped => "stopped",
        }
    }
}

impl Phase {
    /// What the name server makes of it. Who is started again is waited for, like at first.
    pub(crate) fn for_names(self) -> State {
        match self {
            Self::Ready => State::Ready,
            Self::Starting | Self::Running | Self::Backoff => State::Starting,
            Self::Stopping | Self::Exited | Self::Failed | Self::Stopped => State::Down,
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
