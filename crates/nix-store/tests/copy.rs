//! Paths that come from another store: only what was promised becomes valid, judged by C++ Nix.
#![allow(missing_docs, clippy::disallowed_methods)]

mod common;

use common::Home;
use nix_store::copy::{Sink, Source, Trust, copy_closure};
use nix_store::{IngestMethod, PathInfo, Store, StorePath};
use std::collections::BTreeSet;

fn archive(store: &Store, path: &StorePath) -> Vec<u8> {
    let mut nar = Vec::new();
    store.nar(path, &mut nar).unwrap();
    nar
}

/// A tree, and a text that refers to it.
fn closure(home: &Home) -> (PathInfo, PathInfo) {
    let tree = home.dir.path().join("tree");
    std::fs::create_dir_all(tree.join("a")).unwrap();
    std::fs::write(tree.join("a/file"), "what it says").unwrap();
    std::os::unix::fs::symlink("a/file", tree.join("link")).unwrap();
    let none = BTreeSet::new();
    let tree = home.store.add_path("tree", &tree, IngestMethod::Recursive, &none, None).unwrap();
    let text = home.store.add_text("text", b"x", &BTreeSet::from([tree.clone()])).unwrap();
    (home.store.query(&tree).unwrap().unwrap(), home.store.query(&text).unwrap().unwrap())
}

#[test]
fn what_is_copied_is_valid_and_the_same() {
    let (from, to) = (Home::new(), Home::new());
    let (tree, text) = closure(&from);
    let (tree_nar, text_nar) = (archive(&from.store, &tree.path), archive(&from.store, &text.path));
    let error = to.store.add(&text, &mut text_nar.as_slice()).unwrap_err().to_string();
    assert!(error.contains("refers to"), "{error}");
    // What follows the archive is left for the next one.
    let stream = [tree_nar.as_slice(), text_nar.as_slice()].concat();
    let mut stream = stream.as_slice();
    to.store.add(&tree, &mut stream).unwrap();
    to.store.add(&text, &mut stream).unwrap();
    assert!(stream.is_empty());
    let both = BTreeSet::from([tree.path.clone(), text.path.clone()]);
    assert_eq!(to.store.valid(&both).unwrap(), both);
    let there = to.store.query(&text.path).unwrap().unwrap();
    assert_eq!((there.ca, there.references), (text.ca.clone(), text.references.clone()));
    assert_eq!(archive(&to.store, &tree.path), tree_nar);
    // Once more reads nothing.
    to.store.add(&tree, &mut std::io::empty()).unwrap();
    to.verify();
}

#[test]
fn what_is_not_as_promised_leaves_nothing() {
    let (from, to) = (Home::new(), Home::new());
    let (tree, _) = closure(&from);
    let nar = archive(&from.store, &tree.path);
    let names = || -> BTreeSet<_> {
        let store = to.physical(&tree.path);
        std::fs::read_dir(store.parent().unwrap())
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect()
    };
    let before = names();
    let refuse = |info: &PathInfo, nar: &[u8], why: &str| {
        let error = to.store.add(info, &mut &*nar).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
        assert!(to.store.query(&info.path).unwrap().is_none());
        assert_eq!(names(), before);
    };
    refuse(&tree, &nar[..nar.len() - 8], "ends after");
    let longer = PathInfo { nar_size: tree.nar_size + 8, ..tree.clone() };
    refuse(&longer, &[&nar[..], &[0; 8]].concat(), "malformed");
    let shorter = PathInfo { nar_size: tree.nar_size - 8, ..tree.clone() };
    refuse(&shorter, &nar, "malformed");
    let at = nar.windows(12).position(|bytes| bytes == b"what it says").unwrap();
    let mut other = nar.clone();
    other[at] = b'W';
    refuse(&tree, &other, "hash mismatch");
    let at = nar.windows(6).rposition(|bytes| bytes == b"a/file").unwrap();
    other.clone_from(&nar);
    other[at + 8] ^= 1;
    refuse(&tree, &other, "malformed");
    // Another path's address, and an address that is not that of the contents.
    let ca = nix_compat::CAHash::Text([7; 32]);
    refuse(&PathInfo { ca: Some(ca), ..tree.clone() }, &nar, "belongs to");
    let path = nix_compat::path::source("tree", [7; 32], &BTreeSet::new()).unwrap();
    let ca = Some(nix_compat::CAHash::Nar(nix_compat::NixHash::Sha256([7; 32])));
    refuse(&PathInfo { path, ca, ..tree.clone() }, &nar, "hash mismatch");
    to.verify();
}

/// A store whose paths have been signed by somebody, perhaps in vain.
struct Signed<'a>(&'a Store, &'a str);

impl Source for Signed<'_> {
    fn name(&self) -> String {
        "a signed store".into()
    }
    fn query(&self, path: &StorePath) -> nix_store::Result<Option<PathInfo>> {
        let info = self.0.query(path)?;
        let signatures = vec!["other-1:AAAA".to_owned(), self.1.to_owned()];
        Ok(info.map(|info| PathInfo { signatures, ca: None, ultimate: true, ..info }))
    }
    fn nar(&self, path: &StorePath, to: &mut dyn std::io::Write) -> nix_store::Result<()> {
        self.0.nar(path, to)
    }
}

#[test]
fn a_closure_is_copied_once_and_only_from_whom_is_trusted() {
    let (from, to) = (Home::new(), Home::new());
    let (tree, text) = closure(&from);
    let trust = Trust { keys: Vec::new(), required: true };
    let wanted = BTreeSet::from([text.path.clone()]);
    let signed = Signed(&from.store, "other-1:AAAA");
    let error = copy_closure(&signed, &to.store, &wanted, &trust, &()).unwrap_err();
    assert!(error.to_string().contains("no signature for it by a trusted key"), "{error}");
    assert!(to.store.query(&tree.path).unwrap().is_none());

    // Paths that follow from their contents need none.
    let sent = copy_closure(&from.store, &to.store, &wanted, &trust, &()).unwrap();
    assert_eq!(sent, [tree.path.clone(), text.path.clone()]);
    let sent = copy_closure(&from.store, &to.store, &wanted, &trust, &()).unwrap();
    assert!(sent.is_empty());
    let nowhere = nix_compat::path::source("x", [7; 32], &BTreeSet::new()).unwrap();
    let wanted = BTreeSet::from([nowhere]);
    let error = copy_closure(&from.store, &to.store, &wanted, &trust, &()).unwrap_err();
    assert!(error.to_string().contains("does not have"), "{error}");
    to.verify();
}

#[test]
fn a_signature_by_a_trusted_key_is_enough() {
    let (from, to) = (Home::new(), Home::new());
    let key = from.dir.path().join("key");
    let nix = |arguments: &[&str]| {
        let root = from.root();
        let run = std::process::Command::new("nix")
            .args(["--extra-experimental-features", "nix-command"])
            .args(arguments)
            .args(["--store", root.to_str().unwrap()])
            .output()
            .unwrap();
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
        String::from_utf8(run.stdout).unwrap()
    };
    let made = nix(&["key", "generate-secret", "--key-name", "test-1"]);
    std::fs::write(&key, &made).unwrap();
    let public = std::process::Command::new("nix")
        .args(["--extra-experimental-features", "nix-command", "key", "convert-secret-to-public"])
        .stdin(std::fs::File::open(&key).unwrap())
        .output()
        .unwrap();
    let public = String::from_utf8(public.stdout).unwrap();
    let built = from.build(from.script("built", "echo hi > $out")).unwrap();
    nix(&["store", "sign", "--key-file", key.to_str().unwrap(), &built.to_string()]);
    let keys = vec![nix_compat::narinfo::TrustedPublicKey::parse(public.trim()).unwrap()];
    let wanted = BTreeSet::from([built.clone()]);
    let none = Trust { keys: Vec::new(), required: true };
    assert!(copy_closure(&from.store, &to.store, &wanted, &none, &()).is_err());
    let trust = Trust { keys, required: true };
    copy_closure(&from.store, &to.store, &wanted, &trust, &()).unwrap();
    let there = to.store.query(&built).unwrap().unwrap();
    assert!(!there.ultimate && there.signatures.len() == 1 && trust.accepts(&there));
    to.verify();
}
