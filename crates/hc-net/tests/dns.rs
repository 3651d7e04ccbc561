//! The name server, asked over real sockets in network namespaces of their own.
#![allow(clippy::disallowed_methods)]

mod common;

use common::{Netns, block_on, host, name, on_a_host, place};
use hc_net::blocking::ensure_networks;
use hc_net::dns::{MachineNames, Names, Server, State};
use hc_net::links::attach;
use hc_spec::HostSpec;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::process::Command;
use std::sync::mpsc;
use std::time::Duration;
use tokio::net::UdpSocket;

fn names(host: &HostSpec, ready: bool) -> Names {
    let networks: BTreeSet<_> = host.networks.keys().cloned().collect();
    let state = if ready { State::Ready } else { State::Down };
    let networks_of = [name("lan")].into();
    let machine = MachineNames { networks: networks_of, state, ..MachineNames::default() };
    Names {
        cloud: host.cloud.clone(),
        host: host.host.clone(),
        networks,
        machines: [(name("web"), machine)].into(),
        allow: Vec::new(),
        far_allow: Vec::new(),
        peers: Default::default(),
    }
}

/// Runs a server in a thread of its own, in the network namespace of the caller.
struct Running {
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    commands: tokio::sync::mpsc::UnboundedSender<Names>,
    done: mpsc::Receiver<()>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Running {
    fn new(names: Names, upstreams: Vec<SocketAddr>, listen: &[&str]) -> Self {
        let listen: BTreeSet<SocketAddr> = listen.iter().map(|a| a.parse().unwrap()).collect();
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let (commands, mut replace) = tokio::sync::mpsc::unbounded_channel();
        let (ready, done) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            block_on(async {
                let mut server = Server::new(&names, &upstreams).unwrap();
                server.listen(&listen).await.unwrap();
                ready.send(()).unwrap();
                let follow = async {
                    while let Some(names) = replace.recv().await {
                        server.set_names(&names).unwrap();
                        ready.send(()).unwrap();
                    }
                };
                tokio::select! { _ = stopped => {}, () = follow => {} }
                server.stop().await;
            });
        });
        done.recv().unwrap();
        Self { stop: Some(stop), commands, done, thread: Some(thread) }
    }

    fn set(&self, names: Names) {
        self.commands.send(names).unwrap();
        self.done.recv().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.stop.take());
        let ended = self.thread.take().unwrap().join();
        assert!(ended.is_ok() || std::thread::panicking());
    }
}

fn dig(args: &[&str]) -> String {
    let mut all = vec!["+tries=1", "+time=10", "+nocookie"];
    all.extend(args);
    let output = Command::new("dig").args(all).output().expect("dig (package dnsutils)");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Status, flags and records without what differs from run to run.
fn short(args: &[&str]) -> String {
    let text = dig(args);
    let status = text.split("status: ").nth(1).and_then(|t| t.split(',').next()).unwrap_or("none");
    let flags = text.split("flags: ").nth(1).and_then(|t| t.split(';').next()).unwrap_or("");
    let records = text.lines().filter(|l| !l.starts_with(';') && !l.trim().is_empty());
    let records: Vec<String> =
        records.map(|l| l.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    format!("{status} [{flags}] {}", records.join(" | "))
}

#[test]
fn answers_dig() {
    on_a_host(|| {
        let host = host(&["lan"]);
        let running = Running::new(names(&host, true), Vec::new(), &["127.0.0.1:53", "[::1]:53"]);
        let (lan, web) = (name("lan"), name("web"));
        let back = place(&host, &lan).v6(&web).to_string();
        let answers = [
            short(&["@127.0.0.1", "web.lan.den.demo.internal", "AAAA"]),
            short(&["@::1", "+tcp", "web.lan.den.demo.internal", "A"]),
            short(&["@127.0.0.1", "-x", &back]),
            short(&["@127.0.0.1", "web.lan.den.demo.internal", "MX"]),
            short(&["@127.0.0.1", "db.lan.den.demo.internal", "A"]),
            short(&["@127.0.0.1", "+noedns", "demo.internal", "SOA"]),
            short(&["@127.0.0.1", "+edns=1", "+noednsneg", "demo.internal", "SOA"]),
            short(&["@127.0.0.1", "example.com", "A"]),
            short(&["@127.0.0.1", "+norecurse", "example.com", "A"]),
            short(&["@127.0.0.1", "CH", "version.bind", "TXT"]),
            short(&["@127.0.0.1", "+opcode=status", "demo.internal", "A"]),
        ];
        insta::assert_debug_snapshot!(answers, @r#"
        [
            "NOERROR [qr aa rd ra] web.lan.den.demo.internal. 1 IN AAAA fd38:65a6:581d:88b9:1587:1d5f:f840:1df6",
            "NOERROR [qr aa rd ra] web.lan.den.demo.internal. 1 IN A 100.123.81.254",
            "NOERROR [qr aa rd ra] 6.f.d.1.0.4.8.f.f.5.d.1.7.8.5.1.9.b.8.8.d.1.8.5.6.a.5.6.8.3.d.f.ip6.arpa. 1 IN PTR web.lan.den.demo.internal.",
            "NOERROR [qr aa rd ra] demo.internal. 1 IN SOA den.demo.internal. hostmaster.demo.internal. 1 5 5 5 1",
            "NXDOMAIN [qr aa rd ra] demo.internal. 1 IN SOA den.demo.internal. hostmaster.demo.internal. 1 5 5 5 1",
            "NOERROR [qr aa rd ra] demo.internal. 5 IN SOA den.demo.internal. hostmaster.demo.internal. 1 5 5 5 1",
            "BADVERS [qr rd ra] ",
            "SERVFAIL [qr rd ra] ",
            "REFUSED [qr ra] ",
            "REFUSED [qr rd ra] ",
            "NOTIMP [qr rd ra] ",
        ]
        "#);
        // Readiness is followed at once.
        running.set(names(&host, false));
        let hidden = short(&["@127.0.0.1", "web.lan.den.demo.internal", "AAAA"]);
        assert!(hidden.starts_with("NOERROR [qr aa rd ra] demo.internal. 1 IN SOA"), "{hidden}");
        running.set(names(&host, true));
        assert!(
            dig(&["@127.0.0.1", "+short", "web.lan.den.demo.internal", "AAAA"]).contains(&back)
        );
    });
}

#[test]
fn other_names_are_forwarded_and_kept() {
    on_a_host(|| {
        let mut upstream = host(&["lan"]);
        upstream.cloud = name("elsewhere");
        let elsewhere = Running::new(names(&upstream, true), Vec::new(), &["127.0.0.2:5300"]);
        let own = host(&["lan"]);
        let running = Running::new(
            names(&own, true),
            vec!["127.0.0.2:5300".parse().unwrap()],
            &["127.0.0.1:53"],
        );
        let ask = |name: &str, kind: &str| short(&["@127.0.0.1", name, kind]);
        let (lan, web) = (name("lan"), name("web"));
        let address = place(&upstream, &lan).v6(&web).to_string();
        let answer = ask("web.lan.den.elsewhere.internal", "AAAA");
        assert!(answer.starts_with("NOERROR [qr rd ra]") && answer.contains(&address), "{answer}");
        let answer = ask("db.lan.den.elsewhere.internal", "AAAA");
        assert!(answer.starts_with("NXDOMAIN [qr rd ra] elsewhere.internal."), "{answer}");
        let answer = ask("lan.den.elsewhere.internal", "AAAA");
        assert!(answer.starts_with("NOERROR [qr rd ra] elsewhere.internal."), "{answer}");
        let answer = ask("example.com", "A");
        assert!(answer.starts_with("REFUSED") || answer.starts_with("SERVFAIL"), "{answer}");
        // Without the upstream: what was asked before is still known, the rest fails politely.
        drop(elsewhere);
        assert!(ask("web.lan.den.elsewhere.internal", "AAAA").contains(&address));
        assert!(ask("den.elsewhere.internal", "AAAA").starts_with("SERVFAIL"));
        drop(running);
    });
}

#[test]
fn machines_ask_their_gateway() {
    on_a_host(|| {
        let host = host(&["lan"]);
        ensure_networks(&host).unwrap();
        let (lan, web) = (name("lan"), name("web"));
        let place = place(&host, &lan);
        let (v6, v4) = (place.gateway().to_string(), place.gateway_v4().to_string());
        // Before any machine is there: the bridge has no carrier yet.
        let listen = [format!("[{v6}]:53"), format!("{v4}:53")];
        let _running = Running::new(names(&host, true), Vec::new(), &[&listen[0], &listen[1]]);
        let netns = Netns::new();
        attach(netns.0.as_fd(), &place, &web, 0).unwrap();
        let address = place.v6(&web).to_string();
        for args in
            [vec![format!("@{v6}")], vec![format!("@{v4}")], vec![format!("@{v6}"), "+tcp".into()]]
        {
            let mut all = vec!["+short", "web.lan.den.demo.internal", "AAAA"];
            all.extend(args.iter().map(String::as_str));
            assert_eq!(netns.run(|| dig(&all)).trim(), address, "{args:?}");
        }
    });
}

#[test]
fn strangers_are_refused() {
    on_a_host(|| {
        common::run("ip", &["addr", "add", "192.0.2.1/32", "dev", "lo"]);
        let host = host(&["lan"]);
        let _running = Running::new(names(&host, true), Vec::new(), &["192.0.2.1:53"]);
        let answer = short(&["-b", "192.0.2.1", "@192.0.2.1", "web.lan.den.demo.internal", "A"]);
        assert!(answer.starts_with("REFUSED"), "{answer}");
    });
}

/// A question in wire format.
fn question(id: u16, name: &str, kind: u16) -> Vec<u8> {
    let mut out = id.to_be_bytes().to_vec();
    out.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.') {
        out.push(u8::try_from(label.len()).unwrap());
        out.extend(label.as_bytes());
    }
    out.push(0);
    out.extend(kind.to_be_bytes());
    out.extend([0, 1]);
    out
}

async fn ask(server: SocketAddr, packet: &[u8], expect: bool) -> Option<Vec<u8>> {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.send_to(packet, server).await.unwrap();
    if !expect {
        return None;
    }
    let mut buffer = vec![0; 4096];
    let received = tokio::time::timeout(Duration::from_secs(5), socket.recv(&mut buffer)).await;
    buffer.truncate(received.expect("an answer").unwrap());
    Some(buffer)
}

#[test]
fn rubbish_does_not_stop_it() {
    on_a_host(|| {
        let server: SocketAddr = "127.0.0.1:53".parse().unwrap();
        let host = host(&["lan"]);
        let _running = Running::new(names(&host, true), Vec::new(), &["127.0.0.1:53"]);
        let good = question(7, "web.lan.den.demo.internal", 28);
        let strategy = prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..600),
            // A question with some bytes changed, or cut.
            (
                proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
                0..64usize
            )
                .prop_map(|(changes, cut)| {
                    let mut packet = question(9, "web.lan.den.demo.internal", 28);
                    for (index, byte) in changes {
                        let at = index.index(packet.len());
                        packet[at] = byte;
                    }
                    packet.truncate(packet.len().saturating_sub(cut));
                    packet
                }),
        ];
        let config =
            ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) };
        let mut runner = proptest::test_runner::TestRunner::new(config);
        runner
            .run(&strategy, |packet| {
                block_on(async {
                    ask(server, &packet, false).await;
                    let answer = ask(server, &good, true).await.unwrap();
                    prop_assert_eq!(&answer[..2], &[0u8, 7][..]);
                    prop_assert_eq!(answer[3] & 15, 0);
                    prop_assert_eq!(answer[7], 1);
                    Ok(())
                })
            })
            .unwrap();
        // Over TCP: a length that lies, and nothing after it.
        use std::io::Write;
        let mut stream = std::net::TcpStream::connect(server).unwrap();
        stream.write_all(&[0xff, 0xff, 1, 2, 3]).unwrap();
        drop(stream);
        let answer = dig(&["@127.0.0.1", "+tcp", "+short", "web.lan.den.demo.internal", "AAAA"]);
        assert!(answer.trim().parse::<IpAddr>().is_ok());
    });
}

#[test]
fn a_question_about_a_machine_that_starts_waits_for_it() {
    on_a_host(|| {
        let host = host(&["lan"]);
        let starting = || {
            let mut names = names(&host, false);
            names.machines.get_mut(&name("web")).unwrap().state = State::Starting;
            names.machines.get_mut(&name("web")).unwrap().aliases = vec![name("www")];
            names
        };
        let mut ready = starting();
        ready.machines.get_mut(&name("web")).unwrap().state = State::Ready;
        let running = Running::new(starting(), Vec::new(), &["127.0.0.1:53"]);
        let address = place(&host, &name("lan")).v6(&name("web")).to_string();
        for question in ["web.lan.den.demo.internal", "www.lan.den.demo.internal"] {
            running.set(starting());
            for tcp in ["+notcp", "+tcp"] {
                running.set(starting());
                std::thread::scope(|scope| {
                    let asked =
                        scope.spawn(|| dig(&["@127.0.0.1", tcp, "+short", question, "AAAA"]));
                    // Others are answered meanwhile.
                    assert!(
                        short(&["@127.0.0.1", "den.demo.internal", "AAAA"]).contains("NOERROR")
                    );
                    std::thread::sleep(Duration::from_millis(200));
                    assert!(!asked.is_finished(), "it waits");
                    running.set(ready.clone());
                    assert!(asked.join().unwrap().contains(&address));
                });
            }
        }
        // Stopped, it is not there any more from the next question on.
        running.set(names(&host, false));
        let gone = short(&["@127.0.0.1", "web.lan.den.demo.internal", "AAAA"]);
        assert!(gone.starts_with("NOERROR [qr aa rd ra] demo.internal. 1 IN SOA"), "{gone}");
        // And one that never gets there is told before whoever asks gives up.
        running.set(starting());
        let late = short(&["@127.0.0.1", "web.lan.den.demo.internal", "AAAA"]);
        assert!(late.starts_with("NOERROR [qr aa rd ra] demo.internal. 1 IN SOA"), "{late}");
    });
}

#[test]
fn what_is_not_there_is_remembered_for_as_long_as_it_says() {
    on_a_host(|| {
        let mut upstream = host(&["lan"]);
        upstream.cloud = name("elsewhere");
        let elsewhere = Running::new(names(&upstream, false), Vec::new(), &["127.0.0.2:5300"]);
        let _running = Running::new(
            names(&host(&["lan"]), true),
            vec!["127.0.0.2:5300".parse().unwrap()],
            &["127.0.0.1:53"],
        );
        let ask = || short(&["@127.0.0.1", "web.lan.den.elsewhere.internal", "AAAA"]);
        assert!(ask().starts_with("NOERROR [qr rd ra] elsewhere.internal. "), "{}", ask());
        elsewhere.set(names(&upstream, true));
        // A second is what the other one said.
        let there = (0..100).find(|_| {
            std::thread::sleep(Duration::from_millis(50));
            ask().contains("IN AAAA")
        });
        assert!(
            there.is_some_and(|tries| tries > 0),
            "neither forgotten at once nor kept: {there:?}"
        );
        // Its address is kept for a second too, and not longer.
        elsewhere.set(names(&upstream, false));
        let gone = (0..100).find(|_| {
            std::thread::sleep(Duration::from_millis(50));
            !ask().contains("IN AAAA")
        });
        assert!(gone.is_some(), "a stale address");
    });
}
