//! Where each part of an address comes from, for a person who wants to check.

use super::{Place, hash, host_prefix};
use crate::name::Name;
use serde::Serialize;

/// One thing that follows from names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Derived {
    /// What it is.
    pub what: &'static str,
    /// Its value.
    pub value: String,
    /// Text that was hashed, with nothing before or after it.
    pub hashed: String,
    /// BLAKE3 of that, in hexadecimal: what `b3sum` prints.
    pub hash: String,
    /// What is taken of the hash.
    pub rule: &'static str,
}

fn derived(
    what: &'static str,
    value: impl ToString,
    hashed: String,
    rule: &'static str,
) -> Derived {
    let hash = hash(&[&hashed]).iter().map(|byte| format!("{byte:02x}")).collect();
    Derived { what, value: value.to_string(), hashed, hash, rule }
}

/// Everything a machine's place in a network is made of.
#[must_use]
pub fn explain(place: &Place<'_>, machine: &Name) -> Vec<Derived> {
    let Place { cloud, host, network } = place;
    let whole = || format!("{cloud}/{host}/{network}/{machine}");
    let prefix = format!("{}/48", host_prefix(cloud, host));
    vec![
        derived("host prefix", prefix, format!("{cloud}/{host}"), "fd and the first 40 bits"),
        derived(
            "network",
            format!("{}/64", place.subnet()),
            network.to_string(),
            "host prefix and the first 16 bits",
        ),
        derived(
            "interface id",
            place.interface_id(machine),
            format!("{machine}.{host}"),
            "the first 64 bits; 2 where they are 0 or 1",
        ),
        derived(
            "IPv4",
            place.v4(machine),
            whole(),
            "100.64.0.0 and the last 22 of the 24 bits after the first 64",
        ),
        derived("MAC", place.mac(machine), whole(), "02 and the first 40 bits"),
        derived(
            "link",
            place.link(machine),
            format!("{network}/{machine}"),
            "hc and the first 65 bits in base 32",
        ),
        derived(
            "bridge",
            place.bridge(),
            network.to_string(),
            "hcb and the first 60 bits in base 32",
        ),
    ]
}

/// What a machine's MAC address on a wire of its host is made of.
#[must_use]
pub fn explain_lan(cloud: &Name, host: &Name, parent: &str, machine: &Name) -> Derived {
    let whole = format!("{cloud}/{host}/link:{parent}/{machine}");
    let mac = super::lan_mac(cloud, host, parent, machine);
    derived("MAC", mac, whole, "02 and the first 40 bits")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    /// docs/address-vectors.json is what other programs may test themselves against.
    #[test]
    fn published_vectors() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/address-vectors.json");
        let vectors: Vec<Value> =
            serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        assert!(vectors.len() >= 4);
        for vector in vectors {
            let name = |what: &str| Name::new(vector[what].as_str().unwrap()).unwrap();
            let (cloud, host) = (name("cloud"), name("host"));
            let (network, machine) = (name("network"), name("machine"));
            let place = Place { cloud: &cloud, host: &host, network: &network };
            let ours = serde_json::json!({
                "cloud": cloud, "host": host, "network": network, "machine": machine,
                "hostPrefix": format!("{}/48", host_prefix(&cloud, &host)),
                "subnet": format!("{}/64", place.subnet()),
                "interfaceId": place.interface_id(&machine),
                "ipv6": place.v6(&machine), "ipv4": place.v4(&machine),
                "mac": place.mac(&machine).to_string(), "link": place.link(&machine),
                "gateway": place.gateway(), "gatewayIpv4": place.gateway_v4(),
                "gatewayMac": place.gateway_mac().to_string(), "bridge": place.bridge(),
            });
            assert_eq!(vector, ours);
        }
    }

    /// What is said about the hashes is what the addresses are made of.
    #[test]
    fn explanations_hold() {
        let name = |text: &str| Name::new(text).unwrap();
        let (cloud, host, network) = (name("demo"), name("demo"), name("lan"));
        let place = Place { cloud: &cloud, host: &host, network: &network };
        let machine = name("web");
        let lines = explain(&place, &machine);
        let hash = |what: &str| {
            let line = lines.iter().find(|line| line.what == what).unwrap();
            assert_eq!(line.hash, blake3::hash(line.hashed.as_bytes()).to_hex().to_string());
            line.hash.clone()
        };
        let digits = |octets: &[u8]| octets.iter().map(|b| format!("{b:02x}")).collect::<String>();
        let on_a_wire = explain_lan(&cloud, &host, "eth0", &machine);
        let made_of = blake3::hash(on_a_wire.hashed.as_bytes()).to_hex();
        let octets: Vec<&str> = on_a_wire.value.split(':').collect();
        assert_eq!(octets[1..].concat(), made_of.as_str()[..10]);
        let v6 = place.v6(&machine).octets();
        assert_eq!(digits(&v6[1..6]), hash("host prefix")[..10]);
        assert_eq!(digits(&v6[6..8]), hash("network")[..4]);
        assert_eq!(digits(&v6[8..]), hash("interface id")[..16]);
        assert_eq!(digits(&place.mac(&machine).0[1..]), hash("MAC")[..10]);
        let bits = u32::from_str_radix(&hash("IPv4")[16..22], 16).unwrap() & 0x3f_ffff;
        assert_eq!(place.v4(&machine).to_bits() & 0x3f_ffff, bits);
        assert_eq!(lines.len(), 7);
    }
}
