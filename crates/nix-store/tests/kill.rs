//! A store whose user is killed, or whose disk is full, stays whole.
#![allow(missing_docs, clippy::disallowed_methods)]

mod common;

use common::{Home, config, nix_store};
use nix_store::{DrvOutput, Quiet, Store, StorePath};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Not a test: what the tests below run in processes of their own.
#[test]
#[ignore = "run by the other tests of this file"]
fn helper() {
    let argument = |name: &str| std::env::var(name).unwrap();
    match argument("HC_TEST_DO").as_str() {
        "build" => {
            let store = Store::open(config(Path::new(&argument("HC_TEST_ROOT")))).unwrap();
            let drv: StorePath = argument("HC_TEST_DRV").parse().unwrap();
            store.build(&[DrvOutput::new(drv, "out")], &Quiet).unwrap();
        }
        "unprivileged" => unprivileged(Path::new(&argument("HC_TEST_ROOT"))),
        "full" => full(Path::new(&argument("HC_TEST_ROOT"))),
        other => panic!("{other}"),
    }
}

fn run_helper(what: &str, root: &Path, drv: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", "helper", "--nocapture"]);
    command.env("HC_TEST_DO", what).env("HC_TEST_ROOT", root).env("HC_TEST_DRV", drv);
    command
}

fn wait_for(what: &str, mut there: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !there() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{what} did not happen");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Processes whose arguments contain the text.
fn running(text: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let arguments = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if String::from_utf8_lossy(&arguments).contains(text) {
            found.push(entry.path());
        }
    }
    found
}

#[test]
fn a_killed_build_leaves_nothing_and_is_built_again() {
    let home = Home::new();
    let unique = home.dir.path().file_name().unwrap().to_string_lossy().replace('.', "");
    let script = format!(
        "echo begun > /build/f; mkdir $out; dd if=/dev/zero of=$out/part bs=1M count=1; \
         if test -e /nix/store/x{unique}; then true; fi; test $WAIT = no || sleep {}; echo done > $out/f",
        1_000_000 + std::process::id()
    );
    let (drv, _) = home.add(home.script("slow", &script).set("WAIT", "yes"));
    let chroot = home.physical(&drv).with_extension("drv.chroot");
    let mut child =
        run_helper("build", &home.root(), &drv.to_string()).stdout(Stdio::null()).spawn().unwrap();
    wait_for("the build", || !running(&unique).is_empty() && chroot.join("root/build/f").exists());
    child.kill().unwrap();
    child.wait().unwrap();
    wait_for("the end of the builder", || running(&unique).is_empty());
    assert!(chroot.exists(), "killed: nobody could clean up");
    // The next to open the store does.
    let store = Store::open(config(&home.root())).unwrap();
    assert!(!chroot.exists());
    assert_eq!(store.valid_paths().unwrap(), BTreeSet::from([drv, home.busybox.clone()]));
    home.verify();
    // What is quick now is built; the lock of the killed one is no obstacle.
    let quick = home.script("slow", &script).set("WAIT", "no");
    let out = home.build(quick).unwrap();
    assert!(home.physical(&out).join("f").exists());
    home.verify();
    // The lock file of the first output is rubbish, as it would be after C++ Nix.
    let report = home.store.gc(&nix_store::GcOptions::default(), &BTreeSet::new()).unwrap();
    assert!(report.deleted.is_empty() && report.rubbish.len() == 1, "{report:?}");
    home.nothing_left();
}

#[test]
fn adding_that_is_killed_anywhere_leaves_a_whole_store() {
    let home = Home::new();
    let quick = "mkdir $out; for i in 1 2 3 4 5 6 7 8 9; do echo $i > $out/$i; done";
    for n in 0..8u64 {
        let (drv, _) = home.add(home.script("quick", quick).set("n", n.to_string()));
        let mut child = run_helper("build", &home.root(), &drv.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(15 * n));
        child.kill().unwrap();
        child.wait().unwrap();
        home.verify();
        home.build_drv(&drv, &Quiet).unwrap();
    }
    // Lock files may be left, as they are by C++ Nix: a collector deletes them.
    let report = home.store.gc(&nix_store::GcOptions::default(), &BTreeSet::new()).unwrap();
    assert!(report.deleted.is_empty(), "{report:?}");
    home.verify();
    home.nothing_left();
}

#[test]
fn a_full_disk_is_said_and_survived() {
    let dir = tempfile::tempdir().unwrap();
    let ran = run_helper("full", dir.path(), "").output().unwrap();
    let said =
        String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success() && said.contains("1 passed"), "{said}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "the mount was the helper's own");
}

/// In a mount namespace of this thread's own, with a small file system at `at`.
fn full(at: &Path) {
    use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
    use rustix::thread::{UnshareFlags, unshare_unsafe};
    // SAFETY: of this thread only; everything that follows runs in it or in its children.
    unsafe { unshare_unsafe(UnshareFlags::NEWNS | UnshareFlags::FS) }.unwrap();
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).unwrap();
    mount("tmpfs", at, "tmpfs", MountFlags::empty(), Some(c"size=24m")).unwrap();
    let root = at.join("root");
    let source = at.join("big");
    let store = Store::open(config(&root)).unwrap();
    let small = store.add_text("small", b"x", &BTreeSet::new()).unwrap();
    std::fs::write(&source, vec![1; 6 << 20]).unwrap();
    let none = BTreeSet::new();
    let method = nix_store::IngestMethod::Recursive;
    let mut error = None;
    for n in 0..6 {
        if let Err(e) = store.add_path(&format!("big{n}"), &source, method, &none, None) {
            error = Some(e);
            break;
        }
    }
    let error = error.expect("24 MiB hold no 36");
    assert!(error.is_no_space(), "{error}");
    assert!(error.to_string().contains("no space left"), "{error}");
    assert!(store.is_valid(&small).unwrap());
    std::fs::remove_file(&source).unwrap();
    let ran = nix_store(&root, &["--verify", "--check-contents"]);
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    drop(store);
    let store = Store::open(config(&root)).unwrap();
    let report = store.gc(&nix_store::GcOptions::default(), &none).unwrap();
    assert!(report.freed >= 6 << 20, "{report:?}");
    assert!(store.valid_paths().unwrap().is_empty());
}

#[test]
fn without_root_a_store_of_ones_own_builds_too() {
    use std::os::unix::process::CommandExt;
    let dir = tempfile::tempdir().unwrap();
    let nobody = 65534;
    std::os::unix::fs::chown(dir.path(), Some(nobody), Some(nobody)).unwrap();
    // The test's program may be in a directory that only root can enter.
    let program = dir.path().join("helper");
    // A process of its own writes it: what another test forks meanwhile would inherit a descriptor
    // that is open for writing, and no such file can be started.
    let copied = Command::new("cp").arg(std::env::current_exe().unwrap()).arg(&program).status();
    assert!(copied.unwrap().success());
    let ran = Command::new("/proc/self/fd/0")
        .args(["--ignored", "--exact", "helper", "--nocapture"])
        .env("HC_TEST_DO", "unprivileged")
        .env("HC_TEST_ROOT", dir.path())
        .stdin(std::fs::File::open(&program).unwrap())
        .current_dir("/")
        .uid(nobody)
        .gid(nobody)
        .output()
        .unwrap();
    let said =
        String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success() && said.contains("1 passed"), "{said}");
}

fn unprivileged(dir: &Path) {
    let store = Store::open(config(&dir.join("root"))).unwrap();
    let busybox = common::add_busybox(&store, dir, dir);
    let home = Home { dir: tempfile::tempdir_in(dir).unwrap(), store, busybox };
    let drv = home.script("plain", "id -u > $out; stat -c %u $PATH >> $out");
    let drv = home.store.add_derivation(&drv.build().unwrap()).unwrap();
    let out = home.build_drv(&drv, &Quiet).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(std::fs::read_to_string(home.physical(&out)).unwrap(), "1000\n1000\n");
    let tree = home.script("tree", "mkdir -p $out/a/b; echo x > $out/a/b/c; chmod 0 $out/a/b/c");
    let drv = home.store.add_derivation(&tree.build().unwrap()).unwrap();
    let out = home.build_drv(&drv, &Quiet).unwrap_or_else(|e| panic!("{e}"));
    assert!(home.physical(&out).join("a/b/c").exists());
    let range = home.script("r", "true").set("requiredSystemFeatures", "uid-range");
    let drv = home.store.add_derivation(&range.build().unwrap()).unwrap();
    let error = home.build_drv(&drv, &Quiet).unwrap_err().to_string();
    assert!(error.contains("build as root"), "{error}");
    let ran = nix_store(&dir.join("root"), &["--verify", "--check-contents"]);
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let Home { store, dir: temporary, .. } = home;
    drop((store, temporary));
    let store = Store::open(config(&dir.join("root"))).unwrap();
    let report = store.gc(&nix_store::GcOptions::default(), &BTreeSet::new()).unwrap();
    assert_eq!(report.deleted.len(), 6, "{report:?}");
}
