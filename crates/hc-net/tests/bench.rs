//! Measurements for `checks/bench/network.sh` and `checks/nightly/dns-garbage`: what `HC_BENCH` names is
//! done, and a figure is printed on each line, behind its name.
#![allow(clippy::disallowed_methods)]

mod common;

use common::hosts::connected;
use common::{Machine, Netns, block_on, host, machine, name, on_a_host, place, run};
use hc_net::blocking::{ensure_networks, remove_networks};
use hc_net::dns::{MachineNames, Names, Server, State};
use hc_net::links::attach;
use hc_spec::host::OverlayMode;
use hc_spec::{HostSpec, Name};
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc;
use std::time::{Duration, Instant};

#[test]
#[ignore = "measurements"]
fn measure() {
    let words = std::env::var("HC_BENCH").expect("HC_BENCH says what to measure");
    let words: Vec<&str> = words.split(' ').collect();
    let number = |at: usize| words.get(at).and_then(|word| word.parse().ok()).unwrap_or(1);
    match words[0] {
        "spawn" => on_a_host(|| spawn(number(1), number(2))),
        "swap" => on_a_host(|| swap(number(1), number(2))),
        "throughput" => throughput(Duration::from_secs(number(1) as u64)),
        "dns" => on_a_host(|| dns(number(1), Duration::from_secs(number(2) as u64))),
        "garbage" => on_a_host(|| garbage(Duration::from_secs(number(1) as u64))),
        other => panic!("there is no measurement '{other}'"),
    }
}

fn print(what: &str, time: Duration) {
    println!("{what} {:.4}", time.as_secs_f64() * 1000.0);
}

fn machines(count: usize) -> Vec<Name> {
    (0..count).map(|i| name(&format!("m{i}"))).collect()
}

fn names(host: &HostSpec, machines: &[Name], state: State) -> Names {
    let about =
        || MachineNames { networks: [name("lan")].into(), state, ..MachineNames::default() };
    Names {
        cloud: host.cloud.clone(),
        host: host.host.clone(),
        networks: host.networks.keys().cloned().collect(),
        machines: machines.iter().map(|machine| (machine.clone(), about())).collect(),
        allow: host.allow.clone(),
        far_allow: Vec::new(),
        peers: Default::default(),
    }
}

/// A server in a thread of the host; what a machine is doing is sent to it, and it says when that is in effect.
struct Running(tokio::sync::mpsc::UnboundedSender<(Name, State)>, mpsc::Receiver<()>);

impl Running {
    fn new(names: Names, listen: SocketAddr) -> Self {
        let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel::<(Name, State)>();
        let (done, end) = mpsc::channel();
        std::thread::spawn(move || {
            block_on(async {
                let mut server = Server::new(&names, &[]).unwrap();
                server.listen(&[listen].into()).await.unwrap();
                done.send(()).unwrap();
                while let Some((machine, state)) = receiver.recv().await {
                    assert!(server.set_states(&[(&machine, state)]));
                    done.send(()).unwrap();
                }
                server.stop().await;
            });
        });
        end.recv().unwrap();
        Self(sender, end)
    }

    fn set(&self, machine: &Name, state: State) {
        self.0.send((machine.clone(), state)).unwrap();
        self.1.recv().unwrap();
    }
}

/// A question of type AAAA.
fn question(id: u16, name: &str) -> Vec<u8> {
    let mut packet = [&id.to_be_bytes()[..], &[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]].concat();
    for label in name.split('.') {
        packet.push(u8::try_from(label.len()).unwrap());
        packet.extend_from_slice(label.as_bytes());
    }
    packet.extend_from_slice(&[0, 0, 28, 0, 1]);
    packet
}

/// Links, addresses, rules and names of one machine more, where there are some already.
fn spawn(existing: usize, runs: usize) {
    let host = host(&["lan"]);
    ensure_networks(&host).unwrap();
    let lan = name("lan");
    let place = place(&host, &lan);
    let mut all = machines(existing);
    let _there: Vec<Machine> = all.iter().map(|m| machine(&host, "lan", m.as_str())).collect();
    let web = name("web");
    all.push(web.clone());
    let mut starting = names(&host, &all, State::Ready);
    starting.machines.get_mut(&web).unwrap().state = State::Starting;
    let server = SocketAddr::from(([127, 0, 0, 1], 53));
    let running = Running::new(starting, server);
    let asker = UdpSocket::bind("127.0.0.1:0").unwrap();
    asker.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    asker.connect(server).unwrap();
    for run in 0..runs {
        let netns = Netns::new();
        let start = Instant::now();
        attach(netns.0.as_fd(), &place, &web, 0).unwrap();
        print("attach", start.elapsed());
        running.set(&web, State::Ready);
        print("network", start.elapsed());
        asker.send(&question(run as u16, "web.lan.den.demo.internal")).unwrap();
        let mut answer = [0; 512];
        let length = asker.recv(&mut answer).unwrap();
        assert!(length > 12 && answer[7] == 1, "no address");
        print("answer", start.elapsed());
        hc_net::links::retire(&[(place, &web)]).unwrap();
        running.set(&web, State::Starting);
        drop(netns);
        // Until the kernel has taken its links away: while it does, nobody makes any.
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// One allowance changed of as many as there are machines, and all rules anew.
fn swap(existing: usize, runs: usize) {
    let mut host = host(&["lan", "dmz"]);
    ensure_networks(&host).unwrap();
    let all = machines(existing);
    let _there: Vec<Machine> = all.iter().map(|m| machine(&host, "lan", m.as_str())).collect();
    for (i, machine) in all.iter().enumerate() {
        host.allow.push(format!("{machine}.lan -> *.dmz:{}", 1000 + i).parse().unwrap());
    }
    ensure_networks(&host).unwrap();
    for run in 0..runs {
        host.allow[0] = format!("m0.lan -> *.dmz:{}", 100 + run).parse().unwrap();
        let start = Instant::now();
        ensure_networks(&host).unwrap();
        print("change", start.elapsed());
        // A rule that somebody else puts there is not hc's: all are written.
        crate::run("nft", &["add", "rule", "inet", "hc", "hc_output", "counter"]);
        let start = Instant::now();
        ensure_networks(&host).unwrap();
        print("swap", start.elapsed());
    }
    remove_networks(&host.cloud, &host.host, &[name("lan"), name("dmz")]).unwrap();
}

/// What one TCP connection carries in that time: over two ends of a pair, over the bridge of a network,
/// and to another host.
fn throughput(length: Duration) {
    let (one, other) = (Netns::new(), Netns::new());
    let fd = format!("/proc/{}/fd/{}", std::process::id(), other.0.as_raw_fd());
    let up = |address: &str| {
        run("ip", &["addr", "add", address, "dev", "pair0", "nodad"]);
        run("ip", &["link", "set", "pair0", "up"]);
    };
    one.run(|| {
        let peer = ["type", "veth", "peer", "name", "pair0", "netns", &fd];
        run("ip", &[&["link", "add", "pair0"][..], &peer].concat());
        up("fd00::1/64");
    });
    other.run(|| up("fd00::2/64"));
    carried("veth", &one, &other, "fd00::2".parse().unwrap(), length);
    on_a_host(|| {
        let host = host(&["lan"]);
        ensure_networks(&host).unwrap();
        let (one, other) = (machine(&host, "lan", "one"), machine(&host, "lan", "other"));
        carried("bridge", &one.netns, &other.netns, other.v6, length);
    });
    for (what, mode) in [("plain", OverlayMode::Plain), ("wireguard", OverlayMode::Wireguard)] {
        let (_switch, [a, b, _c]) = connected(true, mode);
        let (one, other) = (a.machine("lan", "one"), b.machine("lan", "other"));
        carried(what, &one.netns, &other.netns, other.v6, length);
    }
}

fn carried(what: &str, from: &Netns, to: &Netns, address: IpAddr, length: Duration) {
    let listener = to.run(|| TcpListener::bind((address, 7000)).unwrap());
    let receive = || {
        let (mut stream, _) = listener.accept().unwrap();
        let (mut buffer, mut bytes, start) = (vec![0; 1 << 18], 0_u64, Instant::now());
        loop {
            match stream.read(&mut buffer).unwrap() {
                0 => return bytes as f64 * 8.0 / start.elapsed().as_secs_f64() / 1e9,
                read => bytes += read as u64,
            }
        }
    };
    std::thread::scope(|scope| {
        let received = scope.spawn(receive);
        from.run(|| {
            let mut stream = TcpStream::connect((address, 7000)).unwrap();
            let (buffer, start) = (vec![0; 1 << 18], Instant::now());
            while start.elapsed() < length {
                stream.write_all(&buffer).unwrap();
            }
        });
        println!("{what} {:.3}", received.join().unwrap());
    });
}

/// Asks as fast as answers come, with 64 questions on their way: how many, and how long each took.
fn load(server: SocketAddr, all: &[String], length: Duration) -> (usize, Vec<Duration>) {
    let socket = UdpSocket::bind((server.ip(), 0)).unwrap();
    socket.connect(server).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let mut sent = vec![None; 1 << 16];
    let (mut next, mut open, mut times) = (0_u16, 0, Vec::new());
    let (start, mut buffer) = (Instant::now(), [0; 1500]);
    while start.elapsed() < length {
        while open < 64 {
            let name = &all[usize::from(next) % all.len()];
            socket.send(&question(next, name)).unwrap();
            sent[usize::from(next)] = Some(Instant::now());
            (next, open) = (next.wrapping_add(1), open + 1);
        }
        match socket.recv(&mut buffer) {
            Ok(length) if length > 12 => {
                let id = u16::from_be_bytes([buffer[0], buffer[1]]);
                if let Some(at) = sent[usize::from(id)].take() {
                    assert_eq!(buffer[7], 1, "an answer has an address");
                    times.push(at.elapsed());
                    open -= 1;
                }
            }
            // Lost ones are not waited for any longer.
            _ => open = 0,
        }
    }
    (times.len(), times)
}

fn told(who: &str, length: Duration, (count, mut times): (usize, Vec<Duration>)) {
    times.sort();
    println!("{who}-qps {:.0}", count as f64 / length.as_secs_f64());
    print(&format!("{who}-p50"), times[times.len() / 2]);
    print(&format!("{who}-p99"), times[times.len() * 99 / 100]);
}

/// The name server beside dnsmasq with the same names, under the same load.
fn dns(count: usize, length: Duration) {
    let host = host(&["lan"]);
    let all = machines(count);
    let lan = name("lan");
    let asked: Vec<String> = all.iter().map(|m| format!("{m}.lan.den.demo.internal")).collect();
    let server = SocketAddr::from(([127, 0, 0, 1], 53));
    let _running = Running::new(names(&host, &all, State::Ready), server);
    told("hc", length, load(server, &asked, length));
    let dir = tempfile::tempdir().unwrap();
    let hosts = dir.path().join("hosts");
    let line =
        |(machine, name): (&Name, &String)| format!("{} {name}\n", place(&host, &lan).v6(machine));
    std::fs::write(&hosts, all.iter().zip(&asked).map(line).collect::<String>()).unwrap();
    let child = std::process::Command::new("dnsmasq")
        .args([
            "--keep-in-foreground",
            "--no-resolv",
            "--no-hosts",
            "--conf-file=/dev/null",
            "--user=root",
        ])
        .args(["--listen-address=127.0.0.2", "--bind-interfaces", "--pid-file="])
        .arg(format!("--addn-hosts={}", hosts.display()))
        .spawn();
    let Ok(mut child) = child else {
        println!("dnsmasq is not installed");
        return;
    };
    let peer = SocketAddr::from(([127, 0, 0, 2], 53));
    let up = (0..100).any(|_| {
        std::thread::sleep(Duration::from_millis(50));
        let asker = UdpSocket::bind("127.0.0.2:0").unwrap();
        asker.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        asker.send_to(&question(1, &asked[0]), peer).unwrap();
        asker.recv(&mut [0; 512]).is_ok()
    });
    assert!(up, "dnsmasq does not answer");
    told("dnsmasq", length, load(peer, &asked, length));
    child.kill().unwrap();
    child.wait().unwrap();
}

/// One machine sends ten thousand datagrams of garbage a second, another asks a hundred times a
/// second: how many of its questions are lost, in percent.
fn garbage(length: Duration) {
    let host = host(&["lan"]);
    ensure_networks(&host).unwrap();
    let (bad, good) = (machine(&host, "lan", "bad"), machine(&host, "lan", "good"));
    let all = [name("bad"), name("good")];
    let lan = name("lan");
    let server = SocketAddr::new(IpAddr::from(place(&host, &lan).gateway()), 53);
    let _running = Running::new(names(&host, &all, State::Ready), server);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let attack = scope.spawn(|| {
            bad.netns.run(|| {
                let socket = UdpSocket::bind("[::]:0").unwrap();
                // Xorshift: what is random here need only be different each time.
                let (mut state, mut sent) = (0x2545_f491_4f6c_dd1d_u64, 0_u64);
                let start = Instant::now();
                while !stop.load(Relaxed) {
                    let mut packet = question(sent as u16, "good.lan.den.demo.internal");
                    for _ in 0..sent % 8 {
                        state ^= state << 13;
                        state ^= state >> 7;
                        state ^= state << 17;
                        let at = (state >> 8) as usize % packet.len();
                        packet[at] = state as u8;
                    }
                    let _ = socket.send_to(&packet, server);
                    sent += 1;
                    let due = start + Duration::from_micros(100 * sent);
                    if let Some(wait) = due.checked_duration_since(Instant::now()) {
                        std::thread::sleep(wait);
                    }
                }
                sent as f64 / start.elapsed().as_secs_f64()
            })
        });
        let (mut asked, mut lost) = (0, 0);
        good.netns.run(|| {
            let socket = UdpSocket::bind("[::]:0").unwrap();
            socket.connect(server).unwrap();
            socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
            let start = Instant::now();
            while start.elapsed() < length {
                socket.send(&question(asked as u16, "good.lan.den.demo.internal")).unwrap();
                asked += 1;
                lost += u32::from(socket.recv(&mut [0; 512]).is_err());
                std::thread::sleep(Duration::from_millis(10));
            }
        });
        stop.store(true, Relaxed);
        println!("garbage-per-second {:.0}", attack.join().unwrap());
        let percent = f64::from(lost) * 100.0 / f64::from(asked);
        println!("asked {asked}\nlost-percent {percent:.3}");
        assert!(percent < 1.0, "{percent} % of {asked} good questions were lost");
    });
}
