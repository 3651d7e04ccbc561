//! Any bytes as a derivation: what is read can be written and read again, and what is all UTF-8 is the
//! same to another reader.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nix_compat::{Derivation, InputDerivation, ModuloHashes};

fn plain(name: &str) -> bool {
    name.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-._?=".contains(&b))
}

fuzz_target!(|bytes: &[u8]| {
    if let Ok(derivation) = Derivation::from_aterm_bytes(bytes, "x") {
        let written = derivation.to_aterm_bytes();
        // Nix writes the names of outputs and systems as they are, also those that cannot be.
        let all_plain = |input: &InputDerivation| input.outputs().iter().all(|name| plain(name));
        if str::from_utf8(derivation.system()).is_ok_and(plain)
            && derivation.outputs().keys().all(|name| plain(name))
            && derivation.input_derivations().values().all(all_plain)
        {
            let again = Derivation::from_aterm_bytes(&written, "x").expect("what was written");
            assert_eq!(again, derivation);
            assert_eq!(again.to_aterm_bytes(), written);
        }
        let _ = (derivation.drv_path(), derivation.is_fixed_output());
        let _ = ModuloHashes::default().check(&derivation);
    }
});
