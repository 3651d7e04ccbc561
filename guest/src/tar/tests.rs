#![allow(clippy::disallowed_methods)]
use super::header::{BLOCK, Entry, Kind, Pending, entry, kind_and_size};
use crate::sys::{self, at};
use proptest::prelude::*;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("hc-guest-tar-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }
    fn text(&self, below: &str) -> String {
        self.0.join(below).to_str().unwrap().into()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn pack(path: &str, to: &str) {
    std::fs::write(to, b"").unwrap();
    let mut out = sys::open(to, at::WRITE).unwrap();
    super::pack::tree(&sys::open(path, at::PATH).unwrap(), path, &mut out).unwrap();
}

fn unpack(from: &str, below: &str) -> Result<(), String> {
    std::fs::create_dir_all(below).unwrap();
    unpack_to(from, below)
}

fn unpack_to(from: &str, path: &str) -> Result<(), String> {
    let to = super::Destination::find(path)?;
    super::unpack::tree(&to, &mut sys::open(from, sys::READ).unwrap())
}

/// A tree with everything there is, names and links longer than a header has room for too.
fn make_tree(root: &Path) {
    let deep = root.join("d".repeat(120)).join("e".repeat(120));
    std::fs::create_dir_all(&deep).unwrap();
    std::fs::create_dir(root.join("empty")).unwrap();
    std::fs::write(deep.join("file"), vec![5; 1300]).unwrap();
    std::fs::write(root.join("none"), b"").unwrap();
    std::fs::write(root.join("block"), vec![7; BLOCK]).unwrap();
    std::fs::set_permissions(root.join("block"), PermissionsExt::from_mode(0o4711)).unwrap();
    std::fs::hard_link(root.join("block"), root.join("same")).unwrap();
    symlink("nowhere", root.join("short")).unwrap();
    symlink("x/".repeat(90), root.join("long")).unwrap();
    let name = <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(b"\xff\xfe");
    std::fs::write(root.join(name), b"odd name").unwrap();
    assert!(Command::new("mkfifo").arg(root.join("pipe")).status().unwrap().success());
    assert!(
        Command::new("touch").args(["-d", "2001-02-03"]).arg(&deep).status().unwrap().success()
    );
    assert!(
        Command::new("touch")
            .args(["-d", "1975-01-02"])
            .arg(root.join("none"))
            .status()
            .unwrap()
            .success()
    );
}

/// What a tree holds, a line each.
fn listed(root: &Path) -> String {
    let every = ["-printf", "%p %y %m %U %G %l %Ts %n\\n"];
    let found = Command::new("find").args(every).current_dir(root).output().unwrap().stdout;
    let found = String::from_utf8_lossy(&found).into_owned();
    let mut find: Vec<&str> = found.lines().collect();
    let sums = "find . -type f -print0 | sort -z | xargs -0 sha256sum";
    let sums = Command::new("sh").args(["-c", sums]).current_dir(root).output().unwrap();
    find.sort();
    format!("{}\n{}", find.join("\n"), String::from_utf8_lossy(&sums.stdout))
}

#[test]
fn a_tree_comes_out_as_it_went_in() {
    let scratch = Scratch::new("round");
    let tree = scratch.0.join("tree");
    make_tree(&tree);
    pack(&scratch.text("tree"), &scratch.text("tar"));
    unpack(&scratch.text("tar"), &scratch.text("out")).unwrap();
    let before = listed(&tree);
    assert!(before.lines().count() > 12, "{before}");
    assert_eq!(listed(&scratch.0.join("out/tree")), before);
    // Once more over what is there: directories are let be, and notice that something was written.
    unpack(&scratch.text("tar"), &scratch.text("out")).unwrap();
    let but_directories = |listed: &str| {
        let lines = listed.lines().filter(|line| !line.contains(" d "));
        lines.map(|line| format!("{line}\n")).collect::<String>()
    };
    let again = listed(&scratch.0.join("out/tree"));
    assert_eq!(but_directories(&again), but_directories(&before));
    assert_eq!(scratch.0.join("out/tree/same").metadata().unwrap().nlink(), 2);
}

#[test]
fn other_programs_read_and_write_the_same() {
    let scratch = Scratch::new("others");
    let tree = scratch.0.join("tree");
    make_tree(&tree);
    let before = listed(&tree);
    pack(&scratch.text("tree"), &scratch.text("tar"));
    std::fs::create_dir(scratch.0.join("theirs")).unwrap();
    let arguments = ["--same-owner", "-pxf", "../tar"];
    let read = read_in(Command::new("tar").args(arguments), &scratch.0.join("theirs"));
    assert!(read.is_empty(), "{read}");
    assert_eq!(listed(&scratch.0.join("theirs/tree")), before);
    for format in ["gnu", "posix"] {
        let arguments = ["--format", format, "-cf", "theirs.tar", "tree"];
        let said = read_in(Command::new("tar").args(arguments), &scratch.0);
        assert!(said.is_empty(), "{format}: {said}");
        let out = scratch.text(format);
        unpack(&scratch.text("theirs.tar"), &out).unwrap();
        assert_eq!(listed(&Path::new(&out).join("tree")), before, "{format}");
    }
}

#[test]
fn it_goes_into_a_directory_or_gets_another_name() {
    let scratch = Scratch::new("names");
    std::fs::create_dir_all(scratch.text("tree/sub")).unwrap();
    std::fs::write(scratch.text("tree/sub/file"), b"text").unwrap();
    std::fs::create_dir(scratch.text("there")).unwrap();
    pack(&scratch.text("tree"), &scratch.text("named"));
    pack(&scratch.text("tree/."), &scratch.text("contents"));
    pack(&scratch.text("tree/sub/file"), &scratch.text("one"));
    let read = |path: &str| std::fs::read_to_string(scratch.text(path)).unwrap();
    for (from, to, found) in [
        ("named", "there", "there/tree/sub/file"),
        ("named", "new", "new/sub/file"),
        ("contents", "there", "there/sub/file"),
        ("contents", "other", "other/sub/file"),
        ("one", "there", "there/file"),
        ("one", "there/as", "there/as"),
        // What is there is replaced.
        ("one", "there/as", "there/as"),
    ] {
        unpack_to(&scratch.text(from), &scratch.text(to)).unwrap();
        assert_eq!(read(found), "text", "{from} to {to}");
    }
    let fails = |from: &str, to: &str| {
        let said = unpack_to(&scratch.text(from), &scratch.text(to)).unwrap_err();
        said.replace(&scratch.text(""), "/")
    };
    let missing = "no such file or directory";
    assert_eq!(
        fails("one", "no/file"),
        format!("cannot copy to /no/file: cannot open /no: {missing}")
    );
    assert_eq!(fails("one", "no/"), format!("cannot copy into /no/: {missing}"));
    assert_eq!(fails("one", "there/as/"), "cannot copy into /there/as/: not a directory");
    assert!(fails("named", "there/as").contains("/there/as: "), "a tree in the place of a file");
    std::fs::write(scratch.text("empty"), [0; 1024]).unwrap();
    assert_eq!(fails("empty", "there"), "the tar stream is empty");
    // A directory that is there stays whose it is and what it is.
    std::fs::set_permissions(scratch.text("there/tree"), PermissionsExt::from_mode(0o711)).unwrap();
    unpack_to(&scratch.text("named"), &scratch.text("there")).unwrap();
    assert_eq!(scratch.0.join("there/tree").metadata().unwrap().mode() & 0o7777, 0o711);
}

fn read_in(command: &mut Command, dir: &Path) -> String {
    let done = command.current_dir(dir).stdout(Stdio::null()).output().unwrap();
    String::from_utf8_lossy(&done.stderr).into_owned()
}

#[test]
fn nothing_is_written_outside() {
    let scratch = Scratch::new("outside");
    std::fs::write(scratch.text("outside"), b"old").unwrap();
    let (uid, gid) = {
        let about = scratch.0.metadata().unwrap();
        (about.uid(), about.gid())
    };
    let one = |name: &str, kind: Kind, link: &str, contents: &[u8]| {
        let (name, link) = (name.as_bytes().to_vec(), link.as_bytes().to_vec());
        let size = contents.len() as u64;
        let entry = Entry { name, kind, link, mode: 0o644, uid, gid, size, mtime: 0 };
        let mut bytes = [entry.header().as_slice(), contents].concat();
        bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
        bytes
    };
    let outside = scratch.text("outside");
    let absolute = scratch.text("");
    let streams = [
        one("../outside", Kind::File, "", b"new"),
        one("a/../../outside", Kind::File, "", b"new"),
        [one("up", Kind::Symlink, "..", b""), one("up/outside", Kind::File, "", b"new")].concat(),
        [one("up", Kind::Symlink, &absolute, b""), one("up/outside", Kind::File, "", b"")].concat(),
        one("linked", Kind::HardLink, "../outside", b""),
        [one("up", Kind::Symlink, "..", b""), one("linked", Kind::HardLink, "up/outside", b"")]
            .concat(),
    ];
    for (number, stream) in streams.iter().enumerate() {
        let (from, below) = (scratch.text("stream"), scratch.text(&format!("top{number}")));
        std::fs::write(&from, stream).unwrap();
        let said = unpack(&from, &below).unwrap_err();
        let no = ["leads out", "not followed", "too many symlinks"];
        assert!(no.iter().any(|no| said.contains(no)), "{number}: {said}");
        assert!(!Path::new(&below).join("linked").exists());
        assert_eq!(std::fs::read_to_string(&outside).unwrap(), "old", "{number}");
    }
    // A symlink in the place of a file is replaced, and where it leads is let be.
    let stream =
        [one("f", Kind::Symlink, &outside, b""), one("f", Kind::File, "", b"new")].concat();
    std::fs::write(scratch.text("stream"), stream).unwrap();
    unpack(&scratch.text("stream"), &scratch.text("top")).unwrap();
    assert_eq!(std::fs::read_to_string(&outside).unwrap(), "old");
    assert_eq!(std::fs::read_to_string(scratch.text("top/f")).unwrap(), "new");
    assert!(scratch.0.join("top/f").symlink_metadata().unwrap().is_file());
}

proptest! {
    #[test]
    fn any_bytes_are_unpacked_or_refused(
        bytes in proptest::collection::vec(any::<u8>(), 0..1600), header in any::<bool>(),
    ) {
        let scratch = Scratch::new("any");
        let mut stream = Vec::new();
        if header {
            stream.extend(Entry {
                name: b"x".to_vec(), kind: Kind::Other(b'x'), link: Vec::new(), mode: 0, uid: 0,
                gid: 0, size: bytes.len() as u64, mtime: 0,
            }.header());
        }
        stream.extend(bytes);
        std::fs::write(scratch.text("stream"), stream).unwrap();
        let _ = unpack(&scratch.text("stream"), &scratch.text("top"));
    }

    #[test]
    fn an_entry_is_read_as_it_was_written(
        name in "[a-z/]{1,300}", link in "[a-z/]{0,300}", mode in 0..0o10000u32,
        (uid, gid, size, mtime) in any::<(u32, u32, u64, i64)>(),
    ) {
        let written = Entry {
            name: name.into_bytes(), kind: Kind::Symlink, link: link.into_bytes(), mode, uid, gid, size,
            mtime,
        };
        let header = written.header();
        let (blocks, _) = header.as_chunks::<BLOCK>();
        let mut pending = Pending::default();
        let (last, before) = blocks.split_last().unwrap();
        if let Some((first, contents)) = before.split_first() {
            let (letter, size) = kind_and_size(first).unwrap().unwrap();
            prop_assert_eq!(letter, b'x');
            pending.add(letter, &contents.as_flattened()[..size as usize]).unwrap();
        }
        prop_assert!(kind_and_size(last).unwrap().is_some());
        prop_assert_eq!(entry(last, pending).unwrap(), written);
    }
}
