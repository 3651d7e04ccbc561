//! What a foreign image reads to learn who it is: the answers for Windows setup, or cloud-init's
//! NoCloud files, on an ISO image that is attached as a CD.

mod cloud_init;
pub mod iso;
mod windows;

pub use windows::Windows;

use hc_guest::wire::{Address, Interface, Route};
use iso::{IsoError, IsoFile};
use std::net::IpAddr;

/// Who a machine is, in the terms that both have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seed {
    /// Name of the machine.
    pub hostname: String,
    /// Changes when the machine is another one, and not when it is only described differently.
    pub instance: String,
    /// Its interfaces, the one with the names first; each is known by its hardware address, as names differ
    /// from system to system.
    pub interfaces: Vec<Interface>,
    /// Where packets go.
    pub routes: Vec<Route>,
    /// Name servers.
    pub dns: Vec<IpAddr>,
    /// Domains in which short names are looked up.
    pub search: Vec<String>,
    /// Public keys, in OpenSSH's form, of who may log in as the administrator.
    pub authorized_keys: Vec<String>,
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

/// Whether somebody else says what an interface's addresses are: its network is not hc's.
fn is_told(interface: &Interface) -> bool {
    interface.neighbours.is_empty()
}

/// Whether it has to ask for an address over IPv4.
fn asks(interface: &Interface) -> bool {
    is_told(interface) && !interface.addresses.iter().any(|own| own.ip.is_ipv4())
}

/// The ways over routers that an interface has.
fn ways<'s>(
    seed: &'s Seed,
    interface: &'s Interface,
) -> impl Iterator<Item = (&'s Address, IpAddr)> {
    let own = seed.routes.iter().filter(|route| route.interface == interface.name);
    own.filter_map(|route| Some((&route.to, route.via?)))
}

/// Whether a router over IPv4 is in none of the interface's prefixes, though it is on the link.
fn is_outside(interface: &Interface, router: IpAddr) -> bool {
    let IpAddr::V4(router) = router else { return false };
    let holds = |own: &Address| {
        let IpAddr::V4(ip) = own.ip else { return false };
        let host = 32 - u32::from(own.prefix.min(32));
        (u64::from(ip.to_bits() ^ router.to_bits()) >> host) == 0
    };
    !interface.addresses.iter().any(holds)
}

fn shown(address: &Address) -> String {
    format!("{}/{}", address.ip, address.prefix)
}

fn mac(address: [u8; 6], between: &str) -> String {
    address.map(|byte| format!("{byte:02x}")).join(between)
}

#[cfg(test)]
mod tests;
