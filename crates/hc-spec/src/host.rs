//! What a host needs to know besides its machines.

use crate::name::Name;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

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
