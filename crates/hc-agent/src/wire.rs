//! What goes over the agent's socket, as JSON.

use crate::status::{Exit, Phase};
use hc_spec::Name;
use hc_spec::machine::Kind;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::path::PathBuf;

/// `POST /v1/activate`; with `?wait=true` it waits for an activation that is under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ActivateRequest {
    /// Store path of the machine set.
    pub set: PathBuf,
    /// Seconds until it goes back by itself; the machines' own limits when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_sec: Option<u64>,
    /// Who asks, for whoever else asks meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// `POST /v1/rollback`; takes `?wait=true` too.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RollbackRequest {
    /// Generation to go to; the recorded previous one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<u64>,
    /// As in [`ActivateRequest`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_sec: Option<u64>,
    /// As in [`ActivateRequest`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// `POST /v1/shutdown`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ShutdownRequest {
    /// Whether machines are stopped and networks removed; they go on running otherwise.
    #[serde(default)]
    pub machines: bool,
}

/// How an activation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// It was current already; nothing was touched.
    Unchanged,
    /// It is current now.
    Activated,
    /// Something failed; what was current before is current again.
    RolledBack,
}

/// Answer to activate and rollback.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Activation {
    /// How it ended.
    pub outcome: Outcome,
    /// Current generation now; none when the first one failed.
    pub generation: Option<u64>,
    /// Its machine set.
    pub set: Option<PathBuf>,
    /// Number of machines started, restarted and stopped (and, rolled back, what was tried).
    pub changed: usize,
    /// Machines that were not there before.
    pub started: Vec<Name>,
    /// Machines with another closure than before.
    pub restarted: Vec<Name>,
    /// Machines that are no longer there.
    pub stopped: Vec<Name>,
    /// Number of machines that were not touched.
    pub kept: usize,
    /// Why it went back; empty otherwise.
    pub failures: Vec<Failure>,
}

/// One reason why an activation went back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// Machine it is about, where it is about one.
    pub machine: Option<Name>,
    /// What happened.
    pub reason: String,
    /// How the machine ended, if it did.
    pub exit: Option<Exit>,
    /// The last lines it wrote.
    pub log: Vec<String>,
}

/// `GET /v1/status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentStatus {
    /// Version of the agent.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// Unix milliseconds at which it started.
    pub since: u64,
    /// Current generation.
    pub generation: Option<u64>,
    /// Its machine set.
    pub set: Option<PathBuf>,
    /// Generation a plain rollback goes to.
    pub previous: Option<u64>,
    /// Number of machines in the current set.
    pub machines: usize,
    /// Number of those that are ready.
    pub ready: usize,
    /// What is being activated.
    pub activation: Option<InProgress>,
    /// What keeps the agent from doing its work.
    pub problem: Option<String>,
    /// The process that keeps evaluators warm, when there is one.
    #[serde(default)]
    pub evaluator: Option<EvaluatorStatus>,
}

/// The process that keeps evaluators warm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EvaluatorStatus {
    /// Its number.
    pub pid: u32,
    /// Whether it is at work.
    pub busy: bool,
    /// How many times an evaluator answered since the agent started, instead of declining.
    pub answered: u64,
}

/// An activation that is under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InProgress {
    /// Who asked for it.
    pub by: String,
    /// What it does.
    pub what: String,
    /// Unix milliseconds at which it began.
    pub since: u64,
}

/// One entry of `GET /v1/machines`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MachineView {
    /// Its name.
    pub name: Name,
    /// What kind of machine it is.
    pub kind: Option<Kind>,
    /// How far it has come.
    pub phase: Phase,
    /// Whether it answers.
    pub ready: bool,
    /// First process inside, as the host sees it.
    pub pid: Option<i32>,
    /// Process that supervises it.
    pub supervisor_pid: Option<i32>,
    /// Milliseconds since its supervisor started.
    pub uptime_ms: Option<u64>,
    /// How often it was started again by itself since the agent started.
    pub restarts: u64,
    /// Closure it runs or is to run.
    pub closure: PathBuf,
    /// Networks it is on.
    pub networks: Vec<Name>,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// What it says about itself (`STATUS=` of sd_notify(3)).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// How its last run ended.
    pub exit: Option<Exit>,
    /// The machine that it is a fork of; it is in no generation then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fork_of: Option<Name>,
}

/// Every error of the agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApiError {
    /// A word for programs.
    pub kind: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// `POST /v1/evaluate`: something for the evaluators that are kept warm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EvaluateRequest {
    /// Where whoever asks is.
    pub surroundings: Surroundings,
    /// What is wanted; the agent only passes it on.
    pub order: serde_json::Value,
}

/// Answer to evaluate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EvaluateAnswer {
    /// What the evaluators say; nothing when whoever asks has to evaluate.
    pub answer: Option<serde_json::Value>,
}

/// What an evaluation depends on beside what it is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Surroundings {
    /// Which files there are. The agent sees those of its own place, and helps nobody elsewhere.
    pub place: Place,
    /// Tells one executable from another: an evaluator helps only those of its own.
    pub version: String,
    /// Variables of the environment, sorted.
    pub environment: Vec<(String, String)>,
}

/// Which files a process sees.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Place {
    /// Physical root of the store, if it is not the usual one.
    pub store: Option<PathBuf>,
    /// Its mount and user namespaces, as proc_pid_ns(5) names them.
    pub namespaces: Vec<PathBuf>,
    /// Device and number of its root directory.
    pub root: (u64, u64),
}

/// What says who somebody is or where they sit, and nothing about what evaluation finds.
const NO_MATTER: &[&str] = &[
    "_",
    "COLUMNS",
    "DBUS_SESSION_BUS_ADDRESS",
    "DISPLAY",
    "INVOCATION_ID",
    "JOURNAL_STREAM",
    "LINES",
    "NOTIFY_SOCKET",
    "NO_COLOR",
    "OLDPWD",
    "PWD",
    "SHLVL",
    "SSH_CLIENT",
    "SSH_CONNECTION",
    "SSH_TTY",
    "STY",
    "TERM",
    "TMUX",
    "TMUX_PANE",
    "WINDOWID",
    "XDG_SESSION_ID",
];

impl Surroundings {
    /// Those of this process, with the store it works on. Nothing when they cannot be told.
    #[must_use]
    pub fn of_this_process(store: Option<PathBuf>) -> Option<Self> {
        use std::os::unix::fs::MetadataExt;
        let namespace = |kind: &str| std::fs::read_link(format!("/proc/self/ns/{kind}")).ok();
        let root = std::fs::metadata("/").ok()?;
        Some(Self {
            place: Place {
                store,
                namespaces: vec![namespace("mnt")?, namespace("user")?],
                root: (root.dev(), root.ino()),
            },
            version: String::new(),
            environment: Vec::new(),
        })
    }

    /// With what the environment says; nothing when it is not all text.
    #[must_use]
    pub fn with_environment(
        mut self,
        version: String,
        variables: impl Iterator<Item = (std::ffi::OsString, std::ffi::OsString)>,
    ) -> Option<Self> {
        self.version = version;
        for (name, value) in variables {
            let name = name.into_string().ok()?;
            if !NO_MATTER.contains(&name.as_str()) {
                self.environment.push((name, value.into_string().ok()?));
            }
        }
        self.environment.sort_unstable();
        Some(self)
    }
}
