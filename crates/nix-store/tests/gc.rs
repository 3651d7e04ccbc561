//! The garbage collector keeps what is needed and deletes what is not.
#![allow(missing_docs, clippy::disallowed_methods)]

mod common;

use common::{Home, Listener, config, nix_store};
use nix_store::{DrvOutput, GcOptions, Quiet, Store, StorePath};
use std::collections::BTreeSet;
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};

/// The store as another process finds it: without the temporary roots of this one.
fn reopen(home: Home) -> Home {
    let Home { dir, store, busybox } = home;
    drop(store);
    let store = Store::open(config(&dir.path().join("root"))).unwrap();
    Home { dir, store, busybox }
}

fn collect(home: &Home) -> BTreeSet<String> {
    let report = home.store.gc(&GcOptions::default(), &BTreeSet::new()).unwrap();
    assert!(report.deleted.is_empty() || report.freed > 0);
    report.deleted.into_iter().map(|path| path.name().to_owned()).collect()
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn rooted_closures_stay_and_the_rest_goes() {
    let home = Home::new();
    let out = home.build(home.script("kept", "echo $PATH > $out")).unwrap();
    home.store.add_text("garbage", b"x", &BTreeSet::from([out.clone()])).unwrap();
    let link = home.dir.path().join("result");
    symlink(out.to_string(), &link).unwrap();
    home.store.add_root(&link).unwrap();
    std::fs::write(home.root().join("nix/store/rubbish"), "x").unwrap();
    // As long as the store is open here, what was added is kept.
    assert!(collect(&home).is_empty());
    assert!(!home.root().join("nix/store/rubbish").exists());
    let home = reopen(home);
    let options = GcOptions { dry_run: true, ..GcOptions::default() };
    let report = home.store.gc(&options, &BTreeSet::new()).unwrap();
    assert_eq!(report.deleted.len(), 1);
    assert_eq!(home.store.valid_paths().unwrap().len(), 4, "a dry run deletes nothing");
    assert_eq!(collect(&home), names(&["garbage"]));
    // The output, what it refers to, and what it was built from.
    assert_eq!(home.store.valid_paths().unwrap().len(), 3);
    home.verify();
    let ran = nix_store(&home.root(), &["--gc", "--print-dead"]);
    assert_eq!(String::from_utf8_lossy(&ran.stdout), "", "C++ Nix sees the same roots");
    // Without the link the root is stale.
    std::fs::remove_file(&link).unwrap();
    let report = home.store.gc(&GcOptions::default(), &BTreeSet::new()).unwrap();
    assert_eq!((report.deleted.len(), report.stale_roots.len()), (3, 1));
    assert_eq!(std::fs::read_dir(home.root().join("nix/var/nix/gcroots/auto")).unwrap().count(), 0);
    home.verify();
    home.nothing_left();
}

#[test]
fn what_is_in_use_stays() {
    let home = reopen(Home::new());
    let (store, busybox) = (&home.store, home.busybox.clone());
    // The caller's own roots.
    let report = store.gc(&GcOptions::default(), &BTreeSet::from([busybox.clone()])).unwrap();
    assert!(report.deleted.is_empty());
    // A process that runs from the store.
    let mut child = Command::new(home.physical(&busybox).join("bin/busybox"))
        .args(["sleep", "1000"])
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    assert!(collect(&home).is_empty());
    child.kill().unwrap();
    child.wait().unwrap();
    // Another process's temporary root.
    let other = Store::open(config(&home.root())).unwrap();
    assert!(other.is_valid(&busybox).unwrap());
    assert!(collect(&home).is_empty());
    drop(other);
    // An open file.
    let open = std::fs::File::open(home.physical(&busybox).join("bin/busybox")).unwrap();
    assert!(collect(&home).is_empty());
    drop(open);
    assert_eq!(collect(&home), names(&["busybox"]));
    home.verify();
}

#[test]
fn collecting_while_others_build_breaks_nothing() {
    let home = Home::new();
    let root = home.root();
    let busybox = home.busybox.clone();
    std::thread::scope(|scope| {
        let builders: Vec<_> = (0..2)
            .map(|n| {
                let root = &root;
                let home = &home;
                scope.spawn(move || {
                    for i in 0..6 {
                        let store = Store::open(config(root)).unwrap();
                        let script = format!("echo {} > $out; echo $PATH >> $out", i / 2);
                        let drv = home.script(&format!("b{n}"), &script).build().unwrap();
                        let drv = store.add_derivation(&drv).unwrap();
                        let wanted = DrvOutput::new(drv, "out");
                        let built = store.build(std::slice::from_ref(&wanted), &Quiet).unwrap();
                        let out: &StorePath = &built[&wanted];
                        assert!(store.physical(out).exists());
                        assert!(store.is_valid(out).unwrap());
                    }
                })
            })
            .collect();
        let collector = Store::open(config(&root)).unwrap();
        while builders.iter().any(|builder| !builder.is_finished()) {
            collector.gc(&GcOptions::default(), &BTreeSet::from([busybox.clone()])).unwrap();
        }
    });
    home.verify();
    let home = reopen(home);
    home.store.gc(&GcOptions::default(), &BTreeSet::new()).unwrap();
    assert!(home.store.valid_paths().unwrap().is_empty());
    home.nothing_left();
}

#[test]
fn two_stores_build_one_derivation_once() {
    let home = Home::new();
    let (drv, _) = home.add(home.script("once", "echo building >&2; sleep 1; echo x > $out"));
    let listener = Listener::default();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let store = Store::open(config(&home.root())).unwrap();
                let wanted = DrvOutput::new(drv.clone(), "out");
                let built = store.build(std::slice::from_ref(&wanted), &listener).unwrap();
                assert!(store.is_valid(&built[&wanted]).unwrap());
            });
        }
    });
    assert_eq!(listener.lines.lock().unwrap().as_slice(), ["building"]);
    home.verify();
    home.nothing_left();
}
