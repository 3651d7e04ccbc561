//! Forks of machines: beside those of the generation, and in none. A fork runs until it is stopped or
//! ends by itself, and is gone then; a deploy leaves it alone.

use crate::error::{Context, Result};
use crate::networks::MachineName;
use crate::process::Process;
use crate::status::Phase;
use crate::wire::MachineView;
use hc_runtime::{Places, Status};
use hc_spec::{MachineSpec, Name};
use rustix::process::Signal;
use std::path::Path;
use std::time::Duration;

/// Longer than `stop.timeoutSec`, after which the supervisor itself kills what it runs.
const STOP_MARGIN: Duration = Duration::from_secs(5);

/// A fork that runs.
struct Fork {
    status: Status,
    spec: MachineSpec,
    of: Name,
    phase: Phase,
}

impl Fork {
    fn find(run_dir: &Path, name: &Name) -> Option<Self> {
        let marked = Places::new(run_dir, Path::new(""), name.as_str()).throwaway().exists();
        let status = Status::read(run_dir, name.as_str()).ok()?.filter(|_| marked)?;
        let of = status.fork.as_ref().filter(|_| status.is_supervised())?.of.clone();
        let spec = spec(&status)?;
        let phase = match status.phase {
            hc_runtime::Phase::Starting => Phase::Starting,
            hc_runtime::Phase::Running => Phase::Running,
            hc_runtime::Phase::Ready => Phase::Ready,
            hc_runtime::Phase::Stopping => Phase::Stopping,
            hc_runtime::Phase::Exited | hc_runtime::Phase::Failed => return None,
        };
        Some(Self { status, spec, of, phase })
    }

    /// All of this host, by name.
    fn all(run_dir: &Path) -> Vec<Self> {
        let entries = std::fs::read_dir(run_dir.join("machines")).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| Name::new(entry.file_name().to_str()?).ok());
        let mut all: Vec<_> = names.filter_map(|name| Self::find(run_dir, &name)).collect();
        all.sort_by(|a, b| a.spec.name.cmp(&b.spec.name));
        all
    }

    fn view(self) -> MachineView {
        let Self { status, spec, of, phase } = self;
        MachineView {
            name: spec.name,
            kind: Some(spec.kind),
            phase,
            ready: phase == Phase::Ready,
            pid: status.payload_pid,
            supervisor_pid: Some(status.supervisor_pid),
            uptime_ms: Some(Process::uptime_ms(status.supervisor_start)),
            restarts: 0,
            closure: status.closure,
            networks: spec.networks,
            addresses: status.addresses,
            text: status.text,
            exit: None,
            fork_of: Some(of),
        }
    }
}

/// The forks that run on this host, by name.
#[must_use]
pub fn views(run_dir: &Path) -> Vec<MachineView> {
    Fork::all(run_dir).into_iter().map(Fork::view).collect()
}

/// The fork of this name, if one runs.
#[must_use]
pub fn view(run_dir: &Path, name: &Name) -> Option<MachineView> {
    Fork::find(run_dir, name).map(Fork::view)
}

/// The same as the name server sees them.
pub(crate) fn names(run_dir: &Path) -> Vec<MachineName> {
    let name = |Fork { spec, status, phase, .. }: Fork| {
        let runs = matches!(phase, Phase::Running | Phase::Ready);
        MachineName {
            name: spec.name,
            networks: spec.networks,
            lan: spec.lan,
            state: phase.for_names(),
            runs,
            inside: None,
            emulator: status.payload_pid.filter(|_| runs),
        }
    };
    Fork::all(run_dir).into_iter().map(name).collect()
}

/// Their supervisors: process numbers, and when they started.
pub(crate) fn supervisors(run_dir: &Path) -> impl Iterator<Item = (i32, u64)> {
    let supervisor = |fork: Fork| (fork.status.supervisor_pid, fork.status.supervisor_start);
    Fork::all(run_dir).into_iter().map(supervisor)
}

fn spec(status: &Status) -> Option<MachineSpec> {
    MachineSpec::from_json(&std::fs::read(&status.closure).ok()?).ok()
}

/// Stops a fork, which takes it away; returns when it is gone.
pub(crate) async fn stop(run_dir: &Path, fork: MachineView) -> Result<MachineView> {
    let status = Status::read(run_dir, fork.name.as_str()).on("read the status of", run_dir)?;
    let spec = status.as_ref().and_then(spec);
    let limit = spec.map_or(10, |spec| spec.stop.timeout_sec);
    let (pid, start) = status.map_or((0, 0), |s| (s.supervisor_pid, s.supervisor_start));
    if let Some(process) = Process::adopt(pid, start)? {
        process.signal(Signal::TERM);
        let limit = Duration::from_secs(limit.into()) + STOP_MARGIN;
        if tokio::time::timeout(limit, process.wait()).await.is_err() {
            process.signal(Signal::KILL);
            process.wait().await;
        }
    }
    let (pid, supervisor_pid, uptime_ms) = (None, None, None);
    let phase = Phase::Stopped;
    Ok(MachineView { phase, ready: false, pid, supervisor_pid, uptime_ms, ..fork })
}
