use super::*;
use crate::wire::tests::{basic_derivation, path, path_info};
use proptest::prelude::*;
use std::os::unix::net::UnixStream;

fn options() -> impl Strategy<Value = BuildOptions> {
    any::<(u64, u64, u64, bool)>().prop_map(|(max_silent, timeout, max_log, keep_failed)| {
        BuildOptions { max_silent, timeout, max_log, keep_failed }
    })
}

fn request() -> impl Strategy<Value = Request> {
    let paths = || proptest::collection::btree_set(path(), 0..4);
    prop_oneof![
        (paths(), any::<(bool, bool)>()).prop_map(|(paths, (lock, substitute))| {
            Request::QueryValidPaths { lock, substitute, paths }
        }),
        paths().prop_map(Request::QueryPathInfos),
        path().prop_map(Request::DumpStorePath),
        Just(Request::ImportPaths),
        paths().prop_map(Request::ExportPaths),
        (proptest::collection::vec("[a-z!,/]{0,20}", 0..4), options())
            .prop_map(|(targets, options)| Request::BuildPaths { targets, options }),
        (any::<bool>(), paths())
            .prop_map(|(outputs, paths)| Request::QueryClosure { outputs, paths }),
        (path(), basic_derivation(), options()).prop_map(|(path, derivation, options)| {
            Request::BuildDerivation { path, derivation, options }
        }),
        (path(), path_info()).prop_map(|(path, info)| Request::AddToStoreNar { path, info }),
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
        prop_assert_eq!(Request::read(&mut Reader::new(&written[..0])).unwrap(), None);
        for cut in 1..written.len() {
            prop_assert!(Request::read(&mut Reader::new(&written[..cut])).is_err());
        }
    }

    #[test]
    fn path_infos_are_read_back(
        infos in proptest::collection::vec((path(), path_info()), 0..4),
        after: u64,
    ) {
        let mut writer = Writer::new(Vec::new());
        for (path, info) in &infos {
            write_path_info(&mut writer, path, info).unwrap();
        }
        write_path_info_end(&mut writer).unwrap();
        writer.number(after).unwrap();
        let written = writer.into_inner();
        let mut reader = Reader::new(written.as_slice());
        for (path, info) in infos {
            let told = UnkeyedPathInfo { registered: 0, ultimate: false, ..info };
            prop_assert_eq!(read_path_info(&mut reader).unwrap(), Some((path, told)));
        }
        prop_assert_eq!(read_path_info(&mut reader).unwrap(), None);
        prop_assert_eq!(reader.number().unwrap(), after);
    }

    #[test]
    fn nonsense_is_refused_in_bounded_memory(bytes: Vec<u8>) {
        let _ = Request::read(&mut Reader::new(bytes.as_slice()));
        let _ = read_path_info(&mut Reader::new(bytes.as_slice()));
    }
}

#[test]
fn both_sides_greet() {
    let (client, server) = UnixStream::pair().unwrap();
    let thread = std::thread::spawn(move || {
        welcome(&mut Reader::new(&server), &mut Writer::new(&server)).unwrap();
    });
    greet(&mut Reader::new(&client), &mut Writer::new(&client)).unwrap();
    thread.join().unwrap();
}

#[test]
fn another_peer_is_told_so() {
    let said = |numbers: &[u64]| {
        let bytes: Vec<u8> = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
        greet(&mut Reader::new(bytes.as_slice()), &mut Writer::new(Vec::new())).unwrap_err()
    };
    insta::assert_snapshot!(said(&[7]), @"the peer does not keep to the protocol: it does not greet as `nix-store --serve` does");
    insta::assert_snapshot!(said(&[SERVER_MAGIC, 0x204]), @"the peer does not keep to the protocol: it speaks version 2.4 of `nix-store --serve`; needed is 2.7");
}
