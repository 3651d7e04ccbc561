//! Any bytes as a kernel and as a module.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok((elf, _)) = hc_image::kernel::unpack(bytes, "fuzz") {
        assert!(hc_image::kernel::elf::end(&elf).is_ok_and(|end| end == elf.len() as u64));
    }
    let _ = hc_image::kernel::modules::Info::parse(bytes);
});
