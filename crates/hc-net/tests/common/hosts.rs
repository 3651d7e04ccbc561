//! Hosts of one cloud: network namespaces on one wire.

use super::{Machine, Netns, machine, name, run};
use hc_net::blocking::ensure_networks;
use hc_net::wireguard::{Keyring, Tunnel};
use hc_spec::host::{Overlay, OverlayMode, Peer};
use hc_spec::{HostSpec, NetworkSpec};
use std::net::IpAddr;
use std::os::fd::AsRawFd;

/// Hosts that are to be connected: name, last byte of the address, networks.
pub const HOSTS: [(&str, u8, &[&str]); 3] =
    [("a", 1, &["lan", "dmz"]), ("b", 2, &["lan", "dmz"]), ("c", 3, &["lan"])];

pub fn address(last: u8, v6: bool) -> IpAddr {
    let text = if v6 { format!("2001:db8::{last}") } else { format!("192.0.2.{last}") };
    text.parse().unwrap()
}

/// The keys of a host: in a directory that all tests of a process share, each of which knows all public ones.
pub fn keyring(host: &str) -> Keyring {
    static KEYS: std::sync::OnceLock<std::path::PathBuf> = std::sync::OnceLock::new();
    let dir = KEYS.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap().keep();
        for (host, ..) in HOSTS {
            Keyring::of(&dir.join(host)).own().unwrap();
        }
        // Nobody drops what is static.
        // SAFETY: the function below takes nothing and returns.
        unsafe { libc::atexit(remove_keys) };
        dir
    });
    extern "C" fn remove_keys() {
        if let Some(dir) = KEYS.get() {
            let _ = std::fs::remove_dir_all(dir);
        }
    }
    Keyring::of(&dir.join(host))
}

pub fn describe(own: &str, v6: bool, others: &[&str]) -> HostSpec {
    let mut spec = HostSpec::new(name("demo"), name(own));
    let (_, last, networks) = HOSTS.iter().find(|(host, ..)| *host == own).unwrap();
    spec.networks = networks.iter().map(|n| (name(n), NetworkSpec::default())).collect();
    let peer = |(host, last, networks): &(&str, u8, &[&str])| {
        let networks = networks.iter().map(|n| name(n)).collect();
        let public_key = Some(keyring(host).own().unwrap().public());
        (name(host), Peer { address: address(*last, v6), networks, public_key, ssh: None })
    };
    let peers = HOSTS.iter().filter(|(host, ..)| others.contains(host)).map(peer).collect();
    let mode = OverlayMode::Plain;
    spec.overlay = Some(Overlay { mode, address: address(*last, v6), peers, allow: Vec::new() });
    spec
}

pub struct Host {
    pub netns: Netns,
    pub spec: HostSpec,
    /// With WireGuard.
    pub tunnel: Option<Tunnel>,
}

impl Host {
    pub fn machine(&self, network: &str, name: &str) -> Machine {
        self.netns.run(|| machine(&self.spec, network, name))
    }
}

/// Three hosts on one switch, each knowing the others.
pub fn hosts(v6: bool) -> (Netns, [Host; 3]) {
    connected(v6, OverlayMode::Plain)
}

pub fn connected(v6: bool, mode: OverlayMode) -> (Netns, [Host; 3]) {
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
            // Others are not asked whether they have it: it can be used at once.
            let nodad: &[&str] = if v6 { &["nodad"] } else { &[] };
            run("ip", &[&["addr", "add", &at, "dev", "up0"], nodad].concat());
            run("ip", &["link", "set", "up0", "up"]);
            let tunnel = Tunnel::start(&spec, &keyring(own)).unwrap();
            ensure_networks(&spec).unwrap();
            tunnel
        });
        Host { netns, spec, tunnel }
    });
    (switch, hosts)
}
