//! Looking for damage.

use crate::error::{Result, archive};
use crate::info::PathInfo;
use crate::store::Store;
use nix_compat::{NixHash, StorePath, nar};
use std::path::Path;

/// A valid path that is not what was registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Damage {
    /// Nothing is there.
    Missing(StorePath),
    /// Something else is there.
    Modified {
        /// The path.
        path: StorePath,
        /// The hash that was registered (SRI).
        expected: String,
        /// The hash of what is there (SRI).
        got: String,
    },
}

impl Damage {
    /// Which path it is about.
    #[must_use]
    pub const fn path(&self) -> &StorePath {
        match self {
            Self::Missing(path) | Self::Modified { path, .. } => path,
        }
    }
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Missing(path) => write!(f, "{path} is registered, and not there"),
            Self::Modified { path, expected, got } => {
                write!(f, "{path} was modified: expected hash {expected}, got {got}")
            }
        }
    }
}

impl Store {
    /// Looks for valid paths that are not there or, with `contents`, are not what was registered.
    /// `each` is told the number of the path and of all.
    ///
    /// # Errors
    /// When the database or a path cannot be read.
    pub fn verify(
        &self,
        contents: bool,
        each: &mut dyn FnMut(usize, usize),
    ) -> Result<Vec<Damage>> {
        let valid = self.valid_paths()?;
        let mut damaged = Vec::new();
        for (number, path) in valid.iter().enumerate() {
            each(number + 1, valid.len());
            // It may have been deleted since.
            if let Some(damage) = self.damage(path, contents)? {
                damaged.push(damage);
            }
        }
        Ok(damaged)
    }

    /// What is wrong with a path, if something is.
    ///
    /// # Errors
    /// When the database or the path cannot be read.
    pub fn damage(&self, path: &StorePath, contents: bool) -> Result<Option<Damage>> {
        if !self.is_valid(path)? {
            return Ok(None);
        }
        damage(&self.info(path)?, &self.physical(path), contents)
    }
}

/// What is wrong with what lies at `at`, if something is.
pub(crate) fn damage(info: &PathInfo, at: &Path, contents: bool) -> Result<Option<Damage>> {
    if at.symlink_metadata().is_err() {
        return Ok(Some(Damage::Missing(info.path.clone())));
    }
    if !contents {
        return Ok(None);
    }
    let got = NixHash::Sha256(nar::hash_path(at).map_err(archive(at))?.sha256);
    if got == info.nar_hash {
        return Ok(None);
    }
    let (expected, got) = (info.nar_hash.to_sri_string(), got.to_sri_string());
    Ok(Some(Damage::Modified { path: info.path.clone(), expected, got }))
}
