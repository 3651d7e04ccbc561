//! Any pattern on any text, one line each: matches lie inside the text, in order, and are the same
//! each time.
#![no_main]

use libfuzzer_sys::fuzz_target;
use posix_ere::{Captures, Regex};

fn check(captures: &Captures, groups: usize, text: &[u8]) {
    assert_eq!(captures.len(), groups + 1);
    let whole = captures[0].clone().expect("the whole match is always there");
    assert!(whole.start <= whole.end && whole.end <= text.len());
    for group in captures.iter().flatten() {
        assert!(group.start <= group.end && whole.start <= group.start && group.end <= whole.end);
    }
}

fuzz_target!(|input: &[u8]| {
    let split = input.iter().position(|byte| *byte == b'\n').unwrap_or(input.len());
    let (pattern, text) = (&input[..split], input.get(split + 1..).unwrap_or_default());
    let (Ok(one), Ok(two)) = (Regex::new(pattern), Regex::new(pattern)) else {
        assert_eq!(Regex::new(pattern).err(), Regex::new(pattern).err());
        return;
    };
    let full = one.full_match(text);
    assert_eq!(full, two.full_match(text));
    if let Some(captures) = &full {
        check(captures, one.groups(), text);
        assert_eq!(captures[0], Some(0..text.len()));
    }
    let mut end = 0;
    for captures in one.matches(text) {
        check(&captures, one.groups(), text);
        let whole = captures[0].clone().unwrap_or_default();
        assert!(whole.start >= end, "matches overlap");
        end = whole.end;
    }
});
