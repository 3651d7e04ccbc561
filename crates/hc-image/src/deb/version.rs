//! The order of Debian versions: `[epoch:]upstream[-revision]`.

use std::cmp::Ordering;

/// Compares as `dpkg --compare-versions` does.
#[must_use]
pub fn compare(a: &str, b: &str) -> Ordering {
    let ((epoch_a, upstream_a, revision_a), (epoch_b, upstream_b, revision_b)) =
        (split(a), split(b));
    number(epoch_a, epoch_b)
        .then_with(|| part(upstream_a, upstream_b))
        .then_with(|| part(revision_a, revision_b))
}

fn split(version: &str) -> (&[u8], &[u8], &[u8]) {
    let (epoch, rest) = version.trim().split_once(':').unwrap_or(("", version.trim()));
    let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, ""));
    (epoch.as_bytes(), upstream.as_bytes(), revision.as_bytes())
}

/// Text and numbers in turn.
fn part(mut a: &[u8], mut b: &[u8]) -> Ordering {
    while !a.is_empty() || !b.is_empty() {
        let (text_a, after_a) = span(a, |c| !c.is_ascii_digit());
        let (text_b, after_b) = span(b, |c| !c.is_ascii_digit());
        let (number_a, rest_a) = span(after_a, |c| c.is_ascii_digit());
        let (number_b, rest_b) = span(after_b, |c| c.is_ascii_digit());
        let order = text(text_a, text_b).then_with(|| number(number_a, number_b));
        if order.is_ne() {
            return order;
        }
        (a, b) = (rest_a, rest_b);
    }
    Ordering::Equal
}

/// A tilde sorts before the end, the end before letters, letters before the rest.
fn text(a: &[u8], b: &[u8]) -> Ordering {
    let weight = |byte: Option<&u8>| match byte {
        Some(b'~') => -1,
        None => 0,
        Some(letter) if letter.is_ascii_alphabetic() => i32::from(*letter),
        Some(other) => i32::from(*other) + 256,
    };
    (0..a.len().max(b.len()))
        .map(|at| weight(a.get(at)).cmp(&weight(b.get(at))))
        .find(|order| order.is_ne())
        .unwrap_or(Ordering::Equal)
}

/// Numbers of any length.
fn number(a: &[u8], b: &[u8]) -> Ordering {
    let (a, b) = (span(a, |c| *c == b'0').1, span(b, |c| *c == b'0').1);
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

fn span(bytes: &[u8], belongs: impl Fn(&u8) -> bool) -> (&[u8], &[u8]) {
    bytes.split_at(bytes.iter().position(|b| !belongs(b)).unwrap_or(bytes.len()))
}
