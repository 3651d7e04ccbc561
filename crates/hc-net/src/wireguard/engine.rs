//! WireGuard in user space: packets of a TUN device to and from datagrams. The protocol itself is
//! boringtun's.

use super::Asked;
use super::device::{Device, Watched};
use super::key::{self, Key};
use super::keyring::{Keyring, Known, Stamp};
use super::peers::{self, Covers, Far, prefix};
use super::report::{Report, Reports};
use boringtun::noise::errors::WireGuardError;
use boringtun::noise::handshake::parse_handshake_anon;
use boringtun::noise::rate_limiter::RateLimiter;
use boringtun::noise::{Packet, Tunn, TunnResult};
use boringtun::x25519::{PublicKey, StaticSecret};
use hc_spec::HostSpec;
use hc_spec::addr::host_prefix;
use rtnetlink::sys::AsyncSocketExt;
use std::collections::BTreeMap;
use std::net::{Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::UdpSocket;

/// Handshakes a second before cookies are asked for.
const HANDSHAKES: u64 = 100;
/// Seconds after which a silent host says that it is there, for what keeps track in between.
const KEEPALIVE: u16 = 15;
/// Whoever was not heard for so long, a keepalive and a handshake that was lost, is called.
const SILENCE: Duration = Duration::from_secs(KEEPALIVE as u64 + 6);
/// How often. WireGuard itself calls every five seconds, and gives up after ninety.
const CALL: Duration = Duration::from_secs(2);
/// How often one that is no host is called.
const CALLS: u32 = 5;
/// How often timers, and what is known of others, are looked at.
const TICK: Duration = Duration::from_millis(250);
/// Larger than any packet of the device with what WireGuard adds.
const BUFFER: usize = 2048;

struct Peer {
    far: Far,
    tunnel: Tunn,
    /// Where it was heard last, or is expected.
    endpoint: Option<SocketAddr>,
    heard: Instant,
    called: Instant,
    /// Calls since then.
    calls: u32,
}

pub(super) struct Engine {
    secret: StaticSecret,
    public: PublicKey,
    prefix: [u8; 6],
    limiter: Arc<RateLimiter>,
    keyring: Keyring,
    /// When what is known of others changed last.
    known: Option<Stamp>,
    asked: Asked,
    /// By the number that packets to them bear.
    peers: BTreeMap<u32, Peer>,
    next: u32,
    /// Where computers that are no hosts were heard last.
    places: BTreeMap<String, SocketAddr>,
    reports: Arc<Mutex<Reports>>,
}

/// Source and destination of an IPv6 packet.
fn addresses(packet: &[u8]) -> Option<(Ipv6Addr, Ipv6Addr)> {
    let version = packet.first()? >> 4;
    let part = |at: usize| <[u8; 16]>::try_from(packet.get(at..at + 16)?).ok();
    (version == 6).then_some((part(8)?.into(), part(24)?.into()))
}

impl Engine {
    /// What it knows of the others is to be found in `reports`.
    pub(super) fn new(
        host: &HostSpec,
        key: &Key,
        keyring: Keyring,
        asked: Asked,
        reports: Arc<Mutex<Reports>>,
    ) -> Self {
        let secret = key.secret();
        let public = PublicKey::from(&secret);
        let limiter = Arc::new(RateLimiter::new(&public, HANDSHAKES));
        let prefix = prefix(host_prefix(&host.cloud, &host.host));
        let (known, peers, places) = (None, BTreeMap::new(), keyring.places());
        let next = 0;
        Self {
            public,
            prefix,
            limiter,
            secret,
            keyring,
            known,
            asked,
            peers,
            next,
            places,
            reports,
        }
    }

    pub(super) async fn run(
        mut self,
        device: Device,
        socket: std::net::UdpSocket,
    ) -> std::io::Result<()> {
        let (device, socket) = (device.watched()?, UdpSocket::from_std(socket)?);
        let (mut packet, mut datagram) = (vec![0; BUFFER], vec![0; BUFFER]);
        let mut out = vec![0; BUFFER];
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        // Others send to where this host was heard last: they are told at once when it moves.
        let moves = crate::monitor::addresses()?;
        let (mut since, mut moving) = (0, false);
        loop {
            tokio::select! {
                read = device.read(&mut packet) => {
                    self.leave(&packet[..read?], &mut out, &socket).await;
                }
                received = socket.recv_from(&mut datagram) => match received {
                    Ok((length, from)) => {
                        self.arrive(&datagram[..length], from, &mut out, &socket, &device).await?;
                    }
                    // An answer of the network to an earlier datagram.
                    Err(error) => tracing::debug!(%error, "a host is not reached"),
                },
                moved = moves.recv_from_full() => {
                    // What it says does not matter; that some of it was lost neither.
                    if let Err(error) = moved {
                        tracing::debug!(%error, "addresses of this host");
                    }
                    moving = true;
                }
                _ = ticks.tick() => {
                    if std::mem::take(&mut moving) {
                        self.tell_where(&mut out, &socket).await;
                    }
                    since += 1;
                    if since % 4 == 0 {
                        self.limiter.reset_count();
                    }
                    self.look();
                    self.keep(&mut out, &socket).await;
                    self.keep_places();
                    self.report();
                }
            }
        }
    }

    /// Takes note of hosts that came, went, moved or changed their keys.
    fn look(&mut self) {
        let changed = self.keyring.changed();
        let news = self.asked.news.swap(false, std::sync::atomic::Ordering::AcqRel);
        if !news && self.known == changed {
            return;
        }
        let known = self.keyring.known().unwrap_or_else(|error| {
            tracing::error!(%error, "the keys of other hosts are not known");
            Known::default()
        });
        self.known = changed;
        let host = self.asked.host();
        let mut wanted = peers::of(&host, &known);
        self.peers.retain(|_, peer| {
            let same = |far: &Far| far.same_tunnel(&peer.far);
            let Some(at) = wanted.iter().position(same) else { return false };
            let far = wanted.swap_remove(at);
            if far.endpoint != peer.far.endpoint {
                peer.endpoint = far.endpoint;
            }
            peer.far = far;
            true
        });
        for far in wanted {
            self.add(far);
        }
    }

    fn add(&mut self, far: Far) {
        let number = self.next;
        // Of a packet's number the upper 24 bits are ours.
        self.next = (self.next + 1) & 0x00ff_ffff;
        let limiter = Some(Arc::clone(&self.limiter));
        let (secret, public) = (self.secret.clone(), far.public);
        let keepalive = far.endpoint.map(|_| KEEPALIVE);
        let tunnel = Tunn::new(secret, public, far.preshared, keepalive, number, limiter);
        let now = Instant::now();
        // Whoever knew an earlier run of this host is called at once.
        let long_ago = now.checked_sub(SILENCE * 2).unwrap_or(now);
        let endpoint = far.endpoint.or_else(|| self.places.get(&key::text(&far.public)).copied());
        let (heard, called) = (long_ago, long_ago);
        self.peers.insert(number, Peer { far, tunnel, endpoint, heard, called, calls: 0 });
    }

    /// What is due by time.
    async fn keep(&mut self, out: &mut [u8], socket: &UdpSocket) {
        for peer in self.peers.values_mut() {
            if let TunnResult::WriteToNetwork(due) = peer.tunnel.update_timers(out) {
                send(socket, due, peer.endpoint).await;
            }
            // A computer that is no host may be off for long: it calls itself, unless it does not know
            // that this is another run of the host.
            let expected = peer.far.endpoint.is_some() || peer.calls < CALLS;
            if expected && peer.heard.elapsed() > SILENCE {
                peer.call(out, socket).await;
            }
        }
    }

    fn report(&self) {
        let report = |peer: &Peer| {
            let (handshake, sent, received, ..) = peer.tunnel.stats();
            let report = Report {
                endpoint: peer.endpoint,
                handshake_sec: handshake.map(|since| since.as_secs()),
                received: received as u64,
                sent: sent as u64,
            };
            (peer.far.name.clone(), report)
        };
        let reports = self.peers.values().map(report).collect();
        *self.reports.lock().unwrap_or_else(PoisonError::into_inner) = reports;
    }

    /// Remembers for another run where those are whom nothing else says it of.
    fn keep_places(&mut self) {
        let roads = self.peers.values().filter(|peer| peer.far.endpoint.is_none());
        let places = roads.filter_map(|peer| Some((key::text(&peer.far.public), peer.endpoint?)));
        let places = places.collect();
        if places != self.places {
            if let Err(error) = self.keyring.keep_places(&places) {
                tracing::warn!(%error, "where laptops are will not be known after a restart");
            }
            self.places = places;
        }
    }

    /// Says to everybody that this host is there, and so under which address.
    async fn tell_where(&mut self, out: &mut [u8], socket: &UdpSocket) {
        for peer in self.peers.values_mut() {
            if let TunnResult::WriteToNetwork(here) = peer.tunnel.encapsulate(&[], out) {
                send(socket, here, peer.endpoint).await;
            }
        }
    }

    /// A packet that leaves this host.
    async fn leave(&mut self, packet: &[u8], out: &mut [u8], socket: &UdpSocket) {
        let Some((source, target)) = addresses(packet) else { return };
        let to = self.peers.values_mut().find(|peer| peer.far.covers.has(target));
        let Some(peer) = to else { return };
        // What goes to another host is of this one; a computer that is no host is sent what the rules
        // let through, from other hosts too.
        if matches!(peer.far.covers, Covers::Host(_)) && prefix(source) != self.prefix {
            return;
        }
        if let TunnResult::WriteToNetwork(sealed) = peer.tunnel.encapsulate(packet, out) {
            send(socket, sealed, peer.endpoint).await;
        }
    }

    /// A datagram from the wire.
    async fn arrive(
        &mut self,
        datagram: &[u8],
        from: SocketAddr,
        out: &mut [u8],
        socket: &UdpSocket,
        device: &Watched,
    ) -> std::io::Result<()> {
        let number = match self.limiter.verify_packet(Some(from.ip()), datagram, out) {
            Ok(packet) => self.sender(&packet),
            Err(TunnResult::WriteToNetwork(cookie)) => {
                send(socket, cookie, Some(from)).await;
                None
            }
            Err(_) => None,
        };
        let peer = number.and_then(|number| self.peers.get_mut(&number));
        let Some(peer) = peer else { return Ok(()) };
        let own = self.prefix;
        let mut input = datagram;
        loop {
            match peer.tunnel.decapsulate(Some(from.ip()), input, out) {
                TunnResult::WriteToNetwork(answer) => {
                    peer.heard_from(from);
                    send(socket, answer, Some(from)).await;
                    // What waited for a session goes now.
                    input = &[];
                }
                TunnResult::WriteToTunnelV6(packet, source) => {
                    peer.heard_from(from);
                    let inside = addresses(packet).is_some_and(|(_, to)| prefix(to) == own);
                    // What computers that are no hosts send to other hosts, the rules look at.
                    let inside = inside || matches!(peer.far.covers, Covers::Road(_));
                    if peer.far.covers.has(source) && inside {
                        device.write(packet).await?;
                    }
                    return Ok(());
                }
                TunnResult::Done => {
                    // A keepalive, or the end of a handshake: it is who it says.
                    if input.len() == datagram.len() {
                        peer.heard_from(from);
                    }
                    return Ok(());
                }
                // It has this key, or somebody repeats what it said: WireGuard takes no handshake
                // that is older than the last, and a host whose clock went back would be silent
                // until it is past that again. So it is called, where it was heard last.
                TunnResult::Err(WireGuardError::WrongTai64nTimestamp) => {
                    peer.call(out, socket).await;
                    return Ok(());
                }
                TunnResult::WriteToTunnelV4(..) | TunnResult::Err(_) => return Ok(()),
            }
        }
    }

    /// Whose datagram it claims to be, by its number.
    fn sender(&self, packet: &Packet<'_>) -> Option<u32> {
        match packet {
            Packet::HandshakeInit(hello) => {
                let half = parse_handshake_anon(&self.secret, &self.public, hello).ok()?;
                let said = |peer: &Peer| *peer.far.public.as_bytes() == half.peer_static_public;
                self.peers.iter().find(|(_, peer)| said(peer)).map(|(number, _)| *number)
            }
            Packet::HandshakeResponse(answer) => Some(answer.receiver_idx >> 8),
            Packet::PacketCookieReply(cookie) => Some(cookie.receiver_idx >> 8),
            Packet::PacketData(data) => Some(data.receiver_idx >> 8),
        }
    }
}

impl Peer {
    fn heard_from(&mut self, from: SocketAddr) {
        self.endpoint = Some(from);
        self.heard = Instant::now();
        self.calls = 0;
    }

    /// Begins a handshake, unless one was begun a moment ago.
    async fn call(&mut self, out: &mut [u8], socket: &UdpSocket) {
        if self.called.elapsed() < CALL {
            return;
        }
        self.called = Instant::now();
        self.calls += 1;
        if let TunnResult::WriteToNetwork(hello) =
            self.tunnel.format_handshake_initiation(out, true)
        {
            send(socket, hello, self.endpoint).await;
        }
    }
}

impl Far {
    /// Whether a session with the one is a session with the other.
    fn same_tunnel(&self, other: &Self) -> bool {
        let of = |far: &Self| (far.public, far.preshared, far.covers);
        of(self) == of(other)
    }
}

async fn send(socket: &UdpSocket, datagram: &[u8], to: Option<SocketAddr>) {
    let Some(to) = to else { return };
    if let Err(error) = socket.send_to(datagram, to).await {
        tracing::debug!(%error, %to, "a host is not reached");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn any_packet_has_addresses_or_none(packet: Vec<u8>) {
            let read = addresses(&packet);
            assert_eq!(read.is_some(), packet.len() >= 40 && packet[0] >> 4 == 6);
        }
    }
}
