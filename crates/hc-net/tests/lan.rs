//! Machines on a wire of their host, beside a computer that knows nothing of hc.
#![allow(clippy::disallowed_methods)]

mod common;

use common::{LONG, Machine, Netns, SHORT, connects, host, machine, name, on_a_host, place, run};
use hc_net::blocking::{attach_lan, attach_lan_tap, ensure_networks, reattach_lan};
use hc_spec::addr::lan_mac;
use hc_spec::lan::{Foot, Lan};
use std::io::ErrorKind;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant};

/// The other computer, at the end of the host's link `wire0`: a router as well.
fn wire() -> Netns {
    let other = Netns::new();
    let fd = format!("/proc/{}/fd/{}", std::process::id(), other.0.as_raw_fd());
    run("ip", &["link", "add", "wire0", "type", "veth", "peer", "name", "far0", "netns", &fd]);
    run("ip", &["addr", "add", "192.0.2.1/24", "dev", "wire0"]);
    run("ip", &["link", "set", "wire0", "up"]);
    other.run(|| {
        run("ip", &["link", "set", "lo", "up"]);
        run("ip", &["link", "set", "far0", "up"]);
        run("ip", &["addr", "add", "192.0.2.9/24", "dev", "far0"]);
        run("ip", &["addr", "add", "2001:db8::9/64", "dev", "far0", "nodad"]);
        run("ip", &["addr", "add", "203.0.113.1/32", "dev", "lo"]);
    });
    other
}

fn lan(addresses: &[&str], gateways: &[&str]) -> Lan {
    Lan {
        addresses: addresses.iter().map(|text| text.parse().unwrap()).collect(),
        gateways: gateways.iter().map(|text| text.parse().unwrap()).collect(),
    }
}

fn foot<'a>(lan: &'a Lan, machine: &str) -> Foot<'a> {
    let mac = lan_mac(&name("demo"), &name("den"), "wire0", &name(machine));
    Foot { parent: "wire0", index: 0, mac, lan }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn a_container_is_a_computer_of_its_own_there() {
    on_a_host(|| {
        let other = wire();
        let host = host(&["lan"]);
        ensure_networks(&host).unwrap();
        let Machine { netns, v4, .. } = machine(&host, "lan", "web");
        let lan = lan(&["192.0.2.7/24", "2001:db8::7/64"], &["192.0.2.9"]);
        let foot = foot(&lan, "web");
        attach_lan(netns.0.as_fd(), &foot, Some(&place(&host, &name("lan")))).unwrap();
        assert!(connects(&other, &netns, ip("192.0.2.7"), LONG), "it is reached");
        let seen = other.run(|| run("ip", &["neigh", "show", "192.0.2.7"]));
        assert!(seen.contains(&foot.mac.to_string()), "under its own MAC: {seen}");
        assert!(connects(&netns, &other, ip("203.0.113.1"), LONG), "over the router it was told");
        assert!(connects(&other, &netns, ip("2001:db8::7"), LONG), "over IPv6 as well");
        // Started again, before the kernel has taken the old one's link away.
        drop(netns);
        let Machine { netns, .. } = machine(&host, "lan", "web");
        attach_lan(netns.0.as_fd(), &foot, Some(&place(&host, &name("lan")))).unwrap();
        let neighbour = machine(&host, "lan", "db");
        assert!(connects(&neighbour.netns, &netns, v4, LONG), "its network is what it was");
        assert!(!connects(&other, &netns, v4, SHORT), "and stays closed");
    });
}

#[test]
fn a_machine_is_on_a_wire_that_comes_back() {
    on_a_host(|| {
        let other = wire();
        let host = host(&["lan"]);
        ensure_networks(&host).unwrap();
        let Machine { netns, .. } = machine(&host, "lan", "web");
        let (lan, network) =
            (lan(&["192.0.2.7/24", "2001:db8::7/64"], &["192.0.2.9"]), name("lan"));
        let (foot, place) = (foot(&lan, "web"), place(&host, &network));
        attach_lan(netns.0.as_fd(), &foot, Some(&place)).unwrap();
        assert!(connects(&other, &netns, ip("192.0.2.7"), LONG));
        let inside = || netns.run(|| run("ip", &["-o", "link"]));
        run("ip", &["link", "del", "wire0"]);
        assert!(!inside().contains("lan0"), "it goes with the host's link");
        let other = wire();
        let back = || reattach_lan(Some(netns.0.as_fd()), &foot, Some(&place)).unwrap();
        assert!(back());
        let before = inside();
        for address in ["192.0.2.7", "2001:db8::7"] {
            assert!(connects(&other, &netns, ip(address), LONG), "{address}");
        }
        assert!(connects(&netns, &other, ip("203.0.113.1"), LONG), "over the router it was told");
        assert!(back());
        assert_eq!(inside(), before, "what is there stays");
        assert!(!reattach_lan(None, &foot, None).unwrap(), "a virtual machine's is not put back");
    });
}

#[test]
fn routers_are_heard_there_and_only_there() {
    on_a_host(|| {
        let other = wire();
        let host = host(&["lan"]);
        ensure_networks(&host).unwrap();
        let Machine { netns, .. } = machine(&host, "lan", "web");
        let lan = Lan::default();
        let foot = foot(&lan, "web");
        attach_lan(netns.0.as_fd(), &foot, Some(&place(&host, &name("lan")))).unwrap();
        let heard = |link: &str| {
            let path = format!("/proc/sys/net/ipv6/conf/{link}/accept_ra");
            netns.run(|| std::fs::read_to_string(path).unwrap().trim() == "1")
        };
        assert!(heard("lan0") && !heard("eth0"));
        // An advertisement (RFC 4861 4.2) of 2001:db8:1::/64 for addresses that hosts make themselves.
        let mut said = vec![134, 0, 0, 0, 64, 0, 0, 60, 0, 0, 0, 0, 0, 0, 0, 0];
        said.extend([3, 4, 64, 0xc0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 0, 0]);
        said.extend([0x20, 1, 0x0d, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        let began = Instant::now();
        let own = || netns.run(|| run("ip", &["-6", "-o", "addr", "show", "dev", "lan0"]));
        while !own().contains("2001:db8:1:") {
            assert!(began.elapsed() < LONG, "{}", own());
            other.run(|| advertise(&said));
            std::thread::sleep(Duration::from_millis(100));
        }
        assert!(
            netns
                .run(|| run("ip", &["-6", "route", "show", "default"]))
                .starts_with("default via fe80")
        );
    });
}

/// To everybody on `far0`, from a raw socket, with the hop limit that it has to have.
fn advertise(said: &[u8]) {
    use rustix::net::{AddressFamily, SocketAddrV6, SocketType, ipproto, sendto, sockopt};
    let socket =
        rustix::net::socket(AddressFamily::INET6, SocketType::RAW, Some(ipproto::ICMPV6)).unwrap();
    sockopt::set_ipv6_multicast_hops(&socket, 255).unwrap();
    let far = run("ip", &["-o", "link", "show", "far0"]);
    let index: u32 = far.split(':').next().unwrap().trim().parse().unwrap();
    let to = SocketAddrV6::new("ff02::1".parse().unwrap(), 0, 0, index);
    // Until its own address is usable there is none to send from.
    let _ = sendto(&socket, said, rustix::net::SendFlags::empty(), &to);
}

#[test]
fn a_virtual_machine_is_one_too_and_leaves_nothing() {
    on_a_host(|| {
        let other = wire();
        let before = run("ip", &["-o", "link"]);
        let lan = Lan::default();
        let foot = foot(&lan, "vm");
        let tap = attach_lan_tap(&foot).unwrap();
        assert_eq!(tap.mtu, 1500);
        assert_eq!(run("ip", &["-o", "link"]), before, "nothing of it is on the host");
        // A question who has an address (ARP, RFC 826): from the machine to the other computer.
        let mut frame = vec![0; 10];
        frame.extend([0xff; 6].into_iter().chain(foot.mac.0).chain([8, 6]));
        frame.extend([0, 1, 8, 0, 6, 4, 0, 1].into_iter().chain(foot.mac.0).chain([192, 0, 2, 8]));
        frame.extend([0; 6].into_iter().chain([192, 0, 2, 9]));
        assert_eq!(rustix::io::write(&tap.descriptor, &frame).unwrap(), frame.len());
        let began = Instant::now();
        let mut answer = [0; 2000];
        let answered = loop {
            match rustix::io::read(&tap.descriptor, &mut answer) {
                Ok(read) if answer[10..16] == foot.mac.0 && answer[22..24] == [8, 6] => break read,
                Ok(_) => {}
                Err(error) => assert_eq!(std::io::Error::from(error).kind(), ErrorKind::WouldBlock),
            }
            assert!(began.elapsed() < LONG, "no answer");
            std::thread::sleep(Duration::from_millis(5));
        };
        assert_eq!(answer[answered.min(52) - 14..][..4], [192, 0, 2, 9]);
        let seen = other.run(|| run("ip", &["neigh", "show", "192.0.2.8"]));
        assert!(seen.contains(&foot.mac.to_string()), "{seen}");
        // As soon as it is gone the same may be made again.
        drop(tap);
        attach_lan_tap(&foot).unwrap();
    });
}

#[test]
fn links_that_cannot_be_shared_are_named() {
    on_a_host(|| {
        let netns = Netns::new();
        let lan = Lan::default();
        let foot = foot(&lan, "web");
        let said = attach_lan(netns.0.as_fd(), &foot, None).unwrap_err().to_string();
        assert!(said.contains("no link 'wire0'"), "{said}");
        let _other = wire();
        run("ip", &["link", "add", "br0", "type", "bridge"]);
        run("ip", &["link", "set", "wire0", "master", "br0"]);
        let said = attach_lan(netns.0.as_fd(), &foot, None).unwrap_err().to_string();
        assert!(said.contains("'wire0'") && said.contains("port of a bridge"), "{said}");
        assert!(attach_lan_tap(&foot).is_err());
    });
}
