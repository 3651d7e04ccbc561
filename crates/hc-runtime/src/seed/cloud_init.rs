//! cloud-init's NoCloud files: `meta-data`, `user-data` and `network-config` (version 2).
//!
//! They are YAML, of which JSON is a part: nothing needs another way of quoting.

use super::{Seed, iso::IsoFile, mac};
use serde_json::json;

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
            "set-name": format!("eth{index}"),
            "mtu": interface.mtu,
            "dhcp4": false,
            "dhcp6": false,
            "accept-ra": false,
            "addresses": [format!("{}/64", interface.v6), format!("{}/32", interface.v4)],
        });
        if index == 0 {
            link["routes"] = json!([
                { "to": "::/0", "via": interface.gateway_v6 },
                { "to": "0.0.0.0/0", "via": interface.gateway_v4, "on-link": true },
            ]);
            link["nameservers"] = json!({ "addresses": seed.dns, "search": seed.search });
        }
        links.insert(format!("eth{index}"), link);
    }
    json!({ "version": 2, "ethernets": links })
}
