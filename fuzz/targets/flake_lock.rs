//! Any bytes as a flake's lock file: what is read can be written and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nix_compat::flake_lock::LockFile;

fuzz_target!(|bytes: &[u8]| {
    let Ok(lock) = LockFile::parse(bytes) else { return };
    let valid = lock.validate().is_ok();
    let written = lock.to_nix_bytes();
    let again = LockFile::parse(&written).expect("what was written");
    assert!(again.semantically_eq(&lock));
    assert_eq!(again.to_nix_bytes(), written);
    assert_eq!(again.validate().is_ok(), valid);
    for input in lock.root().inputs() {
        assert!(lock.root().input(input.name()).is_some());
        let _ = lock.resolve([input.name()]);
    }
});
