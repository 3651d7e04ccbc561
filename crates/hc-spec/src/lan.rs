//! A machine's own place on a wire of its host: there it is a computer like any other.

use crate::addr::Mac;
use crate::machine::MachineSpec;
use crate::name::Name;
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::str::FromStr;

/// What a machine is on one such wire. Without anything it takes what the wire's routers advertise, and
/// its own system may ask for an address.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Lan {
    /// Its addresses there, each with the length of the wire's prefix.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "addresses")]
    #[schemars(with = "Vec<String>")]
    pub addresses: Vec<ipnet::IpNet>,
    /// Routers of the wire over which it reaches everybody else, instead of its host.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "gateways")]
    pub gateways: Vec<IpAddr>,
}

fn addresses<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<ipnet::IpNet>, D::Error> {
    parsed(from, "no address with the length of its prefix: write it like 192.0.2.7/24")
}

fn gateways<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<IpAddr>, D::Error> {
    parsed(from, "no address of a router")
}

fn parsed<'de, D: Deserializer<'de>, T: FromStr>(from: D, wrong: &str) -> Result<Vec<T>, D::Error> {
    let texts = Vec::<String>::deserialize(from)?;
    let parse = |text: &String| {
        text.parse().map_err(|_| serde::de::Error::custom(format!("lan: '{text}' is {wrong}")))
    };
    texts.iter().map(parse).collect()
}

/// One of a machine's wires, with what follows from names.
#[derive(Debug, Clone, Copy)]
pub struct Foot<'a> {
    /// Link of the host that is on the wire.
    pub parent: &'a str,
    /// Which of the machine's it is: the link inside is called `lan` and that.
    pub index: usize,
    /// The address of its link.
    pub mac: Mac,
    /// The rest.
    pub lan: &'a Lan,
}

impl Foot<'_> {
    /// Name of the link in the machine.
    #[must_use]
    pub fn ifname(&self) -> String {
        format!("lan{}", self.index)
    }
}

/// The wires that a machine of a host is on.
pub fn feet<'a>(
    cloud: &'a Name,
    host: &'a Name,
    machine: &'a Name,
    lan: &'a BTreeMap<String, Lan>,
) -> impl Iterator<Item = Foot<'a>> {
    lan.iter().enumerate().map(move |(index, (parent, lan))| {
        let mac = crate::addr::lan_mac(cloud, host, parent, machine);
        Foot { parent, index, mac, lan }
    })
}

impl MachineSpec {
    /// The wires of its host that it is on.
    pub fn feet(&self) -> impl Iterator<Item = Foot<'_>> {
        feet(&self.cloud, &self.host, &self.name, &self.lan)
    }

    /// Says what is wrong with them.
    pub(crate) fn check_lan(&self) -> Result<(), String> {
        for (parent, lan) in &self.lan {
            let fits = (1..=15).contains(&parent.len());
            let plain = |c: char| c.is_ascii_graphic() && !"/:".contains(c);
            if !fits || !parent.chars().all(plain) || [".", ".."].contains(&parent.as_str()) {
                return Err(format!("'{parent}' cannot be the name of a link of the host"));
            }
            for address in &lan.addresses {
                let ip = address.addr();
                if ip.is_unspecified() || ip.is_loopback() || ip.is_multicast() {
                    return Err(format!("{parent}: {address} is no address of a computer"));
                }
            }
            for gateway in &lan.gateways {
                let reached = lan.addresses.iter().any(|own| own.contains(gateway));
                let local = matches!(gateway, IpAddr::V6(ip) if ip.is_unicast_link_local());
                if !reached && !local {
                    return Err(format!(
                        "{parent}: the router {gateway} is in none of the machine's prefixes there: \
                         give it an address in that of the router"
                    ));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(lan: &str) -> Result<MachineSpec, String> {
        let text = format!(
            r#"{{"schema":1,"name":"web","host":"den","cloud":"demo","kind":"container",
            "image":{{"rootfs":"/r"}},"command":["x"],"lan":{lan}}}"#
        );
        MachineSpec::from_json(text.as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn links_follow_from_names() {
        let spec =
            spec(r#"{"eth0":{"addresses":["192.0.2.7/24"],"gateways":["192.0.2.1"]},"br1":{}}"#)
                .unwrap();
        let shown: Vec<_> = spec
            .feet()
            .map(|foot| format!("{} {} {} {:?}", foot.ifname(), foot.parent, foot.mac, foot.lan))
            .collect();
        insta::assert_snapshot!(shown.join("\n"), @r"
        lan0 br1 02:e7:4e:58:c9:9e Lan { addresses: [], gateways: [] }
        lan1 eth0 02:30:88:32:6c:db Lan { addresses: [192.0.2.7/24], gateways: [192.0.2.1] }
        ");
    }

    #[test]
    fn what_cannot_be_is_said() {
        let wrong = [
            r#"{"":{}}"#,
            r#"{"a/b":{}}"#,
            r#"{"sixteen-letters0":{}}"#,
            r#"{"e":{"addresses":["192.0.2.7"]}}"#,
            r#"{"e":{"addresses":["127.0.0.1/8"]}}"#,
            r#"{"e":{"addresses":["192.0.2.7/24"],"gateways":["198.51.100.1"]}}"#,
        ];
        let said: Vec<_> = wrong.iter().map(|lan| spec(lan).unwrap_err()).collect();
        insta::assert_snapshot!(said.join("\n"), @r"
        machine 'web': lan: '' cannot be the name of a link of the host
        machine 'web': lan: 'a/b' cannot be the name of a link of the host
        machine 'web': lan: 'sixteen-letters0' cannot be the name of a link of the host
        the machine description does not fit the schema: lan: '192.0.2.7' is no address with the length of its prefix: write it like 192.0.2.7/24 at line 2 column 90
        machine 'web': lan: e: 127.0.0.1/8 is no address of a computer
        machine 'web': lan: e: the router 198.51.100.1 is in none of the machine's prefixes there: give it an address in that of the router
        ");
        assert!(spec(r#"{"e":{"gateways":["fe80::1"]}}"#).is_ok());
    }
}
