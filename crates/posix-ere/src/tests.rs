//! The matcher against a plain backtracking one, and the cases in which C++ Nix was asked.

use proptest::prelude::*;

use crate::parse::{Node, parse};
use crate::{Captures, Error, Regex};

fn full(pattern: &str, text: &str) -> Option<Vec<Option<String>>> {
    let captures = Regex::new(pattern.as_bytes()).unwrap().full_match(text.as_bytes())?;
    Some(
        captures[1..]
            .iter()
            .map(|range| range.clone().map(|range| text[range].to_owned()))
            .collect(),
    )
}

/// As `builtins.split` shows it: text, [groups], text, …
fn split(pattern: &str, text: &str) -> String {
    let regex = Regex::new(pattern.as_bytes()).unwrap();
    let (mut out, mut from) = (String::new(), 0);
    for captures in regex.matches(text.as_bytes()) {
        let whole = captures[0].clone().unwrap();
        let groups: Vec<&str> = captures[1..]
            .iter()
            .map(|range| range.clone().map_or("-", |range| &text[range]))
            .collect();
        out += &format!("{}[{}]", &text[from..whole.start], groups.join(","));
        from = whole.end;
    }
    out + &text[from..]
}

#[test]
fn splits_as_nix_does() {
    assert_eq!(split("(a|ab)", "xabx"), "x[ab]x");
    assert_eq!(split("", "abc"), "[]a[]b[]c[]");
    assert_eq!(split("x*", "axxb"), "[]a[][]b[]");
    assert_eq!(split("(a?(ab)?)", "ab"), "[a,-][,-]b[,-]");
    assert_eq!(split("(a|ab)(c|bcd)?", "abcd"), "[a,bcd]");
    assert_eq!(split("^a", "aab"), "[]ab");
    assert_eq!(split("b$", "bab"), "ba[]");
    assert_eq!(split("([[:upper:]]+)", " FOO bar"), " [FOO] bar");
}

#[test]
fn matches_as_nix_does() {
    let some = |groups: &[Option<&str>]| {
        Some(groups.iter().map(|g| g.map(str::to_owned)).collect::<Vec<_>>())
    };
    assert_eq!(full("ab", "abc"), None);
    assert_eq!(full("a(b)(c)", "abc"), some(&[Some("b"), Some("c")]));
    assert_eq!(full("(a*)*", "a"), some(&[Some("")]));
    assert_eq!(full("(a*)+", "a"), some(&[Some("")]));
    assert_eq!(full("((a)|b)*", "ab"), some(&[Some("b"), Some("a")]));
    assert_eq!(full("(|a)b", "ab"), some(&[Some("a")]));
    assert_eq!(full("a*?", "aa"), some(&[]));
    assert_eq!(full("a{2}{3}", "aaaaaa"), some(&[]));
    assert_eq!(full("(a{2}){1,2}", "aaaa"), some(&[Some("aa")]));
    assert_eq!(full("(a){0}b", "b"), some(&[None]));
    assert_eq!(full("a}", "a}"), some(&[]));
    assert_eq!(full("[]a-]+", "]-a"), some(&[]));
    assert_eq!(full("[^]]", "]"), None);
    assert_eq!(full("[\\]", "\\"), some(&[]));
    assert_eq!(full("[[:w:]]+", "a_"), some(&[]));
    assert_eq!(full("[[.hyphen.]]", "-"), some(&[]));
    assert_eq!(full(".*", "a\nb"), some(&[]));
    assert_eq!(full("(^a|b)*", "ab"), some(&[Some("b")]));
    assert_eq!(full("[[:space:]]*([a-z]+)[[:space:]]*", " x "), some(&[Some("x")]));
}

#[test]
fn refuses_what_nix_refuses() {
    let error = |pattern: &str| Regex::new(pattern.as_bytes()).err();
    for (pattern, expected) in [
        ("(a", Error::Syntax),
        ("a)", Error::Syntax),
        ("*a", Error::BadRepeat),
        ("a|*", Error::BadRepeat),
        ("^*", Error::BadRepeat),
        ("a{,3}", Error::BadInterval),
        ("a{3,2}", Error::BadInterval),
        ("a{x}", Error::BadInterval),
        ("a{1", Error::BadInterval),
        ("\\d", Error::BadEscape),
        ("(a)\\1", Error::BadEscape),
        ("a\\", Error::BadEscape),
        ("\\]", Error::BadEscape),
        ("[a", Error::BadBracket),
        ("[]", Error::BadBracket),
        ("[z-a]", Error::BadRange),
        ("[a-c-e]", Error::BadRange),
        ("[[:foo:]]", Error::BadClass),
        ("[[.-.]]", Error::BadCollation),
        ("(a{1000}){1000}", Error::TooLarge),
    ] {
        assert_eq!(error(pattern), Some(expected), "{pattern}");
    }
    assert_eq!(error(&"(".repeat(100_000)), Some(Error::TooLarge));
    assert_eq!(error("a{0}{4000000000}"), None);
}

#[test]
fn long_texts_take_linear_time_and_no_stack() {
    let text = "a".repeat(200_000);
    assert!(full("(a*)*b", &text).is_none());
    assert!(full("(a|aa)+", &text).is_some());
    assert!(full("((x?a*)*)*", &text).is_some());
}

/// Tries everything, in the order of libstdc++: `then` gets each end and says whether a match came of it.
fn naive(
    node: &Node,
    text: &[u8],
    pos: usize,
    groups: &mut Captures,
    then: &mut dyn FnMut(usize, &mut Captures) -> bool,
) -> bool {
    match node {
        Node::Empty => then(pos, groups),
        Node::Set(set) => text.get(pos).is_some_and(|c| set.contains(*c)) && then(pos + 1, groups),
        Node::LineStart => pos == 0 && then(pos, groups),
        Node::LineEnd => pos == text.len() && then(pos, groups),
        Node::Group(number, inner) => naive(inner, text, pos, groups, &mut |end, groups| {
            let before = groups[*number].replace(pos..end);
            let found = then(end, groups);
            groups[*number] = before;
            found
        }),
        Node::Sequence(all) => match all.split_first() {
            None => then(pos, groups),
            Some((first, rest)) => {
                let rest = Node::Sequence(rest.to_vec());
                naive(first, text, pos, groups, &mut |end, groups| {
                    naive(&rest, text, end, groups, then)
                })
            }
        },
        Node::Alternatives(all) => {
            let mut found = false;
            for node in all {
                found |= naive(node, text, pos, groups, then);
            }
            found
        }
        Node::Repeat { node: inner, min, max } => {
            let less = |n: u32| n.saturating_sub(1);
            let rest = Node::Repeat { node: inner.clone(), min: less(*min), max: max.map(less) };
            if *min > 0 {
                return naive(
                    inner,
                    text,
                    pos,
                    groups,
                    &mut |end, groups| match (&rest, end == pos) {
                        // A required iteration of `x+` that matched nothing: the loop ends.
                        (Node::Repeat { min: 0, max: None, .. }, true) => then(end, groups),
                        _ => naive(&rest, text, end, groups, then),
                    },
                );
            }
            let more = *max != Some(0)
                && naive(inner, text, pos, groups, &mut |end, groups| {
                    if end == pos && max.is_none() {
                        then(end, groups)
                    } else {
                        naive(&rest, text, end, groups, then)
                    }
                });
            more || then(pos, groups)
        }
    }
}

fn naive_at(node: &Node, count: usize, text: &[u8], start: usize, exact: bool) -> Option<Captures> {
    let mut best: Option<Captures> = None;
    let mut groups: Captures = vec![None; count + 1];
    naive(node, text, start, &mut groups, &mut |end, groups| {
        if exact && end != text.len() {
            return false;
        }
        if best.as_ref().is_none_or(|best| best[0].as_ref().is_some_and(|range| range.end < end)) {
            let mut found = groups.clone();
            found[0] = Some(start..end);
            best = Some(found);
        }
        true
    });
    best
}

fn pattern() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        4 => Just("a".to_owned()),
        4 => Just("b".to_owned()),
        1 => Just(".".to_owned()),
        1 => Just("[^a]".to_owned()),
        1 => Just("^".to_owned()),
        1 => Just("$".to_owned()),
        1 => Just("()".to_owned()),
    ];
    leaf.prop_recursive(4, 14, 3, |inner| {
        let quantifier = prop_oneof![Just("*"), Just("+"), Just("?"), Just("{2}"), Just("{1,2}"), Just("{0,2}"), Just("{1,}")];
        prop_oneof![
            3 => prop::collection::vec(inner.clone(), 1..4).prop_map(|all| all.concat()),
            3 => prop::collection::vec(inner.clone(), 2..4).prop_map(|all| format!("({})", all.join("|"))),
            3 => (inner, quantifier).prop_map(|(inner, quantifier)| format!("({inner}){quantifier}")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn agrees_with_backtracking(pattern in pattern(), text in "[abc]{0,7}") {
        let parsed = parse(pattern.as_bytes()).unwrap();
        let regex = Regex::new(pattern.as_bytes()).unwrap();
        let text = text.as_bytes();
        prop_assert_eq!(regex.full_match(text), naive_at(&parsed.node, parsed.groups, text, 0, true));
        let found = (0..=text.len()).find_map(|start| naive_at(&parsed.node, parsed.groups, text, start, false));
        prop_assert_eq!(regex.find_at(text, 0), found);
    }

    #[test]
    fn never_panics(pattern in prop::collection::vec(any::<u8>(), 0..20), text in prop::collection::vec(any::<u8>(), 0..20)) {
        if let Ok(regex) = Regex::new(&pattern) {
            let _ = regex.full_match(&text);
            prop_assert!(regex.matches(&text).count() <= text.len() * 2 + 1);
        }
    }

    #[test]
    fn never_panics_on_near_patterns(pattern in r"[ab()\[\]{}*+?|^$.\\:,=1-3-]{0,12}", text in "[ab]{0,6}") {
        if let Ok(regex) = Regex::new(pattern.as_bytes()) {
            let _ = regex.full_match(text.as_bytes());
            prop_assert!(regex.matches(text.as_bytes()).count() <= text.len() * 2 + 1);
        }
    }
}
