//! What only the whole of a host can tell: names that do not fit, addresses that collide,
//! allowances and ports that make no sense. Short forms become full ones on the way.

use crate::addr::host_prefix;
mod far;

use crate::allow::{Allowance, Protocol, Side};
use crate::host::{HostSpec, OverlayMode};
use crate::name::Name;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// Longest domain name as text, without its final dot (RFC 1035 3.1: 255 bytes on the wire).
const LONGEST_DOMAIN: usize = 253;

/// Everything that is wrong with a host, a line for each.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Problems(pub Vec<String>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("This cloud cannot be deployed:")?;
        self.0.iter().try_for_each(|problem| write!(f, "\n- {problem}"))
    }
}

/// Networks of each machine.
pub type Machines<'a> = BTreeMap<&'a Name, &'a [Name]>;

/// Checks a host with its machines and writes short forms out: afterwards allowances name machines
/// with their networks, and published ports the network they lead over.
///
/// # Errors
/// All problems at once.
pub fn resolve(host: &mut HostSpec, machines: &Machines<'_>) -> Result<(), Problems> {
    let mut problems = Vec::new();
    names(host, machines, &mut problems);
    addresses(host, machines, &mut problems);
    host.allow = allowances(host, machines, &mut problems);
    ports(host, machines, &mut problems);
    aliases(host, machines, &mut problems);
    peers(host, machines, &mut problems);
    if problems.is_empty() { Ok(()) } else { Err(Problems(problems)) }
}

/// Reads what people write as text in a host's description (allowances, addresses, names), so that
/// each that is wrong is named with its option: reading the description as a whole ends at the
/// first, and does not know where that is.
///
/// # Errors
/// All texts that are not what they should be.
pub fn written(description: &serde_json::Value) -> Result<(), Problems> {
    let host = description["host"].as_str().unwrap_or_default();
    let texts = |value: &serde_json::Value| {
        let texts = value.as_array().into_iter().flatten().filter_map(|text| text.as_str());
        texts.map(str::to_owned).collect::<Vec<_>>()
    };
    let allowances = texts(&description["allow"]);
    let problems = allowances.iter().filter_map(|text| text.parse::<Allowance>().err());
    let mut problems: Vec<_> = problems.map(|e| format!("hosts.{host}.allow: {e}")).collect();
    let overlay = &description["overlay"];
    let peers = overlay["peers"].as_object().into_iter().flatten();
    let all = peers.map(|(name, peer)| (name.as_str(), &peer["address"]));
    for (name, address) in all.chain([(host, &overlay["address"])]) {
        if let Some(text) = address.as_str().filter(|text| text.parse::<IpAddr>().is_err()) {
            problems.push(format!("hosts.{name}.address: '{text}' is no IP address"));
        }
    }
    for (machine, service) in description["machines"].as_object().into_iter().flatten() {
        let mut complain = |option: &str, problem: String| {
            problems.push(format!("hosts.{host}.machines.{machine}.{option}: {problem}"));
        };
        for port in service["ports"].as_array().into_iter().flatten() {
            let listen = port["listen"].as_str();
            if let Some(text) = listen.filter(|text| text.parse::<IpAddr>().is_err()) {
                complain("ports", format!("'{text}' is no address to listen on"));
            }
        }
        for error in texts(&service["aliases"]).into_iter().filter_map(|t| Name::new(t).err()) {
            complain("aliases", error.to_string());
        }
        let services = service["services"].as_object().into_iter().flatten();
        for error in services.filter_map(|(name, _)| Name::new(name.as_str()).err()) {
            complain("services", error.to_string());
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(Problems(problems)) }
}

fn names(host: &HostSpec, machines: &Machines<'_>, problems: &mut Vec<String>) {
    let own = format!("{}.{}.internal", host.host, host.cloud);
    let mut check = |whose: String, name: String| {
        if name.len() > LONGEST_DOMAIN {
            problems.push(format!(
                "{whose} has the domain name {name}, which is {} bytes long; {LONGEST_DOMAIN} is \
                 the most: use shorter names",
                name.len()
            ));
        }
    };
    for (machine, networks) in machines {
        for network in *networks {
            check(format!("machine '{machine}'"), format!("{machine}.{network}.{own}"));
        }
    }
    for (machine, service) in &host.machines {
        for network in machines.get(machine).copied().unwrap_or_default() {
            for alias in &service.aliases {
                check(format!("machine '{machine}'"), format!("{alias}.{network}.{own}"));
            }
            for (name, offered) in &service.services {
                let name = format!("_{name}._{}.{machine}.{network}.{own}", offered.protocol);
                check(format!("machine '{machine}'"), name);
            }
        }
    }
}

/// Who has an address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Owner<'a> {
    Network(&'a Name),
    Machine(&'a Name, &'a Name),
}

impl fmt::Display for Owner<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(network) => write!(f, "network '{network}'"),
            Self::Machine(machine, network) => {
                write!(f, "machine '{machine}' on network '{network}'")
            }
        }
    }
}

/// Who has which address.
struct Register<'a, 'p> {
    seen: BTreeMap<(&'static str, String), Owner<'a>>,
    told: BTreeSet<(Owner<'a>, Owner<'a>)>,
    problems: &'p mut Vec<String>,
}

impl<'a> Register<'a, '_> {
    fn take(&mut self, what: &'static str, value: String, owner: Owner<'a>) {
        let first = *self.seen.entry((what, value.clone())).or_insert(owner);
        // Two networks of one prefix share everything below: once is enough.
        if first != owner && self.told.insert((first, owner)) {
            self.problems
                .push(format!("{first} and {owner} both get {what} {value}: rename one of them"));
        }
    }
}

/// Addresses must be different wherever they can meet: on the host, which has a route to each and
/// names links after them, and on one bridge.
fn addresses(host: &HostSpec, machines: &Machines<'_>, problems: &mut Vec<String>) {
    let mut register = Register { seen: BTreeMap::new(), told: BTreeSet::new(), problems };
    let mut take = |what, value, owner| register.take(what, value, owner);
    let known = |network: &&Name| host.networks.contains_key(*network);
    for network in host.networks.keys() {
        let (place, owner) = (host.place(network), Owner::Network(network));
        take("the prefix", format!("{}/64", place.subnet()), owner);
        take("the interface name", place.bridge(), owner);
        take("the IPv4 address", place.gateway_v4().to_string(), owner);
        take("the MAC address", place.gateway_mac().to_string(), owner);
    }
    for (machine, networks) in machines {
        for network in networks.iter().filter(known) {
            let (place, owner) = (host.place(network), Owner::Machine(machine, network));
            take("the IPv6 address", place.v6(machine).to_string(), owner);
            take("the IPv4 address", place.v4(machine).to_string(), owner);
            take("the MAC address", place.mac(machine).to_string(), owner);
            take("the interface name", place.link(machine), owner);
        }
    }
}

fn allowances(
    host: &HostSpec,
    machines: &Machines<'_>,
    problems: &mut Vec<String>,
) -> Vec<Allowance> {
    let mut resolved = BTreeSet::new();
    for allowance in &host.allow {
        let mut complain = |problem: String| {
            problems.push(format!("hosts.{}.allow: '{allowance}': {problem}", host.host));
        };
        let sides = [&allowance.from, &allowance.to].map(|side| expand(side, host, machines));
        let [Ok(from), Ok(to)] = sides else {
            sides.into_iter().filter_map(Result::err).for_each(complain);
            continue;
        };
        let mut useful = false;
        for from in &from {
            for to in &to {
                if network_of(from).is_some() && network_of(from) == network_of(to) {
                    continue;
                }
                useful = true;
                let (from, to) = (from.clone(), to.clone());
                resolved.insert(Allowance { from, to, ports: allowance.ports.clone() });
            }
        }
        if !useful {
            complain(
                "both are on one network, where everybody reaches everybody: take it out, or put \
                 them on different networks"
                    .into(),
            );
        }
    }
    resolved.into_iter().collect()
}

fn network_of(side: &Side) -> Option<&Name> {
    match side {
        Side::Machine(_, network) | Side::Network(network) => Some(network),
        _ => None,
    }
}

/// The full forms of a side.
fn expand(side: &Side, host: &HostSpec, machines: &Machines<'_>) -> Result<Vec<Side>, String> {
    let list = |names: &mut dyn Iterator<Item = &Name>| {
        names.map(|name| name.as_str()).collect::<Vec<_>>().join(", ")
    };
    let networks = || match list(&mut host.networks.keys()) {
        list if list.is_empty() => "the host has no networks".to_owned(),
        list => format!("the networks are {list}"),
    };
    match side {
        Side::Outside | Side::Host => Ok(vec![side.clone()]),
        Side::Far(..) => Err(format!("'{side}' says a host: that belongs into overlay.allow")),
        Side::Network(network) if host.networks.contains_key(network) => Ok(vec![side.clone()]),
        Side::Network(network) => Err(format!("there is no network '{network}'; {}", networks())),
        Side::Machine(machine, network) => match machines.get(machine) {
            None => Err(format!("there is no machine '{machine}' on this host")),
            Some(on) if on.contains(network) => Ok(vec![side.clone()]),
            Some(on) => Err(format!(
                "machine '{machine}' is not on network '{network}'; it is on {}",
                list(&mut on.iter())
            )),
        },
        Side::Short(name) => match (machines.get(name), host.networks.contains_key(name)) {
            (Some(_), true) => Err(format!(
                "'{name}' is a machine and a network: write *.{name} for the network, or \
                 {name}.NETWORK for the machine"
            )),
            (Some([]), false) => Err(format!("machine '{name}' is on no network")),
            (Some(on), false) => {
                Ok(on.iter().map(|network| Side::Machine(name.clone(), network.clone())).collect())
            }
            (None, true) => Ok(vec![Side::Network(name.clone())]),
            (None, false) => Err(format!(
                "there is no machine and no network '{name}' on this host; {}",
                networks()
            )),
        },
    }
}

fn ports(host: &mut HostSpec, machines: &Machines<'_>, problems: &mut Vec<String>) {
    let mut taken: Vec<(Name, Protocol, u16, Option<IpAddr>)> = Vec::new();
    let name = &host.host;
    for (machine, service) in &mut host.machines {
        let networks = machines.get(machine).copied().unwrap_or_default();
        for port in &mut service.ports {
            let mut complain = |problem: String| {
                problems.push(format!(
                    "hosts.{name}.machines.{machine}.ports: port {}/{} of the host {problem}",
                    port.host, port.protocol
                ));
            };
            if port.host == 0 || port.port == 0 {
                complain("cannot be published: ports are 1 to 65535".into());
            }
            if port.host == 53 && port.listen.is_none_or(|address| address.is_unspecified()) {
                complain(
                    "is where hc's own name server is asked: name the address with `listen`".into(),
                );
            }
            if port.listen.is_some_and(|address| address.is_multicast()) {
                complain("cannot be published on a multicast address".into());
            }
            if port.listen == Some(IpAddr::V6(Ipv6Addr::LOCALHOST)) {
                complain("cannot be published on ::1: take 127.0.0.1".into());
            }
            match &port.network {
                Some(network) if !networks.contains(network) => {
                    complain(format!(
                        "leads over network '{network}', which the machine is not on"
                    ));
                }
                Some(_) => {}
                None if networks.is_empty() => {
                    complain("leads nowhere: the machine is on no network".into());
                }
                None => port.network = networks.first().cloned(),
            }
            let meets = |(_, protocol, other, listen): &&(Name, Protocol, u16, Option<IpAddr>)| {
                (*protocol, *other) == (port.protocol, port.host) && overlap(*listen, port.listen)
            };
            if let Some((first, ..)) = taken.iter().find(meets) {
                complain(format!(
                    "is published for machine '{first}' and for machine '{machine}': take another \
                     port for one of them, or different addresses with `listen`"
                ));
            }
            taken.push((machine.clone(), port.protocol, port.host, port.listen));
        }
    }
}

/// Whether two addresses to listen on can be the same; none is all of them.
fn overlap(a: Option<IpAddr>, b: Option<IpAddr>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => {
            a == b || (a.is_ipv4() == b.is_ipv4() && (a.is_unspecified() || b.is_unspecified()))
        }
        _ => true,
    }
}

fn peers(host: &HostSpec, machines: &Machines<'_>, problems: &mut Vec<String>) {
    let Some(overlay) = &host.overlay else { return };
    for (name, peer) in &overlay.peers {
        if overlay.mode != OverlayMode::Wireguard {
            break;
        }
        match &peer.public_key {
            None => {}
            Some(key) if is_key(key) => {}
            Some(key) => problems.push(format!(
                "hosts.{name}.publicKey: '{key}' is no public key: it is what `hc net key` prints \
                 on that host"
            )),
        }
        if let Some(ssh) = peer.ssh.as_ref().filter(|ssh| !is_destination(ssh)) {
            problems.push(format!(
                "hosts.{name}.ssh: '{ssh}' is no place to reach over ssh: write it like \
                 root@host.example:2222"
            ));
        }
    }
    far::allowances(host, overlay, machines, problems);
    let own = (&host.host, overlay.address);
    let others = overlay.peers.iter().map(|(name, peer)| (name, peer.address));
    let mut prefixes = BTreeMap::new();
    let mut addresses: BTreeMap<IpAddr, &Name> = BTreeMap::new();
    for (name, address) in std::iter::once(own).chain(others) {
        let prefix = host_prefix(&host.cloud, name);
        if let Some(first) = prefixes.insert(prefix, name) {
            problems.push(format!(
                "hosts '{first}' and '{name}' both get the prefix {prefix}/48: rename one of them"
            ));
        }
        if let Some(first) = addresses.insert(address, name) {
            problems.push(format!(
                "hosts.{name}.address: {address} is the address of host '{first}' already"
            ));
        }
        if address.is_ipv4() != overlay.address.is_ipv4() {
            problems.push(format!(
                "hosts.{name}.address: {address} is of another family than {} of host '{}': hosts \
                 reach each other over IPv4 or over IPv6",
                overlay.address, host.host
            ));
        }
    }
}

/// Whether a text is `[USER@]HOST[:PORT]`, and nothing that ssh takes for an option.
fn is_destination(text: &str) -> bool {
    let (user, host) =
        text.rsplit_once('@').map_or((None, text), |(user, host)| (Some(user), host));
    let word = |text: &str, more: &str| {
        let fits = |c: char| c.is_ascii_alphanumeric() || more.contains(c);
        !text.is_empty() && !text.starts_with('-') && text.chars().all(fits)
    };
    user.is_none_or(|user| word(user, "._-")) && word(host, "._-:[]%")
}

/// Whether a text is 32 bytes in base64.
fn is_key(text: &str) -> bool {
    let digit = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/';
    let digits = text.strip_suffix('=').unwrap_or_default();
    // Of the last digit only four bits count.
    let last = |byte: &u8| b"AEIMQUYcgkosw048".contains(byte);
    digits.len() == 43 && digits.bytes().all(digit) && digits.as_bytes().last().is_some_and(last)
}

fn aliases(host: &HostSpec, machines: &Machines<'_>, problems: &mut Vec<String>) {
    let mut seen: BTreeMap<(&Name, &Name), &Name> = BTreeMap::new();
    for (machine, networks) in machines {
        seen.extend(networks.iter().map(|network| ((network, *machine), *machine)));
    }
    for (machine, service) in &host.machines {
        let where_ = format!("hosts.{}.machines.{machine}", host.host);
        for alias in &service.aliases {
            for network in machines.get(machine).copied().unwrap_or_default() {
                if let Some(first) = seen.insert((network, alias), machine) {
                    problems.push(format!(
                        "{where_}.aliases: '{alias}' is already a name of machine '{first}' on \
                         network '{network}': take another name"
                    ));
                }
            }
        }
        for (name, offered) in &service.services {
            if offered.port == 0 {
                problems.push(format!("{where_}.services.{name}: port 0 is none"));
            }
        }
    }
}

#[cfg(test)]
mod tests;
