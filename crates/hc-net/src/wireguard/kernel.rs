//! WireGuard in the kernel: a device, told over generic netlink what it is to be
//! (`linux/wireguard.h`, `linux/genetlink.h`).

use super::Asked;
use super::key::Key;
use super::keyring::{Keyring, Stamp};
use super::peers::{self, Covers, Far, PORT};
use super::report::Report;
use crate::error::{Error, Result};
use crate::message::{attribute, attributes, check, first, messages, nested};
use rtnetlink::sys::protocols::{NETLINK_GENERIC, NETLINK_ROUTE};
use rtnetlink::sys::{Socket, SocketAddr};
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How often it is looked whether others came, went or changed their keys.
const TICK: Duration = Duration::from_millis(250);
/// Seconds after which a silent host says that it is there.
const KEEPALIVE: u16 = 15;

const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const IFLA_IFNAME: u16 = 3;
const IFLA_LINKINFO: u16 = 18;
const IFLA_INFO_KIND: u16 = 1;
/// The family that knows the others, and its question for one.
const GENL_ID_CTRL: u16 = 16;
const CTRL_CMD_GETFAMILY: u8 = 3;
const CTRL_ATTR_FAMILY_ID: u16 = 1;
const CTRL_ATTR_FAMILY_NAME: u16 = 2;
const WG_CMD_GET_DEVICE: u8 = 0;
const WG_CMD_SET_DEVICE: u8 = 1;

/// A device of the kernel's. It works without this process, and stays when this is dropped.
pub(super) struct Device {
    name: &'static str,
    family: u16,
    socket: Socket,
}

impl Device {
    /// Makes one; none where the kernel cannot.
    pub(super) fn make(name: &'static str) -> Result<Option<Self>> {
        let failed =
            |source| Error::Link { action: "make the WireGuard device", what: name.into(), source };
        match link(RTM_NEWLINK, name) {
            Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => return Ok(None),
            other => other.map_err(failed)?,
        }
        let opened = Socket::new(NETLINK_GENERIC).and_then(|mut socket| {
            socket.bind_auto()?;
            Ok((family(&socket)?, socket))
        });
        let (family, socket) = opened.map_err(failed)?;
        Ok(Some(Self { name, family, socket }))
    }

    /// Takes it away.
    pub(super) fn remove(&self) {
        if let Err(error) = link(RTM_DELLINK, self.name) {
            tracing::debug!(%error, "the WireGuard device was gone");
        }
    }

    /// Makes these the other ends, and nobody else.
    pub(super) fn set(&self, key: &Key, all: &[Far]) -> io::Result<()> {
        // A message has to fit into one attribute of 64 KiB with all peers in it.
        for (at, some) in all.chunks(200).enumerate().chain(all.is_empty().then_some((0, all))) {
            let first = at == 0;
            self.ask(|out| {
                string(out, 2, self.name);
                if first {
                    attribute(out, 3, |out| out.extend_from_slice(&key.secret().to_bytes()));
                    // WGDEVICE_F_REPLACE_PEERS
                    attribute(out, 5, |out| out.extend_from_slice(&1u32.to_ne_bytes()));
                    attribute(out, 6, |out| out.extend_from_slice(&PORT.to_ne_bytes()));
                }
                nested(out, 8, |out| some.iter().for_each(|far| peer(out, far)));
            })?;
        }
        Ok(())
    }

    fn ask(&self, body: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        let flags = libc::NLM_F_REQUEST | libc::NLM_F_ACK;
        let message = message(self.family, flags, |out| {
            out.extend_from_slice(&[WG_CMD_SET_DEVICE, 1, 0, 0]);
            body(out);
        });
        self.socket.send_to(&message, &SocketAddr::new(0, 0), 0)?;
        check(&self.socket.recv_from_full()?.0)
    }

    /// Follows what is asked for and known, until `stop` is dropped.
    pub(super) fn follow(&self, key: &Key, keyring: &Keyring, asked: &Asked, stop: &Receiver<()>) {
        let mut seen: Option<Stamp> = keyring.changed();
        while stop.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
            let changed = keyring.changed();
            if !asked.news.swap(false, Ordering::AcqRel) && changed == seen {
                continue;
            }
            seen = changed;
            let known = keyring.known().map_err(io::Error::other);
            let set = known.and_then(|known| self.set(key, &peers::of(&asked.host(), &known)));
            if let Err(error) = set {
                tracing::error!(%error, "other hosts are not reached as they are described");
            }
        }
    }
}

fn peer(out: &mut Vec<u8>, far: &Far) {
    // An index in place of a kind: it is an array.
    nested(out, 0, |out| {
        attribute(out, 1, |out| out.extend_from_slice(far.public.as_bytes()));
        let secret = far.preshared.unwrap_or_default();
        attribute(out, 2, |out| out.extend_from_slice(&secret));
        // WGPEER_F_REPLACE_ALLOWEDIPS
        attribute(out, 3, |out| out.extend_from_slice(&2u32.to_ne_bytes()));
        if let Some(endpoint) = far.endpoint {
            attribute(out, 4, |out| out.extend_from_slice(&sockaddr(endpoint)));
            attribute(out, 5, |out| out.extend_from_slice(&KEEPALIVE.to_ne_bytes()));
        }
        nested(out, 9, |out| {
            let (address, length) = range(far.covers);
            nested(out, 0, |out| {
                attribute(out, 1, |out| {
                    out.extend_from_slice(&(libc::AF_INET6 as u16).to_ne_bytes())
                });
                attribute(out, 2, |out| out.extend_from_slice(&address.octets()));
                attribute(out, 3, |out| out.push(length));
            });
        });
    });
}

fn range(covers: Covers) -> (Ipv6Addr, u8) {
    match covers {
        Covers::Host(prefix) => {
            let mut octets = [0; 16];
            octets[..6].copy_from_slice(&prefix);
            (octets.into(), 48)
        }
        Covers::Road(address) => (address, 128),
    }
}

/// `struct sockaddr_in` or `struct sockaddr_in6`.
fn sockaddr(endpoint: std::net::SocketAddr) -> Vec<u8> {
    let port = endpoint.port().to_be_bytes();
    match endpoint.ip() {
        IpAddr::V4(address) => {
            let family = (libc::AF_INET as u16).to_ne_bytes();
            [&family[..], &port, &address.octets(), &[0; 8]].concat()
        }
        IpAddr::V6(address) => {
            let family = (libc::AF_INET6 as u16).to_ne_bytes();
            [&family[..], &port, &[0; 4], &address.octets(), &[0; 4]].concat()
        }
    }
}

/// What a device says of its other ends, by their public keys.
pub(super) fn reports(name: &str) -> io::Result<HashMap<[u8; 32], Report>> {
    let mut socket = Socket::new(NETLINK_GENERIC)?;
    socket.bind_auto()?;
    let family = family(&socket)?;
    let question = message(family, libc::NLM_F_REQUEST | libc::NLM_F_DUMP, |out| {
        out.extend_from_slice(&[WG_CMD_GET_DEVICE, 1, 0, 0]);
        string(out, 2, name);
    });
    socket.send_to(&question, &SocketAddr::new(0, 0), 0)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let mut all = HashMap::new();
    loop {
        let (answer, _) = socket.recv_from_full()?;
        check(&answer)?;
        for message in messages(&answer) {
            if message.kind == libc::NLMSG_DONE as u16 {
                return Ok(all);
            }
            // Behind `struct genlmsghdr`.
            let peers = first(message.body.get(4..).unwrap_or_default(), 8).unwrap_or_default();
            for (_, peer) in attributes(peers) {
                if let Some(key) = first(peer, 1).and_then(|key| key.try_into().ok()) {
                    all.insert(key, report(peer, now));
                }
            }
        }
    }
}

/// Of the attributes `WGPEER_A_*` of one other end.
fn report(peer: &[u8], now: u64) -> Report {
    let number = |bytes: Option<&[u8]>| {
        bytes.and_then(|b| b.get(..8)?.try_into().ok()).map(u64::from_ne_bytes).unwrap_or_default()
    };
    // `struct __kernel_timespec`, zero where there was none.
    let handshake = number(first(peer, 6));
    Report {
        endpoint: first(peer, 4).and_then(endpoint),
        handshake_sec: (handshake > 0).then(|| now.saturating_sub(handshake)),
        received: number(first(peer, 7)),
        sent: number(first(peer, 8)),
    }
}

/// Of a `struct sockaddr_in` or `struct sockaddr_in6`.
fn endpoint(bytes: &[u8]) -> Option<std::net::SocketAddr> {
    let family = i32::from(u16::from_ne_bytes(bytes.get(..2)?.try_into().ok()?));
    let port = u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?);
    let address = match family {
        libc::AF_INET => IpAddr::from(<[u8; 4]>::try_from(bytes.get(4..8)?).ok()?),
        libc::AF_INET6 => IpAddr::from(<[u8; 16]>::try_from(bytes.get(8..24)?).ok()?),
        _ => return None,
    };
    Some((address, port).into())
}

/// The number that the kernel gave to the family `wireguard`.
fn family(socket: &Socket) -> io::Result<u16> {
    let question = message(GENL_ID_CTRL, libc::NLM_F_REQUEST, |out| {
        out.extend_from_slice(&[CTRL_CMD_GETFAMILY, 1, 0, 0]);
        string(out, CTRL_ATTR_FAMILY_NAME, "wireguard");
    });
    socket.send_to(&question, &SocketAddr::new(0, 0), 0)?;
    let (answer, _) = socket.recv_from_full()?;
    check(&answer)?;
    let number = first(answer.get(20..).unwrap_or_default(), CTRL_ATTR_FAMILY_ID);
    let number = number.and_then(|bytes| bytes.try_into().ok()).map(u16::from_ne_bytes);
    number.ok_or_else(|| io::Error::other("the kernel does not say the number of its WireGuard"))
}

/// Makes or takes away a device.
fn link(kind: u16, name: &str) -> io::Result<()> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    let make = libc::NLM_F_CREATE | libc::NLM_F_EXCL;
    let flags = libc::NLM_F_REQUEST | libc::NLM_F_ACK | if kind == RTM_NEWLINK { make } else { 0 };
    let message = message(kind, flags, |out| {
        // `struct ifinfomsg`
        out.extend_from_slice(&[0; 16]);
        string(out, IFLA_IFNAME, name);
        if kind == RTM_NEWLINK {
            nested(out, IFLA_LINKINFO, |out| string(out, IFLA_INFO_KIND, "wireguard"));
        }
    });
    socket.send_to(&message, &SocketAddr::new(0, 0), 0)?;
    check(&socket.recv_from_full()?.0)
}

fn string(out: &mut Vec<u8>, kind: u16, text: &str) {
    attribute(out, kind, |out| {
        out.extend_from_slice(text.as_bytes());
        out.push(0);
    });
}

fn message(kind: u16, flags: libc::c_int, body: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = vec![0; 16];
    body(&mut out);
    let length = u32::try_from(out.len()).unwrap_or(u32::MAX);
    out[..4].copy_from_slice(&length.to_ne_bytes());
    out[4..6].copy_from_slice(&kind.to_ne_bytes());
    out[6..8].copy_from_slice(&(flags as u16).to_ne_bytes());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_says_of_another_end_is_read() {
        let at: std::net::SocketAddr = "[2001:db8::1]:24790".parse().unwrap();
        let mut peer = Vec::new();
        attribute(&mut peer, 4, |out| out.extend(sockaddr(at)));
        attribute(&mut peer, 6, |out| out.extend([90u64, 7].map(u64::to_ne_bytes).concat()));
        attribute(&mut peer, 7, |out| out.extend(5u64.to_ne_bytes()));
        attribute(&mut peer, 8, |out| out.extend(6u64.to_ne_bytes()));
        let said = report(&peer, 100);
        let wanted = Report { endpoint: Some(at), handshake_sec: Some(10), received: 5, sent: 6 };
        assert_eq!(said, wanted);
        assert_eq!(report(&[], 100), Report::default());
        let v4 = "192.0.2.1:1".parse().unwrap();
        assert_eq!(endpoint(&sockaddr(v4)), Some(v4));
    }
}
