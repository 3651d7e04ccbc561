//! The guards against public holes that the named tests in `holes.rs` take away one by one: each test
//! shows that its attack works without the guard, so that it cannot pass for another reason.

use super::copy;
use crate::error::Result;
use nix_compat::Derivation;
use std::path::{Path, PathBuf};

/// A guard that can be taken away in unit tests of this crate, and nowhere else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Guard {
    /// What is made with network is copied to files that nobody has open (CVE-2024-27297).
    Copy,
    /// Abstract sockets made outside cannot be reached (CVE-2025-46416).
    Scope,
    /// The copy lies where the builder never was (CVE-2026-39860).
    Place,
    /// The copy follows no link and takes no name that is there (CVE-2026-39860).
    #[cfg(test)]
    Links,
}

impl Guard {
    /// Whether it stands in the build of this derivation: always, in a program. In unit tests, the
    /// variable `withoutGuards` of the derivation names those that do not.
    pub fn stands(self, derivation: &Derivation) -> bool {
        if !cfg!(test) {
            return true;
        }
        let without = super::options::words(derivation, "withoutGuards").unwrap_or_default();
        !without.contains(&format!("{self:?}"))
    }
}

/// Where an output `made` by a builder with network is registered from, `work` being a directory
/// that the builder cannot see.
pub(super) fn freshen(derivation: &Derivation, made: PathBuf, work: &Path) -> Result<PathBuf> {
    if !Guard::Copy.stands(derivation) {
        return Ok(made);
    }
    let mut copied = work.join(made.file_name().unwrap_or_default());
    if !Guard::Place.stands(derivation) {
        copied = made.with_added_extension("tmp");
    }
    #[cfg(test)]
    if !Guard::Links.stands(derivation) {
        use crate::error::Context;
        #[allow(clippy::disallowed_methods, reason = "it is to be as careless as can be")]
        return std::fs::copy(&made, &copied).on("copy", &made).map(|_| copied);
    }
    copy::copy(&made, &copied)?;
    Ok(copied)
}
