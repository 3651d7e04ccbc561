//! What the supervisor of a machine writes down about it (`status.json`).

use serde::{Deserialize, Serialize};
use std::fmt;
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
    pub addresses: Vec<String>,
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

/// How a machine ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Exit {
    /// With this status.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// It never ran, or nobody knows.
    Error(String),
}

impl Exit {
    /// Whether it ended as a program that has done its work.
    #[must_use]
    pub fn success(&self) -> bool {
        *self == Self::Code(0)
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit status {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
            Self::Error(text) => f.write_str(text),
        }
    }
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

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_is_one_key() {
        let text = |e: &Exit| serde_json::to_string(e).unwrap();
        assert_eq!(text(&Exit::Code(1)), r#"{"code":1}"#);
        assert_eq!(text(&Exit::Signal(9)), r#"{"signal":9}"#);
        assert_eq!(text(&Exit::Error("no".into())), r#"{"error":"no"}"#);
    }
}
