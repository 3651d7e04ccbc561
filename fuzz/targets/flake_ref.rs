//! Any text as a flake reference: what is written is read back, and written the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nix_lang::{Arena, ComputeIo, Evaluator, Settings};

fuzz_target!(|text: &str| {
    let arena = Arena::new();
    let settings = Settings { pure: true, ..Settings::default() };
    let nix = Evaluator::new(&arena, ComputeIo::new(), settings);
    let function = |text| nix.eval_str(text, "/nowhere").expect("a function");
    let (parse, render) =
        (function("builtins.parseFlakeRef"), function("builtins.flakeRefToString"));
    let call = |function, value| nix.apply(function, value).and_then(|v| nix.force_deep(v));
    let text = nix.from_json(&text.into()).expect("a string");
    let Ok(found) = call(parse, text) else { return };
    let written = call(render, found).expect("what was read can be written");
    let again = call(parse, written).expect("what was written can be read");
    let twice = call(render, again).expect("what was read can be written");
    let json = |value| nix.to_json_text(value).expect("strings");
    // The text does not tell `tarball+https:` from `https:`, as in Nix; but it is settled.
    assert_eq!(json(twice), json(written), "{} and {}", json(found), json(again));
});
