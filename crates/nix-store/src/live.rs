//! What keeps what: from roots to everything that must stay, and from a path back to its roots.

use crate::error::{Error, Result};
use crate::roots::Root;
use crate::store::Store;
use nix_compat::StorePath;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// What keeps a path besides references, with the names and defaults of `nix.conf`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// `keep-derivations`: a path keeps the derivation it was built from.
    pub derivations: bool,
    /// `keep-outputs`: a derivation keeps its outputs.
    pub outputs: bool,
}

impl Default for Keep {
    fn default() -> Self {
        Self { derivations: true, outputs: false }
    }
}

/// One reason for a path to stay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// What it starts from.
    pub root: Root,
    /// From the root's path to the path asked for; each keeps the next.
    pub chain: Vec<StorePath>,
}

impl Store {
    /// Everything the roots lead to. A temporary root may be a path that is not valid yet.
    pub(crate) fn live(
        &self,
        roots: BTreeSet<StorePath>,
        valid: &BTreeSet<StorePath>,
        keep: Keep,
    ) -> Result<BTreeSet<StorePath>> {
        let mut live = BTreeSet::new();
        let mut open: Vec<StorePath> = roots.into_iter().collect();
        let database = self.database();
        while let Some(path) = open.pop() {
            if !live.insert(path.clone()) || !valid.contains(&path) {
                continue;
            }
            // A path may have gone since the list was made: C++ Nix can delete a single one.
            let Some(info) = database.info(&path)? else { continue };
            open.extend(info.references);
            if keep.derivations {
                open.extend(info.deriver.filter(|drv| valid.contains(drv)));
            }
            if keep.outputs && is_derivation(&path) {
                let outputs = database.outputs(&path)?;
                open.extend(outputs.into_iter().filter(|output| valid.contains(output)));
            }
        }
        Ok(live)
    }

    /// Why a collector leaves a valid path: for every root that leads to it, the shortest way.
    ///
    /// # Errors
    /// [`Error::NotValid`], or when the roots or the database cannot be read.
    pub fn why(&self, path: &StorePath, keep: Keep) -> Result<Vec<Reason>> {
        if !self.database().is_valid(path)? {
            return Err(Error::NotValid { path: path.clone() });
        }
        // Asking is no reason: this process keeps nothing that it only looks at.
        let roots = self.roots()?;
        let database = self.database();
        let keepers = |kept: &StorePath| {
            let mut keepers = database.referrers(kept).or_else(absent)?;
            if keep.derivations && is_derivation(kept) {
                for output in database.outputs(kept)? {
                    let deriver = database.info(&output)?.and_then(|info| info.deriver);
                    if deriver.as_ref() == Some(kept) {
                        keepers.insert(output);
                    }
                }
            }
            if keep.outputs {
                keepers.extend(database.derivers(kept)?);
            }
            Ok(keepers)
        };
        reasons(path, roots, &keepers)
    }
}

/// For every root that leads to a path, the shortest way; `keepers` are those that keep one.
pub(crate) fn reasons(
    path: &StorePath,
    roots: BTreeSet<Root>,
    keepers: &dyn Fn(&StorePath) -> Result<BTreeSet<StorePath>>,
) -> Result<Vec<Reason>> {
    let mut next: BTreeMap<StorePath, Option<StorePath>> = BTreeMap::from([(path.clone(), None)]);
    let mut open = VecDeque::from([path.clone()]);
    while let Some(kept) = open.pop_front() {
        for keeper in keepers(&kept)? {
            if !next.contains_key(&keeper) {
                next.insert(keeper.clone(), Some(kept.clone()));
                open.push_back(keeper);
            }
        }
    }
    let reasons = roots.into_iter().filter(|root| next.contains_key(&root.path)).map(|root| {
        let mut chain = vec![root.path.clone()];
        while let Some(Some(step)) = chain.last().and_then(|last| next.get(last)) {
            chain.push(step.clone());
        }
        Reason { root, chain }
    });
    Ok(reasons.collect())
}

fn is_derivation(path: &StorePath) -> bool {
    path.name().ends_with(".drv")
}

fn absent(error: Error) -> Result<BTreeSet<StorePath>> {
    if matches!(error, Error::NotValid { .. }) { Ok(BTreeSet::new()) } else { Err(error) }
}
