//! Archives made to harm: each is refused, nothing is written outside the target, and memory
//! stays small. One test, so that the memory of this process is that of unpacking.
#![allow(missing_docs, clippy::disallowed_methods)]

use nix_compat::{nar, unpack};
use std::io::Read;
use std::path::Path;

/// A token: its length, its bytes, padded to eight.
fn token(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend((bytes.len() as u64).to_le_bytes());
    out.extend(bytes);
    out.resize(out.len().next_multiple_of(8), 0);
}

fn archive(tokens: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    token(&mut out, b"nix-archive-1");
    for bytes in tokens {
        token(&mut out, bytes);
    }
    out
}

/// A directory with entries that are files with the contents `x`.
fn directory(names: &[&[u8]]) -> Vec<u8> {
    let mut tokens: Vec<&[u8]> = vec![b"(", b"type", b"directory"];
    for name in names {
        tokens.extend([&b"entry"[..], b"(", b"name", name, b"node"]);
        tokens.extend([&b"("[..], b"type", b"regular", b"contents", b"x", b")", b")"]);
    }
    tokens.push(b")");
    archive(&tokens)
}

fn deep(levels: usize) -> Vec<u8> {
    let mut tokens: Vec<&[u8]> = vec![b"(", b"type", b"directory"];
    for _ in 0..levels {
        tokens.extend([&b"entry"[..], b"(", b"name", b"d", b"node", b"(", b"type", b"directory"]);
    }
    archive(&tokens)
}

/// A token that claims more than can be.
fn long(before: &[&[u8]], length: u64) -> Vec<u8> {
    let mut out = archive(before);
    out.extend(length.to_le_bytes());
    out.extend([b'x'; 4096]);
    out
}

#[test]
fn hostile_archives_are_refused_and_harm_nothing() {
    let contents: &[&[u8]] = &[b"(", b"type", b"regular", b"contents"];
    let name: &[&[u8]] = &[b"(", b"type", b"directory", b"entry", b"(", b"name"];
    let target: &[&[u8]] = &[b"(", b"type", b"symlink", b"target"];
    let mut through_link: Vec<&[u8]> = vec![b"(", b"type", b"directory"];
    through_link.extend([&b"entry"[..], b"(", b"name", b"a", b"node", b"(", b"type", b"symlink"]);
    through_link.extend([&b"target"[..], b"../outside", b")", b")"]);
    through_link.extend([&b"entry"[..], b"(", b"name", b"a", b"node", b"(", b"type", b"directory"]);
    through_link.extend([&b"entry"[..], b"(", b"name", b"planted", b"node"]);
    through_link.extend([
        &b"("[..],
        b"type",
        b"regular",
        b"contents",
        b"x",
        b")",
        b")",
        b")",
        b")",
        b")",
    ]);
    let whole = directory(&[b"a"]);
    // So many that files are written by several threads.
    let names: Vec<String> = (0..500).map(|number| format!("n{number:03}")).collect();
    let many = directory(&names.iter().map(String::as_bytes).collect::<Vec<_>>());
    let file = |tokens: &[&[u8]]| {
        let mut all: Vec<&[u8]> = vec![b"(", b"type", b"regular"];
        all.extend(tokens);
        archive(&all)
    };
    let contents_of_one = file(&[b"contents", b"x", b")"]);
    // The first byte of the padding of the only name, and of the only contents.
    let at_name = whole.windows(8).position(|eight| eight == b"a\0\0\0\0\0\0\0").unwrap() + 1;
    let at_contents = contents_of_one.len() - 16 - 7;
    let bad_end = archive(&[b"entry", b"(", b"name", b"../z"])[24..].to_vec();
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("duplicate names", directory(&[b"a", b"a"])),
        ("unsorted names", directory(&[b"b", b"a"])),
        ("the parent", directory(&[b".."])),
        ("itself", directory(&[b"."])),
        ("no name", directory(&[b""])),
        ("a path", directory(&[b"a/b"])),
        ("an absolute path", directory(&[b"/etc/planted"])),
        ("a NUL", directory(&[b"a\0b"])),
        ("a name longer than any file's", directory(&[&[b'n'; 4096]])),
        ("through a symlink of its own", archive(&through_link)),
        ("depth 100,000", deep(100_000)),
        ("contents of 2^63", long(contents, 1 << 63)),
        ("contents of 2^64-1", long(contents, u64::MAX)),
        ("contents of 2^40 that are not there", long(contents, 1 << 40)),
        ("a name of 2^63", long(name, 1 << 63)),
        ("a name of 2^32", long(name, 1 << 32)),
        ("a target of 2^63", long(target, 1 << 63)),
        ("a target of 2^30", long(target, 1 << 30)),
        ("cut off", whole[..whole.len() - 9].to_vec()),
        ("cut off among many", many[..many.len() - 9].to_vec()),
        ("a bad name behind many", [&many[..many.len() - 16], &bad_end].concat()),
        ("padding of a name that is not zero", changed(&whole, at_name)),
        ("padding of contents that is not zero", changed(&contents_of_one, at_contents)),
        ("an executable with a text", file(&[b"executable", b"x", b"contents", b"x", b")"])),
        ("another word for executable", file(&[b"executablf", b"", b"contents", b"x", b")"])),
        ("twice executable", {
            file(&[b"executable", b"", b"executable", b"", b"contents", b"x", b")"])
        }),
        ("executable behind the contents", file(&[b"contents", b"x", b"executable", b"", b")"])),
        ("an executable symlink", {
            archive(&[b"(", b"type", b"symlink", b"executable", b"", b"target", b"x", b")"])
        }),
        ("another type", archive(&[b"(", b"type", b"device", b")"])),
        ("no type", archive(&[b"(", b")"])),
        ("a symlink to a NUL", archive(&[b"(", b"type", b"symlink", b"target", b"a\0b", b")"])),
        ("a symlink to nothing", archive(&[b"(", b"type", b"symlink", b"target", b"", b")"])),
        ("something behind it", [whole.clone(), vec![0; 8]].concat()),
        ("no archive", b"nix-archive-2".to_vec()),
        ("nothing", Vec::new()),
    ];
    // From here on the peak is that of unpacking.
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    for ((what, bytes), canonical) in cases.iter().flat_map(|c| [(c, false), (c, true)]) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("outside")).unwrap();
        let refused = restore(bytes, &dir.path().join("target"), canonical);
        let error = refused.err().unwrap_or_else(|| panic!("{what} was taken")).to_string();
        assert!(!error.is_empty() && error.len() < 1000, "{what}: {error}");
        let around: Vec<_> =
            std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert!(around.iter().all(|n| n == "outside" || n == "target"), "{what}: {around:?}");
        assert_eq!(std::fs::read_dir(dir.path().join("outside")).unwrap().count(), 0, "{what}");
    }
    // Names that differ in case, and one as other systems write such, are three.
    let cases = directory(&[b"A", b"a", b"a~nix~case~hack~1"]);
    for canonical in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let to = dir.path().join("target");
        restore(&cases, &to, canonical).unwrap();
        let mut names: Vec<_> =
            std::fs::read_dir(&to).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["A", "a", "a~nix~case~hack~1"]);
        let mut again = Vec::new();
        nar::dump(&to, &mut again).unwrap();
        assert_eq!(again, cases);
        // A file that is larger than the memory there may be, in and out.
        let to = dir.path().join("large");
        let (begin, end) = (long(contents, LARGE), archive(&[b")"]));
        let begin = &begin[..begin.len() - 4096];
        let end = &end[24..];
        let mut from = begin.chain(std::io::repeat(7).take(LARGE)).chain(end);
        if canonical { unpack(&mut from, &to).map(drop) } else { nar::restore(&mut from, &to) }
            .unwrap();
        assert_eq!(to.metadata().unwrap().len(), LARGE);
        let mut count = Count(0);
        nar::dump(&to, &mut count).unwrap();
        assert_eq!(count.0, LARGE + (begin.len() + end.len()) as u64);
        assert_eq!(nar::hash_path(&to).unwrap().size, count.0);
    }
    // The target is there already, as a symlink: it is not followed.
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("outside")).unwrap();
    for to in ["outside", "outside/new", "/etc/planted"] {
        let target = dir.path().join("target");
        std::os::unix::fs::symlink(to, &target).unwrap();
        for bytes in
            [directory(&[b"a"]), archive(&[b"(", b"type", b"regular", b"contents", b"x", b")"])]
        {
            assert!(restore(&bytes, &target, false).is_err(), "{to}");
            assert!(restore(&bytes, &target, true).is_err(), "{to}");
        }
        std::fs::remove_file(&target).unwrap();
    }
    assert_eq!(std::fs::read_dir(dir.path().join("outside")).unwrap().count(), 0);
    assert!(!Path::new("/etc/planted").exists());
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap();
    let peak: usize = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak < 64 << 10, "{peak} KiB");
}

const LARGE: u64 = 100 << 20;

/// So many bytes were written.
struct Count(u64);

impl std::io::Write for Count {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// With one byte another.
fn changed(bytes: &[u8], at: usize) -> Vec<u8> {
    let mut changed = bytes.to_vec();
    assert_eq!(changed[at], 0);
    changed[at] = 1;
    changed
}

/// In both ways.
fn restore(bytes: &[u8], to: &Path, canonical: bool) -> Result<(), nar::Error> {
    let mut from = bytes;
    if canonical { unpack(&mut from, to).map(|_| ()) } else { nar::restore(&mut from, to) }
}
