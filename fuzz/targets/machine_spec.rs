//! Any bytes as a machine's description: what is read can be written and read again, the same.
#![no_main]

use hc_spec::MachineSpec;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    match MachineSpec::from_json(text) {
        Ok(spec) => {
            let written = spec.to_json();
            let again = MachineSpec::from_json(written.as_bytes()).expect("what was written");
            assert_eq!(again, spec);
            assert_eq!(again.to_json(), written);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
