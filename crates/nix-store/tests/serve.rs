//! The far end: C++ Nix of several releases as a client of this store, and clients that lie.
#![allow(missing_docs, clippy::disallowed_methods)]

mod common;

use common::Home;
use common::far::{access, both, listen};
use common::peers::Peer;
use nix_compat::serve::{Request, greet, read_path_info};
use nix_compat::wire::{FramedWriter, Reader, Writer};
use nix_compat::{nar, worker};
use nix_store::copy::{Source, Trust, copy_closure};
use nix_store::remote::{Access, Client, Remote, RemoteOptions, serve};
use nix_store::{PathInfo, Store, StorePath};
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Output;

const ANYBODY: Trust = Trust { keys: Vec::new(), required: false };

/// Speaks to a server of `ssh://`; gives what it made of it at the end.
fn talk<T: Send>(
    store: &Store,
    access: &Access,
    say: impl FnOnce(&mut Reader<UnixStream>, &mut Writer<UnixStream>) -> T + Send,
) -> (T, nix_store::Result<()>) {
    let (here, there) = UnixStream::pair().unwrap();
    std::thread::scope(|scope| {
        let speaker = scope.spawn(move || {
            let (from, to) = both(here);
            say(&mut Reader::new(from), &mut Writer::new(to))
        });
        let served = {
            let (mut from, mut to) = both(there);
            let mut client = Client { from: &mut from, to: &mut to, gone: &|| false };
            serve(&store.clone().into(), access, &mut client, &|_| ())
        };
        (speaker.join().unwrap(), served)
    })
}

fn set(path: &StorePath) -> BTreeSet<StorePath> {
    BTreeSet::from([path.clone()])
}

fn archive(store: &Store, path: &StorePath) -> Vec<u8> {
    let mut nar = Vec::new();
    store.nar(path, &mut nar).unwrap();
    nar
}

fn nix(peer: Peer, dir: &Path, store: &str, arguments: &[&str]) -> Output {
    let (mut command, _) = peer.command("nix", dir);
    let ran = command
        .args(["--extra-experimental-features", "nix-command", "--store", store])
        .args(arguments)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{peer:?} {arguments:?}: {said}");
    ran
}

#[test]
fn nix_copies_to_this_store_and_from_it() {
    for peer in Peer::all() {
        let home = Home::new();
        let dir = home.dir.path();
        let empty = Store::open(common::config(&dir.join("empty"))).unwrap();
        listen(&home.store, &dir.join("full"), access(true));
        listen(&empty, &dir.join("socket"), access(true));
        let (_, seen) = peer.command("nix", dir);
        // It reads files itself, and asks only for what changes the store.
        let far = |name: &str| format!("unix://{0}/{name}?root={0}/root", seen.display());
        let far_empty = format!("unix://{0}/socket?root={0}/empty", seen.display());
        let own = seen.join("own").display().to_string();
        let text = home.store.add_text("text", b"x", &set(&home.busybox)).unwrap();
        let named = text.to_string();
        // Out of one store of ours, through one of its own, into another one of ours.
        nix(peer, dir, &own, &["copy", "--no-check-sigs", "--from", &far("full"), &named]);
        nix(peer, dir, &own, &["copy", "--no-check-sigs", "--to", &far_empty, &named]);
        assert_eq!(archive(&empty, &text), archive(&home.store, &text));
        assert_eq!(empty.references(&text).unwrap(), set(&home.busybox));
        let told = nix(peer, dir, &far_empty, &["path-info", "--json", "-r", &named]);
        assert!(String::from_utf8_lossy(&told.stdout).contains(home.busybox.name()));
        nix(peer, dir, &far_empty, &["store", "ping"]);
        let ran = common::nix_store(&dir.join("empty"), &["--verify", "--check-contents"]);
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    }
}

#[test]
fn nix_builds_in_this_store_and_adds_to_it() {
    for peer in Peer::all() {
        let home = Home::new();
        let dir = home.dir.path();
        listen(&home.store, &dir.join("socket"), access(true));
        let (_, seen) = peer.command("nix", dir);
        let far = format!("unix://{0}/socket?root={0}/root", seen.display());
        let (drv, _) = home.add(home.script("thing", "echo it is built >&2; echo $PATH > $out"));
        let target = match peer.is_old() {
            true => drv.to_string(),
            false => format!("{drv}^out"),
        };
        let ran = nix(peer, dir, &far, &["build", "--no-link", "-L", &target]);
        let said = String::from_utf8_lossy(&ran.stderr).into_owned();
        assert!(said.contains("it is built"), "{peer:?}: {said}");
        std::fs::write(dir.join("file"), "contents").unwrap();
        let file = seen.join("file").display().to_string();
        let added = nix(peer, dir, &far, &["store", "add-path", &file]);
        let added: StorePath = String::from_utf8(added.stdout).unwrap().trim().parse().unwrap();
        assert!(home.store.is_valid(&added).unwrap());
        // What nothing refers to goes: the derivation's output is kept by nothing.
        let all = nix(peer, dir, &far, &["path-info", "--all"]);
        assert!(String::from_utf8_lossy(&all.stdout).contains(&added.to_string()));
        home.verify();
    }
}

#[test]
fn both_ends_of_ours_agree() {
    let (from, to) = (Home::new(), Home::new());
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("socket");
    listen(&to.store, &socket, access(true));
    let options = RemoteOptions { check_signatures: false, ..RemoteOptions::default() };
    let remote = Remote::open(&format!("unix://{}", socket.display()), &options).unwrap();
    let out = from.build(from.script("thing", "echo $PATH > $out")).unwrap();
    let sent = copy_closure(&from.store, remote.sink(), &set(&out), &ANYBODY, &()).unwrap();
    assert_eq!(sent.len(), 2);
    let Remote::Daemon(daemon) = &remote else { panic!("{remote:?}") };
    let told = daemon.ping().unwrap();
    assert_eq!((told.release.as_str(), told.minor, told.trusts_us), ("hc", 38, Some(true)));
    let link = dir.path().join("kept");
    daemon.add_perm_root(&out, &link).unwrap();
    assert_eq!(std::fs::read_link(&link).unwrap().to_str().unwrap(), out.to_string());
    assert!(to.store.roots().unwrap().iter().any(|root| root.link == link));
    to.verify();
}

#[test]
fn who_is_not_trusted_needs_signatures() {
    let (from, to) = (Home::new(), Home::new());
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("socket");
    listen(&to.store, &socket, access(false));
    let options = RemoteOptions { check_signatures: false, ..RemoteOptions::default() };
    let remote = Remote::open(&format!("unix://{}", socket.display()), &options).unwrap();
    let out = from.build(from.script("thing", "echo x > $out")).unwrap();
    let error = copy_closure(&from.store, remote.sink(), &set(&out), &ANYBODY, &());
    let said = error.unwrap_err().to_string();
    assert!(said.contains("lacks a signature"), "{said}");
    assert!(!to.store.is_valid(&out).unwrap());
    let Remote::Daemon(daemon) = &remote else { panic!("{remote:?}") };
    let said = daemon.add_perm_root(&from.busybox, &dir.path().join("x")).unwrap_err().to_string();
    assert!(said.contains("trusted client"), "{said}");
    to.nothing_left();
}

#[test]
fn a_daemon_for_reading_changes_nothing() {
    let (from, to) = (Home::new(), Home::new());
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("socket");
    listen(&to.store, &socket, Access { write: false, ..access(false) });
    let address = format!("unix://{}", socket.display());
    let remote = Remote::open(&address, &RemoteOptions::default()).unwrap();
    let said = copy_closure(&from.store, remote.sink(), &set(&from.busybox), &ANYBODY, &());
    assert!(said.unwrap_err().to_string().contains("served for reading"));
    let copied = copy_closure(remote.source(), &from.store, &set(&to.busybox), &ANYBODY, &());
    assert_eq!(copied.unwrap(), std::slice::from_ref(&to.busybox));
    to.nothing_left();
}

/// A request that adds a path to a server of `ssh://`, all of it.
fn addition(info: &PathInfo, nar: &[u8]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    greet(&mut Reader::new(greeting().as_slice()), &mut writer).unwrap();
    let info = nix_compat::wire::UnkeyedPathInfo {
        deriver: None,
        nar_hash: info.nar_hash.clone(),
        references: info.references.clone(),
        registered: 1,
        nar_size: info.nar_size,
        ultimate: true,
        signatures: Vec::new(),
        ca: info.ca.clone(),
    };
    let path = "/nix/store/00000000000000000000000000000000-x".parse().unwrap();
    Request::AddToStoreNar { path, info }.write(&mut writer).unwrap();
    let mut bytes = writer.into_inner();
    bytes.extend(nar);
    bytes
}

/// What a server of `ssh://` greets with.
fn greeting() -> Vec<u8> {
    [0x5452_eecb_u64, 0x207].iter().flat_map(|n| n.to_le_bytes()).collect()
}

#[test]
fn a_client_that_lies_or_leaves_is_refused_and_leaves_nothing() {
    let (from, to) = (Home::new(), Home::new());
    let text = from.store.add_text("x", b"short", &BTreeSet::new()).unwrap();
    let info = PathInfo { ca: None, ..from.store.info(&text).unwrap() };
    let nar = archive(&from.store, &text);
    let whole = addition(&info, &nar);
    let before = to.store.valid_paths().unwrap();
    let send = |bytes: &[u8]| {
        let bytes = bytes.to_vec();
        let (answer, served) = talk(&to.store, &access(true), move |from, to| {
            let _ = to.get_mut().write_all(&bytes);
            let _ = to.get_mut().shutdown(std::net::Shutdown::Write);
            let mut answer = Vec::new();
            let _ = from.get_mut().read_to_end(&mut answer);
            answer
        });
        (answer, served)
    };
    for cut in 0..whole.len() {
        let (answer, served) = send(&whole[..cut]);
        // After the greeting alone it may leave.
        assert!(served.is_err() || cut == 16, "at {cut}");
        assert!(answer.len() <= 16, "at {cut}");
    }
    let other = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = whole.clone();
        change(&mut bytes);
        send(&bytes).1.unwrap_err().to_string()
    };
    let huge = other(&|bytes| bytes[24..32].copy_from_slice(&(1_u64 << 63).to_le_bytes()));
    assert!(huge.contains("more than 256 MiB"), "{huge}");
    let magic = other(&|bytes| bytes[0] = 0);
    assert!(magic.contains("greet"), "{magic}");
    let wrong = other(&|bytes| {
        let at = bytes.len() - nar.len() + nar.windows(5).position(|w| w == b"short").unwrap();
        bytes[at] = b'S';
    });
    assert!(wrong.contains("hash mismatch"), "{wrong}");
    assert_eq!(to.store.valid_paths().unwrap(), before);
    to.nothing_left();
    let (answer, served) = send(&whole);
    served.unwrap();
    assert_eq!(answer[16..], 1_u64.to_le_bytes());
    to.nothing_left();
}

#[test]
fn without_write_nothing_is_changed() {
    let home = Home::new();
    let reading = Access { write: false, ..access(false) };
    let ((), served) = talk(&home.store, &reading, |from, to| {
        greet(from, to).unwrap();
        Request::QueryPathInfos(set(&home.busybox)).write(to).unwrap();
        let (path, told) = read_path_info(from).unwrap().unwrap();
        let info = home.store.info(&home.busybox).unwrap();
        assert_eq!((path, told.nar_hash, told.nar_size), (info.path, info.nar_hash, info.nar_size));
        assert!(read_path_info(from).unwrap().is_none());
        Request::DumpStorePath(home.busybox.clone()).write(to).unwrap();
        let mut got = Vec::new();
        nar::ArchiveReader::new(from.get_mut()).read_to_end(&mut got).unwrap();
        assert_eq!(got, archive(&home.store, &home.busybox));
        Request::ImportPaths.write(to).unwrap();
        assert!(from.number().is_err());
    });
    assert!(served.unwrap_err().to_string().contains("--write"));
}

#[test]
fn many_paths_in_one_stream_and_a_bad_one_among_them() {
    let (from, to) = (Home::new(), Home::new());
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("socket");
    listen(&to.store, &socket, access(true));
    let text = from.store.add_text("x", b"x", &set(&from.busybox)).unwrap();
    let stream = UnixStream::connect(&socket).unwrap();
    let (mut reader, mut writer) =
        (Reader::new(stream.try_clone().unwrap()), Writer::new(stream.try_clone().unwrap()));
    worker::greet(&mut reader, &mut writer).unwrap();
    let wait = |reader: &mut Reader<UnixStream>| loop {
        match worker::Message::read(reader).unwrap() {
            worker::Message::Last => return Ok(()),
            worker::Message::Error(text) => return Err(text),
            _ => {}
        }
    };
    wait(&mut reader).unwrap();
    let mut send = |damage: bool| {
        worker::Request::AddMultipleToStore { repair: false, trusted: true }
            .write(&mut writer)
            .unwrap();
        let mut stream = Writer::new(FramedWriter::new(writer.get_mut()));
        stream.number(2).unwrap();
        for path in [&from.busybox, &text] {
            let info = from.store.info(path).unwrap();
            stream.path(path).unwrap();
            let told = nix_compat::wire::UnkeyedPathInfo {
                deriver: None,
                nar_hash: info.nar_hash.clone(),
                references: info.references.clone(),
                registered: 0,
                nar_size: info.nar_size,
                ultimate: false,
                signatures: Vec::new(),
                ca: info.ca.clone(),
            };
            stream.path_info(&told).unwrap();
            let mut nar = archive(&from.store, path);
            if damage && *path == text {
                let last = nar.len() - 24;
                nar[last] ^= 1;
            }
            stream.get_mut().write_all(&nar).unwrap();
        }
        stream.into_inner().finish().unwrap();
        wait(&mut reader)
    };
    assert!(send(true).is_err());
    assert!(to.store.is_valid(&from.busybox).unwrap() && !to.store.is_valid(&text).unwrap());
    send(false).unwrap();
    assert!(to.store.is_valid(&text).unwrap());
    to.verify();
    to.nothing_left();
}
