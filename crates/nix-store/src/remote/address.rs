//! `daemon`, `unix://SOCKET`, `ssh://[USER@]HOST[:PORT]` and `ssh-ng://…`, with the settings that
//! C++ Nix has for them.

use super::DAEMON_SOCKET;
use super::ssh::Ssh;
use super::stream::Transport;
use crate::error::{Error, Result};
use nix_compat::url::{decode_query, percent_decode};
use std::path::PathBuf;

/// Connections to a socket that are open at once.
const SOCKETS: usize = 8;

/// What is spoken at the far end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Worker,
    Serve,
}

/// Where a remote store is, and how it is reached.
#[derive(Debug, Clone)]
pub(super) struct Address {
    /// As errors call it: without settings.
    pub name: String,
    pub protocol: Protocol,
    pub transport: Transport,
    /// Connections that are open at once.
    pub connections: usize,
    /// Where on this host the store of a daemon is, if not at `/`.
    pub root: Option<PathBuf>,
}

impl Address {
    pub fn parse(address: &str, ssh_options: &[String]) -> Result<Self> {
        let wrong = |reason: String| Error::Peer { address: address.into(), reason };
        let (place, query) = address.split_once('?').unwrap_or((address, ""));
        let mut settings = decode_query(query, true).map_err(|error| wrong(error.to_string()))?;
        let mut take = |name: &str| settings.remove(name).filter(|value| !value.is_empty());
        let connections = match take("max-connections") {
            None => None,
            Some(text) => Some(text.parse().ok().filter(|n| *n > 0).ok_or_else(|| {
                wrong(format!("max-connections must be a number from 1 on, not {text:?}"))
            })?),
        };
        let (protocol, transport, usual) = match place.split_once("://") {
            None if place == "daemon" => {
                (Protocol::Worker, Transport::Socket(DAEMON_SOCKET.into()), SOCKETS)
            }
            Some(("unix", path)) => {
                let path = percent_decode(path).map_err(|error| wrong(error.to_string()))?;
                let path = if path.is_empty() { DAEMON_SOCKET.into() } else { PathBuf::from(path) };
                if !path.is_absolute() {
                    return Err(wrong("it must name the socket by its whole path".into()));
                }
                (Protocol::Worker, Transport::Socket(path), SOCKETS)
            }
            Some((scheme @ ("ssh" | "ssh-ng"), host)) => {
                let protocol = if scheme == "ssh" { Protocol::Serve } else { Protocol::Worker };
                let compress = match take("compress").as_deref() {
                    None | Some("false" | "0") => false,
                    Some("true" | "1") => true,
                    Some(other) => {
                        let reason = format!("compress must be true or false, not {other:?}");
                        return Err(wrong(reason));
                    }
                };
                let words = |text: String| {
                    text.split_ascii_whitespace().map(str::to_owned).collect::<Vec<_>>()
                };
                let ssh = Ssh {
                    key: take("ssh-key").map(PathBuf::from),
                    program: take("remote-program").map(words),
                    store: take("remote-store"),
                    compress,
                    options: ssh_options.to_vec(),
                    ..Ssh::to(host).map_err(wrong)?
                };
                (protocol, Transport::Ssh(ssh), 1)
            }
            _ => return Err(wrong("it is no address of a daemon or of another host".into())),
        };
        let root = match transport {
            Transport::Socket(_) => take("root").map(PathBuf::from),
            Transport::Ssh(_) => None,
        };
        if let Some(name) = settings.keys().next() {
            return Err(wrong(format!("the setting {name:?} is not known")));
        }
        let name = place.to_owned();
        Ok(Self { name, protocol, transport, connections: connections.unwrap_or(usual), root })
    }

    /// An error of this peer.
    pub fn error(&self, reason: impl ToString) -> Error {
        Error::Peer { address: self.name.clone(), reason: reason.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(address: &str) -> String {
        Address::parse(address, &[]).unwrap_err().to_string()
    }

    #[test]
    fn addresses_are_those_of_nix() {
        let daemon = Address::parse("daemon", &[]).unwrap();
        assert!(matches!(daemon.transport, Transport::Socket(path) if path.ends_with("socket")));
        let socket = Address::parse("unix:///run/a%20b?max-connections=3", &[]).unwrap();
        assert_eq!(socket.connections, 3);
        assert!(matches!(socket.transport, Transport::Socket(path) if path.ends_with("a b")));
        let text =
            "ssh-ng://me@[::1]:2222?remote-program=hc%20store%20serve&ssh-key=/k&compress=true";
        let far = Address::parse(text, &["-v".into()]).unwrap();
        assert_eq!((far.protocol, far.name.as_str()), (Protocol::Worker, "ssh-ng://me@[::1]:2222"));
        let Transport::Ssh(ssh) = far.transport else { panic!("it is over ssh") };
        insta::assert_debug_snapshot!(ssh.arguments(Protocol::Worker), @r#"
        [
            "-x",
            "-T",
            "-i",
            "/k",
            "-C",
            "-p",
            "2222",
            "-v",
            "--",
            "me@::1",
            "'hc' 'store' 'serve' '--stdio'",
        ]
        "#);
    }

    #[test]
    fn what_makes_no_sense_is_said() {
        insta::assert_snapshot!(said("ssh://"), @"ssh://: it names no host");
        insta::assert_snapshot!(said("ssh://-oProxyCommand=x"), @r#"ssh://-oProxyCommand=x: "-oProxyCommand=x" is no name of a host"#);
        insta::assert_snapshot!(said("ssh://a:x"), @r#"ssh://a:x: "x" is no port"#);
        insta::assert_snapshot!(said("ssh://a/nix"), @r#"ssh://a/nix: "a/nix" is no name of a host"#);
        insta::assert_snapshot!(said("ssh://a?colour=red"), @r#"ssh://a?colour=red: the setting "colour" is not known"#);
        insta::assert_snapshot!(said("unix://sock"), @"unix://sock: it must name the socket by its whole path");
        insta::assert_snapshot!(said("daemon?max-connections=0"), @r#"daemon?max-connections=0: max-connections must be a number from 1 on, not "0""#);
    }
}
