use super::*;
use crate::hash::{CAHash, NixHash};
use crate::wire::tests::{basic_derivation, path, path_info};
use crate::wire::{Realisation, RealisationId};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::os::unix::net::UnixStream;

fn request() -> impl Strategy<Value = Request> {
    let paths = || proptest::collection::btree_set(path(), 0..4);
    let text = "[a-z!:/]{0,20}";
    let id = || {
        (any::<[u8; 32]>(), "[a-z]{1,8}")
            .prop_map(|(hash, output)| RealisationId { drv_hash: NixHash::Sha256(hash), output })
    };
    let addressed = (path(), any::<Option<[u8; 32]>>())
        .prop_map(|(path, hash)| (path, hash.map(|hash| CAHash::Nar(NixHash::Sha256(hash)))));
    let rest = prop_oneof![
        path().prop_map(Request::QuerySubstitutablePathInfo),
        proptest::collection::vec(addressed, 0..4).prop_map(Request::QuerySubstitutablePathInfos),
        id().prop_map(Request::QueryRealisation),
        (id(), path()).prop_map(|(id, path)| {
            let signatures = vec!["a:b".into()];
            Request::RegisterDrvOutput(Realisation { id, path, signatures })
        }),
        path().prop_map(Request::AddBuildLog),
        (path(), any::<Vec<u8>>()).prop_map(|(path, link)| Request::AddPermRoot { path, link }),
        (path(), basic_derivation()).prop_map(|(path, derivation)| Request::BuildDerivation {
            path,
            derivation,
            mode: 2
        }),
        (any::<bool>(), any::<bool>())
            .prop_map(|(repair, trusted)| Request::AddMultipleToStore { repair, trusted }),
    ];
    prop_oneof![
        rest,
        path().prop_map(Request::IsValidPath),
        path().prop_map(Request::NarFromPath),
        Just(Request::FindRoots),
        (proptest::collection::vec(text, 0..4), 0..3u64)
            .prop_map(|(targets, mode)| Request::BuildPathsWithResults { targets, mode }),
        any::<Vec<u8>>().prop_map(Request::AddIndirectRoot),
        (paths(), any::<u64>()).prop_map(|(paths, max_freed)| {
            Request::CollectGarbage { action: 3, paths, max_freed }
        }),
        (paths(), any::<bool>())
            .prop_map(|(paths, substitute)| Request::QueryValidPaths { paths, substitute }),
        (path(), path_info(), any::<(bool, bool)>()).prop_map(|(path, info, (repair, trusted))| {
            Request::AddToStoreNar { path, info, repair, trusted }
        }),
        (text, text, paths()).prop_map(|(name, method, references)| Request::AddToStore {
            name,
            method,
            references,
            repair: false
        }),
        (any::<(bool, bool, u64, u64, bool)>(), text, text).prop_map(
            |((keep_failed, keep_going, jobs, cores, substitute), name, value)| {
                let settings = vec![(name, value)];
                Request::SetOptions { keep_failed, keep_going, jobs, cores, substitute, settings }
            }
        ),
    ]
}

fn message() -> impl Strategy<Value = Message> {
    let fields = || {
        proptest::collection::vec(
            prop_oneof![
                any::<u64>().prop_map(Field::Number),
                any::<String>().prop_map(Field::Text)
            ],
            0..4,
        )
    };
    prop_oneof![
        any::<String>().prop_map(Message::Line),
        any::<String>().prop_map(Message::Error),
        Just(Message::Last),
        any::<u64>().prop_map(|id| Message::Stop { id }),
        (any::<(u64, u64)>(), fields()).prop_map(|((id, kind), fields)| Message::Result {
            id,
            kind,
            fields
        }),
        (any::<(u64, u64, u64, String, u64)>(), fields()).prop_map(
            |((id, level, kind, text, parent), fields)| Message::Start {
                id,
                level,
                kind,
                text,
                fields,
                parent
            }
        ),
    ]
}

proptest! {
    #[test]
    fn requests_are_read_back(request in request()) {
        let mut writer = Writer::new(Vec::new());
        request.write(&mut writer).unwrap();
        let written = writer.into_inner();
        let mut left = written.as_slice();
        prop_assert_eq!(Request::read(&mut Reader::new(&mut left)).unwrap(), Some(request));
        prop_assert!(left.is_empty());
        for cut in 1..written.len() {
            prop_assert!(Request::read(&mut Reader::new(&written[..cut])).is_err());
        }
    }

    #[test]
    fn messages_are_read_back(message in message()) {
        let mut writer = Writer::new(Vec::new());
        message.write(&mut writer).unwrap();
        let written = writer.into_inner();
        let mut left = written.as_slice();
        prop_assert_eq!(Message::read(&mut Reader::new(&mut left)).unwrap(), message);
        prop_assert!(left.is_empty());
    }

    #[test]
    fn nonsense_is_refused_in_bounded_memory(bytes: Vec<u8>) {
        let _ = Request::read(&mut Reader::new(bytes.as_slice()));
        let _ = Message::read(&mut Reader::new(bytes.as_slice()));
    }
}

#[test]
fn both_sides_agree_on_the_newest_version() {
    let (client, server) = UnixStream::pair().unwrap();
    let told = Server { release: "hc".into(), trusts_us: Some(true) };
    let expected = told.clone();
    let thread = std::thread::spawn(move || {
        welcome(&mut Reader::new(&server), &mut Writer::new(&server), &told).unwrap()
    });
    let (version, heard) = greet(&mut Reader::new(&client), &mut Writer::new(&client)).unwrap();
    assert_eq!(heard, expected);
    assert_eq!(version, Version { minor: 38, features: BTreeSet::new() });
    assert_eq!(thread.join().unwrap(), version);
}

#[test]
fn an_old_peer_is_told_so() {
    insta::assert_snapshot!(agree(1 << 8 | 21).unwrap_err(), @"the peer does not keep to the protocol: it speaks version 1.21 of the worker protocol; needed is 1.34 or newer");
    assert_eq!(agree(1 << 8 | 36).unwrap(), 36);
    assert_eq!(agree(1 << 8 | 77).unwrap(), 38);
}
