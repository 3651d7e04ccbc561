//! The status file: how the agent learns what a supervisor does.

use crate::config::Places;
use crate::timing::Stage;
pub use crate::vm::ForkedDisk;
use hc_spec::Name;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Where a machine is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Being set up; the payload has not been executed.
    Starting,
    /// Executed, not ready yet.
    Running,
    /// Executed and ready.
    Ready,
    /// Asked to stop.
    Stopping,
    /// Over, and cleaned up.
    Exited,
    /// Never got to run; cleaned up.
    Failed,
}

impl Phase {
    /// Whether nothing runs any more.
    #[must_use]
    pub fn is_over(self) -> bool {
        matches!(self, Self::Exited | Self::Failed)
    }
}

/// How a machine ended: one of `code`, `signal` and `error` is there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// Exit status of the payload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<i32>,
    /// Signal that killed the payload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    /// Why it never ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Something in it was killed because its memory limit was reached.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub oom: bool,
    /// The supervisor was asked to stop it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub requested: bool,
    /// Why it was thought not to work any more, when it was ended for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unhealthy: Option<String>,
    /// It did not stop in time and was killed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub killed: bool,
    /// What brought a virtual machine down, when it was not what runs in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<Fault>,
}

/// What brings a virtual machine down, besides what runs in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fault {
    /// Its kernel panicked.
    Panic,
    /// It was restarted from inside.
    Reset,
    /// QEMU failed, or was killed.
    Qemu,
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

    /// Whether the payload itself ended with status 0.
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.code == Some(0) && !self.oom && self.unhealthy.is_none()
    }

    /// As a shell would report it: the status, or 128 and the signal.
    #[must_use]
    pub fn shell_code(&self) -> i32 {
        self.code.or(self.signal.map(|s| 128 + s)).unwrap_or(1)
    }
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.code, self.signal.as_ref(), &self.error) {
            (_, _, Some(error)) => f.write_str(error)?,
            (Some(code), ..) => write!(f, "exit status {code}")?,
            (None, Some(signal), _) => match crate::signal::name(*signal) {
                Some(name) => write!(f, "signal {signal} (SIG{name})")?,
                None => write!(f, "signal {signal}")?,
            },
            (None, None, None) => f.write_str("it ended")?,
        }
        if self.oom {
            f.write_str(" (out of memory)")?;
        }
        if let Some(why) = &self.unhealthy {
            write!(f, " (unhealthy: {why})")?;
        }
        if self.killed {
            f.write_str(" (did not stop in time)")?;
        }
        Ok(())
    }
}

/// `status.json` of one machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The machine.
    pub name: Name,
    /// Its closure, as given to the supervisor.
    pub closure: PathBuf,
    /// Process that supervises it.
    pub supervisor_pid: i32,
    /// Start of that process in clock ticks since boot: tells it from a later one of the same id.
    pub supervisor_start: u64,
    /// Init of the machine's process namespace, as the host counts.
    pub payload_pid: Option<i32>,
    /// Boot this is about.
    pub boot_id: String,
    /// Where it is in its life.
    pub phase: Phase,
    /// How it ended, when it has.
    pub exit: Option<Exit>,
    /// When it came to this phase, in milliseconds since 1970.
    pub since: u64,
    /// Addresses, the first network's first.
    #[serde(default)]
    pub addresses: Vec<IpAddr>,
    /// What the payload says about itself (`STATUS=` of sd_notify(3)).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Its control groups.
    #[serde(default)]
    pub cgroups: Vec<PathBuf>,
    /// What it last answered when it was asked whether it works, and did not work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unwell: Option<String>,
    /// Where the time of this start went.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub timing: Vec<Stage>,
    /// What it is a fork of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fork: Option<Forked>,
    /// Why it started slower than its description asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cold: Option<String>,
}

/// How a machine came out of another that ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Forked {
    /// The machine it is a fork of.
    pub of: Name,
    /// Microseconds that that one stood still for it.
    pub pause_us: u64,
    /// How its disk came to be.
    pub disk: ForkedDisk,
}

impl Status {
    /// Reads the status of machine `name`; `None` when there is none.
    ///
    /// # Errors
    /// When the file is there and cannot be read or understood.
    pub fn read(run_dir: &Path, name: &str) -> std::io::Result<Option<Self>> {
        Self::read_file(&Places::new(run_dir, Path::new(""), name).status())
    }

    /// Reads a status file; `None` when there is none.
    ///
    /// # Errors
    /// When the file is there and cannot be read or understood.
    pub fn read_file(path: &Path) -> std::io::Result<Option<Self>> {
        match std::fs::read(path) {
            Ok(text) => Ok(Some(serde_json::from_slice(&text)?)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether its supervisor is alive: same boot, same process.
    #[must_use]
    pub fn is_supervised(&self) -> bool {
        boot_id().is_ok_and(|boot| boot == self.boot_id)
            && start_time(self.supervisor_pid) == Some(self.supervisor_start)
    }

    /// A supervisor's first word.
    pub(crate) fn starting(name: &Name, closure: &Path) -> std::io::Result<Self> {
        let pid = rustix::process::getpid().as_raw_nonzero().get();
        Ok(Self {
            name: name.clone(),
            closure: closure.into(),
            supervisor_pid: pid,
            supervisor_start: start_time(pid).unwrap_or(0),
            payload_pid: None,
            boot_id: boot_id()?,
            phase: Phase::Starting,
            exit: None,
            since: now_ms(),
            addresses: Vec::new(),
            text: None,
            cgroups: Vec::new(),
            unwell: None,
            timing: Vec::new(),
            fork: None,
            cold: None,
        })
    }

    /// Replaces the file in one step; readers see the old or the new one.
    pub(crate) fn write(&self, places: &Places) -> hc_fs::Result<()> {
        let text = serde_json::to_vec(self).expect("a status has string keys only");
        let temporary = places.run.join(".status.json.tmp");
        hc_fs::plain::write(&temporary, &text, 0o644)?;
        hc_fs::plain::rename(&temporary, &places.status())
    }

    pub(crate) fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.since = now_ms();
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Identifies this boot of the kernel.
///
/// # Errors
/// When `/proc` is not mounted.
pub fn boot_id() -> std::io::Result<String> {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim().to_owned())
}

/// Start of a process in clock ticks since boot (field 22 of proc_pid_stat(5)), `None` when there
/// is no such process or it is dead and not yet waited for.
#[must_use]
pub fn start_time(pid: i32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the name in parentheses, which may hold anything.
    let mut rest = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    if matches!(rest.next()?, "Z" | "X") {
        return None;
    }
    rest.nth(18)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_its_start() {
        let me = rustix::process::getpid().as_raw_nonzero().get();
        let mut status = Status::starting(&Name::new("web").unwrap(), Path::new("/c")).unwrap();
        assert_eq!(status.supervisor_pid, me);
        assert!(status.is_supervised());
        status.supervisor_start += 1;
        assert!(!status.is_supervised());
        assert_eq!(start_time(i32::MAX), None);
    }

    #[test]
    fn the_file_has_the_agreed_form() {
        let mut status = Status::starting(&Name::new("web").unwrap(), Path::new("/c")).unwrap();
        status.since = 7;
        status.supervisor_pid = 1;
        status.supervisor_start = 2;
        status.boot_id = "b".into();
        status.exit = Some(Exit { code: Some(3), ..Exit::default() });
        let text = serde_json::to_string(&status).unwrap();
        insta::assert_snapshot!(text, @r#"{"name":"web","closure":"/c","supervisor_pid":1,"supervisor_start":2,"payload_pid":null,"boot_id":"b","phase":"starting","exit":{"code":3},"since":7,"addresses":[],"cgroups":[]}"#);
        assert_eq!(serde_json::from_str::<Status>(&text).unwrap(), status);
    }

    #[test]
    fn is_replaced_whole_and_read_back() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Status::read(dir.path(), "web").unwrap(), None);
        let places = Places::new(dir.path(), dir.path(), "web");
        hc_fs::plain::create_dir_all(&places.run, 0o755).unwrap();
        let mut status = Status::starting(&Name::new("web").unwrap(), Path::new("/c")).unwrap();
        status.write(&places).unwrap();
        status.enter(Phase::Ready);
        status.write(&places).unwrap();
        assert_eq!(Status::read(dir.path(), "web").unwrap(), Some(status));
    }
}
