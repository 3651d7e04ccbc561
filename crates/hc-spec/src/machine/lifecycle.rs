//! How one machine comes up, is started again and ends.

use crate::health::Question;
use serde::{Deserialize, Serialize};

/// When a machine counts as ready.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Ready {
    /// What is waited for.
    #[serde(default)]
    pub when: ReadyWhen,
    /// Port on the machine, with `when = "tcp"` and `when = "http"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Path that is asked for, with `when = "http"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Program and arguments, with `when = "command"`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// Seconds after which a deploy gives up on it.
    #[serde(default = "thirty")]
    pub timeout_sec: u32,
}

/// What readiness waits for.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum ReadyWhen {
    /// The command was executed.
    #[default]
    Started,
    /// `READY=1` on `NOTIFY_SOCKET` (sd_notify(3)).
    Notify,
    /// A TCP connection to `port` on the machine's own loopback (`::1`, then `127.0.0.1`).
    Tcp,
    /// An answer with a status of 200 to 399 from there.
    Http,
    /// `command`, run in the machine, ends with 0.
    Command,
}

/// What happens when the command ends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Restart {
    /// When to start it again.
    #[serde(default)]
    pub policy: RestartPolicy,
    /// First delay in milliseconds; it doubles with each quick failure.
    #[serde(default = "hundred")]
    pub delay_ms: u64,
    /// Longest delay in milliseconds.
    #[serde(default = "minute")]
    pub max_delay_ms: u64,
    /// Most restarts within `window_sec`; one more and it is left alone, until somebody starts it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_restarts: Option<u32>,
    /// Seconds within which restarts are counted, with `max_restarts`; ten minutes when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window_sec: Option<u32>,
}

/// When to start a machine again.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum RestartPolicy {
    /// Whatever its exit status.
    #[default]
    Always,
    /// After a status other than 0, or a signal.
    OnFailure,
    /// Never.
    Never,
}

/// How a machine is asked to stop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Stop {
    /// Signal name for the command, such as `TERM`, `QUIT` or `RTMIN+3`; absent for the image's own,
    /// or `TERM`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<String>,
    /// Seconds until everything in it is killed.
    #[serde(default = "ten")]
    pub timeout_sec: u32,
}

fn ten() -> u32 {
    10
}
fn thirty() -> u32 {
    30
}
fn hundred() -> u64 {
    100
}
fn minute() -> u64 {
    60_000
}

impl Default for Ready {
    fn default() -> Self {
        Self {
            when: ReadyWhen::default(),
            port: None,
            path: None,
            command: Vec::new(),
            timeout_sec: thirty(),
        }
    }
}

impl Default for Restart {
    fn default() -> Self {
        Self {
            policy: RestartPolicy::default(),
            delay_ms: hundred(),
            max_delay_ms: minute(),
            max_restarts: None,
            window_sec: None,
        }
    }
}

impl Default for Stop {
    fn default() -> Self {
        Self { signal: None, timeout_sec: ten() }
    }
}

impl Ready {
    /// What is asked from outside until it is ready; `None` where it says so itself.
    #[must_use]
    pub fn question(&self) -> Option<Question> {
        match self.when {
            ReadyWhen::Http | ReadyWhen::Command => {
                Question::of(&self.command, self.port, self.path.as_deref()).ok()
            }
            ReadyWhen::Started | ReadyWhen::Notify | ReadyWhen::Tcp => None,
        }
    }

    pub(super) fn check(&self) -> Result<(), (&'static str, String)> {
        let when = self.when;
        if matches!(when, ReadyWhen::Tcp | ReadyWhen::Http) != self.port.is_some() {
            let goes = "goes with ready.when = \"tcp\" or \"http\", and only with them";
            return Err(("ready.port", goes.into()));
        }
        if (when == ReadyWhen::Http) != self.path.is_some() {
            let goes = "goes with ready.when = \"http\", and only with it";
            return Err(("ready.path", goes.into()));
        }
        if (when == ReadyWhen::Command) == self.command.is_empty() {
            let goes = "goes with ready.when = \"command\", and only with it";
            return Err(("ready.command", goes.into()));
        }
        let asked = matches!(when, ReadyWhen::Http | ReadyWhen::Command);
        let question = Question::of(&self.command, self.port, self.path.as_deref());
        if asked { question.map(drop).map_err(|problem| ("ready", problem)) } else { Ok(()) }
    }
}

impl Stop {
    /// The signal's name.
    #[must_use]
    pub fn signal(&self) -> &str {
        self.signal.as_deref().unwrap_or("TERM")
    }
}
