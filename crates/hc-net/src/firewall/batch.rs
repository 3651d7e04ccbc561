//! Changes of the packet filter over netlink, without starting `nft`.
//!
//! The messages are the kernel's `linux/netfilter/nf_tables.h`: a batch of `NEWSETELEM` or
//! `DELSETELEM` messages between a begin and an end message is one transaction.

use super::element::{Element, Family, Value};
use super::leftovers::Part;
use crate::message::{attribute, attributes, check, first, messages, nested};
use hc_fs::Lingering;
use rtnetlink::sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};

const NEWCHAIN: u8 = 3;
const GETCHAIN: u8 = 4;
const NEWSET: u8 = 9;
const GETSET: u8 = 10;
const GETRULE: u8 = 7;
const NEWRULE: u8 = 6;
const NEWSETELEM: u8 = 12;
const GETSETELEM: u8 = 13;
const DELSETELEM: u8 = 14;
const DESTROYSETELEM: u8 = 30;
const SUBSYSTEM: u8 = 10;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
/// `NFTA_SET_ELEM_KEY`, `_DATA` and `_KEY_END`.
const KEY: u16 = 1;
const DATA: u16 = 2;
const KEY_END: u16 = 10;
/// `NFTA_CHAIN_NAME`; `NFTA_SET_NAME` and `_FLAGS`, with `NFT_SET_ANONYMOUS` and `NFT_SET_MAP` of these.
const CHAIN_NAME: u16 = 3;
const SET_NAME: u16 = 2;
const SET_FLAGS: u16 = 3;
const ANONYMOUS: u8 = 1;
const MAP: u8 = 8;
/// `NFTA_RULE_CHAIN`, `_EXPRESSIONS` and `_USERDATA`.
const RULE: [u16; 3] = [2, 4, 7];
/// Bytes of one answer: what the kernel puts into a datagram of a listing.
const ANSWERS: usize = 32 << 10;
/// Bytes that may be on their way at once: everything of one transaction.
const BUFFER: usize = 64 << 20;
/// Elements in one message: the length of a list of them has 16 bits.
const TOGETHER: usize = 200;

/// Adds elements in one transaction; ones that are there are fine.
pub(super) fn add(elements: &[Element]) -> io::Result<Lingering> {
    transact(&[(NEWSETELEM, elements)])
}

/// Removes elements and adds others, in one transaction. The former have to be there.
pub(super) fn replace(gone: &[Element], new: &[Element]) -> io::Result<Lingering> {
    transact(&[(DELSETELEM, gone), (NEWSETELEM, new)])
}

/// Removes elements; ones (or whole tables) that are not there are fine.
pub(super) fn remove(elements: &[Element]) -> io::Result<Lingering> {
    let one_by_one = |error: &io::Error| {
        // No such table or set, or a kernel before 6.3, which only knows DELSETELEM.
        matches!(error.raw_os_error(), Some(libc::ENOENT | libc::EINVAL | libc::EOPNOTSUPP))
    };
    match transact(&[(DESTROYSETELEM, elements)]) {
        Err(error) if one_by_one(&error) => {}
        other => return other,
    }
    let mut lingering = Lingering::default();
    for element in elements {
        match transact(&[(DELSETELEM, std::slice::from_ref(element))]) {
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {}
            other => lingering.join(other?),
        }
    }
    Ok(lingering)
}

/// Everything is in effect when this returns. The socket is given back, because closing it is what
/// takes long: the kernel first frees what anybody has deleted, after a grace period.
fn transact(changes: &[(u8, &[Element])]) -> io::Result<Lingering> {
    let socket = open()?;
    let batch = batch(changes);
    if batch.len() > 64 << 10 {
        // SAFETY: the descriptor is the socket's, which is open meanwhile.
        let open = unsafe { BorrowedFd::borrow_raw(socket.as_raw_fd()) };
        rustix::net::sockopt::set_socket_send_buffer_size_force(open, BUFFER)?;
    }
    let sent = socket.send_to(&batch, &SocketAddr::new(0, 0), 0);
    // The kernel has done everything, and answered, when the send returns.
    let answered = sent.and_then(|_| {
        let mut heard = false;
        loop {
            let mut answers = Vec::with_capacity(ANSWERS);
            match socket.recv(&mut answers, 0) {
                Ok(_) => check(&answers)?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && heard => return Ok(()),
                Err(error) => return Err(error),
            }
            heard = true;
        }
    });
    // SAFETY: the descriptor comes out of an owned socket, which gives up its ownership.
    let lingering = Lingering::from(unsafe { OwnedFd::from_raw_fd(socket.into_raw_fd()) });
    match answered {
        Ok(()) => Ok(lingering),
        Err(error) => {
            // Nothing was deleted over it.
            lingering.close();
            Err(error)
        }
    }
}

fn open() -> io::Result<Socket> {
    let mut socket = Socket::new(NETLINK_NETFILTER)?;
    socket.bind_auto()?;
    socket.set_non_blocking(true)?;
    Ok(socket)
}

fn batch(changes: &[(u8, &[Element])]) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    message(&mut out, BATCH_BEGIN, 0, 0, u16::from(SUBSYSTEM), |_| {});
    let of_one_set = |a: &Element, b: &Element| (a.family, a.set) == (b.family, b.set);
    let all: Vec<(u8, &[Element])> = changes
        .iter()
        .flat_map(|(kind, elements)| {
            let sets = elements.chunk_by(of_one_set);
            sets.flat_map(|set| set.chunks(TOGETHER)).map(|some| (*kind, some))
        })
        .collect();
    for (number, (kind, elements)) in (1..).zip(&all) {
        // Refusals come without being asked for: one answer says that all were heard.
        let heard = if number == all.len() { libc::NLM_F_ACK } else { 0 };
        let flags = heard | if *kind == NEWSETELEM { libc::NLM_F_CREATE } else { 0 };
        let Some(Element { family, set, .. }) = elements.first() else { continue };
        message(&mut out, of(*kind), flags as u16, *family as u8, 0, |out| {
            attribute(out, 1, |out| out.extend_from_slice(b"hc\0"));
            attribute(out, 2, |out| out.extend([set.as_bytes(), b"\0"].concat()));
            nested(out, 3, |out| elements.iter().for_each(|element| item(out, &element.value)));
        });
    }
    message(&mut out, BATCH_END, 0, 0, u16::from(SUBSYSTEM), |_| {});
    out
}

fn item(out: &mut Vec<u8>, Value { key, end, data }: &Value) {
    let end = if end == key { &[][..] } else { end };
    nested(out, 1, |out| {
        for (kind, value) in [(KEY, &key[..]), (DATA, data), (KEY_END, end)] {
            if !value.is_empty() {
                nested(out, kind, |out| attribute(out, 1, |out| out.extend_from_slice(value)));
            }
        }
    });
}

/// What a set of a table called `hc` holds.
pub(super) fn list(family: Family, set: &str) -> io::Result<Vec<Value>> {
    undisturbed(|| list_once(family, set))
}

fn list_once(family: Family, set: &str) -> io::Result<Vec<Value>> {
    let mut all = Vec::new();
    dump(GETSETELEM, family, Some(set), |kind, body| {
        if kind != of(NEWSETELEM) {
            return;
        }
        let elements = first(body, 3).unwrap_or_default();
        for (_, element) in attributes(elements) {
            let part = |kind| first(element, kind).and_then(|value| first(value, 1));
            let key = part(KEY).unwrap_or_default().to_vec();
            let end = part(KEY_END).map_or_else(|| key.clone(), <[u8]>::to_vec);
            all.push(Value { key, end, data: part(DATA).unwrap_or_default().to_vec() });
        }
    })?;
    Ok(all)
}

/// What the rules of a table called `hc` say, without the numbers the kernel gave them.
pub(super) fn rules(family: Family) -> io::Result<Vec<u8>> {
    undisturbed(|| rules_once(family))
}

fn rules_once(family: Family) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    dump(GETRULE, family, None, |kind, body| {
        if kind == of(NEWRULE) {
            for part in RULE {
                let part = first(body, part).unwrap_or_default();
                all.extend(u32::try_from(part.len()).unwrap_or(u32::MAX).to_ne_bytes());
                all.extend_from_slice(part);
            }
        }
    })?;
    Ok(all)
}

/// The chains, sets and maps of a table called `hc` that have names, in this order; none where there is no table.
pub(super) fn parts(family: Family) -> io::Result<Vec<Part>> {
    match undisturbed(|| parts_once(family)) {
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(Vec::new()),
        listed => listed,
    }
}

fn parts_once(family: Family) -> io::Result<Vec<Part>> {
    let name = |name: &[u8]| String::from_utf8_lossy(name).trim_end_matches('\0').to_owned();
    let mut all = Vec::new();
    dump(GETCHAIN, family, None, |kind, body| {
        // Older kernels list those of all tables.
        let ours = kind == of(NEWCHAIN) && first(body, 1) == Some(b"hc\0");
        let chain = first(body, CHAIN_NAME).filter(|_| ours);
        all.extend(chain.map(|chain| ("chain", name(chain))));
    })?;
    dump(GETSET, family, None, |kind, body| {
        // A number in network order.
        let flags = first(body, SET_FLAGS).and_then(|flags| flags.last()).copied().unwrap_or(0);
        if kind == of(NEWSET) && first(body, 1) == Some(b"hc\0") && flags & ANONYMOUS == 0 {
            let word = if flags & MAP == 0 { "set" } else { "map" };
            all.extend(first(body, SET_NAME).map(|set| (word, name(set))));
        }
    })?;
    Ok(all)
}

/// Lists again what changed meanwhile.
fn undisturbed<T>(list: impl Fn() -> io::Result<T>) -> io::Result<T> {
    for _ in 0..20 {
        match list() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
    list()
}

/// Hears everything the kernel lists: kinds of messages, and their attributes.
fn dump(
    kind: u8,
    family: Family,
    set: Option<&str>,
    mut hear: impl FnMut(u16, &[u8]),
) -> io::Result<()> {
    let socket = open()?;
    let mut out = Vec::with_capacity(64);
    message(&mut out, of(kind), libc::NLM_F_DUMP as u16, family as u8, 0, |out| {
        attribute(out, 1, |out| out.extend_from_slice(b"hc\0"));
        if let Some(set) = set {
            attribute(out, 2, |out| out.extend([set.as_bytes(), b"\0"].concat()));
        }
    });
    socket.send_to(&out, &SocketAddr::new(0, 0), 0)?;
    loop {
        let mut answers = Vec::with_capacity(ANSWERS);
        match socket.recv(&mut answers, 0) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        }
        check(&answers)?;
        for message in messages(&answers) {
            if message.flags & libc::NLM_F_DUMP_INTR as u16 != 0 {
                // Somebody changed it meanwhile: this is neither what was there nor what is.
                return Err(io::ErrorKind::Interrupted.into());
            }
            if message.kind == libc::NLMSG_DONE as u16 {
                return Ok(());
            }
            // Behind `struct nfgenmsg`.
            hear(message.kind, message.body.get(4..).unwrap_or_default());
        }
    }
}

fn of(kind: u8) -> u16 {
    u16::from(SUBSYSTEM) << 8 | u16::from(kind)
}

fn message(
    out: &mut Vec<u8>,
    kind: u16,
    flags: u16,
    family: u8,
    resource: u16,
    body: impl FnOnce(&mut Vec<u8>),
) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&kind.to_ne_bytes());
    out.extend_from_slice(&(flags | libc::NLM_F_REQUEST as u16).to_ne_bytes());
    out.extend_from_slice(&[0; 8]);
    out.extend_from_slice(&[family, 0]);
    out.extend_from_slice(&resource.to_be_bytes());
    body(out);
    let length = u32::try_from(out.len() - start).unwrap_or(u32::MAX);
    out[start..start + 4].copy_from_slice(&length.to_ne_bytes());
}
