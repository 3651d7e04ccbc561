//! A machine set as data.

use crate::host::HostSpec;
use crate::name::Name;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// File in a machine set's directory that holds its [`HostSpec`]; no [`Name`] has a dot.
pub const HOST_FILE: &str = "host.json";

/// What a generation points at: one machine closure per machine, and the host they run on.
///
/// In the store it is a directory with `host.json` and one symlink per machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineSet {
    /// Networks and names of the host.
    pub host: HostSpec,
    /// Machine closure of each machine.
    pub machines: BTreeMap<Name, PathBuf>,
}
