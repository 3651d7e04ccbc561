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
