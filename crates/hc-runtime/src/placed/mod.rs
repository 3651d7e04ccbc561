//! What a machine sees besides its image: made into detached mounts here, by the supervisor, with
//! the host's files in sight; put in its place by the machine's init.

mod bind;
mod device;
pub(crate) mod inside;

use crate::error::Res;
use crate::volumes::Volumes;
use hc_spec::MachineSpec;
use hc_spec::storage::Placed;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;

/// Where the host's parts come from.
pub(crate) struct Sources<'a> {
    /// The machine's user namespace, when it has one.
    pub userns: Option<BorrowedFd<'a>>,
    /// The machine's root as the host counts.
    pub base: Option<u32>,
    pub state_dir: &'a Path,
    pub run_dir: &'a Path,
    /// Directory of this machine in the run directory.
    pub own: &'a Path,
    /// The machine's volumes, held.
    pub volumes: &'a Volumes,
}

/// What is put somewhere, in the order in which the supervisor sends it and init expects it.
pub(crate) fn all(spec: &MachineSpec) -> Vec<(&Path, Placed<'_>)> {
    // A description that was read has been checked.
    spec.placed().unwrap_or_default()
}

impl Sources<'_> {
    /// The mount that goes to a path, `None` for what init makes itself.
    pub fn mount(&self, at: &Path, what: Placed<'_>) -> Res<Option<OwnedFd>> {
        match what {
            Placed::Tmpfs(_) => Ok(None),
            Placed::Volume(name, volume) => {
                self.volumes.mount(name, volume.read_only, self.userns).map(Some)
            }
            Placed::Bind(bind) => {
                let secret = [self.state_dir, self.run_dir];
                bind::mount(at, bind, &secret, self.userns).map(Some)
            }
            Placed::Device(device) => {
                let base = self.base;
                device::mount(at, device, base, self.own).map(Some)
            }
        }
    }
}
