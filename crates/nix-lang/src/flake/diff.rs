//! What changed between two lock files, for people.

use std::cmp::Ordering;

use nix_compat::flake_ref::{Attr, FlakeRef};

use super::lock::{Edge, Graph};

fn describe(graph: &Graph, edge: &Edge) -> String {
    match edge {
        Edge::Follows(path) => format!("follows '{}'", path.join("/")),
        Edge::Node(node) => {
            let node = &graph.nodes[*node];
            let locked = node.locked.as_ref().unwrap_or(&node.original);
            let time = locked.input.attrs().get("lastModified").and_then(Attr::int);
            let time = time.map(|time| format!(" ({})", super::date::day(time as i64)));
            format!("'{locked}'{}", time.unwrap_or_default())
        }
    }
}

fn locked<'g>(graph: &'g Graph, edge: &Edge) -> Option<&'g FlakeRef> {
    match edge {
        Edge::Node(node) => graph.nodes[*node].locked.as_ref(),
        Edge::Follows(_) => None,
    }
}

/// The inputs that were added, removed and updated, one or more lines each.
pub(super) fn diff(old: &Graph, new: &Graph) -> String {
    let (before, after) = (old.all_inputs(), new.all_inputs());
    let (mut i, mut j) = (before.iter().peekable(), after.iter().peekable());
    let mut out = String::new();
    loop {
        let order = match (i.peek(), j.peek()) {
            (None, None) => return out,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some((one, _)), Some((other, _))) => one.cmp(other),
        };
        let removed = if order == Ordering::Greater { None } else { i.next() };
        let added = if order == Ordering::Less { None } else { j.next() };
        match (removed, added) {
            (Some((path, was)), Some((_, is))) => {
                let same = match (was, is) {
                    (Edge::Node(_), Edge::Node(_)) => locked(old, was) == locked(new, is),
                    (was, is) => was == is,
                };
                if !same {
                    let (was, is) = (describe(old, was), describe(new, is));
                    let path = path.join("/");
                    out.push_str(&format!("• Updated input '{path}':\n    {was}\n  → {is}\n"));
                }
            }
            (Some((path, _)), None) => {
                out.push_str(&format!("• Removed input '{}'\n", path.join("/")));
            }
            (None, Some((path, is))) => {
                let is = describe(new, is);
                out.push_str(&format!("• Added input '{}':\n    {is}\n", path.join("/")));
            }
            (None, None) => return out,
        }
    }
}
