//! What the agent needs to know of a machine closure; the supervisor reads the rest.

use crate::error::{AgentError, Result};
use crate::set::{physical, read_set};
use hc_spec::lan::Lan;
use hc_spec::machine::{Kind, MachineSpec, Ready, Restart};
use hc_spec::storage::Snapshots;
use hc_spec::{HostSpec, MachineSet, Name};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// One machine as it is to run.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Target {
    pub closure: PathBuf,
    pub kind: Kind,
    pub networks: Vec<Name>,
    /// Links of the host on whose wires it is.
    pub lan: BTreeMap<String, Lan>,
    pub ready: Ready,
    pub restart: Restart,
    pub stop_timeout: Duration,
    /// Volumes that snapshots are made of.
    pub schedules: Vec<(Name, Snapshots)>,
}

/// A machine set with all its closures read.
#[derive(Debug, Clone)]
pub(crate) struct Loaded {
    pub host: HostSpec,
    pub targets: BTreeMap<Name, Arc<Target>>,
}

impl Target {
    pub(crate) fn load(store: Option<&Path>, name: &Name, closure: &Path) -> Result<Arc<Self>> {
        let wrong = |problem: String| AgentError::Set { path: closure.into(), problem };
        let text = std::fs::read(physical(store, closure))
            .map_err(|e| wrong(format!("machine '{name}': {e}")))?;
        let spec = MachineSpec::from_json(&text).map_err(|e| wrong(e.to_string()))?;
        if spec.name != *name {
            return Err(wrong(format!("it is of machine '{}', not of '{name}'", spec.name)));
        }
        let scheduled = spec.volumes.into_iter();
        let schedules = scheduled.filter_map(|(name, volume)| Some((name, volume.snapshots?)));
        Ok(Arc::new(Self {
            schedules: schedules.collect(),
            closure: closure.into(),
            kind: spec.kind,
            networks: spec.networks,
            lan: spec.lan,
            ready: spec.ready,
            restart: spec.restart,
            stop_timeout: Duration::from_secs(spec.stop.timeout_sec.into()),
        }))
    }
}

impl Loaded {
    /// Reads the set; closures that `known` has are not read again.
    pub(crate) fn read(
        store: Option<&Path>,
        set: &Path,
        known: impl Fn(&Name, &Path) -> Option<Arc<Target>>,
    ) -> Result<Self> {
        let MachineSet { host, machines } = read_set(store, set)?;
        let load = |(name, closure): (Name, PathBuf)| {
            let target = match known(&name, &closure) {
                Some(target) => target,
                None => Target::load(store, &name, &closure)?,
            };
            Ok((name, target))
        };
        Ok(Self { host, targets: machines.into_iter().map(load).collect::<Result<_>>()? })
    }

    pub(crate) fn as_set(&self) -> MachineSet {
        let machines = self.targets.iter().map(|(n, t)| (n.clone(), t.closure.clone())).collect();
        MachineSet { host: self.host.clone(), machines }
    }
}
