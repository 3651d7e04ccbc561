//! Networks, machines' links and the packet filter, in network namespaces of their own.
#![allow(clippy::disallowed_methods)]

mod common;

use common::{
    LONG, Netns, SHORT, arrives, bound, connects, host, machine, name, on_a_host, place, run,
};
use hc_net::blocking::{ensure_networks, remove_networks};
use hc_net::firewall::Protection;
use hc_net::links::{attach, detach, dismiss};
use hc_spec::Name;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::time::Duration;

#[test]
fn machines_of_one_network_reach_each_other_and_the_host() {
    on_a_host(|| {
        let host = host(&["lan"]);
        assert_eq!(ensure_networks(&host).unwrap(), Protection::Ports);
        let (web, db) = (machine(&host, "lan", "web"), machine(&host, "lan", "db"));
        assert!(connects(&web.netns, &db.netns, db.v6, LONG));
        assert!(connects(&web.netns, &db.netns, db.v4, LONG));
        // And again over what is there: nothing a machine holds is disturbed.
        ensure_networks(&host).unwrap();
        assert!(connects(&db.netns, &web.netns, web.v6, LONG));
        assert!(connects(&db.netns, &web.netns, web.v4, LONG));
        // From the host to a machine.
        let listener = web.netns.run(|| bound(|| TcpListener::bind((web.v6, 7001))));
        TcpStream::connect_timeout(&(web.v6, 7001).into(), Duration::from_secs(2)).unwrap();
        drop(listener);
        let (lan, routes) = (name("lan"), web.netns.run(|| run("ip", &["-6", "route"])));
        let default = format!("default via {} dev eth0", place(&host, &lan).gateway());
        assert!(routes.contains(&default), "{routes}");
    });
}

#[test]
fn networks_are_kept_apart_and_the_host_is_closed_but_for_names() {
    on_a_host(|| {
        let host = host(&["lan", "dmz"]);
        ensure_networks(&host).unwrap();
        let (web, db) = (machine(&host, "dmz", "web"), machine(&host, "lan", "db"));
        assert!(!connects(&web.netns, &db.netns, db.v6, SHORT));
        assert!(!connects(&web.netns, &db.netns, db.v4, SHORT));
        let (dmz, lan) = (name("dmz"), name("lan"));
        let reach = |port, address: IpAddr| {
            let _listener = bound(|| TcpListener::bind((address, port)));
            web.netns.run(|| {
                let to = SocketAddr::from((address, port));
                TcpStream::connect_timeout(&to, Duration::from_millis(300)).is_ok()
            })
        };
        let (own, other) = (place(&host, &dmz), place(&host, &lan));
        assert!(reach(53, own.gateway().into()));
        assert!(reach(53, own.gateway_v4().into()));
        assert!(!reach(22, own.gateway().into()));
        assert!(!reach(22, own.gateway_v4().into()));
        assert!(!reach(53, other.gateway().into()));
    });
}

#[test]
fn spoofed_sources_are_dropped() {
    on_a_host(|| {
        let host = host(&["lan"]);
        ensure_networks(&host).unwrap();
        let (bad, db) = (machine(&host, "lan", "bad"), machine(&host, "lan", "db"));
        let lan = name("lan");
        let web = place(&host, &lan).v6(&name("web"));
        let web_v4 = place(&host, &lan).v4(&name("web"));
        assert!(arrives(&bad.netns, bad.v6, &db.netns, db.v6, LONG));
        assert!(arrives(&bad.netns, bad.v4, &db.netns, db.v4, LONG));
        bad.netns.run(|| {
            run("ip", &["addr", "add", &format!("{web}/64"), "dev", "eth0", "nodad"]);
            run("ip", &["addr", "add", &format!("{web_v4}/32"), "dev", "eth0"]);
        });
        assert!(!arrives(&bad.netns, web.into(), &db.netns, db.v6, SHORT), "IPv6");
        assert!(!arrives(&bad.netns, web_v4.into(), &db.netns, db.v4, SHORT), "IPv4");
        // Under another MAC address nothing gets out at all.
        bad.netns.run(|| run("ip", &["link", "set", "eth0", "address", "02:00:00:00:00:66"]));
        assert!(!arrives(&bad.netns, bad.v6, &db.netns, db.v6, SHORT), "MAC");
    });
}

#[test]
fn machines_advertise_neither_routes_nor_other_machines() {
    on_a_host(|| {
        let host = host(&["lan"]);
        ensure_networks(&host).unwrap();
        let (bad, db) = (machine(&host, "lan", "bad"), machine(&host, "lan", "db"));
        let icmp = || {
            use rustix::net::{AddressFamily, SocketType, ipproto};
            rustix::net::socket(AddressFamily::INET6, SocketType::RAW, Some(ipproto::ICMPV6))
                .unwrap()
        };
        let receiver = db.netns.run(icmp);
        let IpAddr::V6(to) = db.v6 else { unreachable!() };
        let to = std::net::SocketAddrV6::new(to, 0, 0, 0);
        // The kernel fills in the checksum.
        let heard = |kind: u8, target: std::net::Ipv6Addr, wait: Duration| {
            use rustix::net::sockopt::{Timeout, set_socket_timeout};
            set_socket_timeout(&receiver, Timeout::Recv, Some(wait)).unwrap();
            let packet = [&[kind, 0, 0, 0, 64, 0, 7, 8][..], &target.octets()].concat();
            let sender = bad.netns.run(icmp);
            bad.netns.run(|| {
                rustix::net::sendto(&sender, &packet, rustix::net::SendFlags::empty(), &to).unwrap()
            });
            let mut buffer = [0; 64];
            loop {
                let flags = rustix::net::RecvFlags::empty();
                match rustix::net::recv(&receiver, &mut buffer[..], flags) {
                    Ok((length, _)) if buffer[..length].get(8..24) == packet.get(8..) => {
                        if buffer[0] == kind {
                            return true;
                        }
                    }
                    Ok(_) => {}
                    Err(_) => return false,
                }
            }
        };
        let (IpAddr::V6(own), lan) = (bad.v6, name("lan")) else { unreachable!() };
        let gateway = place(&host, &lan).gateway();
        let (echo, router, redirect, neighbour) = (128, 134, 137, 136);
        assert!(heard(echo, own, LONG));
        assert!(!heard(router, own, SHORT));
        assert!(!heard(redirect, own, SHORT));
        assert!(heard(neighbour, own, LONG));
        assert!(heard(neighbour, "fe80::1".parse().unwrap(), LONG));
        assert!(!heard(neighbour, gateway, SHORT));
    });
}

#[test]
fn machines_reach_the_outside_under_the_hosts_address_and_not_the_other_way() {
    on_a_host(|| {
        let outside = Netns::new();
        let fd = format!(
            "/proc/{}/fd/{}",
            std::process::id(),
            std::os::fd::AsRawFd::as_raw_fd(&outside.0)
        );
        run("ip", &["link", "add", "up0", "type", "veth", "peer", "name", "up1"]);
        run("ip", &["link", "set", "up1", "netns", &fd]);
        for (device, v4, v6) in
            [("up0", "192.0.2.2/24", "2001:db8::2/64"), ("up1", "192.0.2.1/24", "2001:db8::1/64")]
        {
            let set = || {
                run("ip", &["addr", "add", v4, "dev", device]);
                run("ip", &["addr", "add", v6, "dev", device, "nodad"]);
                run("ip", &["link", "set", device, "up"]);
            };
            if device == "up1" { outside.run(set) } else { set() }
        }
        run("ip", &["route", "add", "default", "via", "192.0.2.1"]);
        run("ip", &["-6", "route", "add", "default", "via", "2001:db8::1"]);
        let host = host(&["lan"]);
        ensure_networks(&host).unwrap();
        let web = machine(&host, "lan", "web");
        for (server, seen) in [("192.0.2.1", "192.0.2.2"), ("2001:db8::1", "2001:db8::2")] {
            let (server, seen): (IpAddr, IpAddr) = (server.parse().unwrap(), seen.parse().unwrap());
            let listener = outside.run(|| bound(|| TcpListener::bind((server, 80))));
            let client = web.netns.run(|| {
                TcpStream::connect_timeout(&(server, 80).into(), Duration::from_secs(2)).unwrap()
            });
            assert_eq!(listener.accept().unwrap().1.ip(), seen);
            drop(client);
        }
        outside.run(|| {
            run("ip", &["route", "add", "100.64.0.0/10", "via", "192.0.2.2"]);
            run("ip", &["-6", "route", "add", "fd00::/8", "via", "2001:db8::2"]);
        });
        assert!(!connects(&outside, &web.netns, web.v6, SHORT));
        assert!(!connects(&outside, &web.netns, web.v4, SHORT));
    });
}

/// Everything of a host's network that could leak.
fn traces() -> String {
    [
        run("ip", &["-o", "link"]),
        run("ip", &["-4", "route", "show", "table", "all"]),
        // The bridge's link-local address comes with its first port and stays.
        run("ip", &["-6", "route", "show", "table", "all"])
            .split_inclusive('\n')
            .filter(|line| !line.contains("fe80"))
            .collect(),
        run("ip", &["neigh"]),
        run("nft", &["list", "ruleset"]),
    ]
    .concat()
}

#[test]
fn attaching_and_detaching_leaves_nothing() {
    on_a_host(|| {
        let host = host(&["lan"]);
        ensure_networks(&host).unwrap();
        let (lan, web) = (name("lan"), name("web"));
        let netns = Netns::new();
        let cycle = || {
            attach(netns.0.as_fd(), &place(&host, &lan), &web, 0).unwrap();
            detach(&[(place(&host, &lan), &web)]).unwrap();
        };
        cycle();
        let (before, files) = (stable(), open_files());
        for _ in 0..100 {
            cycle();
        }
        assert_eq!(stable(), before);
        assert_eq!(open_files(), files);
        assert_eq!(netns.run(|| run("ip", &["-o", "link"])).lines().count(), 1, "only lo is left");
        detach(&[(place(&host, &lan), &web)]).unwrap();
        remove_networks(&host.cloud, &host.host, std::slice::from_ref(&lan)).unwrap();
        remove_networks(&host.cloud, &host.host, std::slice::from_ref(&lan)).unwrap();
        assert_eq!(run("nft", &["list", "ruleset"]), "");
        assert_eq!(run("ip", &["-o", "link"]).lines().count(), 1);
    });
}

#[test]
fn a_machine_that_is_dismissed_is_gone_with_its_namespace() {
    on_a_host(|| {
        let host = host(&["lan"]);
        ensure_networks(&host).unwrap();
        let (lan, web) = (name("lan"), name("web"));
        let place = place(&host, &lan);
        let cycle = || {
            let netns = Netns::new();
            attach(netns.0.as_fd(), &place, &web, 0).unwrap();
            let _lingering = dismiss(&[(place, &web)]).unwrap();
            // It is nobody at once, whatever the kernel still has to free.
            let rules = run("nft", &["list", "ruleset"]);
            for trace in [place.link(&web), place.v6(&web).to_string(), place.v4(&web).to_string()]
            {
                assert!(!rules.contains(&trace), "{trace} in {rules}");
            }
            drop(netns);
            while run("ip", &["-o", "link"]).contains(&place.link(&web)) {
                std::thread::sleep(Duration::from_millis(10));
            }
        };
        cycle();
        let before = stable();
        cycle();
        cycle();
        assert_eq!(stable(), before);
    });
}

/// [`traces`] once routes of links that are just going have gone too.
fn stable() -> String {
    let mut last = traces();
    loop {
        std::thread::sleep(Duration::from_millis(50));
        let now = traces();
        if now == last {
            return now;
        }
        last = now;
    }
}

/// Other tests run in the same process; only what belongs to this kind of work is counted.
fn open_files() -> usize {
    let of_kind = |entry: std::io::Result<std::fs::DirEntry>| {
        let target = std::fs::read_link(entry.ok()?.path()).ok()?;
        target.to_string_lossy().starts_with("anon_inode:[pidfd]").then_some(())
    };
    std::fs::read_dir("/proc/thread-self/fd").unwrap().filter_map(of_kind).count()
}

#[test]
fn what_a_dead_supervisor_left_is_replaced() {
    on_a_host(|| {
        let host = host(&["lan"]);
        ensure_networks(&host).unwrap();
        let old = machine(&host, "lan", "web");
        // The old namespace is still held by somebody, with the link in it, which is put aside.
        let new = machine(&host, "lan", "web");
        let db = machine(&host, "lan", "db");
        assert!(connects(&new.netns, &db.netns, db.v6, LONG));
        assert!(!connects(&old.netns, &db.netns, db.v6, SHORT));
        let aside = || run("ip", &["-o", "link"]).contains(": hcx");
        assert!(aside());
        drop(old);
        while aside() {
            std::thread::sleep(Duration::from_millis(10));
        }
        // Twice into the same namespace is the same again.
        let (lan, web) = (name("lan"), name("web"));
        attach(new.netns.0.as_fd(), &place(&host, &lan), &web, 0).unwrap();
        assert!(connects(&db.netns, &new.netns, new.v6, LONG));
        // A namespace that dies takes its link along; attaching at once does not trip over it.
        for _ in 0..10 {
            drop(machine(&host, "lan", "web"));
        }
    });
}

#[test]
fn errors_say_what_and_where() {
    on_a_host(|| {
        let host = host(&["lan"]);
        let (lan, web) = (name("lan"), name("web"));
        let netns = Netns::new();
        let error = attach(netns.0.as_fd(), &place(&host, &lan), &web, 0).unwrap_err();
        assert!(error.to_string().contains("network 'lan' is not set up"), "{error}");
        detach(&[(place(&host, &lan), &web)]).unwrap();
        netns.run(|| run("ip", &["link", "add", "eth0", "type", "bridge"]));
        ensure_networks(&host).unwrap();
        let error = attach(netns.0.as_fd(), &place(&host, &lan), &web, 0).unwrap_err();
        insta::assert_snapshot!(error, @"the network namespace of 'web' already has an interface 'eth0'");
        let dmz = name("dmz");
        let taken = place(&host, &dmz).bridge();
        run("ip", &["link", "add", &taken, "type", "veth", "peer", "name", "other"]);
        let error = ensure_networks(&common::host(&["dmz"])).unwrap_err();
        assert!(error.to_string().contains("is no bridge"), "{error}");
    });
}

#[test]
fn settings_of_a_network_change_under_its_machines() {
    on_a_host(|| {
        let mut host = host(&["lan", "dmz"]);
        ensure_networks(&host).unwrap();
        let (web, lan) = (machine(&host, "lan", "web"), name("lan"));
        host.networks.get_mut(&lan).unwrap().mtu = 1400;
        ensure_networks(&host).unwrap();
        assert!(run("ip", &["link", "show", &place(&host, &lan).bridge()]).contains("mtu 1400"));
        remove_networks(&host.cloud, &host.host, &[name("dmz")]).unwrap();
        let db = machine(&host, "lan", "db");
        assert!(connects(&web.netns, &db.netns, db.v6, LONG), "the filter is still there");
        assert!(run("nft", &["list", "ruleset"]).contains("hc_ports"));
    });
}

#[test]
fn a_machine_in_two_networks_has_two_interfaces() {
    on_a_host(|| {
        let host = host(&["lan", "dmz"]);
        ensure_networks(&host).unwrap();
        let netns = Netns::new();
        let (lan, dmz, web): (Name, Name, Name) = (name("lan"), name("dmz"), name("web"));
        attach(netns.0.as_fd(), &place(&host, &lan), &web, 0).unwrap();
        attach(netns.0.as_fd(), &place(&host, &dmz), &web, 1).unwrap();
        for network in ["lan", "dmz"] {
            let peer = machine(&host, network, "peer");
            assert!(connects(&netns, &peer.netns, peer.v6, LONG), "{network}");
            let address = place(&host, &name(network)).v6(&web).into();
            assert!(connects(&peer.netns, &netns, address, LONG), "{network}");
        }
    });
}

#[test]
fn a_machine_that_stopped_is_attached_again_at_once() {
    on_a_host(|| {
        let host = host(&["lan"]);
        ensure_networks(&host).unwrap();
        let (lan, web, db) = (name("lan"), name("web"), machine(&host, "lan", "db"));
        for _ in 0..10 {
            let machine = machine(&host, "lan", "web");
            assert!(arrives(&machine.netns, machine.v6, &db.netns, db.v6, LONG));
            assert!(arrives(&machine.netns, machine.v4, &db.netns, db.v4, LONG));
        }
        // Nobody detaches it, and its link goes nevertheless.
        while run("ip", &["-o", "link"]).contains(&place(&host, &lan).link(&web)) {
            std::thread::sleep(Duration::from_millis(10));
        }
    });
}

#[test]
fn machines_start_at_the_same_time() {
    on_a_host(|| {
        let host = host(&["lan"]);
        ensure_networks(&host).unwrap();
        let lan = name("lan");
        let names: Vec<Name> = (0..16).map(|i| name(&format!("m{i}"))).collect();
        let this = Netns::current();
        std::thread::scope(|scope| {
            for machine in &names {
                let (host, lan, this) = (&host, &lan, &this);
                scope.spawn(move || {
                    this.run(|| {
                        for _ in 0..3 {
                            let netns = Netns::new();
                            let place = place(host, lan);
                            attach(netns.0.as_fd(), &place, machine, 0).unwrap();
                            ensure_networks(host).unwrap();
                            detach(&[(place, machine)]).unwrap();
                        }
                    });
                });
            }
        });
        let bridges = run("ip", &["-o", "link"]);
        assert_eq!(bridges.lines().count(), 2, "{bridges}");
    });
}

#[test]
#[ignore = "a measurement"]
fn time_to_attach() {
    on_a_host(|| {
        let host = host(&["lan"]);
        ensure_networks(&host).unwrap();
        let (lan, web) = (name("lan"), name("web"));
        let place = place(&host, &lan);
        let mut times: [Vec<Duration>; 3] = Default::default();
        let mut timed = |what: usize, action: &dyn Fn()| {
            let start = std::time::Instant::now();
            action();
            times[what].push(start.elapsed());
        };
        for _ in 0..100 {
            let netns = Netns::new();
            timed(0, &|| drop(attach(netns.0.as_fd(), &place, &web, 0).unwrap()));
            drop(netns);
            let netns = Netns::new();
            timed(1, &|| drop(attach(netns.0.as_fd(), &place, &web, 0).unwrap()));
            timed(2, &|| detach(&[(place, &web)]).unwrap());
        }
        for (what, times) in ["attach", "attach again", "detach"].iter().zip(&mut times) {
            times.sort();
            let at = |percent| times[times.len() * percent / 100];
            println!("{what}: p50 {:?}, p95 {:?}, p99 {:?}", at(50), at(95), at(99));
        }
    });
}

#[test]
fn the_rules_are_written_on_a_host_without_a_list_of_protocols() {
    on_a_host(|| {
        use rustix::mount::{MountPropagationFlags, mount_bind, mount_change};
        // SAFETY: a mount namespace holds no memory and no file descriptors of this process.
        unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNS) }.unwrap();
        let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        mount_change("/", private).unwrap();
        if std::path::Path::new("/etc/protocols").exists() {
            mount_bind("/dev/null", "/etc/protocols").unwrap();
        }
        let mut host = host(&["lan", "dmz"]);
        host.allow.push("web.lan -> *.dmz:53/udp,80".parse().unwrap());
        assert_eq!(ensure_networks(&host).unwrap(), Protection::Ports);
    });
}
