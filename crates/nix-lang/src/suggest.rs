//! "Did you mean": names close to one that is not there.

/// The names within an edit distance of two of `wanted`, the closest first, five at most.
pub(crate) fn near<'n>(wanted: &str, names: impl Iterator<Item = &'n str>) -> Vec<&'n str> {
    let mut found: Vec<(usize, &str)> = names
        .filter(|name| name.len().abs_diff(wanted.len()) <= FURTHEST)
        .map(|name| (distance(wanted.as_bytes(), name.as_bytes()), name))
        .filter(|(distance, _)| *distance <= FURTHEST)
        .collect();
    found.sort_unstable();
    found.dedup();
    found.into_iter().take(MOST).map(|(_, name)| name).collect()
}

/// How far a name may be from the one wanted, and how many are shown: as C++ Nix has it.
const FURTHEST: usize = 2;
const MOST: usize = 5;

/// The sentence for names that [`near`] found.
pub(crate) fn did_you_mean(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [one] => format!("Did you mean {one}?"),
        [rest @ .., last] => format!("Did you mean one of {} or {last}?", rest.join(", ")),
    }
}

/// Bytes to insert, delete or replace between two names.
fn distance(a: &[u8], b: &[u8]) -> usize {
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, to) in b.iter().enumerate() {
            let change = usize::from(from != to);
            row.push((last[j + 1] + 1).min(row[j] + 1).min(last[j] + change));
        }
        last = row;
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_near_names_only() {
        let names = ["hello", "help", "world", "packages"];
        assert_eq!(near("helo", names.into_iter()), ["hello", "help"]);
        assert_eq!(near("packagse", names.into_iter()), ["packages"]);
        assert!(near("zzz", names.into_iter()).is_empty());
        assert_eq!(did_you_mean(&["a", "b", "c"]), "Did you mean one of a, b or c?");
    }
}
