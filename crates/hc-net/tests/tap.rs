//! Virtual machines' links: the same network, the same rules, and nothing left behind.
#![allow(clippy::disallowed_methods)]

mod common;

use common::{Netns, host, name, on_a_host, place, run};
use hc_net::blocking::ensure_networks;
use hc_net::links::{attach, attach_tap, detach};
use hc_spec::HostSpec;
use hc_spec::addr::Mac;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::AsFd;
use std::time::Duration;

/// A `virtio_net_hdr` that asks for nothing, and an Ethernet frame with a UDP datagram of one byte.
fn frame(from: (Mac, Ipv4Addr), to: (Mac, Ipv4Addr), port: u16) -> Vec<u8> {
    let mut ip = vec![0x45, 0, 0, 29, 0, 0, 0, 0, 64, 17, 0, 0];
    ip.extend(from.1.octets());
    ip.extend(to.1.octets());
    let sum: u32 = ip.chunks(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]]))).sum();
    let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
    let mut frame = vec![0; 10];
    frame.extend(to.0.0.into_iter().chain(from.0.0).chain([8, 0]));
    frame.extend(ip);
    frame.extend(7000u16.to_be_bytes().into_iter().chain(port.to_be_bytes()).chain([0, 9, 0, 0]));
    frame.push(b'x');
    frame
}

#[test]
fn a_virtual_machine_is_a_neighbour_under_its_own_addresses_only() {
    on_a_host(|| {
        let host: HostSpec = host(&["lan"]);
        ensure_networks(&host).unwrap();
        let lan = name("lan");
        let (place, web, vm) = (place(&host, &lan), name("web"), name("vm"));
        let netns = Netns::new();
        attach(netns.0.as_fd(), &place, &web, 0).unwrap();
        let (tap, _) = attach_tap(&place, &vm).unwrap();
        assert_eq!((tap.v4, tap.v6, tap.mtu), (place.v4(&vm), place.v6(&vm), 1500));
        let there = (place.mac(&web), place.v4(&web));
        let own = (place.mac(&vm), place.v4(&vm));
        let arrives = |from, wait| {
            let receiver = netns.run(|| UdpSocket::bind((place.v4(&web), 0)).unwrap());
            receiver.set_read_timeout(Some(wait)).unwrap();
            let bytes = frame(from, there, receiver.local_addr().unwrap().port());
            assert_eq!(rustix::io::write(&tap.descriptor, &bytes).unwrap(), bytes.len());
            receiver.recv(&mut [0]).is_ok()
        };
        assert!(arrives(own, Duration::from_secs(10)));
        let short = Duration::from_millis(300);
        assert!(!arrives((there.0, own.1), short), "another's MAC");
        assert!(!arrives((own.0, place.gateway_v4()), short), "another's address");
        let route = run("ip", &["route", "get", &place.v4(&vm).to_string()]);
        assert!(route.contains(&place.bridge()), "{route}");
    });
}

#[test]
fn a_tap_goes_with_its_descriptor_and_takes_over_what_is_left() {
    on_a_host(|| {
        let host: HostSpec = host(&["lan"]);
        ensure_networks(&host).unwrap();
        let lan = name("lan");
        let (place, vm) = (place(&host, &lan), name("vm"));
        let link = place.link(&vm);
        let links = || run("ip", &["-o", "link"]);
        let (first, _) = attach_tap(&place, &vm).unwrap();
        assert!(links().contains(&link));
        // A supervisor that was killed while QEMU still holds the other end.
        let (second, _) = attach_tap(&place, &vm).unwrap();
        drop(first);
        assert!(links().contains(&link));
        drop(second);
        assert!(!links().contains(&link));
        // A machine that was a container before.
        let netns = Netns::new();
        attach(netns.0.as_fd(), &place, &vm, 0).unwrap();
        let (tap, _) = attach_tap(&place, &vm).unwrap();
        drop(tap);
        detach(&[(place, &vm)]).unwrap();
        assert!(!links().contains(&link));
    });
}
