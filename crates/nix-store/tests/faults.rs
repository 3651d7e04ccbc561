//! The system says no at every single call, once: an error that says so, nothing half valid, and
//! the space is given back. The calls are failed by strace; `HC_FAULTS_EVERY=1` fails each one,
//! otherwise it is every ninth.
#![allow(missing_docs, clippy::disallowed_methods)]

mod common;

use common::{config, nix_store};
use nix_store::copy::Sink;
use nix_store::{Error, GcOptions, IngestMethod, PathInfo, Store};
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
    // Paths of this test alone: what runs from another's would be in use, and stay.
    let salt = dir.as_os_str().as_encoded_bytes();
    store.add_text("text", salt, &none)?;
    store.add_path("tree", &dir.join("tree"), IngestMethod::Recursive, &none, None)?;
    // Something that comes from elsewhere.
    let path = dir.join("far.nar");
    let archive = std::fs::read(&path);
    let archive = archive.map_err(|source| Error::Io { action: "read", path, source })?;
    let nar_hash = nix_compat::hash_bytes(nix_compat::HashAlgorithm::Sha256, &archive);
    let digest = nix_compat::hash_bytes(nix_compat::HashAlgorithm::Sha256, salt);
    let digest = digest.digest_as_bytes().try_into().unwrap();
    let info = PathInfo {
        path: nix_compat::path::source("far", digest, &none).unwrap(),
        nar_hash,
        nar_size: archive.len() as u64,
        references: BTreeSet::new(),
        deriver: None,
        registered: std::time::UNIX_EPOCH,
        ultimate: false,
        signatures: Vec::new(),
        ca: None,
    };
    store.add(&info, &mut archive.as_slice())?;
    store.gc(&GcOptions::default(), &none)?;
    Ok(())
}

/// What became of a call that was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Came {
    /// There is no such call any more.
    Nothing,
    /// It was one of the test runner's own.
    Elsewhere,
    /// The work was done without it.
    Survived,
    /// The work ended with an error that says so.
    Refused,
}

/// What an error must say, and what SQLite says of it.
fn told(error: &str) -> [&'static str; 4] {
    let errno = match error {
        "ENOSPC" => "no space left",
        "EMFILE" => "too many open files",
        other => panic!("{other}"),
    };
    [errno, "disk i/o error", "unable to open database file", "database or disk is full"]
}

/// The same in a process of its own, with the `nth` call of a kind refused.
fn fail(dir: &Path, call: &str, error: &str, nth: usize) -> (Came, String) {
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
    if !std::fs::read_to_string(&log).unwrap().contains("(INJECTED)") {
        return (Came::Nothing, said);
    }
    // What fails before or after the work is the test runner's own.
    let runner = ["io error when listing tests", "failed printing to stdout"];
    if !said.contains("running 1 test") || runner.iter().any(|text| said.contains(text)) {
        return (Came::Elsewhere, said);
    }
    let code = ran.status.code();
    assert!(
        matches!(code, Some(0 | 9)) && !said.contains("panicked"),
        "{call} {nth} {error}: {code:?} {said}"
    );
    if code == Some(0) {
        return (Came::Survived, said);
    }
    let refused = said.lines().find_map(|line| line.split_once("refused: ")).unwrap().1;
    let refused = refused.to_lowercase();
    assert!(told(error).iter().any(|text| refused.contains(text)), "{call} {nth}: {refused}");
    (Came::Refused, said)
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
        ("mkdirat", "ENOSPC"),
        ("symlinkat", "ENOSPC"),
        ("linkat", "ENOSPC"),
        ("fallocate", "ENOSPC"),
    ];
    let every = std::env::var("HC_FAULTS_EVERY").map_or(9, |text| text.parse().unwrap());
    let far = far();
    for (kind, (call, error)) in calls.into_iter().enumerate() {
        let mut seen = Vec::new();
        // Each kind begins elsewhere; rare calls are failed from the first on.
        for nth in (1 + kind % 2 % every..400).step_by(every) {
            let dir = tempfile::tempdir().unwrap();
            std::fs::create_dir_all(dir.path().join("tree/sub")).unwrap();
            std::fs::write(dir.path().join("tree/sub/file"), vec![1; 200_000]).unwrap();
            std::fs::write(dir.path().join("tree/same"), vec![1; 200_000]).unwrap();
            let salt = dir.path().as_os_str().as_encoded_bytes();
            std::fs::write(dir.path().join("tree/salt"), salt).unwrap();
            std::os::unix::fs::symlink("sub", dir.path().join("tree/link")).unwrap();
            std::fs::write(dir.path().join("far.nar"), &far).unwrap();
            let (came, said) = fail(dir.path(), call, error, nth);
            seen.push(came);
            if came == Came::Nothing {
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
        // Without the disk space that is set aside, and without links, the work can be done.
        let wanted = match call {
            "fallocate" | "linkat" => &[Came::Survived, Came::Refused][..],
            _ => &[Came::Refused],
        };
        assert!(seen.iter().any(|came| wanted.contains(came)), "{call} {error}: {seen:?}");
    }
}

/// The archive of a tree with so many files that several threads write them.
fn far() -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let tree = dir.path().join("far");
    std::fs::create_dir(&tree).unwrap();
    for number in 0..40 {
        std::fs::write(tree.join(format!("file{number}")), vec![2; number * 1000]).unwrap();
    }
    let mut archive = Vec::new();
    nix_compat::nar::dump(&tree, &mut archive).unwrap();
    archive
}

fn left(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}
