//! Any expression, evaluated purely under tight limits: it ends, and twice the same way.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nix_lang::{Arena, ComputeIo, ErrorKind, Evaluator, Settings};
use std::time::Duration;

fn once(text: &str) -> Result<String, ErrorKind> {
    let arena = Arena::new();
    let settings = Settings {
        pure: true,
        max_call_depth: 300,
        max_time: Some(Duration::from_millis(500)),
        max_memory: Some(64 << 20),
        ..Settings::default()
    };
    let nix = Evaluator::new(&arena, ComputeIo::new(), settings);
    let value = nix.eval_str(text, "/nowhere").and_then(|value| nix.to_json_text(value));
    value.map_err(|error| {
        assert!(!error.to_string().is_empty());
        error.kind()
    })
}

fuzz_target!(|text: &str| {
    // Large enough for the depth allowed; a larger one costs the sanitizer more than evaluation.
    let [first, second] = std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(64 << 20);
        let thread = thread.spawn_scoped(scope, || [once(text), once(text)]);
        thread.expect("a thread").join().expect("it ends")
    });
    // How far time and memory reach is not part of the meaning.
    let limit = |end: &Result<_, _>| matches!(end, Err(ErrorKind::Limit));
    if !limit(&first) && !limit(&second) {
        assert_eq!(first, second);
    }
});
