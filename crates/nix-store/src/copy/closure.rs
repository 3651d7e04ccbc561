//! Copying paths with everything they refer to.

use super::work::Work;
use super::{CopyObserver, Sink, Source, Trust};
use crate::error::{Error, Result};
use crate::info::PathInfo;
use nix_compat::StorePath;
use std::collections::{BTreeMap, BTreeSet};

/// Copies `paths` and what they refer to, as far as `to` lacks it, several at once, references
/// first, and what outputs are known to have come to them. What has come when it is interrupted
/// stays, and the next copy goes on from there. Every path is checked by `trust` before the first
/// byte is sent. Gives those that were sent, references first.
///
/// # Errors
/// When `from` lacks a path or is not trusted for it, or either side fails.
pub fn copy_closure(
    from: &dyn Source,
    to: &dyn Sink,
    paths: &BTreeSet<StorePath>,
    trust: &Trust,
    observer: &dyn CopyObserver,
) -> Result<Vec<StorePath>> {
    let missing = missing(from, paths, &|open| to.valid(open))?;
    if let Some(info) = missing.values().find(|info| !trust.accepts(info)) {
        let reason = format!("{} has no signature for it by a trusted key", from.name());
        return Err(Error::Refused { path: info.path.clone(), reason });
    }
    let order = in_order(&missing)?;
    let infos: Vec<PathInfo> = order.iter().map(|path| missing[path].clone()).collect();
    observer.planned(infos.len(), infos.iter().map(|info| info.nar_size).sum());
    Work { from, to, trust, observer, infos: &infos }.run()?;
    for path in paths.iter().chain(order.iter().filter(|path| !paths.contains(path))) {
        let mut realisations = from.realisations(path, missing.get(path))?;
        realisations.retain(|realisation| trust.accepts_realisation(realisation));
        to.add_realisations(&realisations)?;
    }
    Ok(order)
}

/// The closure without what is `there` already, with all references.
pub(super) fn missing(
    from: &dyn Source,
    paths: &BTreeSet<StorePath>,
    there: &dyn Fn(&BTreeSet<StorePath>) -> Result<BTreeSet<StorePath>>,
) -> Result<BTreeMap<StorePath, PathInfo>> {
    let mut missing = BTreeMap::new();
    let (mut open, mut seen) = (paths.clone(), BTreeSet::new());
    while !open.is_empty() {
        let valid = there(&open)?;
        seen.extend(open.iter().cloned());
        let wanted: BTreeSet<StorePath> = open.difference(&valid).cloned().collect();
        let found = from.query_many(&wanted)?;
        if let Some(path) = wanted.iter().find(|path| !found.contains_key(*path)) {
            let reason = format!("it does not have {path}");
            return Err(Error::Peer { address: from.name(), reason });
        }
        open = found.values().flat_map(|info| &info.references).cloned().collect();
        open.retain(|path| !seen.contains(path));
        missing.extend(found);
    }
    Ok(missing)
}

/// References first. By hand: a closure may be deeper than the stack.
pub(super) fn in_order(infos: &BTreeMap<StorePath, PathInfo>) -> Result<Vec<StorePath>> {
    let (mut order, mut done, mut on_the_way) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
    let mut open: Vec<(&StorePath, bool)> = infos.keys().map(|path| (path, false)).collect();
    while let Some((path, left)) = open.pop() {
        if left {
            on_the_way.remove(path);
            done.insert(path);
            order.push(path.clone());
        } else if !done.contains(path) {
            if !on_the_way.insert(path) {
                let reason = "it refers to itself through other paths".into();
                return Err(Error::Refused { path: path.clone(), reason });
            }
            open.push((path, true));
            let references = infos[path].references.iter();
            open.extend(
                references
                    .filter(|r| *r != path && !done.contains(r))
                    .filter_map(|r| infos.get_key_value(r))
                    .map(|(r, _)| (r, false)),
            );
        }
    }
    Ok(order)
}
