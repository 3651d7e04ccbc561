//! Machines of one host reach those of another: hosts are network namespaces on one wire.
#![allow(clippy::disallowed_methods)]

mod common;

use common::hosts::{describe, hosts};
use common::{LONG, SHORT, arrives, bound, connects, machine, name, run};
use hc_net::blocking::{ensure_networks, remove_networks};
use hc_spec::{HostSpec, Name};
use std::net::IpAddr;

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
    let listener = db.netns.run(|| bound(|| std::net::TcpListener::bind((db.v6, 7000))));
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

#[test]
fn allowances_reach_from_one_host_to_another_and_no_further() {
    let (_switch, [a, b, _c]) = hosts(false);
    let (web, bat) = (a.machine("lan", "web"), a.machine("lan", "bat"));
    let (db, log) = (b.machine("dmz", "db"), b.machine("dmz", "log"));
    let allow = |texts: &[&str]| {
        for host in [&a, &b] {
            let mut spec = host.spec.clone();
            let overlay = spec.overlay.as_mut().unwrap();
            overlay.allow = texts.iter().map(|text| text.parse().unwrap()).collect();
            host.netns.run(|| ensure_networks(&spec).unwrap());
        }
    };
    assert!(!connects(&web.netns, &db.netns, db.v6, SHORT));
    allow(&["web.lan.a -> db.dmz.b:7000"]);
    assert!(connects(&web.netns, &db.netns, db.v6, LONG));
    for (from, to) in [(&bat, &db), (&web, &log), (&db, &web)] {
        assert!(!connects(&from.netns, &to.netns, to.v6, SHORT));
    }
    // The answer comes back, and nothing else: not another port, nor another protocol.
    assert!(!arrives(&web.netns, web.v6, &db.netns, db.v6, SHORT));
    allow(&["*.lan.a -> log.dmz.b", "log.dmz.b -> *.lan.a"]);
    assert!(connects(&bat.netns, &log.netns, log.v6, LONG));
    assert!(connects(&log.netns, &web.netns, web.v6, LONG));
    assert!(!connects(&web.netns, &db.netns, db.v6, SHORT));
    // What the receiver does not know of does not come in, whoever lets it out.
    allow(&["*.lan.a -> *.dmz.b"]);
    assert!(connects(&web.netns, &db.netns, db.v6, LONG));
    b.netns.run(|| ensure_networks(&b.spec).unwrap());
    assert!(!connects(&web.netns, &db.netns, db.v6, SHORT));
}
