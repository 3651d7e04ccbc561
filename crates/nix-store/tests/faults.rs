//! The system says no at every single call, once: an error that says so, nothing half valid, and
//! the space is given back. The calls are failed by strace; `HC_FAULTS_EVERY=1` fails each one,
//! otherwise it is every ninth.
#![allow(missing_docs, clippy::disallowed_methods)]

mod common;

use common::{config, nix_store};
use nix_store::{Error, GcOptions, IngestMethod, Store};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

#[test]
#[ignore = "is run by the test below, under strace"]
fn helper() {
    let Some(dir) = std::env::var_os("HC_TEST_DIR").map(PathBuf::from) else { return };
    std::process::exit(match work(&dir) {
        Ok(()) => 0,
        Err(error) => {
            println!("refused: {error}");
            9
        }
    });
}

fn work(dir: &Path) -> Result<(), Error> {
    let none = BTreeSet::new();
    let mut configuration = config(&dir.join("root"));
    configuration.auto_optimise = true;
    let store = Store::open(configuration)?;
    store.add_text("text", b"some text", &none)?;
    store.add_path("tree", &dir.join("tree"), IngestMethod::Recursive, &none, None)?;
    store.gc(&GcOptions::default(), &none)?;
    Ok(())
}

/// The same in a process of its own, with the `nth` call of a kind refused.
fn fail(dir: &Path, call: &str, error: &str, nth: usize) -> (bool, String) {
    let log = dir.join("strace");
    let ran = Command::new("strace")
        .args(["-f", "-qq", "-e", &format!("trace={call}")])
        .args(["-e", &format!("inject={call}:error={error}:when={nth}")])
        .arg("-o")
        .arg(&log)
        .arg(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "helper", "--nocapture", "--test-threads=1"])
        .env("HC_TEST_DIR", dir)
        .env("RUST_BACKTRACE", "0")
        .output()
        .expect("strace is missing: install it");
    let said =
        String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr);
    let injected = std::fs::read_to_string(&log).unwrap().contains("(INJECTED)");
    // What fails before or after the work is the test runner's own.
    let runner = ["io error when listing tests", "failed printing to stdout"];
    let ours = said.contains("running 1 test") && !runner.iter().any(|text| said.contains(text));
    if injected && ours {
        let code = ran.status.code();
        assert!(
            matches!(code, Some(0 | 9)) && !said.contains("panicked"),
            "{call} {nth} {error}: {code:?} {said}"
        );
        if code == Some(9) {
            let told = [
                "No space left",
                "no space left",
                "Too many open files",
                "too many open files",
                "disk I/O",
                "unable to open",
                "full",
            ];
            assert!(told.iter().any(|text| said.contains(text)), "{call} {nth}: {said}");
        }
    }
    (injected, said)
}

#[test]
fn every_call_may_fail_once() {
    let calls = [
        ("openat", "EMFILE"),
        ("openat", "ENOSPC"),
        ("mkdir", "ENOSPC"),
        ("write", "ENOSPC"),
        ("pwrite64", "ENOSPC"),
        ("fsync", "ENOSPC"),
        ("rename", "ENOSPC"),
        ("symlink", "ENOSPC"),
        ("linkat", "ENOSPC"),
        ("fallocate", "ENOSPC"),
    ];
    let every = std::env::var("HC_FAULTS_EVERY").map_or(9, |text| text.parse().unwrap());
    for (kind, (call, error)) in calls.into_iter().enumerate() {
        // Each kind begins elsewhere; rare calls are failed from the first on.
        for nth in (1 + kind % 2..400).step_by(every) {
            let dir = tempfile::tempdir().unwrap();
            std::fs::create_dir_all(dir.path().join("tree/sub")).unwrap();
            std::fs::write(dir.path().join("tree/sub/file"), vec![1; 200_000]).unwrap();
            std::fs::write(dir.path().join("tree/same"), vec![1; 200_000]).unwrap();
            std::os::unix::fs::symlink("sub", dir.path().join("tree/link")).unwrap();
            let (injected, said) = fail(dir.path(), call, error, nth);
            if !injected {
                break;
            }
            // Nothing is wrong with what is there, and everything works again.
            work(dir.path()).unwrap_or_else(|e| panic!("{call} {nth} {error}: {e}, after {said}"));
            let root = dir.path().join("root");
            let ran = nix_store(&root, &["--verify", "--check-contents"]);
            let verified = String::from_utf8_lossy(&ran.stderr).into_owned();
            assert!(
                ran.status.success() && !verified.contains("error"),
                "{call} {nth}: {verified}"
            );
            let store = Store::open(config(&root)).unwrap();
            store.gc(&GcOptions::default(), &BTreeSet::new()).unwrap();
            assert_eq!(left(&root.join("nix/store")), [".links"], "{call} {nth} {error}");
            assert_eq!(left(&root.join("nix/store/.links")).len(), 0, "{call} {nth} {error}");
            assert_eq!(left(&root.join("nix/var/nix/hc-scratch")).len(), 0, "{call} {nth}");
        }
    }
}

fn left(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}
