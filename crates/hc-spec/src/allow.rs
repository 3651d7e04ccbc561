//! Allowances: who may open connections to whom, besides the machines of one network.
//!
//! ```text
//! allowance = side "->" side [ ":" port { "," port } ]
//! side      = machine "." network | "*." network | name | "outside" | "host"
//!           | machine "." network "." host | "*." network "." host
//! port      = number [ "-" number ] [ "/" ( "tcp" | "udp" ) ]
//! ```
//!
//! A plain name is a machine, on all networks it has, or a network. `outside` is whoever comes in
//! over the host's own links, `host` the host itself. Without ports everything is allowed, echo
//! and any other protocol too; ports are TCP unless they say otherwise.

use crate::name::Name;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// Who is meant by one side of an allowance.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// A machine on one of its networks.
    Machine(Name, Name),
    /// Everybody on a network of this host.
    Network(Name),
    /// Of a host of the cloud: a machine, or everybody, on one of its networks.
    Far(Option<Name>, Name, Name),
    /// A machine or a network, as people write it; [`crate::check`] finds out which.
    Short(Name),
    /// Whoever comes in over the host's own links.
    Outside,
    /// The host itself.
    Host,
}

/// A transport protocol.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

/// A range of ports of one protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ports {
    /// First port.
    pub first: u16,
    /// Last port, not below `first`.
    pub last: u16,
    /// Protocol.
    pub protocol: Protocol,
}

/// `FROM -> TO[:PORTS]`: FROM may open connections to TO.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Allowance {
    /// Who opens connections.
    pub from: Side,
    /// Who is reached.
    pub to: Side,
    /// Where; empty for everything.
    pub ports: Vec<Ports>,
}

/// Why a text is no [`Allowance`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{text}' is no allowance: {problem}; write it like \"web -> db:5432\" or \"*.lan -> dns.dmz:53/udp,53\""
)]
pub struct AllowanceError {
    /// What was given.
    pub text: String,
    /// What is wrong with it.
    pub problem: String,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Machine(machine, network) => write!(f, "{machine}.{network}"),
            Self::Network(network) => write!(f, "*.{network}"),
            Self::Far(Some(machine), network, host) => write!(f, "{machine}.{network}.{host}"),
            Self::Far(None, network, host) => write!(f, "*.{network}.{host}"),
            Self::Short(name) => name.fmt(f),
            Self::Outside => f.write_str("outside"),
            Self::Host => f.write_str("host"),
        }
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.first)?;
        if self.last != self.first {
            write!(f, "-{}", self.last)?;
        }
        write!(f, "/{}", self.protocol)
    }
}

impl fmt::Display for Allowance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> {}", self.from, self.to)?;
        for (at, ports) in self.ports.iter().enumerate() {
            write!(f, "{}{ports}", if at == 0 { ':' } else { ',' })?;
        }
        Ok(())
    }
}

fn side(text: &str) -> Result<Side, String> {
    let name = |text: &str| Name::new(text).map_err(|error| error.to_string());
    let far = text.split_once('.').and_then(|(m, rest)| Some((m, rest.split_once('.')?)));
    if let Some((machine, (network, host))) = far {
        let machine = (machine != "*").then(|| name(machine)).transpose()?;
        return Ok(Side::Far(machine, name(network)?, name(host)?));
    }
    match text.split_once('.') {
        None if text.is_empty() => Err("one side is empty".into()),
        None if text == "outside" => Ok(Side::Outside),
        None if text == "host" => Ok(Side::Host),
        None => name(text).map(Side::Short),
        Some(("*", network)) => name(network).map(Side::Network),
        Some((machine, network)) => Ok(Side::Machine(name(machine)?, name(network)?)),
    }
}

fn ports(text: &str) -> Result<Ports, String> {
    let (range, protocol) = match text.split_once('/') {
        None => (text, Protocol::Tcp),
        Some((range, "tcp")) => (range, Protocol::Tcp),
        Some((range, "udp")) => (range, Protocol::Udp),
        Some((_, other)) => return Err(format!("'{other}' is neither tcp nor udp")),
    };
    let port = |text: &str| {
        // The standard library's numbers may have a sign.
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        let number = text.parse::<u16>().ok().filter(|port| digits && *port != 0);
        number.ok_or_else(|| format!("'{text}' is no port: ports are 1 to 65535"))
    };
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let (first, last) = (port(first)?, port(last)?);
    if first > last {
        return Err(format!("the ports {first}-{last} run backwards"));
    }
    Ok(Ports { first, last, protocol })
}

fn parse(text: &str) -> Result<Allowance, String> {
    let mut sides = text.split("->");
    let (Some(from), Some(to), None) = (sides.next(), sides.next(), sides.next()) else {
        return Err("it needs one '->'".into());
    };
    let (to, list) = match to.trim().split_once(':') {
        None => (to.trim(), Vec::new()),
        Some((to, list)) => (to, list.split(',').map(ports).collect::<Result<_, _>>()?),
    };
    let from = from.trim();
    if from.contains(':') {
        return Err("ports belong to the side that is reached".into());
    }
    let (from, to) = (side(from)?, side(to)?);
    match (&from, &to) {
        (Side::Host, _) => Err("the host reaches its machines without one".into()),
        (_, Side::Outside) => Err("machines reach the outside without one".into()),
        (Side::Outside, Side::Host) => Err("who reaches the host is the host's own matter".into()),
        _ => Ok(Allowance { from, to, ports: list }),
    }
}

impl FromStr for Allowance {
    type Err = AllowanceError;

    fn from_str(text: &str) -> Result<Self, AllowanceError> {
        parse(text).map_err(|problem| AllowanceError { text: text.into(), problem })
    }
}

impl Serialize for Allowance {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Allowance {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl schemars::JsonSchema for Allowance {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Allowance".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        String::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_people_write() {
        let canonical = |text: &str| text.parse::<Allowance>().unwrap().to_string();
        for (text, says) in [
            ("web -> db:5432", "web -> db:5432/tcp"),
            ("  web.lan->db.dmz:53/udp,80-90 ", "web.lan -> db.dmz:53/udp,80-90/tcp"),
            ("*.lan -> dmz", "*.lan -> dmz"),
            ("web.lan.east -> *.dmz.west:80", "web.lan.east -> *.dmz.west:80/tcp"),
            ("outside -> web:443", "outside -> web:443/tcp"),
            ("web -> host:9100", "web -> host:9100/tcp"),
        ] {
            assert_eq!(canonical(text), says);
            assert_eq!(canonical(says), says);
        }
    }

    #[test]
    fn what_they_should_not() {
        let problem = |text: &str| text.parse::<Allowance>().unwrap_err().problem;
        let all = [
            "",
            "web db",
            "a -> b -> c",
            "-> db",
            "web ->",
            "web:80 -> db",
            "web -> db:",
            "web -> db:0",
            "web -> db:+5",
            "web -> db:65536",
            "web -> db:9-8",
            "web -> db:53/sctp",
            "web -> db: 80",
            "Web -> db",
            "a.b.c.d -> e",
            "* -> db",
            "host -> web",
            "web -> outside",
            "outside -> host",
            "web -> *.",
        ]
        .map(|text| format!("{text}: {}", problem(text)));
        insta::assert_debug_snapshot!(all, @r#"
[
    ": it needs one '->'",
    "web db: it needs one '->'",
    "a -> b -> c: it needs one '->'",
    "-> db: one side is empty",
    "web ->: one side is empty",
    "web:80 -> db: ports belong to the side that is reached",
    "web -> db:: '' is no port: ports are 1 to 65535",
    "web -> db:0: '0' is no port: ports are 1 to 65535",
    "web -> db:+5: '+5' is no port: ports are 1 to 65535",
    "web -> db:65536: '65536' is no port: ports are 1 to 65535",
    "web -> db:9-8: the ports 9-8 run backwards",
    "web -> db:53/sctp: 'sctp' is neither tcp nor udp",
    "web -> db: 80: ' 80' is no port: ports are 1 to 65535",
    "Web -> db: 'Web' is not a name: use 1 to 63 lower-case letters, digits and '-', starting with a letter and not ending with '-'",
    "a.b.c.d -> e: 'c.d' is not a name: use 1 to 63 lower-case letters, digits and '-', starting with a letter and not ending with '-'",
    "* -> db: '*' is not a name: use 1 to 63 lower-case letters, digits and '-', starting with a letter and not ending with '-'",
    "host -> web: the host reaches its machines without one",
    "web -> outside: machines reach the outside without one",
    "outside -> host: who reaches the host is the host's own matter",
    "web -> *.: '' is not a name: use 1 to 63 lower-case letters, digits and '-', starting with a letter and not ending with '-'",
]
"#);
    }

    proptest! {
        #[test]
        fn any_text_is_refused_or_comes_back(text in "[a-c*.:,/0-9>tudp -]{0,24}") {
            if let Ok(allowance) = text.parse::<Allowance>() {
                prop_assert_eq!(allowance.to_string().parse::<Allowance>().unwrap(), allowance);
            }
        }
    }
}
