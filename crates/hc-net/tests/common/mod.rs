//! Network namespaces for tests: nothing here touches the one the test was started in.
#![allow(dead_code, clippy::disallowed_methods)]

use hc_spec::addr::Place;
use hc_spec::{HostSpec, Name, NetworkSpec};
use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::AsFd;
use std::process::Command;

pub fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

pub fn host(networks: &[&str]) -> HostSpec {
    HostSpec {
        schema: 1,
        cloud: name("demo"),
        host: name("den"),
        networks: networks
            .iter()
            .map(|n| (name(n), NetworkSpec::default()))
            .collect::<BTreeMap<_, _>>(),
    }
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
