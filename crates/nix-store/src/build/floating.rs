//! Outputs whose paths follow from what they hold: made under another name, and renamed wherever
//! that name stands.

use crate::canonical::make_canonical;
use crate::error::{Error, Result, archive};
use crate::info::PathInfo;
use crate::readdress::{Addressed, Tree};
use nix_compat::{Derivation, HashAlgorithm, NixHash, Output, StorePath, nar, path};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The path under which a builder makes such an output. It is never one in the store.
pub(super) fn scratch_path(drv: &StorePath, derivation: &Derivation, output: &str) -> StorePath {
    let text = format!("hc-scratch:{drv}:{output}");
    let hash = nix_compat::hash_bytes(HashAlgorithm::Sha256, text.as_bytes());
    let digest = path::compress(hash.digest_as_bytes());
    let name = path::output_path_name(derivation.name(), output).unwrap_or_default();
    StorePath::from_parts(digest, &name).unwrap_or_else(|_| drv.clone())
}

/// An output as it was made.
pub(super) struct Made {
    pub at: PathBuf,
    pub scratch: StorePath,
    /// What it refers to, by the paths that the builder knew.
    pub references: BTreeSet<StorePath>,
}

/// An output under its own path.
pub(super) struct Settled {
    pub at: PathBuf,
    pub info: PathInfo,
    /// Files, directories and symlinks that are not flushed yet.
    pub unflushed: usize,
}

/// Finds the paths of all outputs, and rewrites what refers to them; `work` is an empty directory
/// to rewrite in.
pub(super) fn settle(
    drv: &StorePath,
    derivation: &Derivation,
    mut made: BTreeMap<String, Made>,
    work: &Path,
) -> Result<BTreeMap<String, Settled>> {
    let mut settled: BTreeMap<String, Settled> = BTreeMap::new();
    let mut moved: BTreeMap<StorePath, StorePath> = BTreeMap::new();
    while !made.is_empty() {
        // First those that refer to no output that is not settled yet.
        let open: BTreeSet<&StorePath> = made.values().map(|output| &output.scratch).collect();
        let next = made.iter().find(|(_, output)| {
            output.references.iter().all(|r| *r == output.scratch || !open.contains(r))
        });
        let Some(name) = next.map(|(name, _)| name.clone()) else {
            let output = made.values().next().map_or_else(|| drv.clone(), |o| o.scratch.clone());
            let reason = "it is in a cycle of outputs that refer to each other".into();
            return Err(Error::Output { drv: drv.clone(), output, reason });
        };
        let Some(output) = made.remove(&name) else { continue };
        let one = One { drv, derivation, name: &name, output: &output, moved: &moved, work };
        let done = one.settle()?;
        moved.insert(output.scratch.clone(), done.info.path.clone());
        settled.insert(name, done);
    }
    Ok(settled)
}

struct One<'a> {
    drv: &'a StorePath,
    derivation: &'a Derivation,
    name: &'a str,
    output: &'a Made,
    /// From the path a builder knew to the path it is.
    moved: &'a BTreeMap<StorePath, StorePath>,
    work: &'a Path,
}

impl One<'_> {
    fn refuse(&self, reason: String) -> Error {
        let output = self.output.scratch.clone();
        Error::Output { drv: self.drv.clone(), output, reason }
    }

    fn settle(&self) -> Result<Settled> {
        let Some(
            Output::Floating { method, hash_algorithm } | Output::Impure { method, hash_algorithm },
        ) = self.derivation.outputs().get(self.name)
        else {
            return Err(self.refuse(format!("it has no output {:?}", self.name)));
        };
        let name = path::output_path_name(self.derivation.name(), self.name)
            .map_err(|error| self.refuse(error.to_string()))?;
        let tree = Tree {
            at: &self.output.at,
            own: &self.output.scratch,
            name: &name,
            references: &self.output.references,
            moved: self.moved,
            work: self.work,
            refuse: &|reason| self.refuse(reason),
        };
        let Addressed { at, path, ca, references } = tree.address(*method, *hash_algorithm)?;
        let unflushed = make_canonical(&at, None)?;
        let nar = nar::hash_path(&at).map_err(archive(&at))?;
        let info = PathInfo {
            path,
            nar_hash: NixHash::Sha256(nar.sha256),
            nar_size: nar.size,
            references,
            deriver: Some(self.drv.clone()),
            registered: SystemTime::now(),
            ultimate: true,
            signatures: Vec::new(),
            ca: Some(ca),
        };
        Ok(Settled { at, info, unflushed })
    }
}
