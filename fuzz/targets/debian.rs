//! Any text as control paragraphs, relations, versions and a release file.
#![no_main]

use hc_image::deb::{Info, control, relation, version};
use hc_image::debian::Release;
use libfuzzer_sys::fuzz_target;
use std::cmp::Ordering;

fuzz_target!(|text: &str| {
    for paragraph in control::paragraphs(text) {
        let _ = Info::parse(&paragraph);
    }
    if let Ok(release) = Release::parse(text, "fuzz") {
        assert_eq!(release.snapshot_stamp().len(), 16);
    }
    if let Ok(groups) = relation::parse(text) {
        let group = |any: &Vec<relation::Relation>| {
            any.iter().map(ToString::to_string).collect::<Vec<_>>().join(" | ")
        };
        let again = groups.iter().map(group).collect::<Vec<_>>().join(", ");
        assert_eq!(relation::parse(&again), Ok(groups));
    }
    let mut lines = text.lines();
    let mut next = || lines.next().unwrap_or_default();
    let (a, b, c) = (next(), next(), next());
    let order = version::compare;
    assert_eq!(order(a, a), Ordering::Equal);
    assert_eq!(order(a, b), order(b, a).reverse());
    if order(a, b) != Ordering::Greater && order(b, c) != Ordering::Greater {
        assert_ne!(order(a, c), Ordering::Greater, "the order is not transitive");
    }
});
