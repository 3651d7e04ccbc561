//! Any bytes as an archive: both readers agree, and what can be unpacked packs to the same bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nix_compat::nar;

fuzz_target!(|bytes: &[u8]| {
    let whole = nar::decode(bytes);
    let mut read = bytes;
    let streamed = nar::decode_events_reader(&mut read, |_| Ok(()));
    assert_eq!(whole.is_ok(), streamed.is_ok(), "{:?}, {streamed:?}", whole.err());
    let nested = |error: &nar::Error| matches!(error, nar::Error::MaxDepth(_));
    let dir = tempfile::tempdir_in("/dev/shm").expect("a directory in memory");
    let tree = dir.path().join("tree");
    let restored = nar::restore(&mut &bytes[..], &tree);
    let unpacked = nix_compat::unpack(&mut &bytes[..], &dir.path().join("unpacked"));
    assert_eq!(unpacked.is_ok(), restored.is_ok(), "{unpacked:?}, {restored:?}");
    // The way by several threads takes the same, but no trees that are as deep, nor names that no file can have.
    let unnamed = |error: &nar::Error| matches!(error, nar::Error::Io(_));
    if !restored.as_ref().is_err_and(|error| nested(error) || unnamed(error)) {
        assert_eq!(whole.is_ok(), restored.is_ok(), "{restored:?}");
    }
    if restored.is_ok() {
        let mut again = Vec::new();
        nar::dump(&tree, &mut again).expect("what was unpacked can be packed");
        assert_eq!(again, bytes);
        assert_eq!(nar::hash_path(&tree).expect("it can be hashed").size, bytes.len() as u64);
    }
});
