//! Whether somebody else took away what hc made: `nft flush ruleset`, a link deleted by hand.
//!
//! The kernel tells of every change of the packet filter (group `NFNLGRP_NFTABLES` of
//! `linux/netfilter/nfnetlink.h`) and of every link (`RTNLGRP_LINK`). A transaction of hc's own
//! leaves rules in its tables; one that only takes from them is somebody else's, or takes them away
//! for good.

use crate::error::{Error, Result};
use crate::message::{Message, first, messages};
use rtnetlink::sys::protocols::{NETLINK_NETFILTER, NETLINK_ROUTE};
use rtnetlink::sys::{AsyncSocket, AsyncSocketExt, Socket, SocketAddr, TokioSocket};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd};

const NFNLGRP_NFTABLES: u32 = 7;
const RTNLGRP_LINK: u32 = 1;
const RTNLGRP_IPV4_IFADDR: u32 = 5;
const RTNLGRP_IPV6_IFADDR: u32 = 9;
/// Bytes that wait to be heard.
const BUFFER: usize = 8 << 20;
/// `NFNL_SUBSYS_NFTABLES`, and kinds of messages of `linux/netfilter/nf_tables.h`.
const NFTABLES: u8 = 10;
const NEWTABLE: u8 = 0;
const DELTABLE: u8 = 2;
const DELCHAIN: u8 = 5;
const NEWRULE: u8 = 6;
const DELRULE: u8 = 8;
const DELSET: u8 = 11;
const NEWGEN: u8 = 15;
/// `RTM_NEWLINK`, `RTM_DELLINK` and `IFLA_IFNAME` of `linux/rtnetlink.h`.
const NEWLINK: u16 = 16;
const DELLINK: u16 = 17;
const IFNAME: u16 = 3;

/// Hears of changes in the network namespace it was made in.
pub struct Monitor {
    filter: TokioSocket,
    links: TokioSocket,
    rules: Transaction,
}

/// What is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Loss {
    /// Rules, sets or whole tables.
    Rules,
    /// A link that bears a name of hc's.
    Link(String),
    /// A link of the host's own came, went or changed: those of machines may have gone with it.
    Wire(String),
    /// Nobody knows: more happened than could be heard.
    Unknown,
}

impl Monitor {
    /// Hears of what happens in the network namespace of the calling thread from now on.
    ///
    /// # Errors
    /// When the sockets cannot be had.
    pub fn here() -> Result<Self> {
        let failed = |source| Error::System { action: "hear of changes of the network", source };
        let open = |protocol, group| socket(protocol, group).map_err(failed);
        Ok(Self {
            filter: open(NETLINK_NETFILTER, NFNLGRP_NFTABLES)?,
            links: open(NETLINK_ROUTE, RTNLGRP_LINK)?,
            rules: Transaction::default(),
        })
    }

    /// Waits until something of hc's is taken away.
    ///
    /// # Errors
    /// When nothing can be heard any more.
    pub async fn loss(&mut self) -> Result<Loss> {
        loop {
            let found = tokio::select! {
                heard = self.filter.recv_from_full() => heard.map(|(bytes, _)| {
                    // Every message is looked at: some belong to the next transaction.
                    let lost = messages(&bytes).filter(|m| self.rules.take(m)).count() > 0;
                    lost.then_some(Loss::Rules)
                }),
                heard = self.links.recv_from_full() => {
                    heard.map(|(bytes, _)| messages(&bytes).find_map(|m| link(&m)))
                }
            };
            match found {
                Ok(None) => {}
                Ok(Some(loss)) => return Ok(loss),
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {
                    self.rules = Transaction::default();
                    return Ok(Loss::Unknown);
                }
                Err(source) => {
                    return Err(Error::System { action: "hear of changes", source });
                }
            }
        }
    }
}

/// Hears of addresses that come and go in the network namespace of the calling thread.
pub(crate) fn addresses() -> io::Result<TokioSocket> {
    let mut heard = socket(NETLINK_ROUTE, RTNLGRP_IPV4_IFADDR)?;
    heard.socket_mut().add_membership(RTNLGRP_IPV6_IFADDR)?;
    Ok(heard)
}

fn socket(protocol: isize, group: u32) -> io::Result<TokioSocket> {
    let mut socket = Socket::new(protocol)?;
    socket.bind(&SocketAddr::new(0, 0))?;
    // Before it hears anything: a cloud's rules anew are more than what sockets hold by default.
    // SAFETY: the descriptor is the socket's, which is open meanwhile.
    let open = unsafe { BorrowedFd::borrow_raw(socket.as_raw_fd()) };
    rustix::net::sockopt::set_socket_recv_buffer_size_force(open, BUFFER)?;
    socket.add_membership(group)?;
    socket.set_non_blocking(true)?;
    // SAFETY: the descriptor comes out of an owned socket, which gives up its ownership.
    Ok(unsafe { TokioSocket::from_raw_fd(socket.into_raw_fd()) })
}

/// What a transaction did to hc's tables so far.
#[derive(Debug, Default)]
struct Transaction {
    gone: bool,
    taken: bool,
    made: bool,
}

impl Transaction {
    /// Whether the transaction ends here and left less than there was.
    fn take(&mut self, message: &Message<'_>) -> bool {
        let [kind, subsystem] = message.kind.to_le_bytes();
        if subsystem != NFTABLES {
            return false;
        }
        if kind == NEWGEN {
            let Self { gone, taken, made } = std::mem::take(self);
            return gone || (taken && !made);
        }
        // Behind `struct nfgenmsg`; the first attribute of each kind is the table's name.
        if first(message.body.get(4..).unwrap_or_default(), 1) != Some(b"hc\0") {
            return false;
        }
        match kind {
            NEWTABLE => self.gone = false,
            DELTABLE => self.gone = true,
            NEWRULE => self.made = true,
            // With rules that are written anew their anonymous sets go, too.
            DELRULE | DELCHAIN | DELSET => self.taken = true,
            _ => {}
        }
        false
    }
}

/// A link of hc's that was deleted, or any news of another one.
fn link(message: &Message<'_>) -> Option<Loss> {
    if ![NEWLINK, DELLINK].contains(&message.kind) {
        return None;
    }
    // Behind `struct ifinfomsg`; an address family in it is about a bridge's port, which stays.
    let name = first(message.body.get(16..)?, IFNAME).filter(|_| message.body[0] == 0)?;
    let name = std::str::from_utf8(name).ok()?.trim_end_matches('\0').to_owned();
    match (name.starts_with("hc"), message.kind) {
        (true, DELLINK) => Some(Loss::Link(name)),
        (true, _) => None,
        (false, _) => Some(Loss::Wire(name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn any_datagram_is_read_to_its_end(bytes: Vec<u8>) {
            for message in messages(&bytes) {
                let _ = link(&message);
                let _ = Transaction::default().take(&message);
            }
        }
    }

    #[test]
    fn what_only_takes_is_a_loss() {
        fn body(table: &[u8]) -> Vec<u8> {
            [&[1, 0, 0, 0], &[4 + table.len() as u8, 0, 1, 0][..], table].concat()
        }
        let (ours, other) = (body(b"hc\0"), body(b"else\0"));
        let after = |kinds: &[(u8, &[u8])]| {
            let mut all = Transaction::default();
            kinds.iter().fold(false, |_, (kind, body)| {
                all.take(&Message { kind: u16::from_le_bytes([*kind, NFTABLES]), flags: 0, body })
            })
        };
        let end: (u8, &[u8]) = (NEWGEN, &[]);
        assert!(after(&[(DELTABLE, &ours), end]));
        assert!(after(&[(DELRULE, &ours), (NEWRULE, &other), end]));
        assert!(!after(&[(DELRULE, &ours), (NEWRULE, &ours), end]), "hc's own");
        assert!(!after(&[(DELSET, &ours), (DELRULE, &ours), (NEWRULE, &ours), end]), "its sets");
        assert!(!after(&[(DELTABLE, &ours), (NEWTABLE, &ours), (NEWRULE, &ours), end]));
        assert!(!after(&[(DELTABLE, &other), (DELRULE, &other), end]));
        assert!(!after(&[(DELTABLE, &ours)]), "it is not over yet");
    }
}
