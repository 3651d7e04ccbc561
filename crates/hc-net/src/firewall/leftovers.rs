//! Sets and chains that another version of hc, or somebody else, left in the tables. They keep nobody
//! from anything, so only looking for them finds them.

use super::batch;
use super::element::Family;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::io;

/// A set, map or chain: what `nft` calls it, and its name.
pub(super) type Part = (&'static str, String);

const FAMILIES: [(Family, &str); 2] = [(Family::Inet, "inet"), (Family::Bridge, "bridge")];

/// Text for `nft` that takes out of the tables what `rules`, a text for `nft`, does not put there. It
/// belongs behind that, when no rule is left that needs it.
pub(super) fn removal(rules: &str) -> io::Result<String> {
    let wanted = declared(rules);
    let mut out = String::new();
    for (family, word) in FAMILIES {
        for (kind, name) in batch::parts(family)? {
            if !wanted.contains(&(word, name.as_str())) {
                // Writing to a String cannot fail.
                let _ = writeln!(out, "delete {kind} {word} hc {name}");
            }
        }
    }
    Ok(out)
}

/// Families and names of the sets, maps and chains that a text declares.
fn declared(rules: &str) -> BTreeSet<(&str, &str)> {
    let (mut family, mut all) = ("", BTreeSet::new());
    for line in rules.lines() {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        match words[..] {
            ["table", of, "hc", "{", ..] => family = of,
            ["set" | "map" | "chain", name, "{", ..] => {
                all.insert((family, name));
            }
            _ => {}
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::super::{PORTS, ROUTED, SETS};
    use super::*;

    #[test]
    fn what_is_declared_is_found() {
        let text = [ROUTED, SETS, PORTS].concat();
        let all = declared(&text);
        for part in [
            ("inet", "hc_same"),
            ("inet", "hc_publish6"),
            ("inet", "hc_forward"),
            ("bridge", "hc_mac"),
            ("bridge", "hc_ip6"),
        ] {
            assert!(all.contains(&part), "{part:?}");
        }
        // Everything has a name of its own: whatever a line refers to is declared somewhere.
        let named = |prefix: char| {
            let words =
                text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == prefix));
            words.filter_map(move |word| word.strip_prefix(prefix)).collect::<Vec<_>>()
        };
        for set in named('@').into_iter().filter(|name| name.starts_with("hc_")) {
            assert!(all.iter().any(|(_, name)| *name == set), "{set}");
        }
    }
}
