//! Paths in one stream, both ways with C++ Nix, and streams that lie.
#![allow(missing_docs, clippy::disallowed_methods)]

mod common;

use common::{Home, nix_store};
use nix_store::{Damage, Store, StorePath};
use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};

fn export(store: &Store, paths: &BTreeSet<StorePath>) -> Vec<u8> {
    let mut stream = Vec::new();
    store.export(paths, &mut stream).unwrap();
    stream
}

#[test]
fn nix_writes_the_same_and_reads_it() {
    let (from, to) = (Home::new(), Home::new());
    let text = from.store.add_text("text", b"x", &BTreeSet::from([from.busybox.clone()])).unwrap();
    let out = from.build(from.script("thing", "echo $out > $out")).unwrap();
    let paths = BTreeSet::from([text.clone(), out.clone(), from.busybox.clone()]);
    let ours = export(&from.store, &paths);
    // Each path alone: in which order several come is nobody's business.
    for path in &paths {
        let theirs = nix_store(&from.root(), &["--export", &path.to_string()]).stdout;
        assert_eq!(export(&from.store, &BTreeSet::from([path.clone()])), theirs, "{path}");
    }
    let came = to.store.import(&mut ours.as_slice(), &|_| ()).unwrap();
    assert_eq!(came.iter().cloned().collect::<BTreeSet<_>>(), paths);
    let place = |path| came.iter().position(|p| p == path);
    assert!(place(&from.busybox) < place(&text));
    let info = to.store.info(&out).unwrap();
    assert_eq!(info.references, BTreeSet::from([out.clone()]));
    assert_eq!(info.deriver, from.store.info(&out).unwrap().deriver);
    to.verify();
    to.nothing_left();
    let third = tempfile::tempdir().unwrap();
    let mut nix = Command::new(common::nix_store_program())
        .args(["--store", third.path().to_str().unwrap(), "--import"])
        .env("NIX_CONF_DIR", third.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    nix.stdin.take().unwrap().write_all(&ours).unwrap();
    assert!(nix.wait().unwrap().success());
    // What follows the stream is left.
    let two = [ours.as_slice(), b"rest"].concat();
    let mut left = two.as_slice();
    to.store.import(&mut left, &|_| ()).unwrap();
    assert_eq!(left, b"rest");
}

#[test]
fn a_stream_that_ends_too_soon_leaves_nothing() {
    let (from, to) = (Home::new(), Home::new());
    let text = from.store.add_text("text", b"short", &BTreeSet::new()).unwrap();
    let stream = export(&from.store, &BTreeSet::from([text.clone()]));
    let trailer = stream.len() - 8;
    for cut in 0..trailer {
        let error = to.store.import(&mut &stream[..cut], &|_| ()).unwrap_err().to_string();
        assert!(error.contains("the import"), "at {cut}: {error}");
        assert!(!to.store.is_valid(&text).unwrap(), "at {cut}");
        to.nothing_left();
    }
    // Only the end is missing: the path has come.
    assert!(to.store.import(&mut &stream[..trailer], &|_| ()).is_err());
    assert!(to.store.is_valid(&text).unwrap());
}

#[test]
fn a_stream_without_its_references_is_refused() {
    let (from, to) = (Home::new(), Home::new());
    let text = from.store.add_text("text", b"x", &BTreeSet::from([from.busybox.clone()])).unwrap();
    let stream = export(&from.store, &BTreeSet::from([text.clone()]));
    let error = to.store.import(&mut stream.as_slice(), &|_| ()).unwrap_err().to_string();
    assert!(error.contains("refers to"), "{error}");
    to.nothing_left();
    let other = to.store.import(&mut &b"nix-archive-1 or what"[..], &|_| ()).unwrap_err();
    insta::assert_snapshot!(other, @"the import: the peer does not keep to the protocol: it was not written by `nix-store --export`");
}

#[test]
fn damage_is_found_and_not_exported() {
    let home = Home::new();
    let text = home.store.add_text("text", b"x", &BTreeSet::new()).unwrap();
    assert_eq!(home.store.verify(true, &mut |_, _| ()).unwrap(), []);
    let at = home.physical(&text);
    let mut mode = at.metadata().unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut mode, 0o644);
    std::fs::set_permissions(&at, mode).unwrap();
    std::fs::write(&at, "y").unwrap();
    let found = home.store.verify(true, &mut |_, _| ()).unwrap();
    assert!(matches!(found.as_slice(), [Damage::Modified { path, .. }] if *path == text));
    assert_eq!(home.store.verify(false, &mut |_, _| ()).unwrap(), []);
    let error = home.store.export(&BTreeSet::from([text.clone()]), &mut std::io::sink());
    assert!(error.unwrap_err().to_string().contains("hash mismatch"));
    std::fs::remove_file(&at).unwrap();
    let found = home.store.verify(false, &mut |_, _| ()).unwrap();
    assert_eq!(found, [Damage::Missing(text)]);
}
