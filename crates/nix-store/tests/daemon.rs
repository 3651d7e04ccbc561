//! Nix daemons of several releases as stores to copy from and to, to ask and to build with.
#![allow(missing_docs, clippy::disallowed_methods)]

mod common;

use common::peers::{Peer, RunningDaemon};
use common::{Home, Listener};
use nix_store::copy::{Sink, Source, Trust, copy_closure};
use nix_store::remote::{Daemon, Remote, RemoteOptions};
use nix_store::{BuildMode, DrvOutput, Error, IngestMethod, StorePath};
use std::collections::BTreeSet;
use std::path::Path;

const ANYBODY: Trust = Trust { keys: Vec::new(), required: false };

fn open(running: &RunningDaemon, options: &RemoteOptions) -> Daemon {
    match Remote::open(&running.address(), options).unwrap() {
        Remote::Daemon(daemon) => daemon,
        other => panic!("{other:?}"),
    }
}

fn trusting() -> RemoteOptions {
    RemoteOptions { check_signatures: false, jobs: 1, ..RemoteOptions::default() }
}

fn set(path: &StorePath) -> BTreeSet<StorePath> {
    BTreeSet::from([path.clone()])
}

fn archive(from: &dyn Source, path: &StorePath) -> Vec<u8> {
    let mut nar = Vec::new();
    from.nar(path, &mut nar).unwrap();
    nar
}

/// C++ Nix finds nothing wrong in the store of a daemon.
fn verify(dir: &Path) {
    let ran = common::nix_store(&dir.join("root"), &["--verify", "--check-contents"]);
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    let wrong = ["error", "modified", "disappeared", "invalid"];
    assert!(ran.status.success() && !wrong.iter().any(|w| said.contains(w)), "{said}");
}

#[test]
fn paths_go_to_a_daemon_and_come_back() {
    for peer in Peer::all() {
        let (from, to) = (Home::new(), Home::new());
        let dir = tempfile::tempdir().unwrap();
        let running = RunningDaemon::start(peer, dir.path(), &[]);
        let daemon = open(&running, &trusting());
        let told = daemon.ping().unwrap();
        assert!((34..=38).contains(&told.minor), "{told:?}");
        assert_ne!(told.trusts_us, Some(false), "{told:?}");
        let text = from.store.add_text("text", b"x", &set(&from.busybox)).unwrap();
        let sent = copy_closure(&from.store, &daemon, &set(&text), &ANYBODY, &()).unwrap();
        assert_eq!(sent, [from.busybox.clone(), text.clone()], "{peer:?}");
        let sent = copy_closure(&from.store, &daemon, &set(&text), &ANYBODY, &()).unwrap();
        assert!(sent.is_empty());
        assert_eq!(
            daemon.valid_paths().unwrap(),
            BTreeSet::from([text.clone(), from.busybox.clone()])
        );
        assert_eq!(daemon.referrers(&from.busybox).unwrap(), set(&text));
        let (here, there) = (from.store.info(&text).unwrap(), daemon.info(&text).unwrap().unwrap());
        assert_eq!(
            (here.nar_hash, here.references, here.ca),
            (there.nar_hash, there.references, there.ca)
        );
        assert!(daemon.info(&to.busybox).unwrap().is_none());
        assert_eq!(archive(&daemon, &from.busybox), archive(&from.store, &from.busybox));
        let sent = copy_closure(&daemon, &to.store, &set(&text), &ANYBODY, &()).unwrap();
        assert_eq!(sent.len(), 2);
        to.verify();
        verify(dir.path());
    }
}

#[test]
fn what_a_daemon_does_not_like_is_said_and_harms_nothing() {
    for peer in Peer::all() {
        let from = Home::new();
        let dir = tempfile::tempdir().unwrap();
        let running = RunningDaemon::start(peer, dir.path(), &["--option", "trusted-users", ""]);
        let daemon = open(&running, &trusting());
        let text = from.store.add_text("text", b"x", &set(&from.busybox)).unwrap();
        let out = from.build(from.script("thing", "echo $PATH > $out")).unwrap();
        let info = from.store.info(&out).unwrap();
        // References first, and what is not content addressed needs a signature.
        let error = daemon.add(&info, &mut archive(&from.store, &out).as_slice()).unwrap_err();
        let said = error.to_string();
        assert!(said.contains("signature") && said.starts_with("unix://"), "{peer:?}: {said}");
        // The connection is still good.
        assert!(!daemon.is_valid(&out).unwrap());
        let told = daemon.ping().unwrap();
        assert!(matches!(told.trusts_us, Some(false) | None), "{told:?}");
        copy_closure(&from.store, &daemon, &set(&text), &ANYBODY, &()).unwrap();
        // A large one, of which it reads nothing before it says so.
        let big = from.build(from.script("big", "dd if=/dev/zero of=$out bs=1M count=30")).unwrap();
        let error = copy_closure(&from.store, &daemon, &set(&big), &ANYBODY, &());
        assert!(error.unwrap_err().to_string().contains("signature"), "{peer:?}");
        // An archive that is not the one promised, and one that ends too soon.
        let other = from.store.add_text("other", b"y", &BTreeSet::new()).unwrap();
        let info = from.store.info(&other).unwrap();
        let nar = archive(&from.store, &other);
        let mut wrong = nar.clone();
        let at = wrong.iter().rposition(|byte| *byte == b'y').unwrap();
        wrong[at] = b'z';
        let said = daemon.add(&info, &mut wrong.as_slice()).unwrap_err().to_string();
        assert!(said.contains("hash mismatch"), "{peer:?}: {said}");
        let said = daemon.add(&info, &mut &nar[..nar.len() - 8]).unwrap_err().to_string();
        assert!(said.contains("ends after"), "{peer:?}: {said}");
        let missing = daemon.nar(&other, &mut std::io::sink()).unwrap_err().to_string();
        assert!(missing.contains(&other.to_string()), "{peer:?}: {missing}");
        assert!(!daemon.is_valid(&other).unwrap());
        daemon.add(&info, &mut nar.as_slice()).unwrap();
        drop(daemon);
        drop(running);
        verify(dir.path());
    }
}

#[test]
fn a_daemon_builds_and_its_log_is_heard() {
    for peer in Peer::all() {
        let from = Home::new();
        let dir = tempfile::tempdir().unwrap();
        let running = RunningDaemon::start(peer, dir.path(), &[]);
        let daemon = open(&running, &trusting());
        let script = "echo a line >&2; echo $PATH > $out";
        let (drv, derivation) = from.add(from.script("thing", script));
        let (bad, _) = from.add(from.script("bad", "echo why >&2; exit 3"));
        let both = BTreeSet::from([drv.clone(), bad.clone()]);
        copy_closure(&from.store, &daemon, &both, &ANYBODY, &()).unwrap();
        let listener = Listener::default();
        let output = DrvOutput::new(drv.clone(), "out");
        let built =
            daemon.build(std::slice::from_ref(&output), BuildMode::Normal, &listener).unwrap();
        assert_eq!(listener.lines.lock().unwrap().as_slice(), ["a line"], "{peer:?}");
        let expected = derivation.outputs()["out"].clone();
        assert!(format!("{expected:?}").contains(built[&output].name()));
        assert_eq!(daemon.outputs(&drv).unwrap()["out"].as_ref(), Some(&built[&output]));
        let link = dir.path().join("result");
        std::os::unix::fs::symlink(built[&output].to_string(), &link).unwrap();
        daemon.add_indirect_root(&link).unwrap();
        assert_eq!(
            std::fs::read_dir(dir.path().join("root/nix/var/nix/gcroots/auto")).unwrap().count(),
            1
        );
        let failed = DrvOutput::new(bad.clone(), "out");
        let error = daemon.build(&[failed], BuildMode::Normal, &listener).unwrap_err().to_string();
        assert!(error.contains(&bad.to_string()) && error.contains("exit code 3"), "{error}");
        assert!(!error.contains('\x1b'), "{error:?}");
        verify(dir.path());
    }
}

#[test]
fn a_build_at_a_daemon_can_be_given_up() {
    for peer in Peer::all() {
        let from = Home::new();
        let dir = tempfile::tempdir().unwrap();
        let running = RunningDaemon::start(peer, dir.path(), &[]);
        let daemon = open(&running, &trusting());
        let (drv, _) = from.add(from.script("slow", "echo begun >&2; sleep 1000"));
        copy_closure(&from.store, &daemon, &set(&drv), &ANYBODY, &()).unwrap();
        let listener = Listener { cancel_after_line: Some("begun"), ..Listener::default() };
        let output = DrvOutput::new(drv, "out");
        let error = daemon.build(&[output], BuildMode::Normal, &listener).unwrap_err();
        assert!(matches!(error, Error::Cancelled), "{error}");
        assert!(daemon.ping().is_ok());
    }
}

#[test]
fn texts_and_trees_are_added() {
    for peer in Peer::all() {
        let home = Home::new();
        let dir = tempfile::tempdir().unwrap();
        let running = RunningDaemon::start(peer, dir.path(), &["--option", "trusted-users", ""]);
        let daemon = open(&running, &RemoteOptions::default());
        let none = BTreeSet::new();
        let text = daemon.add_text("hello", b"hello\n", &none).unwrap();
        assert_eq!(text, home.store.add_text("hello", b"hello\n", &none).unwrap());
        let tree = dir.path().join("tree");
        std::fs::create_dir(&tree).unwrap();
        std::fs::write(tree.join("file"), vec![7; 300_000]).unwrap();
        let wanted =
            home.store.add_path("tree", &tree, IngestMethod::Recursive, &set(&text), None).unwrap();
        let nar = archive(&home.store, &wanted);
        let got = daemon.add_archive("tree", &set(&text), &mut nar.as_slice()).unwrap();
        assert_eq!(got, wanted);
        daemon.add_temp_root(&got).unwrap();
        assert!(daemon.add_text("bad name", b"", &none).is_err());
        verify(dir.path());
    }
}

#[test]
fn a_daemon_that_is_not_there_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let address = format!("unix://{}/none", dir.path().display());
    let remote = Remote::open(&address, &RemoteOptions::default()).unwrap();
    let Remote::Daemon(daemon) = remote else { panic!("{remote:?}") };
    let said = daemon.ping().unwrap_err().to_string();
    assert!(said.starts_with(&address) && said.contains("is nix-daemon running"), "{said}");
}
