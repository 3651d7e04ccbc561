#![allow(clippy::disallowed_methods)]
use super::super::{dump, hash_path};
use super::*;
use proptest::prelude::*;
use std::os::unix::fs::{PermissionsExt, symlink};

/// What the crate that knows the format writes of the same tree.
fn reference(path: &Path) -> Result<Vec<u8>, Error> {
    let mut archive = Vec::new();
    let cases = nix_archive::nar::CaseHack::Disabled;
    nix_archive::nar::encode_path(&mut archive, path, cases).map(|()| archive)
}

fn same(path: &Path) {
    let (mut ours, theirs) = (Vec::new(), reference(path).unwrap());
    dump(path, &mut ours).unwrap();
    assert!(ours == theirs, "{}", path.display());
    let hash = hash_path(path).unwrap();
    let crate::NixHash::Sha256(digest) = crate::hash_bytes(crate::HashAlgorithm::Sha256, &theirs)
    else {
        unreachable!()
    };
    assert_eq!((hash.size, hash.sha256), (theirs.len() as u64, digest));
}

/// 0: file, 1: program, 2: link, 3: empty directory, 4: a directory with files.
fn make(at: &Path, kind: u8, size: usize) {
    let write = |at: &Path| std::fs::write(at, vec![kind; size]).unwrap();
    match kind {
        0 => write(at),
        1 => {
            write(at);
            std::fs::set_permissions(at, std::fs::Permissions::from_mode(0o711)).unwrap();
        }
        2 => symlink("../no where", at).unwrap(),
        _ => {
            std::fs::create_dir(at).unwrap();
            for name in (0..size % 4 * usize::from(kind == 4)).map(|n| n.to_string()) {
                make(&at.join(name), (size % 3) as u8, size);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn archives_are_those_of_the_format(
        entries in proptest::collection::btree_map(
            "[a-zA-Z0-9 .é-]{1,12}", (0_u8..5, prop_oneof![0_usize..40, 32_700_usize..32_800, 261_900_usize..262_200]), 0..12,
        ),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        std::fs::create_dir(&root).unwrap();
        for (name, (kind, size)) in entries.iter().filter(|(name, _)| *name != "." && *name != "..") {
            make(&root.join(name), *kind, *size);
            same(&root.join(name));
        }
        same(&root);
    }
}

#[test]
fn large_files_and_deep_trees_too() {
    let dir = tempfile::tempdir().unwrap();
    let mut deep = dir.path().to_path_buf();
    for size in [(32 << 10) - 1, 32 << 10, (32 << 10) + 1, 3 << 20] {
        std::fs::write(deep.join(size.to_string()), vec![1; size]).unwrap();
        for _ in 0..15 {
            deep.push("d");
            std::fs::create_dir(&deep).unwrap();
        }
    }
    same(dir.path());
    for _ in 0..10 {
        deep.push("d");
        std::fs::create_dir(&deep).unwrap();
    }
    let error = dump(dir.path(), &mut io::sink()).unwrap_err().to_string();
    assert_eq!(error, reference(dir.path()).unwrap_err().to_string());
}

#[test]
fn what_cannot_be_in_an_archive_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("sub/pipe");
    std::fs::create_dir(dir.path().join("sub")).unwrap();
    rustix::fs::mknodat(CWD, &pipe, FileType::Fifo, Mode::RWXU, 0).unwrap();
    for path in [dir.path(), &pipe] {
        let error = dump(path, &mut io::sink()).unwrap_err();
        assert!(matches!(&error, Error::UnsupportedFileType(p) if *p == pipe), "{error}");
    }
    let error = dump(&dir.path().join("none"), &mut io::sink()).unwrap_err();
    assert!(matches!(&error, Error::Io(e) if e.kind() == io::ErrorKind::NotFound), "{error}");
    // A file that grows and one that shrinks while they are read.
    for change in [1 << 20, 4 << 20] {
        let file = dir.path().join("file");
        std::fs::write(&file, vec![1; 3 << 20]).unwrap();
        struct Changing<'a>(&'a Path, u64);
        impl io::Write for Changing<'_> {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                if bytes.len() > 1000 {
                    std::fs::OpenOptions::new().write(true).open(self.0)?.set_len(self.1)?;
                }
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let done = dump(&file, &mut Changing(&file, change));
        assert!(matches!(done, Err(Error::FileChanged(p)) if p == file));
    }
}

#[test]
fn only_what_is_wanted_is_told() {
    struct Names(Vec<String>);
    impl Visitor for Names {
        type Error = Unreadable;
        fn start_directory(&mut self, name: Option<&CStr>) -> Result<(), Unreadable> {
            self.0.push(format!("{}/", name.map_or("", |n| n.to_str().unwrap())));
            Ok(())
        }
        fn end_directory(&mut self) -> Result<(), Unreadable> {
            self.0.push("..".into());
            Ok(())
        }
        fn symlink(&mut self, _: Option<&CStr>, target: &CStr) -> Result<(), Unreadable> {
            self.0.push(target.to_str().unwrap().into());
            Ok(())
        }
        fn regular(
            &mut self,
            name: Option<&CStr>,
            executable: bool,
            contents: &mut Contents<'_>,
        ) -> Result<(), Unreadable> {
            let count = contents.read(&mut [0; 100]).unwrap();
            let name = name.unwrap().to_str().unwrap();
            self.0.push(format!("{name} {executable} {count}"));
            Ok(())
        }
    }
    let dir = tempfile::tempdir().unwrap();
    for path in ["b/two", "b.c", "b/one", "a", "b-d/x"] {
        let path = dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "text").unwrap();
    }
    let told = |wanted: Option<&Wanted<'_>>| {
        let mut names = Names(Vec::new());
        walk(dir.path(), wanted, &mut names).unwrap();
        names.0.join(", ")
    };
    assert_eq!(
        told(None),
        "/, a false 4, b/, one false 4, two false 4, .., b-d/, x false 4, .., b.c false 4, .."
    );
    let wanted = |path: &Path| Ok(!path.ends_with("b/one") && !path.ends_with("b-d"));
    assert_eq!(told(Some(&wanted)), "/, a false 4, b/, two false 4, .., b.c false 4, ..");
    let refuse = |_: &Path| Err(io::Error::other("no"));
    let error = walk(dir.path(), Some(&refuse), &mut Names(Vec::new())).unwrap_err();
    assert!(error.to_string().contains(dir.path().to_str().unwrap()), "{error}");
}
