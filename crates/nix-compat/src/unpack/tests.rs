#![allow(clippy::disallowed_methods)]
use super::*;
use crate::nar;
use proptest::prelude::*;
use std::os::unix::fs::MetadataExt;

fn tree(at: &Path) {
    for directory in 0..20 {
        let directory = at.join(format!("d{directory}/sub"));
        std::fs::create_dir_all(&directory).unwrap();
        for file in 0..20 {
            std::fs::write(directory.join(format!("f{file}")), vec![7; file * 9000]).unwrap();
        }
        std::os::unix::fs::symlink("sub/f1", directory.join("link")).unwrap();
    }
    let program = at.join("program");
    std::fs::write(&program, "x").unwrap();
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(program, executable).unwrap();
}

fn check(at: &Path) -> usize {
    let metadata = at.symlink_metadata().unwrap();
    assert_eq!(metadata.mtime(), 1, "{}", at.display());
    let executable = metadata.is_dir() || at.ends_with("program");
    if !metadata.is_symlink() {
        assert_eq!(metadata.mode() & 0o7777, if executable { 0o555 } else { 0o444 });
    }
    let children = |at| std::fs::read_dir(at).unwrap().map(|e| e.unwrap().path());
    1 + if metadata.is_dir() { children(at).map(|at| check(&at)).sum() } else { 0 }
}

#[test]
fn what_is_unpacked_is_the_same_and_canonical() {
    let dir = tempfile::tempdir().unwrap();
    let from = dir.path().join("from");
    tree(&from);
    let mut archive = Vec::new();
    nar::dump(&from, &mut archive).unwrap();
    let to = dir.path().join("to");
    assert_eq!(unpack(&mut archive.as_slice(), &to).unwrap(), check(&to));
    assert_eq!(nar::hash_path(&to).unwrap(), nar::hash_path(&from).unwrap());
    // Something is there already, and an end that comes too soon.
    let error = unpack(&mut archive.as_slice(), &to).unwrap_err();
    assert!(matches!(&error, Error::Io(e) if e.kind() == io::ErrorKind::AlreadyExists));
    for length in [archive.len() / 2, archive.len() - 1, 0] {
        let to = dir.path().join(format!("to-{length}"));
        unpack(&mut &archive[..length], &to).unwrap_err();
    }
    let file = dir.path().join("file");
    archive.clear();
    nar::dump(&from.join("program"), &mut archive).unwrap();
    assert_eq!(unpack(&mut archive.as_slice(), &file).unwrap(), 1);
    assert_eq!(file.metadata().unwrap().mode() & 0o777, 0o555);
}

#[test]
fn what_is_not_for_a_store_is_made_as_the_process_makes_it() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    tree(&from);
    let mut archive = Vec::new();
    nar::dump(&from, &mut archive).unwrap();
    nar::restore(&mut archive.as_slice(), &to).unwrap();
    let made = |name: &str| {
        let like = dir.path().join("like");
        std::fs::create_dir_all(&like).unwrap();
        let directory = like.metadata().unwrap().mode() & 0o777;
        let metadata = to.join(name).symlink_metadata().unwrap();
        assert!(metadata.mtime() > 1, "{name}");
        (metadata.mode() & 0o777, directory)
    };
    for name in ["", "d0", "d0/sub", "program"] {
        let (mode, expected) = made(name);
        assert_eq!(mode, expected, "{name}");
    }
    let (mode, expected) = made("d0/sub/f1");
    assert_eq!(mode, expected & 0o666);
    made("d0/sub/link");
    assert_eq!(nar::hash_path(&to).unwrap(), nar::hash_path(&from).unwrap());
}

/// Gives no more than so many bytes at once.
struct Slowly<'a>(&'a [u8], usize);

impl Read for Slowly<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = buffer.len().min(self.1);
        self.0.read(&mut buffer[..length])
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10))]
    /// Wherever blocks and reads end, and whoever makes what.
    #[test]
    fn trees_of_all_shapes_come_back(
        files in proptest::collection::btree_map(
            "([a-c]/){0,3}[x-z]{1,200}",
            prop_oneof![4 => 0_usize..9000, 2 => 30_000_usize..35_000, 1 => 250_000_usize..600_000],
            1..60,
        ),
        piece in prop_oneof![Just(7_usize), 1000_usize..70_000, Just(usize::MAX)],
    ) {
        let dir = tempfile::tempdir().unwrap();
        let from = dir.path().join("from");
        for (number, (name, size)) in files.iter().enumerate() {
            let at = from.join(name);
            std::fs::create_dir_all(at.parent().unwrap()).unwrap();
            let bytes: Vec<u8> = (0..*size).map(|n| (n * 7 + number) as u8).collect();
            std::fs::write(at, bytes).unwrap();
        }
        let mut archive = Vec::new();
        nar::dump(&from, &mut archive).unwrap();
        let to = dir.path().join("to");
        let mut passed = Vec::new();
        let entries = unpack_to(&mut Slowly(&archive, piece), &to, &mut passed).unwrap();
        prop_assert_eq!(entries, check(&to));
        prop_assert!(passed == archive);
        let hash = nar::hash_path(&from).unwrap();
        prop_assert_eq!(nar::hash_path(&to).unwrap(), hash);
        let again = dir.path().join("again");
        let copied = crate::copy_tree(&from, &again, Places::new(), None).unwrap();
        prop_assert_eq!(copied, crate::Copied { entries, hash });
        prop_assert_eq!(check(&again), entries);
        prop_assert_eq!(nar::hash_path(&again).unwrap(), hash);
    }
}

proptest! {
    /// What is almost an archive, and what is one again.
    #[test]
    fn it_takes_what_the_other_reader_takes(
        names in proptest::collection::vec("[a-c]{1,9}", 0..6),
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..3),
        cut in proptest::option::of(any::<proptest::sample::Index>()),
        twice in any::<bool>(),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let from = dir.path().join("from");
        std::fs::create_dir(&from).unwrap();
        for (number, name) in names.iter().enumerate() {
            let at = from.join(name);
            match number % 3 {
                0 => drop(std::fs::create_dir(at)),
                1 => drop(std::fs::write(at, name)),
                _ => drop(std::os::unix::fs::symlink(name, at)),
            }
        }
        let mut archive = Vec::new();
        nar::dump(&from, &mut archive).unwrap();
        if twice {
            // What one reads after another is no archive, or the same one.
            let part = archive[archive.len() / 16 * 8..].to_vec();
            archive.extend(part);
        }
        for (at, byte) in changes {
            let at = at.index(archive.len());
            archive[at] = byte;
        }
        if let Some(cut) = cut {
            archive.truncate(cut.index(archive.len()));
        }
        let (one, other) = (dir.path().join("one"), dir.path().join("other"));
        let ours = unpack(&mut archive.as_slice(), &one);
        let cases = nix_archive::nar::CaseHack::Disabled;
        let theirs = nix_archive::nar::restore_reader(&mut archive.as_slice(), &other, cases);
        prop_assert_eq!(ours.is_ok(), theirs.is_ok(), "{:?}, {:?}", ours, theirs);
        if ours.is_ok() {
            let mut again = Vec::new();
            nar::dump(&one, &mut again).unwrap();
            prop_assert!(again == archive);
        }
    }
}

#[test]
fn what_gets_the_archive_can_refuse_it() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::Error::other("full"))
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let dir = tempfile::tempdir().unwrap();
    for size in [10, 5 << 20] {
        let from = dir.path().join(size.to_string());
        std::fs::write(&from, vec![1; size]).unwrap();
        let mut archive = Vec::new();
        nar::dump(&from, &mut archive).unwrap();
        let to = dir.path().join(format!("to-{size}"));
        let error = unpack_to(&mut archive.as_slice(), &to, &mut Full).unwrap_err();
        assert_eq!(error.to_string(), "full", "{size}");
    }
}
