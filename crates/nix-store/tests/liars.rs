//! Daemons that lie, stop half way, or are none: the client says so and is not harmed.
#![allow(missing_docs, clippy::disallowed_methods)]

mod common;

use common::Home;
use nix_compat::wire::{UnkeyedPathInfo, Writer};
use nix_compat::worker::{Message, Server, welcome};
use nix_store::copy::{Source, Trust, copy_closure};
use nix_store::remote::{Remote, RemoteOptions};
use nix_store::{PathInfo, StorePath};
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixListener;

/// What a client says in its greeting.
fn client_greeting() -> Vec<u8> {
    let mut bytes: Vec<u8> =
        [0x6e69_7863_u64, 0x122, 0, 0].iter().flat_map(|n| n.to_le_bytes()).collect();
    bytes.resize(64, 0);
    bytes
}

/// All that a daemon says up to the answers.
fn beginning() -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    let server = Server { release: "1".into(), trusts_us: None };
    let greeting = client_greeting();
    let mut reader = nix_compat::wire::Reader::new(greeting.as_slice());
    welcome(&mut reader, &mut writer, &server).unwrap();
    let mut bytes = writer.into_inner();
    // The version both speak is the client's here: 1.34, which has nothing of 1.38 in it.
    bytes[8..16].copy_from_slice(&0x122_u64.to_le_bytes());
    for _ in 0..2 {
        bytes.extend(message(&Message::Last));
    }
    bytes
}

fn message(message: &Message) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    message.write(&mut writer).unwrap();
    writer.into_inner()
}

/// A store at which a daemon says this to everybody, whatever is asked.
fn liar(dir: &std::path::Path, says: Vec<u8>) -> Remote {
    let socket = dir.join("socket");
    let _ = std::fs::remove_file(&socket);
    let listener = UnixListener::bind(&socket).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.write_all(&says);
            let _ = stream.shutdown(Shutdown::Write);
            let _ = stream.read_to_end(&mut Vec::new());
        }
    });
    let address = format!("unix://{}?max-connections=1", socket.display());
    Remote::open(&address, &RemoteOptions::default()).unwrap()
}

fn told(info: &PathInfo) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    writer.bool(true).unwrap();
    let info = UnkeyedPathInfo {
        deriver: None,
        nar_hash: info.nar_hash.clone(),
        references: info.references.clone(),
        registered: u64::MAX,
        nar_size: info.nar_size,
        ultimate: true,
        signatures: Vec::new(),
        ca: None,
    };
    writer.path_info(&info).unwrap();
    writer.into_inner()
}

fn query(remote: &Remote, path: &StorePath) -> Result<Option<PathInfo>, String> {
    remote.source().query(path).map_err(|error| error.to_string())
}

#[test]
fn what_a_daemon_says_may_end_anywhere() {
    let home = Home::new();
    let dir = tempfile::tempdir().unwrap();
    let info = home.store.info(&home.busybox).unwrap();
    let mut whole = beginning();
    whole.extend(message(&Message::Line("hello".into())));
    whole.extend(message(&Message::Last));
    whole.extend(told(&info));
    for cut in 0..whole.len() {
        let said = query(&liar(dir.path(), whole[..cut].to_vec()), &info.path).unwrap_err();
        assert!(said.contains("unix://"), "at {cut}: {said}");
    }
    let got = query(&liar(dir.path(), whole), &info.path).unwrap().unwrap();
    assert_eq!((got.nar_hash, got.nar_size), (info.nar_hash, info.nar_size));
}

#[test]
fn nonsense_is_told() {
    let home = Home::new();
    let dir = tempfile::tempdir().unwrap();
    let said = |bytes: Vec<u8>| {
        let said = query(&liar(dir.path(), bytes), &home.busybox).unwrap_err();
        said.split_once("socket: ").unwrap().1.to_owned()
    };
    insta::assert_snapshot!(said(b"HTTP/1.1 400 Bad Request".to_vec()), @"the peer does not keep to the protocol: it is no Nix daemon");
    let mut old = beginning();
    old[8..16].copy_from_slice(&0x115_u64.to_le_bytes());
    insta::assert_snapshot!(said(old), @"the peer does not keep to the protocol: it speaks version 1.21 of the worker protocol; needed is 1.34 or newer");
    let mut huge = beginning();
    huge.extend(0x6f6c_6d67_u64.to_le_bytes());
    huge.extend((1_u64 << 63).to_le_bytes());
    insta::assert_snapshot!(said(huge), @"the peer sends a message of more than 256 MiB");
    let mut error = beginning();
    error.extend(message(&Message::Error("\x1b[31merror:\x1b[0m no\x07 such luck".into())));
    insta::assert_snapshot!(said(error), @"no such luck");
}

#[test]
fn an_archive_that_is_not_what_was_promised_does_not_come_in() {
    let (from, to) = (Home::new(), Home::new());
    let dir = tempfile::tempdir().unwrap();
    let text = from.store.add_text("text", b"short", &BTreeSet::new()).unwrap();
    let info = from.store.info(&text).unwrap();
    let mut nar = Vec::new();
    from.store.nar(&text, &mut nar).unwrap();
    let anybody = Trust { keys: Vec::new(), required: false };
    let copy = |nar: &[u8]| {
        let mut says = beginning();
        says.extend(message(&Message::Last));
        says.extend(told(&info));
        says.extend(message(&Message::Last));
        says.extend(1_u64.to_le_bytes());
        says.extend(message(&Message::Last));
        says.extend(nar);
        let remote = liar(dir.path(), says);
        let paths = BTreeSet::from([text.clone()]);
        copy_closure(remote.source(), &to.store, &paths, &anybody, &())
    };
    let at = nar.windows(5).position(|w| w == b"short").unwrap();
    let mut other = nar.clone();
    other[at] = b'S';
    let said = copy(&other).unwrap_err().to_string();
    assert!(said.contains("hash mismatch"), "{said}");
    for cut in 0..nar.len() {
        let said = copy(&nar[..cut]).unwrap_err().to_string();
        assert!(said.contains("ended too soon"), "at {cut}: {said}");
        assert!(!to.store.is_valid(&text).unwrap());
    }
    to.nothing_left();
    copy(&nar).unwrap();
    to.verify();
}
