//! Computers that are no hosts come in over WireGuard and are on one network.
#![allow(clippy::disallowed_methods)]

mod common;

use common::hosts::{connected, keyring};
use common::{LONG, Netns, SHORT, arrives, block_on, connects, name, run};
use hc_net::blocking::ensure_networks;
use hc_net::links::ensure_roads;
use hc_net::wireguard::{Keyring, Road, Tunnel};
use hc_spec::host::{Overlay, OverlayMode, Peer};
use hc_spec::{HostSpec, NetworkSpec};
use std::net::IpAddr;

/// A laptop: what wg-quick would do there, with the tunnel of this crate, which sends as a host does.
/// That only works for a computer whose address is in the prefix it says it is: the host's own.
struct Laptop {
    netns: Netns,
    address: IpAddr,
    _tunnel: Tunnel,
    _dir: tempfile::TempDir,
}

fn laptop(switch: &Netns, of: &HostSpec, network: &str) -> (Laptop, Road) {
    use std::os::fd::AsRawFd;
    let dir = tempfile::tempdir().unwrap();
    let keys = Keyring::of(dir.path());
    let netns = Netns::new();
    let fd = format!("/proc/{}/fd/{}", std::process::id(), netns.0.as_raw_fd());
    switch.run(|| {
        run("ip", &["link", "add", "to-l", "type", "veth", "peer", "name", "up0", "netns", &fd]);
        run("ip", &["link", "set", "to-l", "master", "sw", "up"]);
    });
    let network = name(network);
    let address = of.place(&network).v6(&name("phone")).into();
    // To its own eyes it is on the host it calls, and that is the only other one.
    let mut own = HostSpec::new(of.cloud.clone(), of.host.clone());
    own.networks = [(network.clone(), NetworkSpec::default())].into();
    let peer = Peer {
        address: "192.0.2.1".parse().unwrap(),
        networks: [network.clone()].into(),
        public_key: Some(keyring("a").own().unwrap().public()),
        ssh: None,
    };
    own.overlay = Some(Overlay {
        mode: OverlayMode::Wireguard,
        address: "192.0.2.77".parse().unwrap(),
        peers: [(of.host.clone(), peer)].into(),
        allow: Vec::new(),
    });
    let tunnel = netns.run(|| {
        run("ip", &["link", "set", "lo", "up"]);
        run("ip", &["addr", "add", "192.0.2.77/24", "dev", "up0"]);
        run("ip", &["link", "set", "up0", "up"]);
        let tunnel = Tunnel::start(&own, &keys).unwrap().unwrap();
        run("ip", &["link", "set", "hco0", "mtu", "1420", "up"]);
        run("ip", &["addr", "add", &format!("{address}/128"), "dev", "hco0", "nodad"]);
        let prefix = format!("{}/48", hc_spec::addr::host_prefix(&of.cloud, &of.host));
        run("ip", &["-6", "route", "add", &prefix, "dev", "hco0"]);
        tunnel
    });
    let road = Road { public_key: keys.own().unwrap().public(), network };
    (Laptop { netns, address, _tunnel: tunnel, _dir: dir }, road)
}

#[test]
fn a_laptop_is_on_its_network_and_on_no_other_until_it_is_let_in_no_longer() {
    let (switch, [a, _b, _c]) = connected(false, OverlayMode::Wireguard);
    let (web, hidden) = (a.machine("lan", "web"), a.machine("dmz", "hidden"));
    let (phone, road) = laptop(&switch, &a.spec, "lan");
    let ensure = || {
        a.netns.run(|| {
            ensure_networks(&a.spec).unwrap();
            block_on(ensure_roads(&a.spec, &keyring("a").known().unwrap())).unwrap();
        });
        std::thread::sleep(LONG / 20);
    };
    assert!(!arrives(&phone.netns, phone.address, &web.netns, web.v6, SHORT), "not let in yet");
    assert!(keyring("a").add_road(&name("phone"), &road).unwrap());
    assert!(!keyring("a").add_road(&name("phone"), &road).unwrap(), "there is one");
    ensure();
    assert!(connects(&phone.netns, &web.netns, web.v6, LONG));
    assert!(connects(&web.netns, &phone.netns, phone.address, LONG), "the other way round");
    assert!(!connects(&phone.netns, &hidden.netns, hidden.v6, SHORT));
    assert!(!connects(&hidden.netns, &phone.netns, phone.address, SHORT));
    // Under its own address only.
    let other: IpAddr = a.spec.place(&name("lan")).v6(&name("other")).into();
    phone.netns.run(|| {
        run("ip", &["addr", "add", &format!("{other}/128"), "dev", "hco0", "nodad"]);
    });
    assert!(!arrives(&phone.netns, other, &web.netns, web.v6, SHORT));
    assert!(arrives(&phone.netns, phone.address, &web.netns, web.v6, LONG), "it does send");
    // The description is put in effect again: it stays.
    ensure();
    assert!(connects(&phone.netns, &web.netns, web.v6, LONG));
    assert!(keyring("a").remove_road(&name("phone")).unwrap());
    ensure();
    assert!(!arrives(&phone.netns, phone.address, &web.netns, web.v6, SHORT));
    let left = a.netns.run(|| run("ip", &["-6", "neigh", "show", "proxy"]));
    assert_eq!(left, "", "nobody answers for it");
    let rules = a.netns.run(|| run("nft", &["list", "set", "inet", "hc", "hc_road_from"]));
    assert!(!rules.contains("elements"), "{rules}");
}
