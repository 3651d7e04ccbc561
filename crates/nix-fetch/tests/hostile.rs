//! Archives made to harm, as `fetchTarball` unpacks them: each is refused or stays in its tree, and
//! memory stays small. One test, so that the memory of this process is that of unpacking.
#![allow(clippy::disallowed_methods)]

use nix_fetch::unpack;
use std::io::Write;
use std::path::Path;
use tar::EntryType as T;

fn header(name: &[u8], kind: T, size: u64, link: &[u8]) -> [u8; 512] {
    let mut header = tar::Header::new_gnu();
    // Names that a careful library would not write.
    let bytes = header.as_mut_bytes();
    bytes[..name.len()].copy_from_slice(name);
    bytes[157..157 + link.len()].copy_from_slice(link);
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.set_mtime(1);
    header.set_size(size);
    header.set_cksum();
    *header.as_bytes()
}

fn tar(entries: &[(&[u8], T, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, kind, text) in entries {
        let link = kind.is_symlink() || kind.is_hard_link();
        let (body, target): (&[u8], &[u8]) = if link { (b"", text) } else { (text, b"") };
        out.extend(header(name, *kind, body.len() as u64, target));
        out.extend_from_slice(body);
        out.resize(out.len().next_multiple_of(512), 0);
    }
    out.resize(out.len() + 1024, 0);
    out
}

fn zip(entries: &[(&str, u32, &[u8])]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, mode, text) in entries {
        let options = zip::write::SimpleFileOptions::default();
        if mode & 0o170_000 == 0o120_000 {
            writer.add_symlink(*name, String::from_utf8_lossy(text), options).unwrap();
        } else {
            writer.start_file(*name, options.unix_permissions(*mode)).unwrap();
            writer.write_all(text).unwrap();
        }
    }
    writer.finish().unwrap().into_inner()
}

/// An archive that is an entry of this kind with 100 MiB, compressed.
fn bomb(kind: T) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(&header(b"././@LongLink", kind, 100 << 20, b"")).unwrap();
    for _ in 0..100 {
        gzip.write_all(&vec![b'x'; 1 << 20]).unwrap();
    }
    gzip.write_all(&tar(&[(b"planted", T::Regular, b"text")])).unwrap();
    gzip.finish().unwrap()
}

/// A zip file with a symlink of so many bytes, compressed.
fn long_link() -> Vec<u8> {
    zip(&[("l", 0o120_777, &vec![b'x'; 100 << 20])])
}

fn cut(mut archive: Vec<u8>, length: usize) -> Vec<u8> {
    archive.truncate(length);
    archive
}

#[test]
fn hostile_archives_are_refused_and_harm_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let inside = dir.path().join("inside");
    let out = dir.path().display().to_string();
    let out = out.as_bytes();
    let through = [&b"l/planted"[..], b"planted"];
    let text: &[u8] = b"text";
    let refused: Vec<(&str, Vec<u8>)> = vec![
        ("through a link", tar(&[(b"l", T::Symlink, out), (through[0], T::Regular, text)])),
        (
            "through a link above",
            tar(&[(b"l", T::Symlink, b".."), (b"l/planted", T::Regular, text)]),
        ),
        (
            "a directory through a link",
            tar(&[(b"l", T::Symlink, out), (b"l/planted", T::Directory, b"")]),
        ),
        (
            "a link through a link",
            tar(&[(b"l", T::Symlink, out), (b"l/planted", T::Symlink, b"x")]),
        ),
        ("a hard link to what is outside", tar(&[(b"h", T::Link, b"/etc/passwd")])),
        ("a hard link out", tar(&[(b"h", T::Link, b"../../etc/passwd")])),
        (
            "a hard link through a link",
            tar(&[(b"l", T::Symlink, b"/etc"), (b"h", T::Link, b"l/passwd")]),
        ),
        ("a character device", tar(&[(b"d", T::Char, b"")])),
        ("a block device", tar(&[(b"d", T::Block, b"")])),
        ("a pipe", tar(&[(b"d", T::Fifo, b"")])),
        ("a file and a directory", tar(&[(b"d", T::Regular, b""), (b"d/f", T::Regular, b"")])),
        ("the root as a file", tar(&[(b"..", T::Regular, text)])),
        ("a name with a NUL", {
            // Only extended headers can say one.
            let said = b"15 path=a\0b/cd\n";
            tar(&[(b"x", T::XHeader, said), (b"y", T::Regular, text)])
        }),
        ("cut off in a file", cut(tar(&[(b"f", T::Regular, &[7; 5000])]), 3000)),
        (
            "cut off in a header",
            cut(tar(&[(b"f", T::Regular, text), (b"g", T::Regular, text)]), 1200),
        ),
        (
            "a size of 2^63",
            cut([&header(b"f", T::Regular, 1 << 63, b"")[..], &[0; 4096]].concat(), 4000),
        ),
        ("100 MiB of a name", bomb(T::GNULongName)),
        ("100 MiB of a link", bomb(T::GNULongLink)),
        ("100 MiB of an extended header", bomb(T::XHeader)),
        ("zip: through a link", zip(&[("l", 0o120_777, out), ("l/planted", 0o100_644, text)])),
        ("zip: a file and a directory", zip(&[("d", 0o100_644, text), ("d/f", 0o100_644, text)])),
        ("zip: a link of 100 MiB", long_link()),
        ("zip: cut off", cut(zip(&[("d", 0o100_644, text)]), 60)),
        ("nothing", Vec::new()),
        ("no archive", b"#!/bin/sh\n".to_vec()),
    ];
    // What leads out leads to the root of the tree.
    let kept: Vec<(&str, Vec<u8>)> = vec![
        ("100 MiB of a global header", bomb(T::XGlobalHeader)),
        ("a path out", tar(&[(b"../planted", T::Regular, text)])),
        ("an absolute path", tar(&[(b"/planted", T::Regular, text)])),
        ("a path through the root", tar(&[(b"a/../../planted", T::Regular, text)])),
        ("zip: a path out", zip(&[("../planted", 0o100_644, text)])),
        ("zip: an absolute path", zip(&[("/planted", 0o100_644, text)])),
    ];
    let file = dir.path().join("archive");
    // From here on the peak is that of unpacking.
    let refused: Vec<_> = spill(dir.path(), "refused", refused);
    let kept: Vec<_> = spill(dir.path(), "kept", kept);
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    for (what, archive, harmless) in
        refused.iter().map(|(w, a)| (w, a, false)).chain(kept.iter().map(|(w, a)| (w, a, true)))
    {
        std::fs::create_dir(&inside).unwrap();
        std::fs::rename(archive, &file).unwrap();
        let to = inside.join("tree");
        match unpack(&file, &to) {
            Ok(_) => {
                assert!(harmless, "{what} was taken");
                assert_eq!(std::fs::read(to.join("planted")).unwrap(), text, "{what}");
            }
            Err(error) => {
                let error = error.to_string();
                assert!(!error.is_empty() && error.len() < 1000, "{what}: {}", error.len());
                assert!(!harmless, "{what}: {error}");
            }
        }
        let around: Vec<_> =
            std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert!(!around.iter().any(|name| name == "planted"), "{what}: {around:?}");
        assert!(std::fs::read_dir(&inside).unwrap().count() <= 1, "{what}");
        std::fs::remove_dir_all(&inside).unwrap();
    }
    assert!(!Path::new("/planted").exists() && !Path::new("/etc/planted").exists());
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap();
    let peak: usize = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak < 64 << 10, "{peak} KiB");
}

/// Archives on disk, so that they are not in memory.
fn spill<'w>(
    dir: &Path,
    prefix: &str,
    archives: Vec<(&'w str, Vec<u8>)>,
) -> Vec<(&'w str, std::path::PathBuf)> {
    let to = dir.join(prefix);
    std::fs::create_dir(&to).unwrap();
    let written = archives.into_iter().enumerate().map(|(number, (what, bytes))| {
        let file = to.join(number.to_string());
        std::fs::write(&file, bytes).unwrap();
        (what, file)
    });
    written.collect()
}
