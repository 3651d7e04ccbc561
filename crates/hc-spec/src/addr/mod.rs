//! Addresses as a pure function of names (DESIGN 7): no lease, no lock, no start order.
//!
//! | what | how |
//! |---|---|
//! | host prefix, /48 | `fd` + first 40 bits of BLAKE3(`cloud/host`) |
//! | network, /64 | host prefix + first 16 bits of BLAKE3(`network`) |
//! | interface id | first 64 bits of BLAKE3(`machine.host`), never 0 or 1 |
//! | gateway | `::1` in the /64 |
//! | IPv4 | 100.64.0.0/10: 22 bits of BLAKE3(`cloud/host/network/machine`), as a /32 |
//! | MAC of the gateway | `02` + bytes 3 to 7 of the /64 |
//! | MAC | `02` + first 40 bits of BLAKE3(`cloud/host/network/machine`) |
//! | MAC on a wire of the host | `02` + first 40 bits of BLAKE3(`cloud/host/link:LINK/machine`) |
//! | interface | `hc` + 13 of BLAKE3(`network/machine`) in base 32 |

mod explain;

pub use explain::{Derived, explain, explain_lan};

use crate::name::Name;
use std::net::{Ipv4Addr, Ipv6Addr};

/// Where a machine's interface hangs: everything an address is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place<'a> {
    /// Cloud.
    pub cloud: &'a Name,
    /// Host in it.
    pub host: &'a Name,
    /// Network on the host.
    pub network: &'a Name,
}

/// A MAC address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Mac(pub [u8; 6]);

impl std::fmt::Display for Mac {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// Every machine's IPv4 address is in this prefix.
pub const CLOUD_V4: (Ipv4Addr, u8) = (Ipv4Addr::new(100, 64, 0, 0), 10);
/// Every IPv6 address of the cloud's networks is in this prefix.
pub const CLOUD_V6: (Ipv6Addr, u8) = (Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0), 8);

fn hash(parts: &[&str]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(part.as_bytes());
    }
    *hasher.finalize().as_bytes()
}

/// The /48 of a host, as its network address.
#[must_use]
pub fn host_prefix(cloud: &Name, host: &Name) -> Ipv6Addr {
    let h = hash(&[cloud.as_str(), "/", host.as_str()]);
    let mut octets = [0; 16];
    octets[0] = 0xfd;
    octets[1..6].copy_from_slice(&h[..5]);
    octets.into()
}

/// The MAC address of a host on the wire between hosts.
#[must_use]
pub fn overlay_mac(cloud: &Name, host: &Name) -> Mac {
    let octets = host_prefix(cloud, host).octets();
    Mac([2, octets[1], octets[2], octets[3], octets[4], octets[5]])
}

/// The link-local address of a host on the wire between hosts.
#[must_use]
pub fn overlay_v6(cloud: &Name, host: &Name) -> Ipv6Addr {
    let mut octets = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    octets[10..].copy_from_slice(&overlay_mac(cloud, host).0);
    octets.into()
}

/// The MAC address of a machine on a wire of its host, by the host's link there. No network's name
/// has a colon, and so none has the same text.
#[must_use]
pub fn lan_mac(cloud: &Name, host: &Name, parent: &str, machine: &Name) -> Mac {
    let h = hash(&[cloud.as_str(), "/", host.as_str(), "/link:", parent, "/", machine.as_str()]);
    Mac([2, h[0], h[1], h[2], h[3], h[4]])
}

impl Place<'_> {
    /// The /64 of this network on this host, as its network address.
    #[must_use]
    pub fn subnet(&self) -> Ipv6Addr {
        let mut octets = host_prefix(self.cloud, self.host).octets();
        octets[6..8].copy_from_slice(&hash(&[self.network.as_str()])[..2]);
        octets.into()
    }

    /// The host's own address in this network: gateway and name server.
    #[must_use]
    pub fn gateway(&self) -> Ipv6Addr {
        let mut octets = self.subnet().octets();
        octets[15] = 1;
        octets.into()
    }

    /// The host's own IPv4 address in this network.
    #[must_use]
    pub fn gateway_v4(&self) -> Ipv4Addr {
        self.v4_of("")
    }

    /// The MAC address of the bridge. Of its own, since a bridge otherwise takes the lowest of its
    /// ports', and known to machines beforehand.
    #[must_use]
    pub fn gateway_mac(&self) -> Mac {
        let octets = self.subnet().octets();
        Mac([2, octets[3], octets[4], octets[5], octets[6], octets[7]])
    }

    /// The address of a machine in this network.
    #[must_use]
    pub fn v6(&self, machine: &Name) -> Ipv6Addr {
        let h = hash(&[machine.as_str(), ".", self.host.as_str()]);
        let mut octets = self.subnet().octets();
        octets[8..].copy_from_slice(&h[..8]);
        // 0 is the anycast address of the subnet (RFC 4291 2.6.1), 1 the gateway.
        if octets[8..15] == [0; 7] && octets[15] < 2 {
            octets[15] = 2;
        }
        octets.into()
    }

    /// The lower half of [`Self::v6`], as it is written: it is the same in all networks of a host.
    #[must_use]
    pub fn interface_id(&self, machine: &Name) -> String {
        let [.., a, b, c, d] = self.v6(machine).segments();
        format!("{a:04x}:{b:04x}:{c:04x}:{d:04x}")
    }

    /// The IPv4 address of a machine in this network, a /32 behind [`Self::gateway_v4`].
    #[must_use]
    pub fn v4(&self, machine: &Name) -> Ipv4Addr {
        self.v4_of(machine.as_str())
    }

    fn v4_of(&self, machine: &str) -> Ipv4Addr {
        let h = self.identity(machine);
        let bits = u32::from_be_bytes([0, h[8], h[9], h[10]]) & 0x003f_ffff;
        Ipv4Addr::from_bits(Ipv4Addr::new(100, 64, 0, 0).to_bits() | bits)
    }

    /// The MAC address of a machine in this network: locally administered, unicast.
    #[must_use]
    pub fn mac(&self, machine: &Name) -> Mac {
        let h = self.identity(machine.as_str());
        Mac([2, h[0], h[1], h[2], h[3], h[4]])
    }

    fn identity(&self, machine: &str) -> [u8; 32] {
        hash(&[
            self.cloud.as_str(),
            "/",
            self.host.as_str(),
            "/",
            self.network.as_str(),
            "/",
            machine,
        ])
    }

    /// Name of the bridge on the host: 15 bytes, the kernel's limit.
    #[must_use]
    pub fn bridge(&self) -> String {
        format!("hcb{}", base32(&hash(&[self.network.as_str()]), 12))
    }

    /// Name of the host's end of a machine's link: 15 bytes, the kernel's limit.
    #[must_use]
    pub fn link(&self, machine: &Name) -> String {
        format!("hc{}", base32(&hash(&[self.network.as_str(), "/", machine.as_str()]), 13))
    }

    /// DNS zone of this network, without a final dot.
    #[must_use]
    pub fn zone(&self) -> String {
        format!("{}.{}.{}.internal", self.network, self.host, self.cloud)
    }
}

/// `digits` characters of RFC 4648 base 32, in lower case.
fn base32(bytes: &[u8], digits: usize) -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let bit = |i: usize| (bytes[i / 8] >> (7 - i % 8)) & 1;
    (0..digits)
        .map(|d| (0..5).fold(0, |value, i| (value << 1) | usize::from(bit(d * 5 + i))))
        .map(|value| char::from(ALPHABET[value]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    #[test]
    fn published_vectors() {
        let (cloud, host, network, machine) =
            (name("demo"), name("demo"), name("lan"), name("web"));
        let place = Place { cloud: &cloud, host: &host, network: &network };
        insta::assert_debug_snapshot!((
            host_prefix(&cloud, &host), place.subnet(), place.gateway(),
            place.gateway_mac().to_string(), place.v6(&machine),
            place.v4(&machine), place.mac(&machine).to_string(), place.bridge(),
            place.link(&machine), place.zone(),
        ), @r#"
        (
            fd05:e5f6:4670::,
            fd05:e5f6:4670:88b9::,
            fd05:e5f6:4670:88b9::1,
            "02:f6:46:70:88:b9",
            fd05:e5f6:4670:88b9:daa:f3e6:5963:6eb5,
            100.119.95.204,
            "02:86:e7:f5:9c:1a",
            "hcbrc4sa4wugahn",
            "hcudweuskbxgl44",
            "lan.demo.demo.internal",
        )
        "#);
    }

    proptest::proptest! {
        #[test]
        fn addresses_lie_where_they_belong(m in "[a-z][a-z0-9]{0,20}", n in "[a-z]{1,20}") {
            let (cloud, host, network, machine) = (name("c"), name("h"), name(&n), name(&m));
            let place = Place { cloud: &cloud, host: &host, network: &network };
            assert_eq!(place.v6(&machine).octets()[..8], place.subnet().octets()[..8]);
            assert_eq!(place.subnet().octets()[..6], host_prefix(&cloud, &host).octets()[..6]);
            assert_eq!(place.v4(&machine).to_bits() >> 22, Ipv4Addr::new(100, 64, 0, 0).to_bits() >> 22);
            assert_eq!(place.mac(&machine).0[0] & 3, 2);
            assert_eq!(place.link(&machine).len(), 15);
            assert_eq!(place.bridge().len(), 15);
        }
    }
}
