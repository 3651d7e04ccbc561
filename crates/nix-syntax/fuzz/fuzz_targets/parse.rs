//! Any bytes: the parser answers, and its reports can be rendered.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nix_syntax::{Globals, Options, Origin, Sources, Symbols, parse, render};

fuzz_target!(|text: &[u8]| {
    let arena = bumpalo::Bump::new();
    let symbols = Symbols::new(&arena);
    let sources = Sources::new();
    let globals = Globals::new(&symbols, [b"true".as_slice(), b"map"]);
    let file = sources.add(Origin::Text("fuzz".into()), text.into());
    if let Err(reports) = parse(&arena, &symbols, &sources, file, &Options::new(b"/", &globals)) {
        for report in reports {
            let _ = render(&sources, &report, false);
        }
    }
});
