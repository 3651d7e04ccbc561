//! Any bytes as a registry of flakes: what is read can be written and read again, and looking a name
//! up ends.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nix_compat::flake_ref::FlakeRef;
use nix_compat::flake_ref::registry::{Registry, RegistryKind, resolve};

fuzz_target!(|bytes: &[u8]| {
    let Ok(registry) = Registry::parse(RegistryKind::Global, bytes) else { return };
    let written = registry.render();
    let again = Registry::parse(RegistryKind::Global, written.as_bytes()).expect("as written");
    assert_eq!(again, registry);
    let name = FlakeRef::parse("a/b", true, false).expect("a reference").input;
    let wanted = registry.entries.iter().map(|entry| entry.from.clone()).chain([name]);
    for input in wanted.collect::<Vec<_>>() {
        let _ = resolve(std::slice::from_ref(&registry), &input, true);
    }
});
