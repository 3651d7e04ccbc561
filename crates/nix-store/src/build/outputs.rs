//! What is checked about outputs before they become valid.

use super::options::{self, OutputChecks};
use crate::add::hash_file;
use crate::error::{Error, Result, archive};
use crate::info::PathInfo;
use crate::store::Store;
use nix_compat::{
    CAHash, ContentAddressMethod, Derivation, HashAlgorithm, NixHash, StorePath, git_tree, nar,
    path,
};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Whether it is one file that cannot be run, as what is hashed flat must be.
fn is_flat(at: &Path) -> std::io::Result<bool> {
    let metadata = at.symlink_metadata()?;
    let mode = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions());
    Ok(metadata.is_file() && mode & 0o100 == 0)
}

/// The digest of what was made, in the way of the method.
pub(crate) fn hash_output(
    method: ContentAddressMethod,
    algorithm: HashAlgorithm,
    at: &Path,
    refuse: &dyn Fn(String) -> Error,
) -> Result<NixHash> {
    match method {
        ContentAddressMethod::Flat | ContentAddressMethod::Text => {
            if !is_flat(at).map_err(|e| refuse(e.to_string()))? {
                let what = "a flat output hash is for a regular file that is not executable";
                return Err(refuse(what.into()));
            }
            hash_file(at, algorithm)
        }
        ContentAddressMethod::Nar => nar::hash_path_with(algorithm, at).map_err(archive(at)),
        ContentAddressMethod::Git => {
            git_tree::hash_path(algorithm, at).map_err(|e| refuse(e.to_string()))
        }
    }
}

/// Where a fixed output belongs, which is elsewhere if it is not what was promised.
pub(super) struct Fixed {
    pub path: StorePath,
    pub ca: CAHash,
    /// What to say once it is valid there, as with C++ Nix: whoever corrects the hash has it.
    pub mismatch: Option<Error>,
}

/// Looks whether a fixed output is what was promised.
pub(super) fn check_fixed(
    drv: &StorePath,
    promised: &StorePath,
    ca: &CAHash,
    at: &Path,
    refuse: &dyn Fn(String) -> Error,
) -> Result<Fixed> {
    let wanted = ca.hash();
    let got = hash_output(ca.method(), wanted.algorithm(), at, refuse)?;
    if got == wanted {
        return Ok(Fixed { path: promised.clone(), ca: ca.clone(), mismatch: None });
    }
    let ca = CAHash::from_parts(ca.method(), got.algorithm(), got.digest_as_bytes())
        .map_err(|error| refuse(error.to_string()))?;
    let path = path::content_addressed(promised.name(), &ca, &BTreeSet::new())
        .map_err(|error| refuse(error.to_string()))?;
    let (specified, got) = (wanted.to_sri_string(), got.to_sri_string());
    let mismatch = Some(Error::HashMismatch { drv: drv.clone(), specified, got });
    Ok(Fixed { path, ca, mismatch })
}

/// Outputs that refer to each other in a circle could never be deleted one by one.
pub(super) fn check_cycle(drv: &StorePath, infos: &[PathInfo]) -> Result<()> {
    let by_path: BTreeMap<&StorePath, &PathInfo> = infos.iter().map(|i| (&i.path, i)).collect();
    for info in infos {
        let mut seen = BTreeSet::new();
        let mut open: Vec<&StorePath> =
            info.references.iter().filter(|r| **r != info.path).collect();
        while let Some(next) = open.pop() {
            if *next == info.path {
                return Err(Error::Output {
                    drv: drv.clone(),
                    output: info.path.clone(),
                    reason: "it is in a cycle of outputs that refer to each other".into(),
                });
            }
            if let Some(other) = by_path.get(next).filter(|_| seen.insert(next)) {
                open.extend(&other.references);
            }
        }
    }
    Ok(())
}

/// Checks what the outputs refer to, and their sizes, against what the derivation allows.
pub(super) fn check_references(
    store: &Store,
    drv: &StorePath,
    derivation: &Derivation,
    outputs: &BTreeMap<String, StorePath>,
    infos: &[PathInfo],
) -> Result<()> {
    let made: BTreeMap<&StorePath, &PathInfo> = infos.iter().map(|i| (&i.path, i)).collect();
    for (name, path) in outputs {
        let Some(info) = made.get(path) else { continue };
        let checks = options::output_checks(derivation, name)
            .map_err(|reason| Error::Derivation { path: drv.clone(), reason })?;
        if checks == (OutputChecks { ignore_self: checks.ignore_self, ..Default::default() }) {
            continue;
        }
        Check { store, drv, outputs, made: &made, info, checks: &checks }.run()?;
    }
    Ok(())
}

struct Check<'a> {
    store: &'a Store,
    drv: &'a StorePath,
    outputs: &'a BTreeMap<String, StorePath>,
    made: &'a BTreeMap<&'a StorePath, &'a PathInfo>,
    info: &'a PathInfo,
    checks: &'a OutputChecks,
}

impl Check<'_> {
    fn refuse(&self, reason: String) -> Error {
        Error::Output { drv: self.drv.clone(), output: self.info.path.clone(), reason }
    }

    fn run(&self) -> Result<()> {
        let checks = self.checks;
        let size = self.info.nar_size;
        if let Some(limit) = checks.max_size.filter(|limit| size > *limit) {
            return Err(self.refuse(format!("it is too large at {size} bytes; limit is {limit}")));
        }
        let (closure, size) = self.closure()?;
        if let Some(limit) = checks.max_closure_size.filter(|limit| size > *limit) {
            let what = format!("its closure is too large at {size} bytes; limit is {limit}");
            return Err(self.refuse(what));
        }
        let mut requisites = closure;
        if checks.ignore_self {
            requisites.remove(&self.info.path);
        }
        let references = &self.info.references;
        for (allowed, used) in
            [(&checks.allowed_references, references), (&checks.allowed_requisites, &requisites)]
        {
            let Some(allowed) = allowed else { continue };
            let allowed = self.named(allowed)?;
            self.none(used.difference(&allowed).collect())?;
        }
        for (disallowed, used) in [
            (&checks.disallowed_references, references),
            (&checks.disallowed_requisites, &requisites),
        ] {
            let Some(disallowed) = disallowed else { continue };
            let disallowed = self.named(disallowed)?;
            self.none(used.intersection(&disallowed).collect())?;
        }
        Ok(())
    }

    fn none(&self, bad: Vec<&StorePath>) -> Result<()> {
        if bad.is_empty() {
            return Ok(());
        }
        let list: Vec<String> = bad.iter().map(|path| format!("\n  {path}")).collect();
        Err(self.refuse(format!("it may not refer to{}", list.concat())))
    }

    /// The paths that a list of paths and of names of outputs means.
    fn named(&self, list: &[String]) -> Result<BTreeSet<StorePath>> {
        list.iter()
            .map(|item| {
                let named = self.outputs.get(item).cloned().or_else(|| item.parse().ok());
                named.ok_or_else(|| {
                    self.refuse(format!(
                        "{item:?}, in a list of what it may refer to, is neither a store path nor \
                         the name of an output"
                    ))
                })
            })
            .collect()
    }

    /// Everything the output refers to, itself included, and the size of all of it.
    fn closure(&self) -> Result<(BTreeSet<StorePath>, u64)> {
        let (mut closure, mut size) = (BTreeSet::new(), 0);
        let mut open = vec![self.info.path.clone()];
        while let Some(path) = open.pop() {
            if closure.contains(&path) {
                continue;
            }
            let known;
            let info = match self.made.get(&path) {
                Some(made) => *made,
                None => {
                    known = self.store.info(&path)?;
                    &known
                }
            };
            size += info.nar_size;
            open.extend(info.references.iter().cloned());
            closure.insert(path);
        }
        Ok((closure, size))
    }
}
