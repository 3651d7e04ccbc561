//! Any text as resolv.conf: hc's server comes first, and without hc it is as it was.
#![no_main]

use hc_net::resolv::{Host, upstreams};
use libfuzzer_sys::fuzz_target;
use std::net::{IpAddr, Ipv6Addr};

fuzz_target!(|text: &[u8]| {
    let dir = tempfile::tempdir_in("/dev/shm").expect("a directory in memory");
    let path = dir.path().join("resolv.conf");
    std::fs::write(&path, text).expect("a file in memory");
    let host = Host::File { path: path.clone() };
    let own = IpAddr::V6(Ipv6Addr::LOCALHOST);
    // What an earlier agent left behind is not part of the file.
    let Ok(()) = host.disable() else {
        assert!(str::from_utf8(text).is_err());
        return;
    };
    let before = std::fs::read(&path).ok();
    let others = upstreams(&path, &[own]).expect("it can be read");
    for _ in 0..2 {
        host.enable("web.internal", own).expect("it can be changed");
        assert_eq!(upstreams(&path, &[own]).expect("it can be read"), others);
    }
    host.disable().expect("it can be changed back");
    assert_eq!(std::fs::read(&path).ok(), before);
});
