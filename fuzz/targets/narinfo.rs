//! Any bytes as what a binary cache says of a path: what is read can be written and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nix_compat::narinfo::{NarInfo, NixSignature, Realisation, TrustedPublicKey};

fuzz_target!(|bytes: &[u8]| {
    let store = nix_compat::StoreDir::default();
    // One carriage return is taken from the end of a line each time it is read.
    if let Ok(info) = NarInfo::parse_in(&store, bytes)
        && !bytes.contains(&b'\r')
    {
        let written = info.to_canonical_bytes();
        let again = NarInfo::parse_in(&store, &written).expect("what was written");
        assert_eq!(again.to_canonical_bytes(), written);
        assert_eq!(again.fingerprint(&store), info.fingerprint(&store));
        assert!(!info.has_valid_signature(&store, &[]));
        let _ = info.is_content_addressed(&store);
    }
    if let Ok(realisation) = Realisation::parse(bytes) {
        let written = realisation.to_canonical_bytes();
        let again = Realisation::parse(&written).expect("what was written");
        assert_eq!(again.to_canonical_bytes(), written);
    }
    if let Ok(text) = str::from_utf8(bytes) {
        let _ = TrustedPublicKey::parse(text);
        if let Ok(signature) = NixSignature::parse(text) {
            let again = NixSignature::parse(&signature.to_nix_string()).expect("what was written");
            assert_eq!(again, signature);
        }
    }
});
