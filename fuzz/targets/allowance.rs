//! Any text as an allowance: what is read can be written and read again, the same.
#![no_main]

use hc_spec::allow::Allowance;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(allowance) = text.parse::<Allowance>() else { return };
    assert_eq!(allowance.to_string().parse::<Allowance>().expect("what was written"), allowance);
});
