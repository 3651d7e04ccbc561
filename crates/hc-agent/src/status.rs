//! What the supervisor of a machine writes down about it (`status.json`).

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

/// How a machine ended: one of `code`, `signal` and `error` is there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// Status of its command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<i32>,
    /// Signal that killed its command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    /// Why it never ran, or why nobody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Something in it was killed because its memory limit was reached.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub oom: bool,
    /// Its supervisor was asked to stop it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub requested: bool,
    /// It did not stop in time and was killed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub killed: bool,
}

impl Exit {
    /// With this status.
    #[must_use]
    pub fn code(code: i32) -> Self {
        Self { code: Some(code), ..Self::default() }
    }

    /// By this signal.
    #[must_use]
    pub fn signal(signal: i32) -> Self {
        Self { signal: Some(signal), ..Self::default() }
    }

    /// Never ran, or nobody knows.
    pub fn error(text: impl Into<String>) -> Self {
        Self { error: Some(text.into()), ..Self::default() }
    }

    /// Whether it ended as a program that has done its work.
    #[must_use]
    pub fn success(&self) -> bool {
        self.code == Some(0) && !self.oom
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.error, self.code, self.signal) {
            (Some(error), ..) => f.write_str(error)?,
            (None, Some(code), _) => write!(f, "exit status {code}")?,
            (None, None, Some(signal)) => write!(f, "signal {signal}")?,
            (None, None, None) => f.write_str("it ended")?,
        }
        if self.oom {
            f.write_str(" (out of memory)")?;
        }
        if self.killed {
            f.write_str(" (did not stop in time)")?;
        }
        Ok(())
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
    fn what_is_not_there_is_not_written() {
        let text = |e: &Exit| serde_json::to_string(e).unwrap();
        assert_eq!(text(&Exit::code(1)), r#"{"code":1}"#);
        assert_eq!(text(&Exit::error("no")), r#"{"error":"no"}"#);
        let oom: Exit = serde_json::from_str(r#"{"code":0,"oom":true}"#).unwrap();
        assert!(!oom.success());
        assert_eq!(oom.to_string(), "exit status 0 (out of memory)");
    }
}
