//! What a host needs to know besides its machines.

use crate::allow::{Allowance, Protocol};
use crate::name::Name;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// `host.json` in a machine set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HostSpec {
    /// Always [`crate::machine::SCHEMA`].
    pub schema: u32,
    /// Cloud this host belongs to.
    pub cloud: Name,
    /// Name of the host in it.
    pub host: Name,
    /// Networks on this host.
    #[serde(default)]
    pub networks: BTreeMap<Name, NetworkSpec>,
    /// Who may open connections to whom, besides machines of one network.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<Allowance>,
    /// What the host does for its machines; those it does nothing for are left out.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub machines: BTreeMap<Name, Service>,
    /// How the hosts of the cloud reach each other; absent when they do not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlay: Option<Overlay>,
}

impl HostSpec {
    /// A host with nothing on it.
    #[must_use]
    pub fn new(cloud: Name, host: Name) -> Self {
        Self {
            schema: crate::machine::SCHEMA,
            cloud,
            host,
            networks: BTreeMap::new(),
            allow: Vec::new(),
            machines: BTreeMap::new(),
            overlay: None,
        }
    }

    /// A network of this host as addresses are made of it.
    #[must_use]
    pub fn place<'a>(&'a self, network: &'a Name) -> crate::addr::Place<'a> {
        crate::addr::Place { cloud: &self.cloud, host: &self.host, network }
    }

    /// All published ports, with the machine each belongs to.
    pub fn published(&self) -> impl Iterator<Item = (&Name, &Published)> {
        self.machines
            .iter()
            .flat_map(|(name, machine)| machine.ports.iter().map(move |p| (name, p)))
    }
}

/// The connection to the other hosts of the cloud.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Overlay {
    /// How packets are carried.
    pub mode: OverlayMode,
    /// Address at which the other hosts reach this one.
    pub address: IpAddr,
    /// The other hosts.
    pub peers: BTreeMap<Name, Peer>,
    /// Who may open connections to whom from one host to another, besides machines on networks of one
    /// name. Both sides say which host they are of, this one or others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<Allowance>,
}

/// How packets between hosts are carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OverlayMode {
    /// As they are, in VXLAN (RFC 7348): for a wire that everybody on it may read and write.
    Plain,
    /// Encrypted and signed (<https://www.wireguard.com/protocol/>).
    Wireguard,
}

/// Another host of the cloud.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Peer {
    /// Address at which it is reached.
    pub address: IpAddr,
    /// Its networks.
    #[serde(default)]
    pub networks: BTreeSet<Name>,
    /// Its public key in base64, with WireGuard; the one it said at the last deploy without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key: Option<String>,
    /// Where a deploy asks it for its key, over ssh: `[USER@]HOST[:PORT]`; its address without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssh: Option<String>,
}

/// One network on one host: a bridge, a /64 and a DNS zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NetworkSpec {
    /// Bytes in the largest packet of its links.
    #[serde(default = "ethernet")]
    pub mtu: u32,
}

impl Default for NetworkSpec {
    fn default() -> Self {
        Self { mtu: ethernet() }
    }
}

fn ethernet() -> u32 {
    1500
}

/// What the host does for one machine, without the machine knowing: changing it restarts nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Service {
    /// Ports of the host that lead to the machine.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<Published>,
    /// More names, in each of its networks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<Name>,
    /// Ports to be found by name, as SRV records.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub services: BTreeMap<Name, Offered>,
}

impl Service {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A port of the host that leads to a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Published {
    /// Port on the host.
    pub host: u16,
    /// Port on the machine.
    pub port: u16,
    /// Protocol.
    #[serde(default)]
    pub protocol: Protocol,
    /// Address of the host; absent for all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listen: Option<IpAddr>,
    /// Network over which the machine is reached; absent for its first one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<Name>,
}

/// A port of a machine that is found by the service's name (RFC 2782).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Offered {
    /// Port on the machine.
    pub port: u16,
    /// Protocol.
    #[serde(default)]
    pub protocol: Protocol,
    /// Lower ones are tried first.
    #[serde(default)]
    pub priority: u16,
    /// Share among those of one priority.
    #[serde(default)]
    pub weight: u16,
}
