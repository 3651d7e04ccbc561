//! Hosts that reach each other over WireGuard.
#![allow(clippy::disallowed_methods)]

mod common;

use common::hosts::{Host, connected, describe, hosts, keyring};
use common::{LONG, Machine, Netns, SHORT, arrives, block_on, connects, name, run};
use hc_net::blocking::ensure_networks;
use hc_net::wireguard::{Keyring, Tunnel};
use hc_spec::host::OverlayMode;

/// Takes the tunnel of a host away, and its device.
fn stop(host: &mut Host) {
    let outlives = host.tunnel.take().is_some_and(|tunnel| tunnel.outlives());
    host.netns.run(|| {
        // It goes with its last descriptor, which a program that another test starts has for a moment.
        let there = || run("ip", &["-o", "link"]).contains("hco0");
        assert!(until(|| there() == outlives));
        block_on(hc_net::links::remove_overlay()).unwrap();
    });
}

/// Whether something becomes true.
fn until(mut it: impl FnMut() -> bool) -> bool {
    let start = std::time::Instant::now();
    while start.elapsed() < LONG {
        if it() {
            return true;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    false
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
    let moved = "192.0.2.22:24790".parse().unwrap();
    let told = until(|| {
        let reports = a.netns.run(|| a.tunnel.as_ref().unwrap().reports().unwrap());
        let b = reports[&name("b")].clone();
        let heard = b.handshake_sec.is_some() && b.received > 0 && b.sent > 0;
        heard && b.endpoint == Some(moved)
    });
    assert!(told, "where it is, and that it is heard");
    // It starts anew: no session is left there, and it says so itself.
    stop(&mut b);
    b.tunnel = b.netns.run(|| {
        let tunnel = Tunnel::start(&b.spec, &keyring("b")).unwrap();
        ensure_networks(&b.spec).unwrap();
        tunnel
    });
    assert!(connects(&web.netns, &db.netns, db.v6, LONG));
    // Somebody at a host's address who has not its key.
    let far = c.machine("lan", "far");
    assert!(connects(&far.netns, &web.netns, web.v6, LONG));
    let dir = tempfile::tempdir().unwrap();
    stop(&mut c);
    c.tunnel = c.netns.run(|| {
        let tunnel = Tunnel::start(&c.spec, &Keyring::of(dir.path())).unwrap();
        ensure_networks(&c.spec).unwrap();
        tunnel
    });
    assert!(!connects(&far.netns, &web.netns, web.v6, SHORT));
    assert!(!connects(&web.netns, &far.netns, far.v6, SHORT));
}

/// Two hosts of whose keys the description says nothing, and what they know of each other.
fn unknown() -> (Netns, [Host; 2], [(Keyring, tempfile::TempDir); 2]) {
    let (switch, [a, b, _c]) = connected(false, OverlayMode::Wireguard);
    let (mut hosts, mut keyrings) = ([a, b], Vec::new());
    for host in &mut hosts {
        let dir = tempfile::tempdir().unwrap();
        let keyring = Keyring::of(dir.path());
        stop(host);
        for peer in host.spec.overlay.as_mut().unwrap().peers.values_mut() {
            peer.public_key = None;
        }
        host.tunnel = host.netns.run(|| {
            let tunnel = Tunnel::start(&host.spec, &keyring).unwrap();
            ensure_networks(&host.spec).unwrap();
            tunnel
        });
        keyrings.push((keyring, dir));
    }
    (switch, hosts, keyrings.try_into().unwrap_or_else(|_| unreachable!()))
}

/// As a deploy of `from` does it.
fn exchange(from: (&str, &Keyring), to: (&str, &Keyring)) {
    let offer = from.1.offer(&name("demo"), &name(from.0), &name(to.0)).unwrap();
    let answer = to.1.accept(&offer, || false).unwrap();
    from.1.conclude(&offer, &answer, || false).unwrap();
}

#[test]
fn keys_that_are_exchanged_are_used_at_once() {
    let (_switch, [a, b], [(at_a, dir), (at_b, _dir)]) = unknown();
    let (web, db) = (a.machine("lan", "web"), b.machine("lan", "db"));
    assert!(!arrives(&web.netns, web.v6, &db.netns, db.v6, SHORT), "nobody knows anybody");
    exchange(("a", &at_a), ("b", &at_b));
    assert!(connects(&web.netns, &db.netns, db.v6, LONG));
    // The secret of the two is needed: without it the key alone does not do.
    let path = dir.path().join("overlay.json");
    let known = std::fs::read_to_string(&path).unwrap();
    let secret = &at_a.known().unwrap().hosts[&name("b")].preshared_key;
    let other = at_a.own().unwrap().public();
    std::fs::write(&path, known.replace(secret, &other)).unwrap();
    std::thread::sleep(LONG / 10);
    assert!(!arrives(&web.netns, web.v6, &db.netns, db.v6, SHORT));
    std::fs::write(&path, known).unwrap();
    assert!(connects(&db.netns, &web.netns, web.v6, LONG));
    // A key in the description is the only one that is taken.
    let mut pinned = a.spec.clone();
    let peer = pinned.overlay.as_mut().unwrap().peers.get_mut(&name("b")).unwrap();
    peer.public_key = Some(at_a.own().unwrap().public());
    assert!(a.tunnel.as_ref().unwrap().update(&pinned, &at_a));
    std::thread::sleep(LONG / 10);
    assert!(!arrives(&web.netns, web.v6, &db.netns, db.v6, SHORT));
}

#[test]
fn a_host_that_left_the_cloud_is_not_heard_and_others_do_not_notice() {
    let (_switch, [a, b, c]) = connected(false, OverlayMode::Wireguard);
    let (web, db, far) = (a.machine("lan", "web"), b.machine("lan", "db"), c.machine("lan", "far"));
    assert!(connects(&db.netns, &web.netns, web.v6, LONG));
    assert!(connects(&far.netns, &web.netns, web.v6, LONG));
    let mut without = describe("a", false, &["c"]);
    without.overlay.as_mut().unwrap().mode = OverlayMode::Wireguard;
    assert!(a.tunnel.as_ref().unwrap().update(&without, &keyring("a")));
    // The rules are as they were: it is the tunnel that does not take its packets any more.
    std::thread::sleep(LONG / 10);
    assert!(!arrives(&db.netns, db.v6, &web.netns, web.v6, SHORT));
    assert!(arrives(&far.netns, far.v6, &web.netns, web.v6, LONG), "the other one stays");
    a.netns.run(|| ensure_networks(&without).unwrap());
    let routes = a.netns.run(|| run("ip", &["-6", "route"]));
    assert_eq!(routes.matches("/48").count(), 1, "{routes}");
}

#[test]
fn a_host_whose_silence_was_longer_than_wireguard_waits_comes_back_within_five_seconds() {
    let (switch, [a, mut b, _c]) = connected(false, OverlayMode::Wireguard);
    let (web, db) = (a.machine("lan", "web"), b.machine("lan", "db"));
    assert!(connects(&web.netns, &db.netns, db.v6, LONG));
    // It starts while the wire is cut: what it says at first is lost.
    switch.run(|| run("ip", &["link", "set", "to-b", "down"]));
    stop(&mut b);
    b.tunnel = b.netns.run(|| {
        let tunnel = Tunnel::start(&b.spec, &keyring("b")).unwrap();
        ensure_networks(&b.spec).unwrap();
        tunnel
    });
    std::thread::sleep(LONG / 4);
    switch.run(|| run("ip", &["link", "set", "to-b", "up"]));
    assert!(connects(&web.netns, &db.netns, db.v6, LONG / 2));
}
