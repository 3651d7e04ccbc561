//! Any bytes as an initrd: what comes out is one archive that stays as it is.
#![no_main]

use hc_image::initrd::{cpio::Writer, plain};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let merged = |input: &[u8]| {
        let mut writer = Writer::new(Vec::new(), 16 << 20);
        plain(input, "fuzz", &mut writer).ok()?;
        writer.finish().ok()
    };
    if let Some(once) = merged(bytes) {
        assert_eq!(merged(&once).as_deref(), Some(&once[..]));
    }
});
