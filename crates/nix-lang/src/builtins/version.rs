//! Versions and names with versions.

use std::cmp::Ordering;

use super::Out;
use crate::Evaluator;
use crate::source::Pos;
use crate::sym;
use crate::value::{PrimOp, Value};

pub(super) static OPS: &[PrimOp] = &[
    PrimOp { name: "compareVersions", arity: 2, run: compare_versions, lends: 0 },
    PrimOp { name: "parseDrvName", arity: 1, run: parse_drv_name, lends: 0 },
    PrimOp { name: "splitVersion", arity: 1, run: split_version, lends: 0 },
];

/// The parts of a version: runs of digits and runs of anything else but `.` and `-`.
fn parts(version: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = version;
    std::iter::from_fn(move || {
        while let [b'.' | b'-', tail @ ..] = rest {
            rest = tail;
        }
        let first = rest.first()?;
        let digits = first.is_ascii_digit();
        let end = rest
            .iter()
            .position(|byte| matches!(byte, b'.' | b'-') || byte.is_ascii_digit() != digits)
            .unwrap_or(rest.len());
        let (part, tail) = rest.split_at(end);
        rest = tail;
        Some(part)
    })
}

fn number(part: &[u8]) -> Option<u64> {
    std::str::from_utf8(part).ok()?.parse().ok()
}

fn part_less(left: &[u8], right: &[u8]) -> bool {
    match (number(left), number(right)) {
        (Some(left), Some(right)) => left < right,
        (None, _) if left.is_empty() && number(right).is_some() => true,
        _ if left == b"pre" && right != b"pre" => true,
        _ if right == b"pre" => false,
        (None, Some(_)) => true,
        (Some(_), None) => false,
        (None, None) => left < right,
    }
}

fn compare(left: &[u8], right: &[u8]) -> Ordering {
    let (mut left, mut right) = (parts(left), parts(right));
    loop {
        let (a, b) = match (left.next(), right.next()) {
            (None, None) => return Ordering::Equal,
            (a, b) => (a.unwrap_or_default(), b.unwrap_or_default()),
        };
        if part_less(a, b) {
            return Ordering::Less;
        }
        if part_less(b, a) {
            return Ordering::Greater;
        }
    }
}

fn compare_versions<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    let left = nix.force_plain(args[0], pos)?;
    let right = nix.force_plain(args[1], pos)?;
    Ok(Value::Int(compare(left, right) as i64))
}

fn split_version<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    let version = nix.force_plain(args[0], pos)?;
    let parts: Vec<Value<'a>> = parts(version).map(|part| nix.string(part)).collect();
    Ok(nix.list_from(&parts))
}

fn parse_drv_name<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    let text = nix.force_plain(args[0], pos)?;
    let dash = text.windows(2).position(|pair| pair[0] == b'-' && !pair[1].is_ascii_alphabetic());
    let (name, version) = match dash {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, &text[text.len()..]),
    };
    Ok(nix.attrs_of([(sym::NAME, nix.string(name)), (sym::VERSION, nix.string(version))]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered() {
        for (left, right, wanted) in [
            ("1.0", "2.3", Ordering::Less),
            ("2.1", "2.3", Ordering::Less),
            ("2.3", "2.3", Ordering::Equal),
            ("2.5", "2.3", Ordering::Greater),
            ("2.3.1", "2.3", Ordering::Greater),
            ("2.3.1", "2.3a", Ordering::Greater),
            ("2.3pre1", "2.3", Ordering::Less),
            ("2.3pre3", "2.3pre12", Ordering::Less),
            ("2.3a", "2.3c", Ordering::Less),
            ("2.3pre1", "2.3c", Ordering::Less),
            ("2.3pre1", "2.3q", Ordering::Less),
        ] {
            assert_eq!(compare(left.as_bytes(), right.as_bytes()), wanted, "{left} {right}");
        }
    }
}
