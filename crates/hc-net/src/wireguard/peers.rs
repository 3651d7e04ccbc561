//! Who is at the other ends of a tunnel: what the description says and what is known of keys.

use super::key;
use super::keyring::Known;
use boringtun::x25519::PublicKey;
use hc_spec::addr::host_prefix;
use hc_spec::{HostSpec, Name};
use std::net::{Ipv6Addr, SocketAddr};

/// UDP port of hosts.
pub const PORT: u16 = 24790;

/// One other end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Far {
    pub name: Name,
    pub public: PublicKey,
    pub preshared: Option<[u8; 32]>,
    pub covers: Covers,
    /// Where it is to be found; where it is heard from without one.
    pub endpoint: Option<SocketAddr>,
}

/// The addresses that are at another end, and nowhere else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Covers {
    /// A host and everything on it: its /48.
    Host([u8; 6]),
    /// A computer that is no host.
    Road(Ipv6Addr),
}

impl Covers {
    pub(super) fn has(self, address: Ipv6Addr) -> bool {
        match self {
            Self::Host(own) => own == prefix(address),
            Self::Road(own) => own == address,
        }
    }
}

/// The /48 an address is in.
pub(super) fn prefix(address: Ipv6Addr) -> [u8; 6] {
    let [a, b, c, d, e, f, ..] = address.octets();
    [a, b, c, d, e, f]
}

/// Everybody whose key is known. One in the description counts more than one that was exchanged, and
/// the secret that was exchanged belongs to that key alone.
pub(super) fn of(host: &HostSpec, known: &Known) -> Vec<Far> {
    let exchanged = known.of(&host.cloud);
    let hosts = host.overlay.iter().flat_map(|overlay| &overlay.peers);
    let hosts = hosts.filter_map(|(name, peer)| {
        let known = exchanged.get(name);
        let public = peer.public_key.as_ref().or(known.map(|keys| &keys.public_key))?;
        let secret = known.filter(|keys| keys.public_key == *public).map(|k| &k.preshared_key);
        Some(Far {
            name: name.clone(),
            public: key::public(public)?,
            preshared: secret.and_then(|secret| key::decode(secret)),
            covers: Covers::Host(prefix(host_prefix(&host.cloud, name))),
            endpoint: Some(SocketAddr::new(peer.address, PORT)),
        })
    });
    let roads = known.peers.iter().filter(|(_, road)| host.networks.contains_key(&road.network));
    let roads = roads.filter_map(|(name, road)| {
        Some(Far {
            name: name.clone(),
            public: key::public(&road.public_key)?,
            preshared: None,
            covers: Covers::Road(host.place(&road.network).v6(name)),
            endpoint: None,
        })
    });
    hosts.chain(roads).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wireguard::keyring::Keys;
    use hc_spec::host::{Overlay, OverlayMode, Peer};

    #[test]
    fn a_key_of_the_description_counts_more_and_takes_no_secret_of_another() {
        let name = |text: &str| Name::new(text).unwrap();
        let key = |n: u8| {
            use base64::Engine;
            base64::engine::general_purpose::STANDARD.encode([n; 32])
        };
        let mut host = HostSpec::new(name("c"), name("a"));
        let peer = |public_key: Option<String>| Peer {
            address: [192, 0, 2, 2].into(),
            networks: [].into(),
            public_key,
            ssh: None,
        };
        let peers = [
            (name("asked"), peer(None)),
            (name("other"), peer(Some(key(8)))),
            (name("pinned"), peer(Some(key(3)))),
            (name("unknown"), peer(None)),
        ];
        let address = [192, 0, 2, 1].into();
        host.overlay = Some(Overlay {
            mode: OverlayMode::Wireguard,
            address,
            peers: peers.into(),
            allow: Vec::new(),
        });
        let keys = |n| Keys { public_key: key(n), preshared_key: key(n + 100) };
        let known = Known {
            cloud: Some(name("c")),
            peers: [].into(),
            hosts: [
                (name("asked"), keys(1)),
                (name("other"), keys(2)),
                (name("pinned"), keys(3)),
                (name("stranger"), keys(4)),
            ]
            .into(),
        };
        let found: Vec<_> =
            of(&host, &known).into_iter().map(|f| (f.public.to_bytes()[0], f.preshared)).collect();
        assert_eq!(found, [(1, Some([101; 32])), (8, None), (3, Some([103; 32]))]);
        let elsewhere = Known { cloud: Some(name("d")), ..known };
        assert_eq!(of(&host, &elsewhere).len(), 2);
    }
}
