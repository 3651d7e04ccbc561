//! What is packed comes out the same, and nothing that comes out leads anywhere else.
#![allow(clippy::disallowed_methods)]

use super::pack::pack;
use super::unpack::{Destination, unpack};
use super::*;
use proptest::prelude::*;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::PathBuf;
use tar::{Builder, EntryType, Header};

fn open(path: &Path) -> std::os::fd::OwnedFd {
    fs::File::open(path).unwrap().into()
}

fn packed(path: &Path, owners: Owners) -> (Vec<u8>, Done) {
    let mut bytes = Vec::new();
    let done = pack(open(path), path, owners, &mut bytes).unwrap();
    (bytes, done)
}

fn into(dir: &Path, rename: Option<&str>, bytes: &[u8]) -> Result<Done, String> {
    let to = Destination { dir: open(dir), rename: rename.map(Into::into), shown: dir.into() };
    unpack(&to, Owners::Kept, bytes).map_err(|problem| problem.to_string())
}

#[test]
fn a_tree_comes_out_as_it_went_in() {
    let dir = tempfile::tempdir().unwrap();
    let tree = dir.path().join("tree");
    let long = "long-name-".repeat(20);
    fs::create_dir_all(tree.join("a/b").join(&long)).unwrap();
    fs::write(tree.join("a/file"), vec![7; 100_000]).unwrap();
    fs::set_permissions(tree.join("a/file"), fs::Permissions::from_mode(0o4751)).unwrap();
    fs::hard_link(tree.join("a/file"), tree.join("a/second")).unwrap();
    symlink("../../nowhere/./x", tree.join("a/link")).unwrap();
    symlink(format!("/{long}/{long}"), tree.join("a/b/far")).unwrap();
    fs::write(tree.join("a/b").join(&long).join("empty"), "").unwrap();
    std::os::unix::fs::chown(tree.join("a/b"), Some(1234), Some(4321)).unwrap();
    fs::set_permissions(tree.join("a/b"), fs::Permissions::from_mode(0o500)).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(tree.join("socket")).unwrap();

    let (bytes, left_out) = packed(&tree, Owners::Kept);
    assert_eq!(left_out, ["tree/socket: a socket"]);
    let out = dir.path().join("out");
    fs::create_dir(&out).unwrap();
    into(&out, Some("other"), &bytes).unwrap();
    let other = out.join("other");
    let file = fs::metadata(other.join("a/file")).unwrap();
    assert_eq!((file.len(), file.mode() & 0o7777, file.nlink()), (100_000, 0o4751, 2));
    assert_eq!(file.mtime(), fs::metadata(tree.join("a/file")).unwrap().mtime());
    assert_eq!(fs::read_link(other.join("a/link")).unwrap(), Path::new("../../nowhere/./x"));
    assert_eq!(
        fs::read_link(other.join("a/b/far")).unwrap(),
        fs::read_link(tree.join("a/b/far")).unwrap()
    );
    let b = fs::metadata(other.join("a/b")).unwrap();
    assert_eq!((b.uid(), b.gid(), b.mode() & 0o7777), (1234, 4321, 0o500));
    assert!(other.join("a/b").join(&long).join("empty").is_file());
    // Over what is there already, and with the owners of whoever unpacks.
    into(&out, Some("other"), &bytes).unwrap();
    let (bytes, _) = packed(&tree, Owners::Own);
    into(&out, Some("third"), &bytes).unwrap();
    assert_eq!(fs::metadata(out.join("third/a/b")).unwrap().uid(), 0);
}

#[test]
fn contents_go_into_a_directory_or_become_one() {
    let dir = tempfile::tempdir().unwrap();
    for made in ["tree/sub", "there"] {
        fs::create_dir_all(dir.path().join(made)).unwrap();
    }
    fs::write(dir.path().join("tree/sub/x"), "x").unwrap();
    let (bytes, _) = packed(&dir.path().join("tree/."), Owners::Kept);
    into(&dir.path().join("there"), None, &bytes).unwrap();
    assert!(dir.path().join("there/sub/x").is_file());
    into(dir.path(), Some("new"), &bytes).unwrap();
    assert!(dir.path().join("new/sub/x").is_file());
    let error = into(dir.path(), None, &[0; 1024]).unwrap_err();
    assert_eq!(error, "the tar stream is empty");
}

fn archive(entries: &[(&str, EntryType, &str)]) -> Vec<u8> {
    let mut tar = Builder::new(Vec::new());
    for (path, kind, text) in entries {
        let mut header = Header::new_gnu();
        // What the crate would refuse to write.
        header.as_gnu_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_entry_type(*kind);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        let mut bytes = text.as_bytes();
        if matches!(kind, EntryType::Symlink | EntryType::Link) {
            header.set_link_name_literal(text).unwrap();
            bytes = b"";
        }
        header.set_size(bytes.len() as u64);
        header.set_cksum();
        tar.append(&header, bytes).unwrap();
    }
    tar.into_inner().unwrap()
}

#[test]
fn nothing_leads_out() {
    use EntryType as E;
    for (entries, says) in [
        (vec![("../evil", E::Regular, "x")], "leads out"),
        (vec![("/evil", E::Regular, "x")], "leads out"),
        (vec![("a/../../evil", E::Regular, "x")], "leads out"),
        (vec![("l", E::Symlink, "../outside"), ("l/evil", E::Regular, "x")], "not followed"),
        (vec![("l", E::Symlink, "../outside"), ("l", E::Directory, "")], "not followed"),
        (vec![("h", E::Link, "../outside/kept")], "leads out"),
        (vec![("l", E::Symlink, "../outside"), ("h", E::Link, "l/kept")], "not followed"),
        (vec![("d", E::Directory, ""), ("d", E::Regular, "x")], "is a directory"),
        (vec![("planted/evil", E::Regular, "x")], "not followed"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let (inside, outside) = (dir.path().join("inside"), dir.path().join("outside"));
        fs::create_dir(&inside).unwrap();
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("kept"), "old").unwrap();
        symlink("../outside", inside.join("planted")).unwrap();
        let error = into(&inside, None, &archive(&entries)).unwrap_err();
        assert!(error.contains(says), "{error}");
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 1, "{entries:?}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "{entries:?}");
        assert_eq!(fs::metadata(outside.join("kept")).unwrap().nlink(), 1);
    }
}

#[test]
fn a_link_in_the_place_of_a_file_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("target"), "old").unwrap();
    symlink("target", dir.path().join("file")).unwrap();
    let bytes = archive(&[("file", EntryType::Regular, "new"), ("dev", EntryType::Char, "")]);
    assert_eq!(into(dir.path(), None, &bytes).unwrap(), ["dev: a device"]);
    assert_eq!(fs::read_to_string(dir.path().join("target")).unwrap(), "old");
    assert_eq!(fs::read_to_string(dir.path().join("file")).unwrap(), "new");
    assert!(!dir.path().join("dev").exists());
}

#[test]
fn paths_that_mean_contents() {
    for (path, expected) in
        [(".", true), ("a/.", true), ("a/", true), ("/", true), ("a", false), ("a/.b", false)]
    {
        assert_eq!(means_contents(Path::new(path)), expected, "{path}");
    }
}

proptest! {
    /// Whatever the bytes are: no panic, and nothing beside the destination.
    #[test]
    fn rubbish_stays_inside(
        names in prop::collection::vec("[a-c./]{1,12}", 1..6),
        targets in prop::collection::vec("[a-c./]{1,12}", 6),
        kinds in prop::collection::vec(0u8..5, 6),
        cut in 0usize..4096,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let inside: PathBuf = dir.path().join("a");
        fs::create_dir(&inside).unwrap();
        let kind = |n: u8| [EntryType::Regular, EntryType::Directory, EntryType::Symlink,
            EntryType::Link, EntryType::Fifo][usize::from(n)];
        let entries: Vec<_> = names.iter().zip(&targets).zip(&kinds)
            .map(|((name, target), k)| (name.as_str(), kind(*k), target.as_str())).collect();
        let mut bytes = archive(&entries);
        bytes.truncate(bytes.len().saturating_sub(cut));
        let _ = into(&inside, None, &bytes);
        prop_assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
