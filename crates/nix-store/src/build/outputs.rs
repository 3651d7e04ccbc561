//! What is checked about outputs before they become valid.

use crate::add::hash_file;
use crate::error::{Error, Result, archive};
use crate::info::PathInfo;
use nix_compat::{CAHash, ContentAddressMethod, StorePath, nar};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// A fixed output is what was promised.
pub(super) fn check_fixed(
    drv: &StorePath,
    ca: &CAHash,
    at: &Path,
    refuse: &dyn Fn(String) -> Error,
) -> Result<()> {
    let wanted = ca.hash();
    let got = match ca.method() {
        ContentAddressMethod::Flat | ContentAddressMethod::Text => {
            let metadata = at.symlink_metadata().map_err(|e| refuse(e.to_string()))?;
            let mode = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions());
            if !metadata.is_file() || mode & 0o100 != 0 {
                let what = "a flat output hash is for a regular file that is not executable";
                return Err(refuse(what.into()));
            }
            hash_file(at, wanted.algorithm())?
        }
        ContentAddressMethod::Nar => {
            nar::hash_path_with(wanted.algorithm(), at).map_err(archive(at))?
        }
        ContentAddressMethod::Git => return Err(refuse("git hashes are not implemented".into())),
    };
    if got == wanted {
        return Ok(());
    }
    Err(Error::HashMismatch {
        drv: drv.clone(),
        specified: wanted.to_sri_string(),
        got: got.to_sri_string(),
    })
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
