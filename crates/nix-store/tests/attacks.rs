//! Builders that try to get out, and the public holes of Nix's sandbox done again for real: each is
//! named after what it keeps from happening. Those whose guard can be taken away are in
//! `src/build/holes.rs`.
#![allow(missing_docs, clippy::disallowed_methods, clippy::undocumented_unsafe_blocks)]

mod common;

use common::{Home, fetchurl, sha256};
use nix_compat::{CAHash, Derivation};
use nix_store::{BuildObserver, DrvOutput, Error, Quiet, Store, StorePath};
use std::os::unix::fs::MetadataExt;

fn build(
    store: &Store,
    builder: Derivation,
    observer: &dyn BuildObserver,
) -> nix_store::Result<StorePath> {
    let drv = store.add_derivation(&builder.build().unwrap())?;
    let wanted = DrvOutput::new(drv, "out");
    Ok(store.build(std::slice::from_ref(&wanted), observer)?.remove(&wanted).unwrap())
}

struct Looking<'a> {
    look: &'a (dyn Fn() + Sync),
}

impl BuildObserver for Looking<'_> {
    fn event(&self, event: nix_store::BuildEvent<'_>) {
        if matches!(event, nix_store::BuildEvent::Log { line: "look", .. }) {
            (self.look)();
        }
    }
}

/// CVE-2024-38531: a build directory that others can enter holds programs with set-id bits.
#[test]
fn cve_2024_38531_nobody_else_can_enter_a_build_directory() {
    let home = Home::new();
    let seen = std::sync::Mutex::new(0);
    let look = || {
        for entry in std::fs::read_dir(home.root().join("nix/store")).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|e| e == "chroot") {
                let metadata = path.metadata().unwrap();
                assert_eq!((metadata.uid(), metadata.mode() & 0o7777), (0, 0o700));
                let program = path.join("root/build/program").metadata().unwrap();
                assert_eq!(program.mode() & 0o6000, 0);
                assert!(program.uid() >= 0x3400_0000, "an id of nobody else");
                *seen.lock().unwrap() += 1;
            }
        }
    };
    let script = "cp $PATH/busybox program; chmod 777 .; chmod 4755 program || true; \
                  chmod u+s,g+s program || true; echo look; echo > $out";
    let (drv, _) = home.add(home.script("setid", script));
    home.build_drv(&drv, &Looking { look: &look }).unwrap();
    assert_eq!(*seen.lock().unwrap(), 1);
}

/// CVE-2025-52991 to 52993: what was done to a build directory afterwards followed its links.
#[test]
fn cve_2025_52991_giving_a_kept_directory_away_follows_no_link() {
    let home = Home::new();
    let victim = home.dir.path().join("victim");
    std::fs::create_dir(&victim).unwrap();
    std::fs::write(victim.join("f"), "safe").unwrap();
    std::os::unix::fs::chown(victim.join("f"), Some(12345), Some(12345)).unwrap();
    let mut config = home.store.config().clone();
    config.keep_failed = true;
    let store = Store::open(config).unwrap();
    let at = victim.display();
    let script = format!(
        "ln -s {at} d; ln -s {at}/f f; mkdir sub; ln -s {at} sub/d; mv /build /other || true; \
         rm -rf /build || true; ln -s {at} /build || true; cd /; exit 1"
    );
    let error = build(&store, home.script("links", &script), &Quiet).unwrap_err();
    let Error::BuildFailed(failure) = &error else { panic!("{error}") };
    assert!(failure.kept.is_some());
    let metadata = victim.join("f").metadata().unwrap();
    assert_eq!((metadata.uid(), metadata.gid()), (12345, 12345));
    assert_eq!(std::fs::read_to_string(victim.join("f")).unwrap(), "safe");
    home.nothing_left();
}

fn archive(parts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in parts {
        bytes.extend((part.len() as u64).to_le_bytes());
        bytes.extend(*part);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
    }
    bytes
}

/// CVE-2024-45593: an archive with a link and a directory of the same name was unpacked through the
/// link.
#[test]
fn cve_2024_45593_an_archive_is_not_unpacked_through_its_own_links() {
    let home = Home::new();
    let victim = home.dir.path().join("victim");
    std::fs::create_dir(&victim).unwrap();
    let target = victim.to_str().unwrap().as_bytes();
    let file: [&[u8]; 8] = [b"(", b"type", b"regular", b"contents", b"evil", b")", b")", b")"];
    let head: [&[u8]; 4] = [b"nix-archive-1", b"(", b"type", b"directory"];
    let name = |name: &'static [u8]| -> [&[u8]; 5] { [b"entry", b"(", b"name", name, b"node"] };
    let link: [&[u8]; 7] = [b"(", b"type", b"symlink", b"target", target, b")", b")"];
    let twice = [
        &head[..],
        &name(b"a"),
        &link,
        &name(b"a"),
        &[b"(", b"type", b"directory"],
        &name(b"f"),
        &file,
        &[b")", b")"],
    ]
    .concat();
    let up = [&head[..], &name(b"../../victim/f"), &file[..7], &[b")"]].concat();
    let dots = [&head[..], &name(b".."), &file[..7], &[b")"]].concat();
    for (number, parts) in [twice, up, dots].iter().enumerate() {
        let bytes = archive(parts);
        let at = home.dir.path().join(format!("{number}.nar"));
        std::fs::write(&at, &bytes).unwrap();
        let url = format!("file://{}", at.display());
        let builder = fetchurl("escape", &url, CAHash::Nar(sha256(&bytes)))
            .set("unpack", "1")
            .set("salt", number.to_string());
        let error = home.build(builder).unwrap_err();
        assert!(error.to_string().contains("no archive of files"), "{error}");
        assert_eq!(std::fs::read_dir(&victim).unwrap().count(), 0);
    }
    home.nothing_left();
}

#[test]
fn a_channel_is_unpacked_and_does_not_get_out() {
    let home = Home::new();
    let pack = |entries: &[(&str, Option<&str>)]| {
        let mut archive = tar::Builder::new(Vec::new());
        for (path, link) in entries {
            let mut header = tar::Header::new_gnu();
            header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
            header.set_mode(0o644);
            let text: &[u8] = if link.is_some() { b"" } else { b"text" };
            if let Some(link) = link {
                header.set_entry_type(tar::EntryType::Symlink);
                header.set_link_name(link).unwrap();
            }
            header.set_size(text.len() as u64);
            header.set_cksum();
            archive.append(&header, text).unwrap();
        }
        let at = home.dir.path().join("channel.tar");
        std::fs::write(&at, archive.into_inner().unwrap()).unwrap();
        let method = nix_store::IngestMethod::Flat;
        let none = std::collections::BTreeSet::new();
        let src = home.store.add_path("channel.tar", &at, method, &none, None).unwrap();
        Derivation::new("channel", "builtin", "builtin:unpack-channel")
            .set("src", src.to_string())
            .set("channelName", "nixos")
            .set("out", "")
            .input_source(src)
            .input_addressed_output("out")
    };
    let out = home.build(pack(&[("nixos-1/default.nix", None)])).unwrap();
    let file = home.physical(&out).join("nixos/default.nix");
    assert_eq!(std::fs::read_to_string(file).unwrap(), "text");
    let victim = home.dir.path().join("victim");
    std::fs::create_dir(&victim).unwrap();
    let to = victim.to_str().unwrap();
    for entries in [
        vec![("../../../victim/f", None)],
        vec![("a", Some(to)), ("a/f", None)],
        vec![("one", None), ("two", None)],
    ] {
        assert!(home.build(pack(&entries)).is_err(), "{entries:?}");
        assert_eq!(std::fs::read_dir(&victim).unwrap().count(), 0);
    }
    home.verify();
    home.nothing_left();
}

#[test]
fn what_a_build_leaves_running_ends_with_it() {
    let home = Home::new();
    let script = "(setsid sleep 31337 </dev/null >/dev/null 2>&1 &); (sleep 31337 &); sleep 0.1; echo > $out";
    home.build(home.script("left", script)).unwrap();
    let running = std::fs::read_dir("/proc").unwrap().flatten().any(|entry| {
        std::fs::read(entry.path().join("cmdline")).is_ok_and(|text| text == b"sleep\x0031337\0")
    });
    assert!(!running);
}

/// A 32-bit program, by hand: `chmod("f", 04755)`, and it exits with what that failed with.
fn thirty_two_bits() -> Vec<u8> {
    let base: u32 = 0x0804_8000;
    let code_at = 0x54;
    let mut code = vec![0xb8, 15, 0, 0, 0, 0xbb, 0, 0, 0, 0, 0xb9, 0xed, 9, 0, 0, 0xcd, 0x80];
    code.extend([0xf7, 0xd8, 0x89, 0xc3, 0xb8, 1, 0, 0, 0, 0xcd, 0x80]);
    let text_at = base + code_at + code.len() as u32;
    code[6..10].copy_from_slice(&text_at.to_le_bytes());
    code.extend(*b"f\0");
    let size = code_at + code.len() as u32;
    let mut elf = b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x03\0\x01\0\0\0".to_vec();
    for word in [base + code_at, 0x34, 0, 0] {
        elf.extend(word.to_le_bytes());
    }
    for half in [0x34_u16, 0x20, 1, 0, 0, 0] {
        elf.extend(half.to_le_bytes());
    }
    for word in [1, 0, base, base, size, size, 5, 0x1000] {
        elf.extend(word.to_le_bytes());
    }
    elf.extend(code);
    elf
}

#[test]
fn thirty_two_bit_programs_run_and_get_no_set_id_bits_either() {
    let home = Home::new();
    let file = home.dir.path().join("program");
    std::fs::write(&file, thirty_two_bits()).unwrap();
    let program = home.store.add_executable("program", &file).unwrap();
    let script =
        "touch f; status=0; $program || status=$?; echo $status > $out; stat -c %a f >> $out";
    let builder = home
        .script_on("i686-linux", "i686", script)
        .set("program", program.to_string())
        .input_source(program);
    let out = home.build(builder).unwrap();
    // EPERM, and the file is as it was.
    assert_eq!(std::fs::read_to_string(home.physical(&out)).unwrap(), "1\n644\n");
}
