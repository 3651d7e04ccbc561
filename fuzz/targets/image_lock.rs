//! Any text as the lock file of an image: what is read can be written and read again.
#![no_main]

use hc_image::debian::Lock;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(lock) = Lock::from_json(text) {
        let written = lock.to_json();
        let again = Lock::from_json(&written).expect("what was written can be read");
        assert_eq!(again.to_json(), written);
    }
});
