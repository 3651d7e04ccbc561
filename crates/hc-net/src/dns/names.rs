use hc_spec::Name;
use hc_spec::addr::Place;
use hc_spec::allow::Allowance;
use hc_spec::host::Offered;
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
    /// Who reaches whom, and so knows its name, besides machines of one network.
    pub allow: Vec<Allowance>,
    /// The same from one host to another.
    pub far_allow: Vec<Allowance>,
    /// The other hosts, which know the names in their networks.
    pub peers: BTreeMap<Name, BTreeSet<Name>>,
}

/// What there is to know about the names of one machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MachineNames {
    /// Networks it is on; ones the host does not have are left out.
    pub networks: BTreeSet<Name>,
    /// Whether it can be used.
    pub state: State,
    /// More names in each of its networks.
    pub aliases: Vec<Name>,
    /// Ports to be found by name.
    pub services: BTreeMap<Name, Offered>,
}

/// Whether a machine can be used, and so whether its names have addresses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum State {
    /// It does not run: the names are there, and have no addresses.
    #[default]
    Down,
    /// It is on its way: whoever asks is made to wait a little.
    Starting,
    /// It can be used.
    Ready,
}

impl Names {
    /// A network as addresses are made of it.
    pub(super) fn place<'a>(&'a self, network: &'a Name) -> Place<'a> {
        Place { cloud: &self.cloud, host: &self.host, network }
    }

    /// Whether these differ in nothing but what machines are doing.
    pub(super) fn same_shape(&self, other: &Self) -> bool {
        let alike = |(a, b): (&MachineNames, &MachineNames)| {
            (&a.networks, &a.aliases, &a.services) == (&b.networks, &b.aliases, &b.services)
        };
        (&self.cloud, &self.host, &self.networks) == (&other.cloud, &other.host, &other.networks)
            && (&self.allow, &self.peers) == (&other.allow, &other.peers)
            && self.far_allow == other.far_allow
            && self.machines.keys().eq(other.machines.keys())
            && self.machines.values().zip(other.machines.values()).all(alike)
    }
}
