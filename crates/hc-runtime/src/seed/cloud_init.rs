//! cloud-init's NoCloud files: `meta-data`, `user-data` and `network-config` (version 2).
//!
//! They are YAML, of which JSON is a part: nothing needs another way of quoting.

use super::{Seed, asks, is_outside, is_told, iso::IsoFile, mac, shown, ways};
use hc_guest::wire::Address;
use serde_json::json;
use std::net::IpAddr;

pub(super) fn files(seed: &Seed) -> Vec<IsoFile> {
    let meta = json!({ "instance-id": seed.instance, "local-hostname": seed.hostname });
    let mut user = json!({
        "hostname": seed.hostname,
        "prefer_fqdn_over_hostname": false,
        "disable_root": false,
    });
    if !seed.authorized_keys.is_empty() {
        user["ssh_authorized_keys"] = json!(seed.authorized_keys);
        user["users"] =
            json!(["default", { "name": "root", "ssh_authorized_keys": seed.authorized_keys }]);
    }
    let file = |name: &str, head: &str, value: &serde_json::Value| IsoFile {
        name: name.into(),
        bytes: format!("{head}{value:#}\n").into_bytes(),
    };
    vec![
        file("meta-data", "", &meta),
        file("user-data", "#cloud-config\n", &user),
        file("network-config", "", &network(seed)),
    ]
}

fn network(seed: &Seed) -> serde_json::Value {
    let mut links = serde_json::Map::new();
    for (index, interface) in seed.interfaces.iter().enumerate() {
        let mut link = json!({
            "match": { "macaddress": mac(interface.mac, ":") },
            "set-name": interface.name,
            "dhcp4": asks(interface),
            "dhcp6": false,
            "accept-ra": is_told(interface),
            "addresses": interface.addresses.iter().map(shown).collect::<Vec<_>>(),
        });
        if let Some(mtu) = interface.mtu {
            link["mtu"] = json!(mtu);
        }
        let way = |(to, via): (&Address, IpAddr)| {
            let mut way = json!({ "to": shown(to), "via": via });
            if is_outside(interface, via) {
                way["on-link"] = json!(true);
            }
            way
        };
        let ways: Vec<_> = ways(seed, interface).map(way).collect();
        if !ways.is_empty() {
            link["routes"] = json!(ways);
        }
        if index == 0 {
            link["nameservers"] = json!({ "addresses": seed.dns, "search": seed.search });
        }
        links.insert(interface.name.clone(), link);
    }
    json!({ "version": 2, "ethernets": links })
}
