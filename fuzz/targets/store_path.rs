//! Any bytes as a store path, as nix32, and as the output of a derivation.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nix_compat::{DrvOutput, StoreDir, StorePath, nix32, path};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(found) = StorePath::from_absolute_path(bytes) {
        assert_eq!(found.to_string().as_bytes(), bytes);
        assert_eq!(path::hash_part(&found).len(), path::HASH_PART_LEN);
    }
    if let Ok((found, rest)) = path::split(bytes) {
        assert_eq!([found.to_string().as_bytes(), rest].concat(), bytes);
    }
    if let Ok(digest) = nix32::decode(bytes) {
        assert_eq!(nix32::encode(&digest).as_bytes(), bytes);
    }
    if let Ok(text) = str::from_utf8(bytes) {
        if let Ok(output) = DrvOutput::parse(text) {
            let store = StoreDir::default();
            assert_eq!(DrvOutput::parse_in(&store, &output.render(&store)), Ok(output));
        }
        let made = StorePath::from_parts([7; path::DIGEST_LEN], text);
        if let Ok(made) = made {
            assert_eq!(StorePath::from_absolute_path(made.to_string().as_bytes()), Ok(made));
        }
    }
});
