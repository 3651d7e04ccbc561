#![allow(clippy::disallowed_methods)]

use super::*;
use crate::tree::Meta;
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use std::collections::BTreeMap;
use std::io::Cursor;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt};
use std::path::PathBuf;
use std::process::Command;

fn image(tree: &Tree) -> Vec<u8> {
    let mut out = Cursor::new(Vec::new());
    let summary = write(tree, &mut out, Path::new("test")).unwrap();
    assert_eq!(summary.size, out.get_ref().len() as u64);
    out.into_inner()
}

/// What `inside` says of the image, mounted by the kernel from its file, in a thread with a mount
/// namespace of its own.
fn mounted<T: Send>(image: &Path, inside: impl FnOnce(&Path) -> T + Send) -> T {
    use rustix::mount as m;
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    std::thread::scope(|scope| {
        let work = scope.spawn(|| {
            // SAFETY: only this thread's mount namespace and working directory.
            unsafe {
                rustix::thread::unshare_unsafe(
                    rustix::thread::UnshareFlags::NEWNS | rustix::thread::UnshareFlags::FS,
                )
            }
            .unwrap();
            let private = m::MountPropagationFlags::PRIVATE | m::MountPropagationFlags::REC;
            m::mount_change("/", private).unwrap();
            let fs = m::fsopen("erofs", m::FsOpenFlags::FSOPEN_CLOEXEC).unwrap();
            m::fsconfig_set_string(&fs, "source", image).unwrap();
            m::fsconfig_create(&fs).unwrap();
            let none = m::MountAttrFlags::MOUNT_ATTR_RDONLY;
            let mount = m::fsmount(&fs, m::FsMountFlags::FSMOUNT_CLOEXEC, none).unwrap();
            let flags = m::MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
            m::move_mount(&mount, "", rustix::fs::CWD, at, flags).unwrap();
            inside(at)
        });
        work.join().unwrap()
    })
}

/// A tree as lines, for comparing: everything but inode numbers.
fn listing(tree: &Tree) -> Vec<String> {
    let mut lines = Vec::new();
    let mut first: BTreeMap<Id, String> = BTreeMap::new();
    let mut left = vec![(String::new(), Tree::ROOT)];
    while let Some((path, id)) = left.pop() {
        let inode = tree.inode(id);
        let same = first.entry(id).or_insert_with(|| path.clone()).clone();
        let what = match &inode.kind {
            Kind::Directory(entries) => {
                for (name, id) in entries.iter().rev() {
                    let name: String = name.iter().map(|b| format!("{b:02x}")).collect();
                    left.push((format!("{path}/{name}"), *id));
                }
                "directory".to_owned()
            }
            Kind::File(content) => {
                let mut bytes = Vec::new();
                content.open().unwrap().read_to_end(&mut bytes).unwrap();
                format!("file {} {}", bytes.len(), crate::debian::sha256_hex(&bytes))
            }
            other => format!("{other:?}"),
        };
        lines.push(format!("{path} = {same}: {what} {:?}", inode.meta));
    }
    lines
}

fn fsck(path: &Path, extract: bool) {
    let extract = if extract { "--extract" } else { "-d1" };
    let done = Command::new("fsck.erofs").arg(extract).arg(path).output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.success(), "{said} {}", String::from_utf8_lossy(&done.stderr));
}

fn check(tree: &Tree) -> Vec<u8> {
    let bytes = image(tree);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &bytes).unwrap();
    fsck(file.path(), true);
    let seen = mounted(file.path(), |at| listing(&Tree::walk(at).unwrap()));
    assert_eq!(seen, listing(tree));
    bytes
}

fn file(bytes: impl Into<Vec<u8>>) -> Kind {
    Kind::File(Content::Bytes(bytes.into()))
}

fn directory() -> Kind {
    Kind::Directory(BTreeMap::new())
}

#[test]
fn every_kind_and_every_attribute() {
    let mut tree = Tree::new(Meta::root(0o755, 1));
    let meta = |mode, uid, gid, mtime| Meta { mode, uid, gid, mtime, ..Meta::default() };
    tree.add(b"empty", file(""), meta(0o600, 1, 2, 0)).unwrap();
    tree.add(b"su", file("x".repeat(5000)), meta(0o6755, 0, 70000, 1_700_000_000)).unwrap();
    tree.add(b"old", file("x".repeat(4096)), meta(0o644, u32::MAX - 1, 0, -5)).unwrap();
    tree.add(b"far", file("x".repeat(4033)), meta(0o644, 0, 0, 1 << 40)).unwrap();
    tree.add(b"tmp", directory(), meta(0o1777, 0, 0, 1)).unwrap();
    tree.add(b"tmp/short", Kind::Symlink(b"../su".to_vec()), meta(0o777, 5, 5, 7)).unwrap();
    tree.add(b"tmp/long", Kind::Symlink(vec![b'a'; 4095]), meta(0o777, 0, 0, 7)).unwrap();
    tree.add(b"null", Kind::Char { major: 1, minor: 3 }, meta(0o666, 0, 0, 1)).unwrap();
    tree.add(b"disk", Kind::Block { major: 4095, minor: 0xfffff }, meta(0o660, 0, 6, 1)).unwrap();
    tree.add(b"pipe", Kind::Fifo, meta(0o600, 0, 0, 1)).unwrap();
    tree.add(b"sock", Kind::Socket, meta(0o600, 0, 0, 1)).unwrap();
    tree.add(b"name \xff\n", file("n"), meta(0o644, 0, 0, 1)).unwrap();
    let linked = tree.find(b"su").unwrap();
    tree.link(b"tmp/again", linked).unwrap();
    let mut with = meta(0o755, 0, 0, 1);
    let capability =
        b"\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00";
    with.xattrs.insert(b"security.capability".to_vec(), capability.to_vec());
    with.xattrs.insert(b"user.big".to_vec(), vec![7; 3000]);
    with.xattrs.insert(b"trusted.x".to_vec(), Vec::new());
    tree.add(b"ping", file("p".repeat(1500)), with.clone()).unwrap();
    with.xattrs.insert(b"user.bigger".to_vec(), vec![9; 60000]);
    tree.add(b"pong", file("p".repeat(1500)), with).unwrap();
    let mut acl = meta(0o750, 0, 0, 1);
    // Version 2; user::rwx, user:33:r-x, group::r-x, mask::r-x, other::---
    let entries = [
        (1_u16, 7_u16, u32::MAX),
        (2, 5, 33),
        (4, 5, u32::MAX),
        (16, 5, u32::MAX),
        (32, 0, u32::MAX),
    ];
    let mut value = 2_u32.to_le_bytes().to_vec();
    for (tag, bits, id) in entries {
        value.extend(tag.to_le_bytes());
        value.extend(bits.to_le_bytes());
        value.extend(id.to_le_bytes());
    }
    acl.xattrs.insert(b"system.posix_acl_access".to_vec(), value.clone());
    acl.xattrs.insert(b"system.posix_acl_default".to_vec(), value);
    tree.add(b"acl", directory(), acl).unwrap();
    check(&tree);
}

#[test]
fn the_order_of_making_does_not_matter() {
    let names: Vec<String> = (0..2000).map(|n| format!("a rather long name of file {n}")).collect();
    let build = |names: &mut dyn Iterator<Item = &String>| {
        let mut tree = Tree::new(Meta::root(0o755, 1));
        for name in names {
            let path = format!("/{name}");
            tree.add(path.as_bytes(), file(name.as_bytes()), Meta::root(0o644, 2)).unwrap();
        }
        tree
    };
    let one = check(&build(&mut names.iter()));
    assert_eq!(one, image(&build(&mut names.iter().rev())));
    assert_eq!(one, image(&build(&mut names.iter())));
}

#[test]
fn holes_take_no_room_and_large_files_are_whole() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sparse");
    let size = (5 << 30) + 12345;
    let sparse = std::fs::File::create(&path).unwrap();
    sparse.set_len(size).unwrap();
    let marks: [(u64, &[u8]); 4] =
        [(0, b"first"), (70 << 20, b"middle"), ((4 << 30) + 4090, b"across"), (size - 4, b"last")];
    for (at, text) in marks {
        sparse.write_all_at(text, at).unwrap();
    }
    let mut tree = Tree::new(Meta::root(0o755, 1));
    let big = Kind::File(Content::File { path, size });
    tree.add(b"big", big, Meta::root(0o644, 1)).unwrap();
    tree.add(b"zero", file(vec![0; 300_000]), Meta::root(0o644, 1)).unwrap();
    tree.add(b"dense", file(vec![1; 300_000]), Meta::root(0o644, 1)).unwrap();
    let target = dir.path().join("image");
    let summary = write_file(&tree, &target).unwrap();
    assert!(summary.size < 4 << 20, "{summary:?}");
    fsck(&target, false);
    mounted(&target, |at| {
        let big = std::fs::File::open(at.join("big")).unwrap();
        assert_eq!(big.metadata().unwrap().size(), size);
        for (at, text) in marks {
            let mut got = vec![0; text.len() + 3];
            let count = big.read_at(&mut got, at).unwrap();
            assert_eq!(&got[..text.len()], text);
            assert!(got[text.len()..count].iter().all(|b| *b == 0));
        }
        let mut got = vec![1; 1 << 20];
        big.read_exact_at(&mut got, 2 << 30).unwrap();
        assert!(got.iter().all(|b| *b == 0));
        assert_eq!(std::fs::read(at.join("zero")).unwrap(), vec![0; 300_000]);
        assert_eq!(std::fs::read(at.join("dense")).unwrap(), vec![1; 300_000]);
    });
}

#[test]
fn a_real_directory_comes_back_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    std::fs::create_dir_all(root.join("a/b")).unwrap();
    std::fs::write(root.join("a/f"), "f").unwrap();
    std::fs::hard_link(root.join("a/f"), root.join("a/b/g")).unwrap();
    std::os::unix::fs::symlink("f", root.join("a/s")).unwrap();
    std::os::unix::fs::chown(root.join("a/f"), Some(33), Some(42)).unwrap();
    let _listener = std::os::unix::net::UnixListener::bind(root.join("sock")).unwrap();
    let tree = Tree::walk(&root).unwrap();
    let path = dir.path().join("image");
    write_file(&tree, &path).unwrap();
    mounted(&path, |at| {
        assert_eq!(listing(&Tree::walk(at).unwrap()), listing(&tree));
        let file = at.join("a/f").metadata().unwrap();
        assert_eq!((file.nlink(), file.uid(), file.gid()), (2, 33, 42));
        assert_eq!(file.ino(), at.join("a/b/g").metadata().unwrap().ino());
        assert_eq!(at.join("a").metadata().unwrap().nlink(), 3);
        assert!(at.join("sock").symlink_metadata().unwrap().file_type().is_socket());
    });
    let error = write_file(&tree, &path).unwrap_err().to_string();
    assert!(error.contains("File exists"), "{error}");
}

#[test]
fn what_has_no_place_is_told_by_path() {
    let refused = |kind: Kind, xattr: &str, size: usize| {
        let mut tree = Tree::new(Meta::root(0o755, 1));
        tree.add(b"etc", directory(), Meta::root(0o755, 1)).unwrap();
        let mut meta = Meta::root(0o644, 1);
        if !xattr.is_empty() {
            meta.xattrs.insert(xattr.into(), vec![0; size]);
        }
        tree.add(b"etc/x", kind, meta).unwrap();
        write(&tree, Cursor::new(Vec::new()), Path::new("t")).unwrap_err().to_string()
    };
    let gone = Content::File { path: PathBuf::from("/etc/passwd"), size: 3 };
    let lines = [
        refused(file(""), "btrfs.compression", 1),
        refused(file(""), "user.", 1),
        refused(file(""), "user.x", 65536),
        refused(Kind::Symlink(Vec::new()), "", 0),
        refused(Kind::Char { major: 5000, minor: 0 }, "", 0),
        refused(Kind::File(gone), "", 0),
        refused(Kind::File(Content::File { path: "/etc/passwd".into(), size: 1 << 20 }), "", 0),
    ];
    insta::assert_snapshot!(lines.join("\n"), @r"
    /etc/x: EROFS cannot store the extended attribute `btrfs.compression`
    /etc/x: EROFS cannot store the extended attribute `user.`
    /etc/x: the extended attribute `user.x` is too large for EROFS
    /etc/x: a symlink's target has 1 to 4095 bytes, none NUL
    /etc/x: EROFS cannot store the device number 5000:0
    /etc/x: it grew while it was read
    /etc/x: it shrank while it was read
    ");
    let mut tree = Tree::new(Meta::root(0o755, 1));
    for path in ["a/b", "..", ".", "", "x\0", &"n".repeat(256)] {
        assert!(tree.add(path.as_bytes(), file(""), Meta::default()).is_err(), "{path}");
    }
    tree.add(b"d", directory(), Meta::default()).unwrap();
    assert!(tree.link(b"e", tree.find(b"d").unwrap()).is_err());
    assert!(tree.add(b"d", file(""), Meta::default()).is_err());
}

fn any_kind() -> impl Strategy<Value = Kind> {
    let bytes = |max: usize| (any::<u8>(), 0..max).prop_map(|(b, n)| vec![b; n]);
    prop_oneof![
        4 => bytes(9000).prop_map(file),
        1 => proptest::collection::vec(bytes(70_000), 0..8).prop_map(|parts| file(parts.concat())),
        4 => Just(directory()),
        1 => "[a-z/.]{1,100}".prop_map(|t| Kind::Symlink(t.into())),
        1 => (0..4096_u32, 0..1_u32 << 20).prop_map(|(major, minor)| Kind::Char { major, minor }),
        1 => Just(Kind::Fifo),
    ]
}

fn any_meta() -> impl Strategy<Value = Meta> {
    let times = (any::<i32>(), 0..1_000_000_000_u32);
    let names = prop_oneof![
        "user\\.[a-z]{1,20}",
        "trusted\\.[a-z]{1,250}".prop_map(|mut n| {
            n.truncate(255);
            n
        })
    ];
    let xattrs = proptest::collection::btree_map(
        names.prop_map(String::into_bytes),
        proptest::collection::vec(any::<u8>(), 0..700),
        0..4,
    );
    let kinds = prop_oneof![3 => Just(BTreeMap::new()).boxed(), 1 => xattrs.boxed()];
    (0..0o10000_u32, 0..u32::MAX, 0..u32::MAX, times, kinds).prop_map(
        |(mode, uid, gid, (mtime, mtime_nsec), xattrs)| Meta {
            mode,
            uid,
            gid,
            mtime: mtime.into(),
            mtime_nsec,
            xattrs,
        },
    )
}

/// Entries in directories picked among those made so far; what does not go is left out.
fn any_tree() -> impl Strategy<Value = Tree> {
    let name = proptest::collection::vec(1..=255_u8, 1..60);
    let entry = (any::<proptest::sample::Index>(), name, any_kind(), any_meta(), any::<u8>());
    (any_meta(), proptest::collection::vec(entry, 0..120)).prop_map(|(mut root, entries)| {
        root.mode |= 0o500;
        let mut tree = Tree::new(root);
        let mut dirs: Vec<Vec<u8>> = vec![Vec::new()];
        let mut files = Vec::new();
        for (dir, name, kind, mut meta, link) in entries {
            let path = [dir.get(&dirs).as_slice(), b"/", &name].concat();
            // Sockets, pipes and symlinks have no user attributes on Linux.
            if !matches!(kind, Kind::File(_) | Kind::Directory(_)) {
                meta.xattrs.clear();
            }
            if matches!(kind, Kind::Symlink(_)) {
                meta.mode = 0o777;
            }
            if link < 20
                && let Some(first) = files.last()
            {
                let _ = tree.link(&path, *first);
            } else if let Kind::Directory(_) = kind {
                if tree.add(&path, kind, meta).is_ok() {
                    dirs.push(path);
                }
            } else if let Ok(id) = tree.add(&path, kind, meta) {
                files.push(id);
            }
        }
        tree
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn random_trees_are_what_the_kernel_sees(tree in any_tree()) {
        let bytes = image(&tree);
        prop_assert_eq!(&bytes, &image(&tree.clone()));
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &bytes).unwrap();
        let seen = mounted(file.path(), |at| {
            Tree::walk(at).map(|seen| listing(&seen)).map_err(|e| e.to_string())
        });
        prop_assert_eq!(seen.map_err(TestCaseError::fail)?, listing(&tree));
    }
}

#[test]
fn names_are_bytes() {
    let mut tree = Tree::new(Meta::root(0o755, 1));
    for byte in (1..=255_u8).filter(|b| !matches!(b, b'/' | b'.')) {
        tree.add(&[byte], file([byte]), Meta::root(0o644, 1)).unwrap();
    }
    let path = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(path.path(), image(&tree)).unwrap();
    mounted(path.path(), |at| {
        for byte in (1..=255_u8).filter(|b| !matches!(b, b'/' | b'.')) {
            let name = std::ffi::OsString::from_vec(vec![byte]);
            assert_eq!(std::fs::read(at.join(name)).unwrap(), [byte]);
        }
    });
}
