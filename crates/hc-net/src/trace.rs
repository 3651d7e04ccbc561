//! One real packet, followed through the packet filter by the kernel itself.
//!
//! Temporary tables mark exactly one flow (`meta nftrace`), the kernel then reports every rule that
//! matches (`NFT_MSG_TRACE` of `linux/netfilter/nf_tables.h`), and `nft` gives the text of those.

use crate::error::{Error, Result};
use crate::program;
use rtnetlink::sys::{Socket, SocketAddr as NetlinkAddr, protocols::NETLINK_NETFILTER};
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

pub use hc_spec::allow::Protocol;

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(2);
/// The kernel has reported everything about a packet when nothing came for so long.
const QUIET: Duration = Duration::from_millis(100);

/// A rule the packet met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Family and name of the table, such as `inet hc`.
    pub table: String,
    /// Chain in it.
    pub chain: String,
    /// Text of the rule without its comment; empty for a chain's policy.
    pub rule: String,
    /// What the rule says it is for.
    pub comment: Option<String>,
    /// Verdict, when the packet did not just go on to the next rule.
    pub verdict: Verdict,
}

/// What a rule decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// On to the next chain of another priority.
    Accept,
    /// Dropped, with or without an answer.
    Drop,
    /// Nothing: on to the next rule, or into another chain.
    Continue,
}

/// What whoever sent the packet saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The connection was opened.
    Connected,
    /// Refused: nothing listens there.
    Refused,
    /// The filter or a router answered that it may not or cannot be delivered.
    Unreachable,
    /// Nothing came back. Of UDP that is what is usual.
    Nothing,
}

/// A packet's way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Traced {
    /// Rules it met, in order.
    pub steps: Vec<Step>,
    /// What came back.
    pub answer: Answer,
}

impl Traced {
    /// The rule that stopped it.
    #[must_use]
    pub fn stopped_by(&self) -> Option<&Step> {
        self.steps.iter().find(|step| step.verdict == Verdict::Drop)
    }

    /// The rule that let it pass: of those that say what for, the one that decides between machines.
    #[must_use]
    pub fn passed_by(&self) -> Option<&Step> {
        let accepts = |step: &&Step| step.verdict == Verdict::Accept && !step.rule.is_empty();
        let all = || self.steps.iter().filter(accepts);
        let chains = ["hc_allowed", "hc_forward_far", "hc_forward", "hc_questions", "hc_input"];
        let decides = |chain| all().find(|step| step.chain == chain && step.comment.is_some());
        let said = || all().rfind(|step| step.comment.is_some());
        chains.into_iter().find_map(decides).or_else(said).or_else(|| all().next_back())
    }
}

/// Sends a packet to `to` from the network namespace `from` (that of the caller without one), and
/// follows it through the filter of the caller's. It opens a connection for a moment, or is an
/// empty datagram.
///
/// # Errors
/// When `nft` is missing, the kernel cannot trace, or the packet cannot even be sent.
pub fn trace(
    from: Option<BorrowedFd<'_>>,
    source: IpAddr,
    to: SocketAddr,
    protocol: Protocol,
) -> Result<Traced> {
    let failed = |action| move |source| Error::System { action, source };
    let sender = within(from, || Sender::new(source, to, protocol))
        .map_err(failed("make a socket in the machine"))?;
    let reports = Reports::listen().map_err(failed("listen for traces of the packet filter"))?;
    let marks = Marks::set(&sender, source)?;
    let answer = sender.send().map_err(failed("send a packet from the machine"))?;
    let events = reports.collect().map_err(failed("read traces of the packet filter"))?;
    let texts = texts()?;
    drop(marks);
    let steps = events.into_iter().filter_map(|event| event.step(&texts)).collect();
    Ok(Traced { steps, answer })
}

/// Runs something in another network namespace.
fn within<T: Send>(
    netns: Option<BorrowedFd<'_>>,
    work: impl FnOnce() -> io::Result<T> + Send,
) -> io::Result<T> {
    let Some(netns) = netns else { return work() };
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let kind = Some(rustix::thread::LinkNameSpaceType::Network);
            rustix::thread::move_into_link_name_space(netns, kind)?;
            work()
        });
        thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread died")))
    })
}

/// A flow that nobody else has: its port is taken before anything is sent.
enum Sender {
    Tcp { port: u16, socket: rustix::fd::OwnedFd, to: SocketAddr },
    Udp { port: u16, socket: UdpSocket, to: SocketAddr },
}

impl Sender {
    fn new(source: IpAddr, to: SocketAddr, protocol: Protocol) -> io::Result<Self> {
        use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, getsockname, socket_with};
        if protocol == Protocol::Udp {
            let socket = UdpSocket::bind((source, 0))?;
            return Ok(Self::Udp { port: socket.local_addr()?.port(), socket, to });
        }
        let family = if source.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(family, SocketType::STREAM, flags, None)?;
        bind(&socket, &SocketAddr::new(source, 0))?;
        let bound = SocketAddr::try_from(getsockname(&socket)?).map_err(io::Error::from)?;
        Ok(Self::Tcp { port: bound.port(), socket, to })
    }

    fn port(&self) -> u16 {
        match self {
            Self::Tcp { port, .. } | Self::Udp { port, .. } => *port,
        }
    }

    fn flow(&self) -> (SocketAddr, Protocol) {
        match self {
            Self::Tcp { to, .. } => (*to, Protocol::Tcp),
            Self::Udp { to, .. } => (*to, Protocol::Udp),
        }
    }

    /// Sockets act in the namespace they were made in.
    fn send(self) -> io::Result<Answer> {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        match self {
            Self::Tcp { socket, to, .. } => {
                match rustix::net::connect(&socket, &to) {
                    Ok(()) | Err(rustix::io::Errno::INPROGRESS) => {}
                    Err(error) => return answer(&error.into()).ok_or(error.into()),
                }
                let limit = Timespec { tv_sec: PATIENCE.as_secs().cast_signed(), tv_nsec: 0 };
                let mut fds = [PollFd::new(&socket, PollFlags::OUT)];
                if poll(&mut fds, Some(&limit))? == 0 {
                    return Ok(Answer::Nothing);
                }
                match TcpStream::from(socket).take_error()? {
                    None => Ok(Answer::Connected),
                    Some(error) => answer(&error).ok_or(error),
                }
            }
            Self::Udp { socket, to, .. } => {
                socket.connect(to)?;
                socket.send(&[])?;
                // An error comes back as one of the next call.
                socket.set_read_timeout(Some(PATIENCE / 4))?;
                match socket.recv(&mut [0]) {
                    Ok(_) => Ok(Answer::Connected),
                    Err(error) => answer(&error).ok_or(error),
                }
            }
        }
    }
}

fn answer(error: &io::Error) -> Option<Answer> {
    Some(match error.raw_os_error()? {
        libc::ECONNREFUSED => Answer::Refused,
        libc::EHOSTUNREACH | libc::ENETUNREACH | libc::EACCES | libc::EPERM => Answer::Unreachable,
        libc::ETIMEDOUT | libc::EAGAIN => Answer::Nothing,
        _ => return None,
    })
}

/// Tables that mark the flow; removed when dropped.
struct Marks(String);

impl Marks {
    fn set(sender: &Sender, source: IpAddr) -> Result<Self> {
        let name = format!("hc_trace_{}", std::process::id());
        let (to, protocol) = sender.flow();
        let ip = if source.is_ipv6() { "ip6" } else { "ip" };
        let flow = format!(
            "{ip} saddr {source} {ip} daddr {} {protocol} sport {} {protocol} dport {} meta nftrace set 1",
            to.ip(),
            sender.port(),
            to.port()
        );
        let inet = format!(
            "table inet {name} {{\n\
             chain arrive {{ type filter hook prerouting priority -400; policy accept; {flow}\n }}\n\
             chain leave {{ type filter hook output priority -400; policy accept; {flow}\n }}\n}}\n"
        );
        let bridge = format!(
            "table bridge {name} {{\n\
             chain arrive {{ type filter hook prerouting priority -400; policy accept; {flow}\n }}\n}}\n"
        );
        let marks = Self(name);
        nft(&inet)?;
        // Kernels that cannot filter on bridges have nothing to trace there.
        let _ = nft(&bridge);
        Ok(marks)
    }
}

impl Drop for Marks {
    fn drop(&mut self) {
        for family in ["inet", "bridge"] {
            let _ = nft(&format!("delete table {family} {}\n", self.0));
        }
    }
}

fn nft(text: &str) -> Result<()> {
    program::feed("nft", "nftables", &["-f", "-"], text)
}

/// Rules of a table's chains by family, table, chain and handle.
type Texts = HashMap<(String, String, u64), (String, Option<String>)>;

fn texts() -> Result<Texts> {
    Ok(parse(&program::output("nft", "nftables", &["-a", "list", "ruleset"])?))
}

fn parse(listing: &str) -> Texts {
    let (mut table, mut chain) = (String::new(), String::new());
    let mut all = Texts::new();
    for line in listing.lines() {
        let (text, handle) = match line.rsplit_once(" # handle ") {
            Some((text, handle)) => (text.trim(), handle.trim().parse::<u64>().ok()),
            None => continue,
        };
        if let Some(name) = text.strip_prefix("table ") {
            table = name.trim_end_matches('{').trim().to_owned();
        } else if let Some(name) = text.strip_prefix("chain ") {
            chain = name.trim_end_matches('{').trim().to_owned();
        } else if let Some(handle) = handle {
            let (rule, comment) = match text.split_once(" comment \"") {
                Some((rule, comment)) => (rule, Some(comment.trim_end_matches('"').to_owned())),
                None => (text, None),
            };
            all.insert((table.clone(), chain.clone(), handle), (rule.to_owned(), comment));
        }
    }
    all
}

/// What the kernel reports about one rule.
struct Event {
    family: u8,
    table: String,
    chain: String,
    handle: Option<u64>,
    verdict: Verdict,
}

impl Event {
    fn step(self, texts: &Texts) -> Option<Step> {
        // The marks themselves are of no interest.
        if self.table.starts_with("hc_trace_") {
            return None;
        }
        let family = match self.family {
            1 => "inet",
            2 => "ip",
            7 => "bridge",
            10 => "ip6",
            _ => "other",
        };
        let table = format!("{family} {}", self.table);
        let found = self
            .handle
            .and_then(|handle| texts.get(&(table.clone(), self.chain.clone(), handle)).cloned());
        let (rule, comment) = found.unwrap_or_default();
        if rule.is_empty() && self.verdict == Verdict::Continue {
            return None;
        }
        Some(Step { table, chain: self.chain, rule, comment, verdict: self.verdict })
    }
}

struct Reports(Socket);

/// Multicast group of traces (`NFNLGRP_NFTRACE`).
const GROUP: u32 = 9;
const MESSAGE: u16 = 10 << 8 | 17;

impl Reports {
    fn listen() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_NETFILTER)?;
        socket.bind(&NetlinkAddr::new(0, 0))?;
        socket.add_membership(GROUP)?;
        socket.set_non_blocking(true)?;
        Ok(Self(socket))
    }

    fn collect(self) -> io::Result<Vec<Event>> {
        let mut events = Vec::new();
        let mut last = Instant::now();
        while last.elapsed() < QUIET {
            match self.0.recv_from_full() {
                Ok((bytes, _)) => {
                    read(&bytes, &mut events);
                    last = Instant::now();
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(events)
    }
}

/// Reads the messages of one datagram.
fn read(mut bytes: &[u8], events: &mut Vec<Event>) {
    while let Some(length) = word(bytes, 0).map(|length| length as usize) {
        let Some(message) = bytes.get(..length).filter(|_| length >= 20) else { break };
        if message.get(4..6) == Some(&MESSAGE.to_ne_bytes()[..]) {
            events.extend(event(message[16], &message[20..]));
        }
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
}

fn event(family: u8, attributes: &[u8]) -> Option<Event> {
    let all: HashMap<u16, &[u8]> = self::attributes(attributes).collect();
    let text = |kind| {
        let bytes: &[u8] = all.get(&kind)?;
        Some(String::from_utf8_lossy(bytes.strip_suffix(&[0]).unwrap_or(bytes)).into_owned())
    };
    let number = |bytes: &[u8]| Some(u32::from_be_bytes(bytes.get(..4)?.try_into().ok()?));
    let handle = all.get(&3).and_then(|b| Some(u64::from_be_bytes((*b).try_into().ok()?)));
    // Rules have a verdict in 5; policies, which end a chain, in 16.
    let code = match all.get(&5) {
        Some(verdict) => self::attributes(verdict).find(|(kind, _)| *kind == 1)?.1,
        None => all.get(&16).copied()?,
    };
    let verdict = match number(code)? {
        0 => Verdict::Drop,
        1 => Verdict::Accept,
        _ => Verdict::Continue,
    };
    Some(Event { family, table: text(1)?, chain: text(2)?, handle, verdict })
}

fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let header = word(bytes, 0)?.to_ne_bytes();
        let length = usize::from(u16::from_ne_bytes([header[0], header[1]]));
        // The two upper bits are flags.
        let kind = u16::from_ne_bytes([header[2], header[3]]) & 0x3fff;
        let body = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, body))
    })
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listings_are_understood() {
        let texts = parse(
            "table inet hc { # handle 1\n\tchain hc_forward { # handle 7\n\t\ttype filter hook forward \
             priority filter; policy accept;\n\t\tiifname \"hcb*\" drop comment \"kept apart\" # handle \
             12\n\t\taccept # handle 13\n\t}\n}\n",
        );
        let of = |handle| texts[&("inet hc".into(), "hc_forward".into(), handle)].clone();
        assert_eq!(of(12), ("iifname \"hcb*\" drop".into(), Some("kept apart".into())));
        assert_eq!(of(13), ("accept".into(), None));
    }

    proptest::proptest! {
        #[test]
        fn any_report_is_read(bytes: Vec<u8>, family: u8) {
            read(&bytes, &mut Vec::new());
            let _ = event(family, &bytes);
        }
    }
}
