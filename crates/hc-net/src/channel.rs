//! Changes of links, addresses and routes, several at a time, waited for on the calling thread.
//!
//! What a machine's start waits for goes this way: one message to the kernel for all that depends on
//! nothing in between, and no answer but what was refused. [`crate::netlink`] is for what the agent does.

use crate::error::{Error, Result};
use crate::netlink::socket;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, LinkExtentMask, LinkMessage};
use netlink_packet_route::route::RouteType;
use rtnetlink::RouteMessageBuilder;
use rtnetlink::packet_core::{
    ErrorMessage, NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, NLM_F_REQUEST,
    NetlinkMessage, NetlinkPayload,
};
use rtnetlink::sys::{Socket, SocketAddr};
use std::io;
use std::net::Ipv6Addr;
use std::os::fd::AsRawFd;

/// A connection to the routing tables of one network namespace.
pub(crate) struct Channel(Socket);

/// One change, and what is said when it is refused.
pub(crate) struct Change {
    message: NetlinkMessage<RouteNetlinkMessage>,
    action: &'static str,
    what: String,
    /// An error number that means that nothing had to be done.
    fine: i32,
}

impl Change {
    fn new(flags: u16, message: RouteNetlinkMessage) -> Self {
        let mut message = NetlinkMessage::from(message);
        message.header.flags = NLM_F_REQUEST | flags;
        Self { message, action: "change", what: String::new(), fine: 0 }
    }

    /// Makes something that is not there yet.
    pub fn make(message: RouteNetlinkMessage) -> Self {
        Self::new(NLM_F_CREATE | NLM_F_EXCL, message)
    }

    /// Makes something, or changes what is there.
    pub fn put(message: RouteNetlinkMessage) -> Self {
        Self::new(NLM_F_CREATE | NLM_F_REPLACE, message)
    }

    /// Changes or deletes something that is there.
    pub fn to(message: RouteNetlinkMessage) -> Self {
        Self::new(0, message)
    }

    /// What is tried: a verb phrase, and what it is about.
    pub fn doing(mut self, action: &'static str, what: impl ToString) -> Self {
        (self.action, self.what) = (action, what.to_string());
        self
    }

    /// That error number is as good as success.
    pub fn unless(mut self, errno: i32) -> Self {
        self.fine = errno;
        self
    }
}

impl Channel {
    /// Connects to the network namespace of the calling thread.
    pub fn here() -> Result<Self> {
        let opened = socket();
        opened
            .map(Self::over)
            .map_err(|source| Error::System { action: "open a netlink socket", source })
    }

    /// Takes over a socket that may belong to another one.
    pub fn over(socket: Socket) -> Self {
        Self(socket)
    }

    /// Makes these changes in their order. One that is refused keeps none of the others from being made;
    /// the first refusal is the error.
    pub fn change(&self, changes: Vec<Change>) -> Result<()> {
        let mut about = Vec::with_capacity(changes.len());
        let mut messages = Vec::with_capacity(changes.len());
        for Change { message, action, what, fine } in changes {
            about.push((action, what, fine));
            messages.push(message);
        }
        let mut first = None;
        let answered = self.exchange(messages, |number, answer| {
            if let (NetlinkPayload::Error(error), None) = (answer, &first) {
                let errno = error.raw_code();
                if errno != 0 && about.get(number).is_none_or(|(_, _, fine)| -errno != *fine) {
                    first = Some((number, error.to_io()));
                }
            }
        });
        let (number, source) = match (first, answered) {
            (Some(refused), _) => refused,
            (None, Err(source)) => (0, source),
            (None, Ok(())) => return Ok(()),
        };
        let (action, what) = about
            .get_mut(number)
            .map_or(("change", String::new()), |(action, what, _)| (*action, std::mem::take(what)));
        Err(Error::Link { action, what, source })
    }

    /// What there is under these names. Links that are not there are left out.
    pub fn links(&self, names: &[&str]) -> Result<Vec<LinkMessage>> {
        let ask = |name: &&str| {
            let mut message = LinkMessage::default();
            message.attributes.push(LinkAttribute::IfName((*name).to_owned()));
            // Counters are half of an answer.
            message.attributes.push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
            let mut message = NetlinkMessage::from(RouteNetlinkMessage::GetLink(message));
            message.header.flags = NLM_F_REQUEST;
            message
        };
        let mut found = Vec::new();
        let mut refused = None;
        let answered =
            self.exchange(names.iter().map(ask).collect(), |number, answer| match answer {
                NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(link)) => {
                    found.push(link);
                }
                NetlinkPayload::Error(error) if ![0, -libc::ENODEV].contains(&error.raw_code()) => {
                    refused = Some((number, error.to_io()));
                }
                _ => {}
            });
        let refused = refused.or(answered.err().map(|source| (0, source)));
        match refused {
            None => Ok(found),
            Some((number, source)) => {
                let what = names.get(number).copied().unwrap_or_default().to_owned();
                Err(Error::Link { action: "look for", what, source })
            }
        }
    }

    /// Whether packets to that address are for whoever is in this network namespace.
    pub fn is_local(&self, address: Ipv6Addr) -> Result<bool> {
        let route = RouteMessageBuilder::<Ipv6Addr>::new().destination_prefix(address, 128);
        let mut message = NetlinkMessage::from(RouteNetlinkMessage::GetRoute(route.build()));
        message.header.flags = NLM_F_REQUEST;
        let mut local = false;
        let answered = self.exchange(vec![message], |_, answer| {
            if let NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewRoute(route)) = answer {
                local |= route.header.kind == RouteType::Local;
            }
        });
        let what = address.to_string();
        answered.map(|()| local).map_err(|source| Error::Link {
            action: "look for the way to",
            what,
            source,
        })
    }

    /// Index of the link of that name.
    pub fn index(&self, name: &str) -> Option<u32> {
        let found = self.ask(name, libc::SIOCGIFINDEX)?;
        // SAFETY: SIOCGIFINDEX has put a number there.
        u32::try_from(unsafe { found.ifr_ifru.ifru_ifindex }).ok()
    }

    /// Bytes in the largest packet of the link of that name.
    pub fn mtu(&self, name: &str) -> Option<u32> {
        let found = self.ask(name, libc::SIOCGIFMTU)?;
        // SAFETY: SIOCGIFMTU has put a number there.
        u32::try_from(unsafe { found.ifr_ifru.ifru_mtu }).ok()
    }

    /// netdevice(7), in the socket's own network namespace.
    fn ask(&self, name: &str, request: libc::Ioctl) -> Option<libc::ifreq> {
        // SAFETY: an ifreq is plain numbers and bytes.
        let mut about: libc::ifreq = unsafe { std::mem::zeroed() };
        for (to, from) in about.ifr_name[..libc::IFNAMSIZ - 1].iter_mut().zip(name.bytes()) {
            *to = from.cast_signed();
        }
        // SAFETY: the requests above read and write an ifreq.
        let done = unsafe { libc::ioctl(self.0.as_raw_fd(), request, &raw mut about) };
        (done == 0).then_some(about)
    }

    /// Sends messages in one go, and hears what is answered: to which of them, and what.
    fn exchange(
        &self,
        mut messages: Vec<NetlinkMessage<RouteNetlinkMessage>>,
        mut hear: impl FnMut(usize, NetlinkPayload<RouteNetlinkMessage>),
    ) -> io::Result<()> {
        let Some(last) = messages.len().checked_sub(1) else { return Ok(()) };
        // The others answer only where they are refused.
        messages[last].header.flags |= NLM_F_ACK;
        let mut bytes = Vec::with_capacity(1024);
        for (number, message) in (0..).zip(&mut messages) {
            message.header.sequence_number = number;
            message.finalize();
            let (start, length) = (bytes.len(), message.buffer_len());
            bytes.resize((start + length).next_multiple_of(4), 0);
            message.serialize(&mut bytes[start..start + length]);
        }
        let sent = self.0.send_to(&bytes, &SocketAddr::new(0, 0), 0)?;
        if sent != bytes.len() {
            return Err(io::ErrorKind::WriteZero.into());
        }
        let mut answered = false;
        // The kernel has done everything, and answered, when the send returns.
        loop {
            let mut answer = Vec::with_capacity(8 << 10);
            match self.0.recv(&mut answer, 0) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && answered => {
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
            let mut rest = &answer[..];
            while !rest.is_empty() {
                let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest)
                    .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
                let length = (message.header.length as usize).next_multiple_of(4);
                rest = rest.get(length.max(16)..).unwrap_or_default();
                let number = message.header.sequence_number as usize;
                answered |= number == last && is_end(&message.payload);
                hear(number, message.payload);
            }
        }
    }
}

/// An acknowledgement or a refusal.
fn is_end(payload: &NetlinkPayload<RouteNetlinkMessage>) -> bool {
    matches!(payload, NetlinkPayload::Error(ErrorMessage { .. }))
}
