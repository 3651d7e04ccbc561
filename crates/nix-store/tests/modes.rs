//! Whatever the umask, the capabilities and the access lists of the place: what is added and copied has
//! the modes and times of a store.
#![allow(missing_docs, clippy::disallowed_methods)]

mod common;

use common::{config, nix_store};
use nix_store::copy::{Sink, Source};
use nix_store::{IngestMethod, Store};
use std::collections::BTreeSet;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

#[test]
#[ignore = "is run by the tests below, with a umask of its own"]
fn helper() {
    let Some(dir) = std::env::var_os("HC_TEST_DIR").map(PathBuf::from) else { return };
    let (one, two) = (open(&dir, "one"), open(&dir, "two"));
    let none = BTreeSet::new();
    let tree = dir.join("tree");
    let path = one.add_path("tree", &tree, IngestMethod::Recursive, &none, None).unwrap();
    let program = one.add_executable("program", &tree.join("d0/program")).unwrap();
    for path in [path, program] {
        let mut archive = Vec::new();
        one.nar(&path, &mut archive).unwrap();
        two.add(&one.info(&path).unwrap(), &mut archive.as_slice()).unwrap();
    }
}

fn open(dir: &Path, name: &str) -> Store {
    Store::open(config(&dir.join(name))).unwrap()
}

/// So many files that several threads write them, programs and links among them.
fn make(tree: &Path) {
    for directory in 0..4 {
        let directory = tree.join(format!("d{directory}"));
        std::fs::create_dir_all(directory.join("empty")).unwrap();
        for file in 0..12 {
            std::fs::write(directory.join(format!("f{file}")), vec![3; file * 20_000]).unwrap();
        }
        std::fs::write(directory.join("program"), "#!").unwrap();
        let mode = std::fs::Permissions::from_mode(0o6751);
        std::fs::set_permissions(directory.join("program"), mode).unwrap();
        symlink("f1", directory.join("link")).unwrap();
    }
}

/// Everything below is canonical; how many there are.
fn check(at: &Path, what: &str) -> usize {
    let metadata = at.symlink_metadata().unwrap();
    let executable = metadata.is_dir() || at.to_str().unwrap().ends_with("program");
    let found = (metadata.mode() & 0o7777, metadata.mtime(), metadata.uid());
    let mode = if executable { 0o555 } else { 0o444 };
    let wanted = (if metadata.is_symlink() { 0o777 } else { mode }, 1, 0);
    assert_eq!(found, wanted, "{what}: {}", at.display());
    let mut names = Vec::with_capacity(4096);
    let listed = rustix::fs::llistxattr(at, rustix::buffer::spare_capacity(&mut names));
    let names = String::from_utf8_lossy(&names).into_owned();
    assert!(listed.is_err() || !names.contains("posix_acl"), "{what}: {} {names}", at.display());
    if !metadata.is_dir() {
        return 1;
    }
    std::fs::read_dir(at).unwrap().map(|entry| check(&entry.unwrap().path(), what)).sum::<usize>()
        + 1
}

fn run(dir: &Path, wrapped: &str) {
    make(&dir.join("tree"));
    let ran = Command::new("sh")
        .args(["-c", &format!("{wrapped} \"$0\" --ignored --exact helper --nocapture")])
        .arg(std::env::current_exe().unwrap())
        .env("HC_TEST_DIR", dir)
        .output()
        .unwrap();
    assert!(ran.status.success(), "{wrapped}: {}", String::from_utf8_lossy(&ran.stdout));
    for store in ["one", "two"] {
        let root = dir.join(store);
        let paths = open(dir, store).valid_paths().unwrap();
        assert_eq!(paths.len(), 2);
        let found = paths.iter().map(|path| {
            let at = root.join("nix/store").join(path.to_basename());
            check(&at, &format!("{wrapped}, {store}"))
        });
        assert_eq!(found.sum::<usize>(), 1 + 4 * 16 + 1);
        let ran = nix_store(&root, &["--verify", "--check-contents"]);
        let said = String::from_utf8_lossy(&ran.stderr).into_owned();
        assert!(ran.status.success() && !said.contains("modified"), "{wrapped}: {said}");
    }
}

#[test]
fn a_umask_has_no_say() {
    for umask in ["000", "022", "027", "077", "777"] {
        let dir = tempfile::tempdir().unwrap();
        // The store's own directories are there before, as they are on a host.
        for store in ["one", "two"] {
            open(dir.path(), store);
        }
        run(dir.path(), &format!("umask {umask};"));
    }
}

#[test]
fn nor_has_a_lack_of_capabilities() {
    let dir = tempfile::tempdir().unwrap();
    let without = "setpriv --bounding-set -dac_override,-dac_read_search --inh-caps -all";
    run(dir.path(), without);
}

#[test]
fn access_lists_of_the_place_are_undone() {
    // `struct posix_acl_xattr_header` and its entries (tag, permissions, id), of linux/posix_acl_xattr.h:
    // the owner and user 1000 may do all, the group may read, the mask takes execution from both.
    let mut list = 2_u32.to_le_bytes().to_vec();
    for (tag, bits, id) in [(1, 7, !0), (2, 7, 1000), (4, 4, !0), (0x10, 6, !0), (0x20, 0, !0_u32)]
    {
        list.extend(u16::to_le_bytes(tag));
        list.extend(u16::to_le_bytes(bits));
        list.extend(id.to_le_bytes());
    }
    let dir = tempfile::tempdir().unwrap();
    for store in ["one", "two"] {
        open(dir.path(), store);
        let at = dir.path().join(store).join("nix/store");
        let flags = rustix::fs::XattrFlags::empty();
        match rustix::fs::setxattr(&at, "system.posix_acl_default", &list, flags) {
            Err(rustix::io::Errno::NOTSUP) => {
                eprintln!("SKIPPED: no access lists on the file system of {}", at.display());
                return;
            }
            done => done.unwrap(),
        }
    }
    run(dir.path(), "umask 022;");
}
