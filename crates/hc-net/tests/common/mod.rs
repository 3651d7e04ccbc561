//! Network namespaces for tests: nothing here touches the one the test was started in.
#![allow(dead_code, clippy::disallowed_methods)]

pub mod hosts;

use hc_net::links::attach;
use hc_spec::addr::Place;
use hc_spec::{HostSpec, Name, NetworkSpec};
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::process::Command;
use std::time::{Duration, Instant};

pub fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

pub fn host(networks: &[&str]) -> HostSpec {
    let mut host = HostSpec::new(name("demo"), name("den"));
    host.networks = networks.iter().map(|n| (name(n), NetworkSpec::default())).collect();
    host
}

pub fn place<'a>(host: &'a HostSpec, network: &'a Name) -> Place<'a> {
    Place { cloud: &host.cloud, host: &host.host, network }
}

fn enter_new() {
    // SAFETY: a network namespace holds no memory and no file descriptors of this process.
    unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNET) }
        .expect("these tests make network namespaces and need root");
}

/// Runs a test as a host of its own: in a thread in a fresh network namespace.
pub fn on_a_host<T: Send>(test: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            enter_new();
            run("ip", &["link", "set", "lo", "up"]);
            test()
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Another network namespace, as a machine has one.
pub struct Netns(pub File);

impl Netns {
    pub fn new() -> Self {
        let opened = std::thread::spawn(|| {
            enter_new();
            File::open("/proc/thread-self/ns/net").unwrap()
        });
        Self(opened.join().unwrap())
    }

    /// The one of the calling thread.
    pub fn current() -> Self {
        Self(File::open("/proc/thread-self/ns/net").unwrap())
    }

    /// Runs something inside.
    pub fn run<T: Send>(&self, f: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                let kind = Some(rustix::thread::LinkNameSpaceType::Network);
                rustix::thread::move_into_link_name_space(self.0.as_fd(), kind).unwrap();
                f()
            });
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

/// Runs a program and returns its output.
pub fn run(program: &str, args: &[&str]) -> String {
    let output =
        Command::new(program).args(args).output().unwrap_or_else(|e| panic!("{program}: {e}"));
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{program} {args:?}: {out}{err}");
    out.into_owned()
}

pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// How long to wait for what should come, and for what should not.
pub const LONG: Duration = Duration::from_secs(10);
pub const SHORT: Duration = Duration::from_millis(300);

/// A machine of a test.
pub struct Machine {
    pub netns: Netns,
    pub v6: IpAddr,
    pub v4: IpAddr,
}

/// Attaches a machine.
pub fn machine(host: &HostSpec, network: &str, machine: &str) -> Machine {
    let (network, machine) = (name(network), name(machine));
    let netns = Netns::new();
    let (attached, _) = attach(netns.0.as_fd(), &place(host, &network), &machine, 0).unwrap();
    assert_eq!(attached.ifname, "eth0");
    Machine { netns, v6: attached.v6.into(), v4: attached.v4.into() }
}

/// What is bound to an address and port of the test's choice. Another test of this process that starts a program
/// at this moment has what was bound there before, for as long as that takes.
pub fn bound<T>(bind: impl Fn() -> std::io::Result<T>) -> T {
    let start = Instant::now();
    loop {
        match bind() {
            Err(error) if error.kind() == ErrorKind::AddrInUse && start.elapsed() < LONG => {
                std::thread::sleep(Duration::from_millis(10));
            }
            bound => return bound.unwrap(),
        }
    }
}

/// Whether `from` can open a connection to `to` and get an echo.
pub fn connects(from: &Netns, to: &Netns, address: IpAddr, wait: Duration) -> bool {
    let listener = to.run(|| bound(|| TcpListener::bind((address, 7000))));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            if let Ok((mut stream, _)) = listener.accept() {
                let mut byte = [0];
                if stream.read_exact(&mut byte).is_ok() {
                    let _ = stream.write_all(&byte);
                }
            }
        });
        let echoed = from.run(|| {
            let mut stream = TcpStream::connect_timeout(&(address, 7000).into(), wait).ok()?;
            stream.write_all(b"x").ok()?;
            let mut byte = [0];
            stream.read_exact(&mut byte).ok()
        });
        // Whoever still waits is let go.
        let _ = to.run(|| {
            run("ip", &["link", "set", "lo", "up"]);
            TcpStream::connect((address, 7000)).map(|mut stream| stream.write_all(b"x"))
        });
        echoed.is_some()
    })
}

/// Whether a datagram arrives that `from` sends under the address `source`.
pub fn arrives(from: &Netns, source: IpAddr, to: &Netns, address: IpAddr, wait: Duration) -> bool {
    let receiver = to.run(|| UdpSocket::bind((address, 0)).unwrap());
    receiver.set_read_timeout(Some(wait)).unwrap();
    let target = receiver.local_addr().unwrap();
    from.run(|| {
        let sender = UdpSocket::bind((source, 0)).unwrap();
        sender.send_to(b"x", target).unwrap();
    });
    receiver.recv(&mut [0]).is_ok()
}
