//! Adding, queries and roots, judged by C++ Nix.
#![allow(missing_docs, clippy::disallowed_methods)]

mod common;

use common::{Home, nix_store};
use nix_store::{IngestMethod, Store};
use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;

#[test]
fn what_is_added_is_what_nix_would_have_added() {
    let home = Home::new();
    let store = &home.store;
    let tree = home.dir.path().join("tree");
    std::fs::create_dir_all(tree.join("a/b")).unwrap();
    std::fs::write(tree.join("a/b/file"), "contents").unwrap();
    std::fs::write(tree.join("a/skipped"), "no").unwrap();
    std::os::unix::fs::symlink("../nowhere", tree.join("a/link")).unwrap();
    let filter = |path: &std::path::Path, _: std::fs::FileType| !path.ends_with("skipped");
    let none = BTreeSet::new();
    let filtered =
        store.add_path("tree", &tree, IngestMethod::Recursive, &none, Some(&filter)).unwrap();
    assert!(!home.physical(&filtered).join("a/skipped").exists());
    std::fs::remove_file(tree.join("a/skipped")).unwrap();

    let other = tempfile::tempdir().unwrap();
    let added = nix_store(&other.path().join("r"), &["--add", tree.to_str().unwrap()]);
    assert_eq!(String::from_utf8_lossy(&added.stdout).trim(), filtered.to_string());
    let file = tree.join("a/b/file");
    let flat = store.add_path("file", &file, IngestMethod::Flat, &none, None).unwrap();
    let added =
        nix_store(&other.path().join("r"), &["--add-fixed", "sha256", file.to_str().unwrap()]);
    assert_eq!(String::from_utf8_lossy(&added.stdout).trim(), flat.to_string());

    let metadata = home.physical(&filtered).join("a/b/file").symlink_metadata().unwrap();
    assert_eq!((metadata.mode() & 0o7777, metadata.mtime(), metadata.uid()), (0o444, 1, 0));

    // References are kept both ways, in texts and in trees.
    let references = BTreeSet::from([filtered.clone(), flat.clone()]);
    let text = store.add_text("text.json", b"{}", &references).unwrap();
    let set = store
        .add_path("set", &tree, IngestMethod::Recursive, &BTreeSet::from([text.clone()]), None)
        .unwrap();
    assert_ne!(set, filtered, "references are part of the path");
    assert_eq!(store.references(&text).unwrap(), references);
    assert_eq!(store.referrers(&text).unwrap(), BTreeSet::from([set.clone()]));
    assert_eq!(
        store.closure([&set]).unwrap(),
        BTreeSet::from([set.clone(), text.clone(), filtered, flat])
    );
    let unknown = "/nix/store/miacmq2d49l5qm1xgkpr982m3rd9ax08-a".parse().unwrap();
    let error = store.add_text("bad", b"x", &BTreeSet::from([unknown])).unwrap_err();
    assert!(error.to_string().ends_with("-a is not in the store"), "{error}");
    assert!(store.add_text("bad name", b"x", &none).is_err());

    // Twice is once, also in a second handle, and C++ Nix agrees with all of it.
    let again = Store::open(store.config().clone()).unwrap();
    assert_eq!(again.add_text("text.json", b"{}", &references).unwrap(), text);
    home.verify();
    let closure = nix_store(&home.root(), &["-qR", &set.to_string()]);
    assert_eq!(String::from_utf8_lossy(&closure.stdout).lines().count(), 4);
    let ran = nix_store(&home.root(), &["--verify-path", &set.to_string()]);
    assert!(ran.status.success());
    home.nothing_left();
}

#[test]
fn a_store_that_nix_made_is_used_and_stays_content() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    let file = dir.path().join("file");
    std::fs::write(&file, "from nix").unwrap();
    let added = nix_store(&root, &["--add", file.to_str().unwrap()]);
    let path = String::from_utf8_lossy(&added.stdout).trim().parse().unwrap();
    let store = Store::open(common::config(&root)).unwrap();
    assert!(store.is_valid(&path).unwrap());
    let info = store.info(&path).unwrap();
    let text = store.add_text("t", b"x", &BTreeSet::from([path.clone()])).unwrap();
    assert_eq!(store.referrers(&info.path).unwrap(), BTreeSet::from([text]));
    let ran = nix_store(&root, &["--verify", "--check-contents"]);
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    // And C++ Nix collects what we added.
    drop(store);
    let ran = nix_store(&root, &["--gc"]);
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let store = Store::open(common::config(&root)).unwrap();
    assert!(store.valid_paths().unwrap().is_empty());
}

#[test]
fn a_derivation_with_a_wrong_output_path_is_refused() {
    let home = Home::new();
    let right = home.script("right", "true").build().unwrap();
    let wrong = home.script("wrong", "true").build().unwrap();
    let bytes = String::from_utf8(wrong.to_aterm_bytes()).unwrap();
    let out = |drv: &nix_store::Derivation| {
        drv.resolved_outputs().unwrap()["out"].path.as_ref().unwrap().to_string()
    };
    let (from, to) = (out(&wrong), out(&right));
    let forged = bytes.replace(&from, &to);
    let forged = nix_store::Derivation::from_aterm_bytes(forged.as_bytes(), "wrong").unwrap();
    let error = home.store.add_derivation(&forged).unwrap_err().to_string();
    assert!(error.contains("is not right"), "{error}");
}

#[test]
fn another_schema_is_refused() {
    let home = Home::new();
    std::fs::write(home.root().join("nix/var/nix/db/schema"), "11").unwrap();
    let error = Store::open(home.store.config().clone()).unwrap_err().to_string();
    assert!(error.contains("has schema 11"), "{error}");
}

#[test]
fn many_derivations_are_added_at_once_or_none() {
    let home = Home::new();
    let mut hashes = nix_compat::ModuloHashes::default();
    let mut all: Vec<nix_compat::Derivation> = Vec::new();
    let mut last: Option<nix_compat::StorePath> = None;
    for number in 0..100 {
        let mut script = home.script(&format!("d{number}"), "echo > $out");
        if let Some(last) = &last {
            let input = nix_compat::InputDerivation::new(["out"]);
            script = script.input_derivation(last.clone(), input);
        }
        let next = hashes.finish(script).unwrap();
        let references: BTreeSet<_> =
            next.input_derivations().keys().chain(next.input_sources()).cloned().collect();
        let name = format!("{}.drv", next.name());
        let path = nix_compat::path::text(&name, &next.to_aterm_bytes(), &references).unwrap();
        hashes.tell::<()>(&path, &next).unwrap();
        last = Some(path);
        all.push(next);
    }
    let all: Vec<&nix_compat::Derivation> = all.iter().collect();
    // One that refers to what is not there: none is added.
    home.store.add_derivations(&all[1..]).unwrap_err();
    let derivations = || {
        let paths = home.store.valid_paths().unwrap();
        paths.iter().filter(|path| path.name().ends_with(".drv")).count()
    };
    assert_eq!(derivations(), 0);
    let added = home.store.add_derivations(&all).unwrap();
    assert_eq!((added.len(), added.last(), derivations()), (100, last.as_ref(), 100));
    assert_eq!(home.store.add_derivations(&all).unwrap(), added);
    assert!(home.store.references(&added[0]).unwrap().contains(&home.busybox));
    home.verify();
    home.nothing_left();
}
