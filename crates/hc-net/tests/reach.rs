//! Who reaches whom: allowances, published ports, limits. Told by packets, not by reading rules.
#![allow(clippy::disallowed_methods)]

mod common;

use common::{
    LONG, Machine, Netns, SHORT, bound, connects, host, machine, name, on_a_host, place, run,
};
use hc_net::blocking::ensure_networks;
use hc_net::links;
use hc_spec::HostSpec;
use hc_spec::allow::Protocol;
use hc_spec::host::{Published, Service};
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

/// A host with networks `lan`, `dmz` and `far`, and these allowances.
fn allowing(allow: &[&str]) -> HostSpec {
    let mut host = host(&["lan", "dmz", "far"]);
    host.allow = allow.iter().map(|text| text.parse().unwrap()).collect();
    host
}

/// Whether a connection from one machine to a port of another is taken.
fn reaches(from: &Netns, to: &Netns, address: IpAddr, port: u16) -> bool {
    let _listener = to.run(|| bound(|| TcpListener::bind((address, port))));
    from.run(|| TcpStream::connect_timeout(&(address, port).into(), SHORT).is_ok())
}

/// Whether a datagram arrives at a port.
fn hears(from: &Netns, to: &Netns, address: IpAddr, port: u16) -> bool {
    let receiver = to.run(|| bound(|| UdpSocket::bind((address, port))));
    receiver.set_read_timeout(Some(SHORT)).unwrap();
    let any: IpAddr = if address.is_ipv6() { [0; 16].into() } else { [0; 4].into() };
    from.run(|| UdpSocket::bind((any, 0)).unwrap().send_to(b"x", (address, port)).unwrap());
    receiver.recv(&mut [0]).is_ok()
}

/// Whether an echo request is answered.
fn echoes(from: &Netns, address: std::net::Ipv6Addr) -> bool {
    use rustix::net::sockopt::{Timeout, set_socket_timeout};
    use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketType, ipproto, recv, sendto};
    let (kind, protocol) = (SocketType::RAW, Some(ipproto::ICMPV6));
    let socket = from.run(|| rustix::net::socket(AddressFamily::INET6, kind, protocol).unwrap());
    set_socket_timeout(&socket, Timeout::Recv, Some(SHORT)).unwrap();
    let to = std::net::SocketAddrV6::new(address, 0, 0, 0);
    // Echo request 128; the kernel fills in the checksum.
    sendto(&socket, &[128, 0, 0, 0, 0, 7, 0, 1], SendFlags::empty(), &to).unwrap();
    let mut buffer = [0; 64];
    loop {
        match recv(&socket, &mut buffer[..], RecvFlags::empty()) {
            Ok((8, _)) if buffer[..8] == [129, 0, buffer[2], buffer[3], 0, 7, 0, 1] => return true,
            Ok(_) => {}
            Err(_) => return false,
        }
    }
}

fn both(machine: &Machine) -> [IpAddr; 2] {
    [machine.v6, machine.v4]
}

#[test]
fn nothing_but_what_is_allowed_passes() {
    on_a_host(|| {
        let host = allowing(&[
            "web.lan -> db.dmz:5432,6000-6010",
            "web.lan -> db.dmz:53/udp",
            "*.lan -> log.dmz:514",
            "mon.far -> *.dmz",
            "*.dmz -> *.far:9000",
        ]);
        ensure_networks(&host).unwrap();
        let (web, other) = (machine(&host, "lan", "web"), machine(&host, "lan", "other"));
        let (db, log) = (machine(&host, "dmz", "db"), machine(&host, "dmz", "log"));
        let mon = machine(&host, "far", "mon");
        // From, to, port, whether.
        for (from, to, port, expected) in [
            (&web, &db, 5432, true),
            (&web, &db, 6000, true),
            (&web, &db, 6010, true),
            (&web, &db, 6011, false),
            (&web, &db, 53, false),
            (&web, &log, 5432, false),
            (&other, &db, 5432, false),
            (&other, &log, 514, true),
            (&web, &log, 514, true),
            (&web, &log, 515, false),
            (&mon, &db, 5432, true),
            (&mon, &log, 1, true),
            (&mon, &web, 5432, false),
            (&db, &mon, 9000, true),
            (&db, &mon, 9001, false),
            (&db, &web, 5432, false),
        ] {
            for address in both(to) {
                assert_eq!(
                    reaches(&from.netns, &to.netns, address, port),
                    expected,
                    "{address} {port}"
                );
            }
        }
        for address in both(&db) {
            assert!(hears(&web.netns, &db.netns, address, 53));
            assert!(!hears(&web.netns, &db.netns, address, 5432));
            assert!(!hears(&other.netns, &db.netns, address, 53));
            // Everything is more than ports: echo, which knows none.
            let IpAddr::V6(address) = address else { continue };
            let ping = |from: &Machine| echoes(&from.netns, address);
            assert!(ping(&mon));
            assert!(!ping(&web));
        }
        // Taken back, it is closed for new connections at once.
        ensure_networks(&allowing(&[])).unwrap();
        assert!(!reaches(&web.netns, &db.netns, db.v6, 5432));
        assert!(!reaches(&mon.netns, &db.netns, db.v4, 5432));
    });
}

#[test]
fn the_host_is_open_where_it_says_so() {
    on_a_host(|| {
        let host = allowing(&["web.lan -> host:9100", "*.dmz -> host:9200/udp"]);
        ensure_networks(&host).unwrap();
        let (web, db) = (machine(&host, "lan", "web"), machine(&host, "dmz", "db"));
        let this = Netns::current();
        let (lan, dmz) = (name("lan"), name("dmz"));
        for address in
            [IpAddr::from(place(&host, &lan).gateway()), place(&host, &lan).gateway_v4().into()]
        {
            assert!(reaches(&web.netns, &this, address, 9100));
            assert!(!reaches(&web.netns, &this, address, 9101));
            assert!(!reaches(&db.netns, &this, address, 9100));
        }
        for address in
            [IpAddr::from(place(&host, &dmz).gateway()), place(&host, &dmz).gateway_v4().into()]
        {
            assert!(hears(&db.netns, &this, address, 9200));
            assert!(!hears(&web.netns, &this, address, 9200));
        }
    });
}

#[test]
fn who_does_not_run_is_told_at_once() {
    on_a_host(|| {
        let host = allowing(&["web.lan -> db.dmz"]);
        ensure_networks(&host).unwrap();
        let (web, db) = (machine(&host, "lan", "web"), machine(&host, "dmz", "db"));
        let dmz = name("dmz");
        for address in both(&db) {
            assert!(reaches(&web.netns, &db.netns, address, 80));
        }
        links::retire(&[(place(&host, &dmz), &name("db"))]).unwrap();
        for address in both(&db) {
            let error = web.netns.run(|| TcpStream::connect_timeout(&(address, 80).into(), LONG));
            // An answer, and not ten seconds of nothing.
            assert_eq!(error.unwrap_err().kind(), std::io::ErrorKind::HostUnreachable, "{address}");
            let error = TcpStream::connect_timeout(&(address, 80).into(), LONG);
            assert_eq!(error.unwrap_err().kind(), std::io::ErrorKind::HostUnreachable, "{address}");
        }
        links::readmit(&[(place(&host, &dmz), &name("db"))]).unwrap();
        assert!(reaches(&web.netns, &db.netns, db.v6, 80));
    });
}

/// A neighbour of the host on a link `up0`: 192.0.2.1 and 2001:db8::1; the host ends in 2.
fn outside() -> Netns {
    let outside = Netns::new();
    let fd = std::os::fd::AsRawFd::as_raw_fd(&outside.0);
    let fd = format!("/proc/{}/fd/{fd}", std::process::id());
    run("ip", &["link", "add", "up0", "type", "veth", "peer", "name", "up1"]);
    run("ip", &["link", "set", "up1", "netns", &fd]);
    let set = |device: &str, end: &str| {
        run("ip", &["addr", "add", &format!("192.0.2.{end}/24"), "dev", device]);
        run("ip", &["addr", "add", &format!("2001:db8::{end}/64"), "dev", device, "nodad"]);
        run("ip", &["link", "set", device, "up"]);
    };
    set("up0", "2");
    outside.run(|| set("up1", "1"));
    outside
}

fn publish(host: &mut HostSpec, machine: &str, ports: &[(u16, Protocol, Option<&str>)]) {
    let ports = ports.iter().map(|&(port, protocol, listen)| Published {
        host: port,
        port: 80,
        protocol,
        listen: listen.map(|address| address.parse().unwrap()),
        network: Some(name("lan")),
    });
    host.machines.insert(name(machine), Service { ports: ports.collect(), ..Service::default() });
}

/// A server on a machine that says who connected.
fn serve(machine: &Machine) -> Vec<std::thread::JoinHandle<()>> {
    let answer = |address: IpAddr| {
        let listener = machine.netns.run(|| bound(|| TcpListener::bind((address, 80))));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let peer = stream.peer_addr().unwrap().ip();
                let _ = stream.write_all(peer.to_string().as_bytes());
            }
        })
    };
    both(machine).map(answer).into()
}

/// Whom a server at that address sees, when it can be reached.
fn seen(from: &Netns, address: &str, port: u16) -> Option<String> {
    from.run(|| {
        let to = SocketAddr::new(address.parse().unwrap(), port);
        let mut stream = TcpStream::connect_timeout(&to, Duration::from_millis(700)).ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        Some(text)
    })
}

/// Keeps frames that stay on a bridge from the rules about packets. The files are not there when
/// the module br_netfilter is not loaded: then this is how it is anyway.
fn without_br_netfilter() {
    for family in ["iptables", "ip6tables", "arptables"] {
        let _ = std::fs::write(format!("/proc/sys/net/bridge/bridge-nf-call-{family}"), "0");
    }
}

#[test]
fn published_ports_are_reached_from_their_own_network_with_br_netfilter_too() {
    on_a_host(|| {
        let _outside = outside();
        let mut host = allowing(&[]);
        publish(&mut host, "web", &[(8080, Protocol::Tcp, None)]);
        ensure_networks(&host).unwrap();
        let (web, beside) = (machine(&host, "lan", "web"), machine(&host, "lan", "beside"));
        let _server = serve(&web);
        for address in ["192.0.2.2", "2001:db8::2"] {
            // Not from the machine itself: the bridge sends no frame back where it came from.
            assert!(seen(&beside.netns, address, 8080).is_some(), "{address}");
        }
    });
}

#[test]
fn published_ports_lead_to_machines_from_everywhere() {
    on_a_host(|| {
        without_br_netfilter();
        let outside = outside();
        let mut host = allowing(&[]);
        publish(
            &mut host,
            "web",
            &[
                (8080, Protocol::Tcp, None),
                (8081, Protocol::Tcp, Some("192.0.2.2")),
                (8082, Protocol::Tcp, Some("2001:db8::2")),
                (8083, Protocol::Tcp, Some("127.0.0.1")),
                (5353, Protocol::Udp, None),
            ],
        );
        ensure_networks(&host).unwrap();
        let web = machine(&host, "lan", "web");
        let (beside, apart) = (machine(&host, "lan", "beside"), machine(&host, "dmz", "apart"));
        let _server = serve(&web);
        let this = Netns::current();
        let (lan, dmz) = (name("lan"), name("dmz"));
        let (lan, dmz) = (place(&host, &lan), place(&host, &dmz));
        let said = |text: IpAddr| Some(text.to_string());
        let own4 = Some(lan.gateway_v4().to_string());
        let own6 = Some(lan.gateway().to_string());
        // From outside: under its own address.
        assert_eq!(seen(&outside, "192.0.2.2", 8080).as_deref(), Some("192.0.2.1"));
        assert_eq!(seen(&outside, "2001:db8::2", 8080).as_deref(), Some("2001:db8::1"));
        assert_eq!(seen(&outside, "192.0.2.2", 8081).as_deref(), Some("192.0.2.1"));
        assert_eq!(seen(&outside, "2001:db8::2", 8081), None);
        assert_eq!(seen(&outside, "2001:db8::2", 8082).as_deref(), Some("2001:db8::1"));
        assert_eq!(seen(&outside, "192.0.2.2", 8082), None);
        assert_eq!(seen(&outside, "192.0.2.2", 8083), None);
        // From the host itself, loopback included.
        assert_eq!(seen(&this, "192.0.2.2", 8080).as_deref(), Some("192.0.2.2"));
        assert_eq!(seen(&this, "2001:db8::2", 8080).as_deref(), Some("2001:db8::2"));
        assert_eq!(seen(&this, "127.0.0.1", 8080), own4);
        assert_eq!(seen(&this, "127.0.0.1", 8083), own4);
        // The kernel routes no answer to ::1: it is refused at once, and whoever asks for
        // "localhost" goes on to 127.0.0.1.
        let refused = TcpStream::connect_timeout(&"[::1]:8080".parse().unwrap(), LONG).unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
        // From machines: of another network, of the same one, and the machine itself.
        assert_eq!(seen(&apart.netns, &dmz.gateway_v4().to_string(), 8080), said(apart.v4));
        assert_eq!(seen(&apart.netns, &dmz.gateway().to_string(), 8080), said(apart.v6));
        assert_eq!(seen(&apart.netns, "192.0.2.2", 8080), said(apart.v4));
        assert_eq!(seen(&beside.netns, "2001:db8::2", 8080), own6);
        assert_eq!(seen(&beside.netns, "192.0.2.2", 8080), own4);
        assert_eq!(seen(&web.netns, "2001:db8::2", 8080), own6);
        assert_eq!(seen(&web.netns, "192.0.2.2", 8080), own4);
        // Nothing else of the machine, and no loopback of the host for machines.
        assert_eq!(seen(&outside, "192.0.2.2", 80), None);
        assert_eq!(seen(&apart.netns, &web.v4.to_string(), 80), None);
        apart.netns.run(|| {
            run(
                "ip",
                &[
                    "route",
                    "add",
                    "127.0.0.2/32",
                    "via",
                    &dmz.gateway_v4().to_string(),
                    "dev",
                    "eth0",
                    "onlink",
                ],
            )
        });
        let _listener = bound(|| TcpListener::bind("127.0.0.2:9999"));
        assert_eq!(seen(&apart.netns, "127.0.0.2", 9999), None);
        // Datagrams, and their answers.
        for (address, to) in both(&web).iter().zip(["2001:db8::2", "192.0.2.2"]) {
            let receiver = web.netns.run(|| bound(|| UdpSocket::bind((*address, 80))));
            receiver.set_read_timeout(Some(LONG)).unwrap();
            let from = if to.contains(':') { "2001:db8::1" } else { "192.0.2.1" };
            let sender = outside.run(|| UdpSocket::bind((from, 0)).unwrap());
            sender.set_read_timeout(Some(LONG)).unwrap();
            sender.connect((to, 5353)).unwrap();
            sender.send(b"x").unwrap();
            let (_, peer) = receiver.recv_from(&mut [0]).unwrap();
            receiver.send_to(b"y", peer).unwrap();
            assert_eq!(sender.recv(&mut [0]).unwrap(), 1);
        }
        // Not published any more.
        ensure_networks(&allowing(&[])).unwrap();
        assert_eq!(seen(&outside, "192.0.2.2", 8080), None);
        assert_eq!(seen(&this, "127.0.0.1", 8080), None);
    });
}

#[test]
fn the_outside_comes_in_where_it_is_allowed() {
    on_a_host(|| {
        let outside = outside();
        let host = allowing(&["outside -> web.lan:80", "outside -> *.dmz:443"]);
        ensure_networks(&host).unwrap();
        let (web, db) = (machine(&host, "lan", "web"), machine(&host, "dmz", "db"));
        outside.run(|| {
            run("ip", &["route", "add", "100.64.0.0/10", "via", "192.0.2.2"]);
            run("ip", &["-6", "route", "add", "fd00::/8", "via", "2001:db8::2"]);
        });
        for (to, port, expected) in
            [(&web, 80, true), (&web, 443, false), (&db, 443, true), (&db, 80, false)]
        {
            for address in both(to) {
                assert_eq!(
                    reaches(&outside, &to.netns, address, port),
                    expected,
                    "{address} {port}"
                );
            }
        }
    });
}

#[test]
fn the_host_does_not_become_a_router_for_others() {
    on_a_host(|| {
        let outside = outside();
        // A second link of the host, with somebody behind it.
        let other = Netns::new();
        let fd = std::os::fd::AsRawFd::as_raw_fd(&other.0);
        run("ip", &["link", "add", "down0", "type", "veth", "peer", "name", "down1"]);
        run(
            "ip",
            &["link", "set", "down1", "netns", &format!("/proc/{}/fd/{fd}", std::process::id())],
        );
        run("ip", &["addr", "add", "198.51.100.2/24", "dev", "down0"]);
        run("ip", &["link", "set", "down0", "up"]);
        other.run(|| {
            run("ip", &["addr", "add", "198.51.100.1/24", "dev", "down1"]);
            run("ip", &["link", "set", "down1", "up"]);
            run("ip", &["route", "add", "192.0.2.0/24", "via", "198.51.100.2"]);
        });
        outside.run(|| run("ip", &["route", "add", "198.51.100.0/24", "via", "192.0.2.2"]));
        let address: IpAddr = "198.51.100.1".parse().unwrap();
        assert!(!reaches(&outside, &other, address, 80), "not before");
        ensure_networks(&allowing(&[])).unwrap();
        assert!(!reaches(&outside, &other, address, 80), "and not with hc");
    });
}

/// Sends datagrams as fast as they go until told to stop; says how many.
fn flood(from: &Netns, address: IpAddr, port: u16, stop: &AtomicBool) -> u64 {
    from.run(|| {
        let any: IpAddr = if address.is_ipv6() { [0; 16].into() } else { [0; 4].into() };
        let sender = UdpSocket::bind((any, 0)).unwrap();
        let mut sent = 0;
        while !stop.load(Relaxed) {
            // What is refused comes back as an error on the socket.
            if sender.send_to(b"x", (address, port)).is_ok() {
                sent += 1;
            }
        }
        sent
    })
}

#[test]
fn there_is_no_moment_without_rules() {
    on_a_host(|| {
        let full = allowing(&["good.lan -> db.dmz:7000/udp", "*.far -> log.dmz:514"]);
        let less = allowing(&["good.lan -> db.dmz:7000/udp"]);
        ensure_networks(&full).unwrap();
        let (good, bad) = (machine(&full, "lan", "good"), machine(&full, "lan", "bad"));
        let (db, stop) = (machine(&full, "dmz", "db"), AtomicBool::new(false));
        let (open, closed) = db.netns.run(|| {
            (UdpSocket::bind((db.v6, 7000)).unwrap(), UdpSocket::bind((db.v4, 7001)).unwrap())
        });
        closed.set_nonblocking(true).unwrap();
        open.set_read_timeout(Some(LONG)).unwrap();
        let (v6, v4) = (db.v6, db.v4);
        std::thread::scope(|scope| {
            let attack = scope.spawn(|| flood(&bad.netns, v4, 7001, &stop));
            let (mut lost, mut asked) = (0, 0);
            for round in 0..60 {
                ensure_networks(if round % 2 == 0 { &less } else { &full }).unwrap();
                // What is allowed throughout passes throughout, each time as a new connection.
                for _ in 0..5 {
                    let sender = good.netns.run(|| UdpSocket::bind("[::]:0").unwrap());
                    sender.send_to(b"x", (v6, 7000)).unwrap();
                    asked += 1;
                    lost += u32::from(open.recv(&mut [0]).is_err());
                }
            }
            stop.store(true, Relaxed);
            let sent = attack.join().unwrap();
            assert!(sent > 10_000, "{sent} datagrams are no flood");
            assert_eq!(lost, 0, "of {asked}");
        });
        assert!(closed.recv(&mut [0]).is_err(), "one came through");
    });
}

#[test]
fn one_machine_cannot_use_up_all_connections() {
    on_a_host(|| {
        let outside = outside();
        let host = allowing(&[]);
        ensure_networks(&host).unwrap();
        let (greedy, other) = (machine(&host, "lan", "greedy"), machine(&host, "lan", "other"));
        let receiver = outside.run(|| bound(|| UdpSocket::bind("192.0.2.1:7000")));
        receiver.set_read_timeout(Some(SHORT)).unwrap();
        let send = |from: &Machine, port: u16| {
            from.netns.run(|| {
                let sender = UdpSocket::bind(("0.0.0.0", port)).unwrap();
                sender.send_to(b"x", "192.0.2.1:7000").unwrap();
            })
        };
        let mut arrived = 0;
        for port in 10_000..14_200 {
            send(&greedy, port);
            if receiver.recv(&mut [0]).is_err() {
                break;
            }
            arrived += 1;
        }
        assert_eq!(arrived, 4096);
        send(&other, 10_000);
        assert!(receiver.recv(&mut [0]).is_ok(), "others have their own");
    });
}

#[test]
fn questions_are_limited_for_each_machine() {
    on_a_host(|| {
        let host = allowing(&[]);
        ensure_networks(&host).unwrap();
        let (greedy, other) = (machine(&host, "lan", "greedy"), machine(&host, "lan", "other"));
        let lan = name("lan");
        let gateway = place(&host, &lan).gateway();
        let receiver = bound(|| UdpSocket::bind((gateway, 53)));
        receiver.set_read_timeout(Some(SHORT)).unwrap();
        let ask = |from: &Machine, times: u32| {
            from.netns.run(|| {
                let sender = UdpSocket::bind("[::]:0").unwrap();
                for _ in 0..times {
                    sender.send_to(b"x", (gateway, 53)).unwrap();
                }
            })
        };
        let mut heard = 0;
        for _ in 0..200 {
            ask(&greedy, 100);
            receiver.set_nonblocking(true).unwrap();
            while receiver.recv(&mut [0]).is_ok() {
                heard += 1;
            }
        }
        receiver.set_nonblocking(false).unwrap();
        // 2000 at once, then a thousand each second.
        assert!((2000..15_000).contains(&heard), "{heard} of 20000");
        ask(&other, 1);
        assert!(receiver.recv(&mut [0]).is_ok(), "others have their own");
    });
}

#[test]
fn what_stays_on_a_bridge_stays_free_and_the_rest_closed_without_br_netfilter() {
    on_a_host(|| {
        without_br_netfilter();
        let host = allowing(&["web.lan -> db.dmz:80"]);
        ensure_networks(&host).unwrap();
        let (web, beside) = (machine(&host, "lan", "web"), machine(&host, "lan", "beside"));
        let db = machine(&host, "dmz", "db");
        for address in both(&beside) {
            assert!(connects(&web.netns, &beside.netns, address, LONG));
        }
        for address in both(&db) {
            assert!(reaches(&web.netns, &db.netns, address, 80));
            assert!(!reaches(&beside.netns, &db.netns, address, 80));
        }
    });
}

#[test]
fn a_trace_names_the_rule() {
    use hc_net::trace::{Answer, trace};
    on_a_host(|| {
        without_br_netfilter();
        let mut host = allowing(&["web.lan -> db.dmz:80"]);
        publish(&mut host, "web", &[(8080, Protocol::Tcp, None)]);
        ensure_networks(&host).unwrap();
        let (web, beside) = (machine(&host, "lan", "web"), machine(&host, "lan", "beside"));
        let db = machine(&host, "dmz", "db");
        let tables = run("nft", &["list", "tables"]);
        let ask = |from: &Machine, to: IpAddr, port, protocol| {
            let source = if to.is_ipv6() { from.v6 } else { from.v4 };
            let to = SocketAddr::new(to, port);
            let traced = trace(Some(from.netns.0.as_fd()), source, to, protocol).unwrap();
            let by = traced.stopped_by().or(traced.passed_by());
            let by = by.and_then(|step| step.comment.clone()).unwrap_or_default();
            (traced.stopped_by().is_none(), by, traced.answer)
        };
        let tcp = Protocol::Tcp;
        let is = |passes, by: &str, answer| (passes, by.to_owned(), answer);
        for to in both(&db) {
            let allowed = "allowed: a machine to a machine";
            assert_eq!(ask(&web, to, 80, tcp), is(true, allowed, Answer::Refused));
            let listener = db.netns.run(|| bound(|| TcpListener::bind((to, 80))));
            assert_eq!(ask(&web, to, 80, tcp), is(true, allowed, Answer::Connected));
            drop(listener);
            let apart = "networks are kept apart";
            assert_eq!(ask(&web, to, 81, tcp), is(false, apart, Answer::Unreachable));
            assert_eq!(ask(&beside, to, 80, tcp), is(false, apart, Answer::Unreachable));
            assert!(!ask(&web, to, 80, Protocol::Udp).0);
        }
        assert_eq!(
            ask(&web, beside.v6, 1, tcp),
            is(true, "a machine's own address", Answer::Refused)
        );
        assert_eq!(
            ask(&web, beside.v4, 1, tcp),
            is(true, "machines of one network", Answer::Refused)
        );
        let dmz = name("dmz");
        let gateway = place(&host, &dmz).gateway().into();
        assert_eq!(ask(&db, gateway, 8080, tcp), is(true, "a published port", Answer::Refused));
        assert_eq!(
            ask(&db, gateway, 22, tcp),
            is(false, "machines do not reach the host", Answer::Unreachable)
        );
        // From the host, whose packets pass by default.
        let lan = name("lan");
        let own = place(&host, &lan).gateway().into();
        let traced = trace(None, own, SocketAddr::new(web.v6, 1), tcp).unwrap();
        assert_eq!((traced.stopped_by(), traced.answer), (None, Answer::Refused));
        assert_eq!(run("nft", &["list", "tables"]), tables, "nothing is left behind");
    });
}
