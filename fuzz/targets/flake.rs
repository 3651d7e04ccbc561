//! Any `flake.nix`, a NUL byte, and any `flake.lock`: read as far as it goes without fetching.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nix_lang::{Arena, ComputeIo, Evaluator, FlakeOptions, LockMode, Settings, Value};
use std::path::Path;
use std::time::Duration;

fn inputs<'a>(nix: &Evaluator<'a>, flake: Value<'a>, levels: u32) -> nix_lang::Result<()> {
    if let (Some(inputs), 1..) = (nix.get(flake, "inputs")?, levels) {
        for (_, input) in nix.attributes(inputs)? {
            let _ = self::inputs(nix, input, levels - 1);
        }
    }
    Ok(())
}

fn read(dir: &Path) -> Result<(), String> {
    let arena = Arena::new();
    let settings = Settings {
        pure: true,
        max_call_depth: 300,
        max_time: Some(Duration::from_millis(500)),
        max_memory: Some(64 << 20),
        ..Settings::default()
    };
    let nix = Evaluator::new(&arena, ComputeIo::new(), settings);
    let frozen = FlakeOptions { lock: LockMode::Frozen, ..FlakeOptions::default() };
    let memory = FlakeOptions { lock: LockMode::Memory, ..FlakeOptions::default() };
    for options in [frozen, memory] {
        let flake = nix.flake(dir, &options).map_err(|error| error.to_string());
        flake.and_then(|flake| inputs(&nix, flake, 3).map_err(|error| error.to_string()))?;
    }
    Ok(())
}

fuzz_target!(|bytes: &[u8]| {
    let split = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let dir = tempfile::tempdir_in("/dev/shm").expect("a directory in memory");
    std::fs::write(dir.path().join("flake.nix"), &bytes[..split]).expect("a file in memory");
    if let Some(lock) = bytes.get(split + 1..) {
        std::fs::write(dir.path().join("flake.lock"), lock).expect("a file in memory");
    }
    let read = std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(64 << 20);
        thread.spawn_scoped(scope, || read(dir.path())).expect("a thread").join().expect("it ends")
    });
    if let Err(error) = read {
        assert!(!error.is_empty());
    }
});
