//! Elements of nft sets, as `nft` reads them and as the kernel does.

use hc_spec::addr::Mac;
use hc_spec::allow::Protocol;
use std::fmt::Write;
use std::net::{IpAddr, Ipv6Addr};

/// Protocol family of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    Inet = 1,
    Bridge = 7,
}

/// What a set holds, without the set: from where to where, and for a map, to what.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Value {
    pub key: Vec<u8>,
    /// Equals the key but in sets of ranges.
    pub end: Vec<u8>,
    /// Empty but in maps.
    pub data: Vec<u8>,
}

/// The same, and as text. Its parts, one after the other, are the fields of the set.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Fields {
    pub value: Value,
    pub text: String,
}

impl Fields {
    /// The name of a link: 16 bytes, filled with zeros.
    pub fn interface(self, name: &str) -> Self {
        let mut bytes = [0; 16];
        for (to, from) in bytes[..15].iter_mut().zip(name.bytes()) {
            *to = from;
        }
        self.part(&bytes, &bytes, name)
    }

    pub fn address(self, address: IpAddr) -> Self {
        let text = address.to_string();
        match address {
            IpAddr::V4(address) => self.part(&address.octets(), &address.octets(), &text),
            IpAddr::V6(address) => self.part(&address.octets(), &address.octets(), &text),
        }
    }

    /// All addresses of a /64. For sets of ranges.
    pub fn subnet(self, network: Ipv6Addr) -> Self {
        let mut last = network.octets();
        last[8..].fill(0xff);
        self.part(&network.octets(), &last, &format!("{network}/64"))
    }

    pub fn mac(self, mac: Mac) -> Self {
        self.part(&mac.0, &mac.0, &mac.to_string())
    }

    /// One port of a protocol.
    pub fn port(self, protocol: Protocol, port: u16) -> Self {
        self.protocol(protocol).part(&port.to_be_bytes(), &port.to_be_bytes(), &port.to_string())
    }

    /// Several. For sets of ranges.
    pub fn ports(self, protocol: Protocol, first: u16, last: u16) -> Self {
        let text = format!("{first}-{last}");
        self.protocol(protocol).part(&first.to_be_bytes(), &last.to_be_bytes(), &text)
    }

    fn protocol(self, protocol: Protocol) -> Self {
        let number = match protocol {
            Protocol::Tcp => libc::IPPROTO_TCP,
            Protocol::Udp => libc::IPPROTO_UDP,
        };
        self.part(&[number as u8], &[number as u8], &protocol.to_string())
    }

    fn part(mut self, first: &[u8], last: &[u8], text: &str) -> Self {
        for (whole, part) in [(&mut self.value.key, first), (&mut self.value.end, last)] {
            whole.extend_from_slice(part);
            // Parts begin at multiples of four bytes.
            whole.resize(whole.len().next_multiple_of(4), 0);
        }
        let between = if self.text.is_empty() { "" } else { " . " };
        // Writing to a String cannot fail.
        let _ = write!(self.text, "{between}{text}");
        self
    }

    /// Where a map leads from there.
    pub fn to(mut self, address: IpAddr, port: u16) -> Self {
        let to = Self::default().address(address);
        let to = to.part(&port.to_be_bytes(), &port.to_be_bytes(), &port.to_string());
        self.value.data = to.value.key;
        let _ = write!(self.text, " : {}", to.text);
        self
    }
}

/// One element of a set in a table called `hc`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Element {
    pub family: Family,
    pub set: &'static str,
    pub value: Value,
}

impl Element {
    pub fn new(family: Family, set: &'static str, fields: Fields) -> Self {
        Self { family, set, value: fields.value }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_say_the_same() {
        let fields = Fields::default()
            .address("100.64.0.1".parse().unwrap())
            .interface("hcb0")
            .ports(Protocol::Udp, 80, 0x1234);
        assert_eq!(fields.text, "100.64.0.1 . hcb0 . udp . 80-4660");
        let start = [&[100, 64, 0, 1][..], b"hcb0\0\0\0\0\0\0\0\0\0\0\0\0", &[17, 0, 0, 0]];
        assert_eq!(fields.value.key, [&start.concat()[..], &[0, 80, 0, 0]].concat());
        assert_eq!(fields.value.end, [&start.concat()[..], &[0x12, 0x34, 0, 0]].concat());
        let map = Fields::default().port(Protocol::Tcp, 1).to("100.64.0.1".parse().unwrap(), 2);
        assert_eq!(map.text, "tcp . 1 : 100.64.0.1 . 2");
        assert_eq!(map.value.data, [100, 64, 0, 1, 0, 2, 0, 0]);
    }
}
