//! Names that were perhaps meant.

/// The candidate nearest to `name`, when it is near enough to be a slip of the fingers.
pub fn nearest<'n>(name: &[u8], candidates: impl Iterator<Item = &'n [u8]>) -> Option<&'n [u8]> {
    let allowed = if name.len() < 3 { 1 } else { (name.len() / 3).min(3) };
    candidates
        .filter(|c| c.len().abs_diff(name.len()) <= allowed && !c.starts_with(b"__"))
        .map(|c| (distance(name, c), c))
        .filter(|(d, c)| *d <= allowed && *d < c.len())
        .min()
        .map(|(_, c)| c)
}

/// Insertions, deletions, replacements and swaps of neighbours between two names.
fn distance(a: &[u8], b: &[u8]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let same = usize::from(a[i - 1] != b[j - 1]);
            let mut cost = (last[j] + 1).min(row[j - 1] + 1).min(last[j - 1] + same);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                cost = cost.min(before[j - 2] + 1);
            }
            row.push(cost);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}
