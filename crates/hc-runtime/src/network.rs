//! How a machine gets its links: through a trait, so that this crate knows no netlink.

use hc_spec::MachineSpec;
use std::net::IpAddr;
use std::os::fd::{BorrowedFd, OwnedFd};

/// Whatever a network implementation wants to say.
pub type NetworkError = Box<dyn std::error::Error + Send + Sync>;

/// What a machine got.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attached {
    /// Addresses in its networks, the first one's first. Under those it has on wires of the host, the
    /// host itself does not reach it.
    pub addresses: Vec<IpAddr>,
}

/// A virtual machine's link to one of its networks.
#[derive(Debug)]
pub struct Tap {
    /// Its end of the link: a tap with a `virtio_net_hdr` in front of each frame.
    pub descriptor: OwnedFd,
    /// Bytes in the largest packet.
    pub mtu: u32,
}

/// Connects machines.
pub trait Network: Sync {
    /// Makes links and addresses in the network namespace of a machine that has not started yet.
    /// Called on a thread of its own, once per run; the loopback is up already.
    ///
    /// # Errors
    /// When a link cannot be made; the machine is then not started.
    fn attach(&self, netns: BorrowedFd<'_>, spec: &MachineSpec) -> Result<Attached, NetworkError>;

    /// Makes links for a virtual machine that has not started yet, one for each of its networks and then
    /// one for each wire of the host that it is on.
    /// Called on a thread of its own, once per run.
    ///
    /// # Errors
    /// When a link cannot be made; the machine is then not started.
    fn attach_taps(&self, spec: &MachineSpec) -> Result<(Attached, Vec<Tap>), NetworkError>;

    /// Makes links that lead nowhere, for a virtual machine that is saved before it is anybody.
    ///
    /// # Errors
    /// When one cannot be made.
    fn loose_taps(&self, count: usize) -> Result<Vec<Tap>, NetworkError>;

    /// Removes what [`Self::attach`] made on the host and may still be there. Called after the
    /// machine's last process is gone, and before a start for what a killed supervisor left.
    ///
    /// # Errors
    /// When something that is there cannot be removed.
    fn detach(&self, spec: &MachineSpec) -> Result<(), NetworkError>;
}

/// The loopback and nothing else.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoNetwork;

impl Network for NoNetwork {
    fn attach(&self, _: BorrowedFd<'_>, _: &MachineSpec) -> Result<Attached, NetworkError> {
        Ok(Attached::default())
    }

    fn attach_taps(&self, _: &MachineSpec) -> Result<(Attached, Vec<Tap>), NetworkError> {
        Ok((Attached::default(), Vec::new()))
    }

    fn loose_taps(&self, _: usize) -> Result<Vec<Tap>, NetworkError> {
        Ok(Vec::new())
    }

    fn detach(&self, _: &MachineSpec) -> Result<(), NetworkError> {
        Ok(())
    }
}
