//! WireGuard in user space: the hosts of a cloud over a wire that others may read and write.
//!
//! Packets come from a TUN device and go, encrypted, to the host whose /48 they are for; what
//! comes in is taken for a host when it has that host's key, and only with a source in its /48. The
//! protocol itself is boringtun's. A host that moves is followed: its packets say where it is.

mod device;
mod key;

pub use key::Key;

use crate::error::{Error, Result};
use boringtun::noise::handshake::parse_handshake_anon;
use boringtun::noise::rate_limiter::RateLimiter;
use boringtun::noise::{Packet, Tunn, TunnResult};
use boringtun::x25519::{PublicKey, StaticSecret};
use device::Device;
use hc_spec::HostSpec;
use hc_spec::addr::host_prefix;
use hc_spec::host::{Overlay, OverlayMode};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::sync::oneshot;

/// UDP port of hosts.
const PORT: u16 = 24790;
/// Handshakes a second before cookies are asked for.
const HANDSHAKES: u64 = 100;
/// Seconds after which a silent host says that it is there, for what keeps track in between.
const KEEPALIVE: u16 = 15;
/// How often timers are looked at.
const TICK: Duration = Duration::from_millis(250);
/// Larger than any packet of the device with what WireGuard adds.
const BUFFER: usize = 2048;

/// A tunnel that works as long as it is kept. Its device goes with it.
pub struct Tunnel {
    overlay: Overlay,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Tunnel {
    /// Starts one in the network namespace of the calling thread, where `host` asks for one.
    ///
    /// # Errors
    /// When the device or the socket cannot be had.
    pub fn start(host: &HostSpec, key: &Key) -> Result<Option<Self>> {
        let Some(overlay) = wanted(host) else { return Ok(None) };
        let device = Device::open(crate::links::OVERLAY).map_err(|source| Error::System {
            action: "make a TUN device for other hosts",
            source,
        })?;
        let any: IpAddr = match overlay.address {
            IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let address = SocketAddr::new(any, PORT);
        let listen = |source| Error::Listen { addr: address, protocol: "udp", source };
        let socket = std::net::UdpSocket::bind(address).map_err(listen)?;
        socket.set_nonblocking(true).map_err(listen)?;
        let engine = Engine::new(host, overlay, key);
        let (stop, stopped) = oneshot::channel();
        let run = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let ended = runtime.and_then(|runtime| {
                runtime.block_on(async {
                    tokio::select! {
                        ended = engine.run(device, socket) => ended,
                        _ = stopped => Ok(()),
                    }
                })
            });
            if let Err(error) = ended {
                tracing::error!(%error, "other hosts are not reached any more");
            }
        };
        let thread = std::thread::Builder::new().name("hc-overlay".into()).spawn(run);
        let thread = thread.map_err(|source| Error::System { action: "start a thread", source })?;
        Ok(Some(Self { overlay: overlay.clone(), stop: Some(stop), thread: Some(thread) }))
    }

    /// Whether it is the one that `host` asks for.
    #[must_use]
    pub fn fits(&self, host: &HostSpec) -> bool {
        wanted(host) == Some(&self.overlay)
            && self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }
}

fn wanted(host: &HostSpec) -> Option<&Overlay> {
    host.overlay.as_ref().filter(|overlay| overlay.mode == OverlayMode::Wireguard)
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Peer {
    tunnel: Tunn,
    public: PublicKey,
    prefix: [u8; 6],
    /// Where it was heard last, or is expected.
    endpoint: SocketAddr,
}

struct Engine {
    secret: StaticSecret,
    public: PublicKey,
    prefix: [u8; 6],
    limiter: Arc<RateLimiter>,
    peers: Vec<Peer>,
}

fn prefix(address: Ipv6Addr) -> [u8; 6] {
    let [a, b, c, d, e, f, ..] = address.octets();
    [a, b, c, d, e, f]
}

/// Source and destination of an IPv6 packet.
fn addresses(packet: &[u8]) -> Option<(Ipv6Addr, Ipv6Addr)> {
    let version = packet.first()? >> 4;
    let part = |at: usize| <[u8; 16]>::try_from(packet.get(at..at + 16)?).ok();
    (version == 6).then_some((part(8)?.into(), part(24)?.into()))
}

impl Engine {
    fn new(host: &HostSpec, overlay: &Overlay, key: &Key) -> Self {
        let secret = key.secret();
        let public = PublicKey::from(&secret);
        let limiter = Arc::new(RateLimiter::new(&public, HANDSHAKES));
        let peers = overlay.peers.iter().filter_map(|(name, peer)| {
            let theirs = key::public(peer.public_key.as_deref()?)?;
            Some((theirs, prefix(host_prefix(&host.cloud, name)), peer.address))
        });
        let peers = (0..).zip(peers).map(|(index, (theirs, prefix, address))| Peer {
            tunnel: Tunn::new(
                secret.clone(),
                theirs,
                None,
                Some(KEEPALIVE),
                index,
                Some(Arc::clone(&limiter)),
            ),
            public: theirs,
            prefix,
            endpoint: SocketAddr::new(address, PORT),
        });
        let peers = peers.collect();
        let own = prefix(host_prefix(&host.cloud, &host.host));
        Self { public, prefix: own, limiter, peers, secret }
    }

    async fn run(mut self, device: Device, socket: std::net::UdpSocket) -> std::io::Result<()> {
        let (device, socket) = (device.watched()?, UdpSocket::from_std(socket)?);
        let (mut packet, mut datagram) = (vec![0; BUFFER], vec![0; BUFFER]);
        let mut out = vec![0; BUFFER];
        for peer in &mut self.peers {
            // Whoever knew an earlier run of this host is told of the new one at once.
            if let TunnResult::WriteToNetwork(hello) =
                peer.tunnel.format_handshake_initiation(&mut out, false)
            {
                send(&socket, hello, peer.endpoint).await;
            }
        }
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut since = 0;
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
                _ = ticks.tick() => {
                    since += 1;
                    if since % 4 == 0 {
                        self.limiter.reset_count();
                    }
                    for peer in &mut self.peers {
                        if let TunnResult::WriteToNetwork(due) = peer.tunnel.update_timers(&mut out) {
                            send(&socket, due, peer.endpoint).await;
                        }
                    }
                }
            }
        }
    }

    /// A packet that leaves this host.
    async fn leave(&mut self, packet: &[u8], out: &mut [u8], socket: &UdpSocket) {
        let Some((source, target)) = addresses(packet) else { return };
        if prefix(source) != self.prefix {
            return;
        }
        let Some(peer) = self.peers.iter_mut().find(|p| p.prefix == prefix(target)) else { return };
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
        device: &device::Watched,
    ) -> std::io::Result<()> {
        let index = match self.limiter.verify_packet(Some(from.ip()), datagram, out) {
            Ok(packet) => self.sender(&packet),
            Err(TunnResult::WriteToNetwork(cookie)) => {
                send(socket, cookie, from).await;
                None
            }
            Err(_) => None,
        };
        let Some(peer) = index.and_then(|index| self.peers.get_mut(index)) else { return Ok(()) };
        let own = self.prefix;
        let mut input = datagram;
        loop {
            match peer.tunnel.decapsulate(Some(from.ip()), input, out) {
                TunnResult::WriteToNetwork(answer) => {
                    peer.endpoint = from;
                    send(socket, answer, from).await;
                    // What waited for a session goes now.
                    input = &[];
                }
                TunnResult::WriteToTunnelV6(packet, source) => {
                    peer.endpoint = from;
                    let inside = addresses(packet).is_some_and(|(_, to)| prefix(to) == own);
                    if prefix(source) == peer.prefix && inside {
                        device.write(packet).await?;
                    }
                    return Ok(());
                }
                TunnResult::Done => {
                    // A keepalive, or the end of a handshake: it is who it says.
                    if input.len() == datagram.len() {
                        peer.endpoint = from;
                    }
                    return Ok(());
                }
                TunnResult::WriteToTunnelV4(..) | TunnResult::Err(_) => return Ok(()),
            }
        }
    }

    /// Whose datagram it claims to be, by its number.
    fn sender(&self, packet: &Packet<'_>) -> Option<usize> {
        let by_index = |index: u32| usize::try_from(index >> 8).ok();
        match packet {
            Packet::HandshakeInit(hello) => {
                let half = parse_handshake_anon(&self.secret, &self.public, hello).ok()?;
                self.peers.iter().position(|p| *p.public.as_bytes() == half.peer_static_public)
            }
            Packet::HandshakeResponse(answer) => by_index(answer.receiver_idx),
            Packet::PacketCookieReply(cookie) => by_index(cookie.receiver_idx),
            Packet::PacketData(data) => by_index(data.receiver_idx),
        }
    }
}

async fn send(socket: &UdpSocket, datagram: &[u8], to: SocketAddr) {
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
