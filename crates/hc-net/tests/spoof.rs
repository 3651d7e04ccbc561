//! Hostile frames, made by hand and sent from inside a machine; what arrives is read in another.
#![allow(clippy::disallowed_methods)]

mod common;

use common::{LONG, Machine, Netns, SHORT, host, machine, name, on_a_host, place, run};
use hc_net::blocking::ensure_networks;
use hc_spec::addr::Mac;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::os::fd::{FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

/// A packet socket on `eth0` that gets all frames.
struct Wire(OwnedFd);

impl Wire {
    fn on(netns: &Netns) -> Self {
        netns.run(|| {
            let protocol = i32::from((libc::ETH_P_ALL as u16).to_be());
            // SAFETY: no pointers are handed over; the result is checked.
            let fd = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW, protocol) };
            assert!(fd >= 0, "{}", std::io::Error::last_os_error());
            // SAFETY: the descriptor is new and nobody else's.
            let socket = unsafe { OwnedFd::from_raw_fd(fd) };
            // SAFETY: the name ends in a zero byte.
            let index = unsafe { libc::if_nametoindex(c"eth0".as_ptr()) };
            // SAFETY: all zeros is a valid address of this kind.
            let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
            address.sll_family = libc::AF_PACKET as u16;
            address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
            address.sll_ifindex = index.cast_signed();
            let size = size_of::<libc::sockaddr_ll>() as u32;
            // SAFETY: the pointer is to a sockaddr_ll of that size.
            let bound = unsafe { libc::bind(fd, (&raw const address).cast(), size) };
            assert_eq!(bound, 0);
            Self(socket)
        })
    }

    fn send(&self, frame: &[u8]) {
        let flags = rustix::net::SendFlags::empty();
        assert_eq!(rustix::net::send(&self.0, frame, flags).unwrap(), frame.len());
    }

    /// Whether a frame with this payload comes within a time.
    fn hears(&self, payload: &[u8], wait: Duration) -> bool {
        use rustix::net::sockopt::{Timeout, set_socket_timeout};
        let until = Instant::now() + wait;
        let mut buffer = [0; 2048];
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            set_socket_timeout(&self.0, Timeout::Recv, Some(left.max(Duration::from_millis(1))))
                .unwrap();
            let Ok((length, _)) =
                rustix::net::recv(&self.0, &mut buffer[..], rustix::net::RecvFlags::empty())
            else {
                return false;
            };
            if buffer[..length].windows(payload.len()).any(|part| part == payload) {
                return true;
            }
        }
        false
    }
}

fn frame(to: [u8; 6], from: Mac, kind: u16, payload: &[u8]) -> Vec<u8> {
    [&to[..], &from.0, &kind.to_be_bytes(), payload].concat()
}

fn arp(operation: u16, from: Mac, from_ip: Ipv4Addr, to: [u8; 6], to_ip: Ipv4Addr) -> Vec<u8> {
    let head = [0, 1, 8, 0, 6, 4];
    [&head[..], &operation.to_be_bytes(), &from.0, &from_ip.octets(), &to, &to_ip.octets()].concat()
}

fn ipv6(from: Ipv6Addr, to: Ipv6Addr, next: u8, hops: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
    [&[0x60, 0, 0, 0][..], &length, &[next, hops], &from.octets(), &to.octets(), payload].concat()
}

struct Scene {
    bad: Machine,
    victim: Machine,
    bad_mac: Mac,
    victim_mac: Mac,
    gateway: Ipv6Addr,
    gateway_v4: Ipv4Addr,
}

fn scene() -> Scene {
    let host = host(&["lan"]);
    ensure_networks(&host).unwrap();
    let lan = name("lan");
    let place = place(&host, &lan);
    Scene {
        bad: machine(&host, "lan", "bad"),
        victim: machine(&host, "lan", "victim"),
        bad_mac: place.mac(&name("bad")),
        victim_mac: place.mac(&name("victim")),
        gateway: place.gateway(),
        gateway_v4: place.gateway_v4(),
    }
}

#[test]
fn arp_speaks_for_oneself_only() {
    on_a_host(|| {
        let Scene { bad, victim, bad_mac, victim_mac, gateway_v4, .. } = scene();
        let (IpAddr::V4(own), IpAddr::V4(other)) = (bad.v4, victim.v4) else { unreachable!() };
        let (from, to) = (Wire::on(&bad.netns), Wire::on(&victim.netns));
        let passes = |target: [u8; 6], payload: &[u8], outer: Mac, wait| {
            from.send(&frame(target, outer, 0x0806, payload));
            to.hears(payload, wait)
        };
        for operation in [1, 2] {
            for target in [victim_mac.0, [0xff; 6]] {
                // The truth passes.
                let truth = arp(operation, bad_mac, own, victim_mac.0, other);
                assert!(passes(target, &truth, bad_mac, LONG));
                // Being the gateway, or the victim, does not, nor another's hardware address inside
                // or outside.
                for claimed in [gateway_v4, other, Ipv4Addr::new(192, 0, 2, 1)] {
                    let lie = arp(operation, bad_mac, claimed, victim_mac.0, other);
                    assert!(!passes(target, &lie, bad_mac, SHORT), "{claimed}");
                }
                let lie = arp(operation, Mac([2, 9, 9, 9, 9, 9]), own, victim_mac.0, other);
                assert!(!passes(target, &lie, bad_mac, SHORT));
                assert!(!passes(target, &truth, Mac([2, 9, 9, 9, 9, 9]), SHORT));
            }
        }
        // Nor in a tagged frame.
        let lie = arp(2, bad_mac, gateway_v4, victim_mac.0, other);
        let tagged = [&[0, 7, 8, 6][..], &lie].concat();
        from.send(&frame(victim_mac.0, bad_mac, 0x8100, &tagged));
        assert!(!to.hears(&lie, SHORT));
        let neighbours = victim.netns.run(|| run("ip", &["neigh"]));
        assert!(!neighbours.contains("02:09:09"), "{neighbours}");
    });
}

#[test]
fn nobody_hands_out_routes_or_addresses() {
    on_a_host(|| {
        let Scene { bad, victim, bad_mac, victim_mac, gateway, .. } = scene();
        let (IpAddr::V6(own), IpAddr::V6(other)) = (bad.v6, victim.v6) else { unreachable!() };
        let (from, to) = (Wire::on(&bad.netns), Wire::on(&victim.netns));
        let local: Ipv6Addr = "fe80::2".parse().unwrap();
        let everybody: Ipv6Addr = "ff02::1".parse().unwrap();
        let multicast = [0x33, 0x33, 0, 0, 0, 1];
        let icmp =
            |kind: u8, mark: u8| [kind, 0, 0, 0, 64, 0, 7, 8, 0xa5, 0x5a, 0xc3, mark].repeat(2);
        let passes = |target, source, destination, next, payload: &[u8], wait| {
            from.send(&frame(
                target,
                bad_mac,
                0x86dd,
                &ipv6(source, destination, next, 255, payload),
            ));
            to.hears(payload, wait)
        };
        assert!(passes(victim_mac.0, own, other, 58, &icmp(128, 1), LONG), "echo");
        for (target, destination) in [(victim_mac.0, other), (multicast, everybody)] {
            for (mark, source) in [(2, local), (3, own), (4, gateway)] {
                // Router advertisement and redirect, plain and behind another header.
                for kind in [134, 137] {
                    assert!(!passes(target, source, destination, 58, &icmp(kind, mark), SHORT));
                    let hidden = [&[58, 0, 1, 4, 0, 0, 0, 0][..], &icmp(kind, mark)].concat();
                    assert!(!passes(target, source, destination, 60, &hidden, SHORT));
                }
            }
        }
        // A solicitation under somebody else's address would teach its neighbours a wrong one.
        let solicit =
            [&[135, 0, 0, 0, 0, 0, 0, 0][..], &other.octets(), &[1, 1], &bad_mac.0].concat();
        assert!(passes(victim_mac.0, own, other, 58, &solicit, LONG));
        let neighbours = victim.netns.run(|| run("ip", &["neigh", "show", &gateway.to_string()]));
        assert!(!passes(victim_mac.0, gateway, other, 58, &[&solicit[..], &[9]].concat(), SHORT));
        let after = victim.netns.run(|| run("ip", &["neigh", "show", &gateway.to_string()]));
        assert_eq!(after, neighbours);
        // Answers of a DHCP server, of either family.
        for (port, address, heard) in
            [(67, bad.v4, victim.v4), (547, bad.v6, victim.v6), (1067, bad.v4, victim.v4)]
        {
            let receiver = victim.netns.run(|| UdpSocket::bind((heard, 0)).unwrap());
            receiver.set_read_timeout(Some(if port > 1000 { LONG } else { SHORT })).unwrap();
            let target = receiver.local_addr().unwrap();
            bad.netns
                .run(|| UdpSocket::bind((address, port)).unwrap().send_to(b"x", target).unwrap());
            assert_eq!(receiver.recv(&mut [0]).is_ok(), port > 1000, "{port}");
        }
    });
}
