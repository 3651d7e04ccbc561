//! What has to be there before `dpkg` can run.

use super::Package;
use crate::deb::Info;
use crate::deb::relation::Relation;
use std::collections::BTreeSet;

/// The essential packages and what they depend on, as places in `packages`, in their order.
pub(super) fn first(packages: &[Package]) -> Vec<usize> {
    let mut found = BTreeSet::new();
    let mut left: Vec<usize> =
        (0..packages.len()).filter(|at| packages[*at].info.essential).collect();
    while let Some(at) = left.pop() {
        if !found.insert(at) {
            continue;
        }
        for group in &packages[at].info.depends {
            let meets = |at: &usize| group.iter().any(|r| is_met(&packages[*at].info, r));
            left.extend((0..packages.len()).filter(meets));
        }
    }
    found.into_iter().collect()
}

fn is_met(info: &Info, relation: &Relation) -> bool {
    info.name == relation.name || info.provides.iter().any(|p| p.name == relation.name)
}
