use hc_spec::Name;
use std::collections::{BTreeMap, BTreeSet};

/// What there is to know about the names of one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    /// Cloud of the host.
    pub cloud: Name,
    /// The host.
    pub host: Name,
    /// Its networks, with machines on them or not.
    pub networks: BTreeSet<Name>,
    /// Its machines.
    pub machines: BTreeMap<Name, MachineNames>,
}

/// What there is to know about the names of one machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MachineNames {
    /// Networks it is on; ones the host does not have are left out.
    pub networks: BTreeSet<Name>,
    /// Whether it can be used: only then does its name have addresses.
    pub ready: bool,
}
