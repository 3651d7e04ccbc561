//! Machines of one host reach those of another: hosts are network namespaces on one wire.
#![allow(clippy::disallowed_methods)]

mod common;

use common::{LONG, Machine, Netns, SHORT, arrives, connects, machine, name, run};
use hc_net::blocking::{ensure_networks, remove_networks};
use hc_net::wireguard::{Key, Tunnel};
use hc_spec::host::{Overlay, OverlayMode, Peer};
use hc_spec::{HostSpec, Name, NetworkSpec};
use std::net::IpAddr;
use std::os::fd::AsRawFd;

/// Hosts that are to be connected: name, last byte of the address, networks.
const HOSTS: [(&str, u8, &[&str]); 3] =
    [("a", 1, &["lan", "dmz"]), ("b", 2, &["lan", "dmz"]), ("c", 3, &["lan"])];

fn address(last: u8, v6: bool) -> IpAddr {
    let text = if v6 { format!("2001:db8::{last}") } else { format!("192.0.2.{last}") };
    text.parse().unwrap()
}

/// The key of a host, in a directory that all tests share.
fn key(host: &str) -> Key {
    static KEYS: std::sync::OnceLock<tempfile::TempDir> = std::sync::OnceLock::new();
    let dir = KEYS.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        for (host, ..) in HOSTS {
            Key::of_host(&dir.path().join(host)).unwrap();
        }
        dir
    });
    Key::of_host(&dir.path().join(host)).unwrap()
}

fn describe(own: &str, v6: bool, others: &[&str]) -> HostSpec {
    let mut spec = HostSpec::new(name("demo"), name(own));
    let (_, last, networks) = HOSTS.iter().find(|(host, ..)| *host == own).unwrap();
    spec.networks = networks.iter().map(|n| (name(n), NetworkSpec::default())).collect();
    let peer = |(host, last, networks): &(&str, u8, &[&str])| {
        let networks = networks.iter().map(|n| name(n)).collect();
        let public_key = Some(key(host).public());
        (name(host), Peer { address: address(*last, v6), networks, public_key })
    };
    let peers = HOSTS.iter().filter(|(host, ..)| others.contains(host)).map(peer).collect();
    let mode = OverlayMode::Plain;
    spec.overlay = Some(Overlay { mode, address: address(*last, v6), peers });
    spec
}

struct Host {
    netns: Netns,
    spec: HostSpec,
    /// With WireGuard.
    tunnel: Option<Tunnel>,
}

impl Host {
    fn machine(&self, network: &str, name: &str) -> Machine {
        self.netns.run(|| machine(&self.spec, network, name))
    }
}

/// Three hosts on one switch, each knowing the others.
fn hosts(v6: bool) -> (Netns, [Host; 3]) {
    connected(v6, OverlayMode::Plain)
}

fn connected(v6: bool, mode: OverlayMode) -> (Netns, [Host; 3]) {
    let switch = Netns::new();
    switch.run(|| {
        run("ip", &["link", "add", "sw", "type", "bridge"]);
        run("ip", &["link", "set", "sw", "up"]);
    });
    let hosts = HOSTS.map(|(own, last, _)| {
        let netns = Netns::new();
        let fd = format!("/proc/{}/fd/{}", std::process::id(), netns.0.as_raw_fd());
        switch.run(|| {
            let port = format!("to-{own}");
            run("ip", &["link", "add", &port, "type", "veth", "peer", "name", "up0", "netns", &fd]);
            run("ip", &["link", "set", &port, "master", "sw", "up"]);
        });
        let others: Vec<&str> =
            HOSTS.iter().map(|(host, ..)| *host).filter(|h| *h != own).collect();
        let mut spec = describe(own, v6, &others);
        spec.overlay.as_mut().unwrap().mode = mode;
        let tunnel = netns.run(|| {
            let prefix = if v6 { 64 } else { 24 };
            let at = format!("{}/{prefix}", address(last, v6));
            run("ip", &["link", "set", "lo", "up"]);
            run("ip", &["addr", "add", &at, "dev", "up0"]);
            run("ip", &["link", "set", "up0", "up"]);
            let tunnel = Tunnel::start(&spec, &key(own)).unwrap();
            ensure_networks(&spec).unwrap();
            tunnel
        });
        Host { netns, spec, tunnel }
    });
    (switch, hosts)
}

#[test]
fn networks_of_one_name_are_one() {
    for v6 in [false, true] {
        let (_switch, [a, b, c]) = hosts(v6);
        let (web, db) = (a.machine("lan", "web"), b.machine("lan", "db"));
        let (far, hidden) = (c.machine("lan", "far"), b.machine("dmz", "hidden"));
        assert!(connects(&web.netns, &db.netns, db.v6, LONG));
        assert!(connects(&db.netns, &web.netns, web.v6, LONG));
        assert!(connects(&far.netns, &web.netns, web.v6, LONG));
        // Under their own addresses, and others stay apart, wherever they are.
        assert!(arrives(&web.netns, web.v6, &db.netns, db.v6, LONG));
        for (from, to) in [(&web, &hidden), (&hidden, &web), (&far, &hidden)] {
            assert!(!connects(&from.netns, &to.netns, to.v6, SHORT));
        }
        let same = a.machine("dmz", "same");
        assert!(connects(&same.netns, &hidden.netns, hidden.v6, LONG));
    }
}

#[test]
fn nobody_comes_in_under_a_name_that_is_not_theirs() {
    let (_switch, [a, b, c]) = hosts(false);
    let (web, db) = (a.machine("lan", "web"), b.machine("lan", "db"));
    assert!(connects(&web.netns, &db.netns, db.v6, LONG));
    // A host that lets its machine send from an address of another host: the receiver refuses.
    let foreign: IpAddr = "fd12:3456:789a:1::1".parse().unwrap();
    a.netns.run(|| {
        run("nft", &["flush", "ruleset"]);
        run("sysctl", &["-qw", "net.ipv6.conf.all.forwarding=1"]);
    });
    web.netns
        .run(|| run("ip", &["addr", "add", &format!("{foreign}/128"), "dev", "eth0", "nodad"]));
    assert!(!arrives(&web.netns, foreign, &db.netns, db.v6, SHORT));
    assert!(arrives(&web.netns, web.v6, &db.netns, db.v6, LONG), "it does send");
    // Whoever is on the wire and no host of the cloud gets nothing in.
    let stranger = HostSpec { host: name("a"), ..a.spec.clone() };
    c.netns.run(|| {
        remove_networks(&c.spec.cloud, &c.spec.host, &[name("lan")]).unwrap();
        run("ip", &["addr", "add", "192.0.2.77/24", "dev", "up0"]);
        let mut stranger = stranger.clone();
        stranger.overlay.as_mut().unwrap().address = "192.0.2.77".parse().unwrap();
        ensure_networks(&stranger).unwrap();
    });
    let liar = c.netns.run(|| machine(&stranger, "lan", "web"));
    assert_eq!(liar.v6, web.v6);
    assert!(!arrives(&liar.netns, liar.v6, &db.netns, db.v6, SHORT));
}

#[test]
fn hosts_come_and_go() {
    let (_switch, [a, b, c]) = hosts(false);
    let (web, far) = (a.machine("lan", "web"), c.machine("lan", "far"));
    assert!(connects(&web.netns, &far.netns, far.v6, LONG));
    // Host c leaves the cloud: its machines are not reached any more, others are.
    a.netns.run(|| ensure_networks(&describe("a", false, &["b"])).unwrap());
    assert!(!connects(&web.netns, &far.netns, far.v6, SHORT));
    let db = b.machine("lan", "db");
    assert!(connects(&web.netns, &db.netns, db.v6, LONG));
    a.netns.run(|| ensure_networks(&a.spec).unwrap());
    assert!(connects(&web.netns, &far.netns, far.v6, LONG));
    // Without an overlay, and without networks, nothing of it is left.
    let all: Vec<Name> = a.spec.networks.keys().cloned().collect();
    a.netns.run(|| {
        remove_networks(&a.spec.cloud, &a.spec.host, &all).unwrap();
        let links = run("ip", &["-o", "link"]);
        assert!(!links.contains("hco") && !links.contains("hcb"), "{links}");
        assert_eq!(run("nft", &["list", "ruleset"]), "");
    });
}

#[test]
fn a_link_that_was_cut_and_a_host_that_moved_come_back() {
    let (switch, [a, b, _c]) = hosts(false);
    let (web, db) = (a.machine("lan", "web"), b.machine("lan", "db"));
    assert!(connects(&web.netns, &db.netns, db.v6, LONG));
    switch.run(|| run("ip", &["link", "set", "to-b", "down"]));
    assert!(!arrives(&web.netns, web.v6, &db.netns, db.v6, SHORT));
    switch.run(|| run("ip", &["link", "set", "to-b", "up"]));
    assert!(connects(&web.netns, &db.netns, db.v6, LONG));
    // Host b has another address from now on, and both are told.
    b.netns.run(|| {
        run("ip", &["addr", "del", "192.0.2.2/24", "dev", "up0"]);
        run("ip", &["addr", "add", "192.0.2.22/24", "dev", "up0"]);
    });
    let moved: IpAddr = "192.0.2.22".parse().unwrap();
    let (mut told, mut own) = (a.spec.clone(), b.spec.clone());
    told.overlay.as_mut().unwrap().peers.get_mut(&name("b")).unwrap().address = moved;
    own.overlay.as_mut().unwrap().address = moved;
    b.netns.run(|| ensure_networks(&own).unwrap());
    a.netns.run(|| ensure_networks(&told).unwrap());
    assert!(connects(&web.netns, &db.netns, db.v6, LONG));
    assert!(connects(&db.netns, &web.netns, web.v6, LONG));
}

#[test]
fn large_packets_are_told_to_be_smaller() {
    let (_switch, [a, b, _c]) = hosts(true);
    let (web, db) = (a.machine("lan", "web"), b.machine("lan", "db"));
    use std::io::{Read, Write};
    let listener = db.netns.run(|| std::net::TcpListener::bind((db.v6, 7000)).unwrap());
    let mut stream = web
        .netns
        .run(|| std::net::TcpStream::connect_timeout(&(db.v6, 7000).into(), LONG).unwrap());
    let sent = vec![7; 1 << 20];
    std::thread::scope(|scope| {
        scope.spawn(|| {
            stream.write_all(&sent).unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
        });
        let (mut taken, _) = listener.accept().unwrap();
        taken.set_read_timeout(Some(LONG)).unwrap();
        let mut got = Vec::new();
        taken.read_to_end(&mut got).unwrap();
        assert_eq!(got.len(), sent.len());
    });
}

/// Whether a text is seen on the wire while something happens.
fn overheard(switch: &Netns, text: &str, happens: impl FnOnce()) -> bool {
    use rustix::net::sockopt::{Timeout, set_socket_timeout};
    let socket = switch.run(|| {
        let protocol = i32::from((libc::ETH_P_ALL as u16).to_be());
        // SAFETY: no pointers are handed over; the result is checked.
        let fd = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW, protocol) };
        assert!(fd >= 0);
        // SAFETY: the descriptor is new and nobody else's.
        unsafe { <std::os::fd::OwnedFd as std::os::fd::FromRawFd>::from_raw_fd(fd) }
    });
    set_socket_timeout(&socket, Timeout::Recv, Some(SHORT)).unwrap();
    happens();
    let (mut buffer, mut seen, mut frames) = ([0; 4096], false, 0);
    while let Ok((length, _)) =
        rustix::net::recv(&socket, &mut buffer[..], rustix::net::RecvFlags::empty())
    {
        frames += 1;
        seen |= buffer[..length].windows(text.len()).any(|part| part == text.as_bytes());
    }
    assert!(frames > 0, "nothing was sent");
    seen
}

fn whisper(from: &Machine, to: &Machine, text: &str) {
    let receiver = to.netns.run(|| std::net::UdpSocket::bind((to.v6, 0)).unwrap());
    receiver.set_read_timeout(Some(LONG)).unwrap();
    let target = receiver.local_addr().unwrap();
    from.netns.run(|| {
        let sender = std::net::UdpSocket::bind((from.v6, 0)).unwrap();
        sender.send_to(text.as_bytes(), target).unwrap();
    });
    let mut buffer = [0; 64];
    let length = receiver.recv(&mut buffer).unwrap();
    assert_eq!(&buffer[..length], text.as_bytes());
}

#[test]
fn with_wireguard_nothing_is_read_on_the_wire() {
    for v6 in [false, true] {
        let (switch, [a, b, _c]) = connected(v6, OverlayMode::Wireguard);
        let (web, db) = (a.machine("lan", "web"), b.machine("lan", "db"));
        let hidden = b.machine("dmz", "hidden");
        assert!(connects(&web.netns, &db.netns, db.v6, LONG));
        assert!(connects(&db.netns, &web.netns, web.v6, LONG));
        assert!(!connects(&web.netns, &hidden.netns, hidden.v6, SHORT));
        let secret = "the words that nobody hears";
        assert!(!overheard(&switch, secret, || whisper(&web, &db, secret)));
    }
    let (switch, [a, b, _c]) = hosts(false);
    let (web, db) = (a.machine("lan", "web"), b.machine("lan", "db"));
    assert!(connects(&web.netns, &db.netns, db.v6, LONG));
    let words = "the words that everybody hears";
    assert!(overheard(&switch, words, || whisper(&web, &db, words)), "the ear works");
}

#[test]
fn with_wireguard_a_host_is_known_by_its_key_and_followed_where_it_goes() {
    let (_switch, [a, mut b, mut c]) = connected(false, OverlayMode::Wireguard);
    let (web, db) = (a.machine("lan", "web"), b.machine("lan", "db"));
    assert!(connects(&web.netns, &db.netns, db.v6, LONG));
    // The address changes under it, and nobody is told: its next packet says so.
    b.netns.run(|| {
        run("ip", &["addr", "del", "192.0.2.2/24", "dev", "up0"]);
        run("ip", &["addr", "add", "192.0.2.22/24", "dev", "up0"]);
    });
    assert!(connects(&db.netns, &web.netns, web.v6, LONG));
    assert!(connects(&web.netns, &db.netns, db.v6, LONG));
    // It starts anew: no session is left there, and it says so itself.
    b.tunnel = None;
    assert!(!b.netns.run(|| run("ip", &["-o", "link"])).contains("hco0"));
    b.tunnel = b.netns.run(|| {
        let tunnel = Tunnel::start(&b.spec, &key("b")).unwrap();
        ensure_networks(&b.spec).unwrap();
        tunnel
    });
    assert!(connects(&web.netns, &db.netns, db.v6, LONG));
    // Somebody at a host's address who has not its key.
    let far = c.machine("lan", "far");
    assert!(connects(&far.netns, &web.netns, web.v6, LONG));
    let dir = tempfile::tempdir().unwrap();
    c.tunnel = None;
    c.tunnel = c.netns.run(|| {
        let tunnel = Tunnel::start(&c.spec, &Key::of_host(&dir.path().join("k")).unwrap()).unwrap();
        ensure_networks(&c.spec).unwrap();
        tunnel
    });
    assert!(!connects(&far.netns, &web.netns, web.v6, SHORT));
    assert!(!connects(&web.netns, &far.netns, far.v6, SHORT));
}
