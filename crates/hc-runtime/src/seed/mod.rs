//! What a foreign image reads to learn who it is: the answers for Windows setup, or cloud-init's
//! NoCloud files, on an ISO image that is attached as a CD.

mod cloud_init;
pub mod iso;
mod windows;

pub use windows::Windows;

use iso::{IsoError, IsoFile};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Who a machine is, in the terms that both have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seed {
    /// Name of the machine.
    pub hostname: String,
    /// Changes when the machine is another one, and not when it is only described differently.
    pub instance: String,
    /// Its interfaces, the one with the default routes first.
    pub interfaces: Vec<Interface>,
    /// Name servers.
    pub dns: Vec<IpAddr>,
    /// Domains in which short names are looked up.
    pub search: Vec<String>,
    /// Public keys, in OpenSSH's form, of who may log in as the administrator.
    pub authorized_keys: Vec<String>,
}

/// One interface, known by its hardware address: names differ from system to system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// Hardware address.
    pub mac: [u8; 6],
    /// Its address, in a /64.
    pub v6: Ipv6Addr,
    /// The router there.
    pub gateway_v6: Ipv6Addr,
    /// Its other address, a /32 behind the gateway.
    pub v4: Ipv4Addr,
    /// The router there, which is on the link though not in the /32.
    pub gateway_v4: Ipv4Addr,
    /// Bytes in the largest packet.
    pub mtu: u32,
}

impl Seed {
    /// The image that cloud-init reads: its label is `cidata`.
    ///
    /// # Errors
    /// Never for files of these names; the type is [`iso::write`]'s.
    pub fn no_cloud(&self) -> Result<Vec<u8>, IsoError> {
        iso::write("cidata", &cloud_init::files(self))
    }

    /// The image in whose root Windows setup finds `autounattend.xml`.
    ///
    /// # Errors
    /// As [`Self::no_cloud`].
    pub fn windows(&self, windows: &Windows) -> Result<Vec<u8>, IsoError> {
        let answers = windows::answers(self, windows);
        iso::write(
            "HC_ANSWERS",
            &[IsoFile { name: "autounattend.xml".into(), bytes: answers.into_bytes() }],
        )
    }
}

fn mac(address: [u8; 6], between: &str) -> String {
    address.map(|byte| format!("{byte:02x}")).join(between)
}

#[cfg(test)]
mod tests;
