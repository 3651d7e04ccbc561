//! Any text as a hash or a content address: every way to write it reads back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nix_compat::hash::{HashFormat, format, parse};
use nix_compat::{CAHash, HashAlgorithm};

fuzz_target!(|text: &str| {
    let told = [
        None,
        Some(HashAlgorithm::Md5),
        Some(HashAlgorithm::Sha1),
        Some(HashAlgorithm::Sha256),
        Some(HashAlgorithm::Sha512),
        Some(HashAlgorithm::Blake3),
    ];
    for algorithm in told {
        let Ok(hash) = parse(text, algorithm) else { continue };
        for style in [HashFormat::Base16, HashFormat::Nix32, HashFormat::Base64, HashFormat::Sri] {
            let again = parse(&format(&hash, style), Some(hash.algorithm()));
            assert_eq!(again.expect("what was written"), hash);
        }
    }
    if let Ok(address) = CAHash::parse(text) {
        let again = CAHash::parse(&address.to_nix_string()).expect("what was written");
        assert_eq!(again, address);
    }
});
