//! Each version of the worker protocol, with the far end of ours and with C++ Nix.
#![allow(missing_docs, clippy::disallowed_methods)]

mod common;

use common::far::{access, listen, lower};
use common::peers::{Peer, RunningDaemon};
use common::{Home, Listener};
use nix_store::copy::{Trust, copy_closure};
use nix_store::remote::{Remote, RemoteOptions};
use nix_store::{BuildMode, DrvOutput};
use std::collections::BTreeSet;
use std::path::Path;

const ANYBODY: Trust = Trust { keys: Vec::new(), required: false };

/// Copies there and back, asks, builds, and hears of it.
fn work(socket: &Path, minor: u8) {
    let (from, back) = (Home::new(), Home::new());
    let options = RemoteOptions { check_signatures: false, jobs: 1, ..RemoteOptions::default() };
    let remote = Remote::open(&format!("unix://{}", socket.display()), &options).unwrap();
    let Remote::Daemon(daemon) = &remote else { panic!("{remote:?}") };
    let told = daemon.ping().unwrap();
    assert_eq!(told.minor, minor);
    assert_eq!(told.trusts_us, (minor >= 35).then_some(true));
    let text = format!("text {minor} {}", socket.display());
    let text =
        from.store.add_text("text", text.as_bytes(), &BTreeSet::from([from.busybox.clone()]));
    let wanted = BTreeSet::from([text.unwrap()]);
    let sent = copy_closure(&from.store, daemon, &wanted, &ANYBODY, &()).unwrap();
    assert_eq!(sent.len(), 2);
    for path in &sent {
        let (here, there) = (from.store.info(path).unwrap(), daemon.info(path).unwrap().unwrap());
        assert_eq!((here.nar_hash, here.references), (there.nar_hash, there.references));
    }
    let came = copy_closure(daemon, &back.store, &wanted, &ANYBODY, &()).unwrap();
    assert_eq!(came.len(), 2);
    back.verify();
    let (drv, _) = from.add(from.script("thing", "echo a line >&2; echo $PATH > $out"));
    let (bad, _) = from.add(from.script("bad", "echo why >&2; exit 3"));
    let both = BTreeSet::from([drv.clone(), bad.clone()]);
    copy_closure(&from.store, daemon, &both, &ANYBODY, &()).unwrap();
    let listener = Listener::default();
    let output = DrvOutput::new(drv.clone(), "out");
    let built = daemon.build(std::slice::from_ref(&output), BuildMode::Normal, &listener).unwrap();
    assert_eq!(listener.lines.lock().unwrap().as_slice(), ["a line"], "{minor}");
    assert!(daemon.is_valid(&built[&output]).unwrap());
    let failed = DrvOutput::new(bad.clone(), "out");
    let error = daemon.build(&[failed], BuildMode::Normal, &listener).unwrap_err().to_string();
    assert!(error.contains(&bad.to_string()) && error.contains("exit code 3"), "{minor}: {error}");
}

#[test]
fn every_version_is_spoken_with_ours() {
    for minor in 34..=38 {
        let home = Home::new();
        let (socket, between) = (home.dir.path().join("socket"), home.dir.path().join("between"));
        listen(&home.store, &socket, access(true));
        lower(&between, socket, minor);
        work(&between, minor);
        home.verify();
    }
}

#[test]
fn every_version_is_spoken_with_nix() {
    if let Some(peer) = Peer::all().into_iter().rfind(|peer| !peer.is_old()) {
        for minor in 34..=38 {
            let dir = tempfile::tempdir().unwrap();
            let running = RunningDaemon::start(peer, dir.path(), &[]);
            let between = dir.path().join("between");
            lower(&between, running.socket.clone(), minor);
            work(&between, minor);
        }
    }
}
