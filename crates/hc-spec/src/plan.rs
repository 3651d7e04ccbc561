//! The plan: the difference of two machine sets.

use crate::name::Name;
use crate::set::MachineSet;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// What activating `new` over `old` does, by machine name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// Not there before.
    pub start: Vec<Name>,
    /// There before with another closure.
    pub restart: Vec<Name>,
    /// Not there any more.
    pub stop: Vec<Name>,
    /// Not touched.
    pub keep: Vec<Name>,
    /// Networks made.
    pub networks_added: Vec<Name>,
    /// Networks taken away.
    pub networks_removed: Vec<Name>,
    /// Networks whose settings changed; the machines on them are not touched.
    pub networks_changed: Vec<Name>,
    /// Whether allowances, published ports, names or other hosts changed; no machine is touched.
    pub services_changed: bool,
}

/// One change to one machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Machine it is about.
    pub name: Name,
    /// Closure that runs now.
    pub old: Option<PathBuf>,
    /// Closure to run.
    pub new: Option<PathBuf>,
}

impl Plan {
    /// Compares two sets; `None` is a host with nothing on it.
    #[must_use]
    pub fn between(old: Option<&MachineSet>, new: Option<&MachineSet>) -> Self {
        let mut plan = Self::default();
        let machines =
            |set: Option<&MachineSet>| set.map(|s| s.machines.clone()).unwrap_or_default();
        let networks =
            |set: Option<&MachineSet>| set.map(|s| s.host.networks.clone()).unwrap_or_default();
        let (was, will) = (machines(old), machines(new));
        for (name, closure) in &will {
            match was.get(name) {
                None => plan.start.push(name.clone()),
                Some(before) if before != closure => plan.restart.push(name.clone()),
                Some(_) => plan.keep.push(name.clone()),
            }
        }
        plan.stop.extend(was.into_keys().filter(|name| !will.contains_key(name)));
        let (was, will) = (networks(old), networks(new));
        for (name, network) in &will {
            match was.get(name) {
                None => plan.networks_added.push(name.clone()),
                Some(before) if before != network => plan.networks_changed.push(name.clone()),
                Some(_) => {}
            }
        }
        plan.networks_removed.extend(was.into_keys().filter(|name| !will.contains_key(name)));
        let services = |set: &MachineSet| {
            let host = &set.host;
            (host.allow.clone(), host.machines.clone(), host.overlay.clone())
        };
        plan.services_changed = match (old, new) {
            (Some(old), Some(new)) => services(old) != services(new),
            (old, new) => old.or(new).is_some_and(|set| services(set) != Default::default()),
        };
        plan
    }

    /// Whether activating changes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.start.is_empty()
            && self.restart.is_empty()
            && self.stop.is_empty()
            && self.networks_added.is_empty()
            && self.networks_removed.is_empty()
            && self.networks_changed.is_empty()
            && !self.services_changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::HostSpec;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn set(machines: &BTreeMap<u8, u8>) -> MachineSet {
        let name = |text: &str| Name::new(text).unwrap();
        MachineSet {
            host: HostSpec::new(name("c"), name("h")),
            machines: machines
                .iter()
                .map(|(n, c)| (name(&format!("m{n}")), PathBuf::from(format!("/nix/store/{c}"))))
                .collect(),
        }
    }

    proptest! {
        #[test]
        fn a_plan_names_every_machine_once_and_applies(
            old in prop::collection::btree_map(0u8..12, 0u8..3, 0..8),
            new in prop::collection::btree_map(0u8..12, 0u8..3, 0..8),
        ) {
            let (old, new) = (set(&old), set(&new));
            let plan = Plan::between(Some(&old), Some(&new));
            let mut running = old.machines.clone();
            for name in &plan.stop {
                prop_assert!(running.remove(name).is_some());
            }
            for name in plan.start.iter().chain(&plan.restart) {
                running.insert(name.clone(), new.machines[name].clone());
            }
            prop_assert_eq!(&running, &new.machines);
            prop_assert_eq!(plan.is_empty(), old == new);
            prop_assert!(Plan::between(Some(&new), Some(&new)).is_empty());
        }
    }
}
