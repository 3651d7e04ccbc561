//! Any bytes as Nix text: the parser answers, the same each time, and its reports can be rendered.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nix_syntax::{Globals, Options, Origin, Sources, Symbols, parse, render, show};

fn once(text: &[u8]) -> Result<Vec<u8>, Vec<String>> {
    let arena = bumpalo::Bump::new();
    let symbols = Symbols::new(&arena);
    let sources = Sources::new();
    let globals = Globals::new(&symbols, [b"true".as_slice(), b"map"]);
    let file = sources.add(Origin::Text("fuzz".into()), text.into());
    match parse(&arena, &symbols, &sources, file, &Options::new(b"/", &globals)) {
        Ok(expr) => Ok(show(expr, &symbols, &globals, None)),
        Err(reports) => {
            assert!(!reports.is_empty(), "a refusal without a reason");
            Err(reports.iter().map(|report| render(&sources, report, false)).collect())
        }
    }
}

fuzz_target!(|text: &[u8]| assert_eq!(once(text), once(text)));
