//! What a daemon is asked.

use super::super::wire_info::from_wire;
use super::Daemon;
use crate::error::Result;
use crate::info::PathInfo;
use nix_compat::StorePath;
use nix_compat::worker::Request;
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

impl Daemon {
    /// Whether a path is valid.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub fn is_valid(&self, path: &StorePath) -> Result<bool> {
        self.ask(&Request::IsValidPath(path.clone()), |c| c.stream.from.bool())
    }

    /// What is known about a path; nothing where it is not valid.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub fn info(&self, path: &StorePath) -> Result<Option<PathInfo>> {
        self.ask(&Request::QueryPathInfo(path.clone()), |connection| {
            let from = &mut connection.stream.from;
            if !from.bool()? {
                return Ok(None);
            }
            Ok(Some(from_wire(path.clone(), from.path_info()?)))
        })
    }

    /// All valid paths.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub fn valid_paths(&self) -> Result<BTreeSet<StorePath>> {
        self.ask(&Request::QueryAllValidPaths, |c| c.stream.from.paths())
    }

    /// The valid paths that refer to a path.
    ///
    /// # Errors
    /// When it cannot be asked, or the path is not valid.
    pub fn referrers(&self, path: &StorePath) -> Result<BTreeSet<StorePath>> {
        self.ask(&Request::QueryReferrers(path.clone()), |c| c.stream.from.paths())
    }

    /// The outputs of a derivation, as far as they are known.
    ///
    /// # Errors
    /// When it cannot be asked, or does not have the derivation.
    pub fn outputs(&self, drv: &StorePath) -> Result<BTreeMap<String, Option<StorePath>>> {
        self.ask(&Request::QueryDerivationOutputMap(drv.clone()), |connection| {
            let from = &mut connection.stream.from;
            let all = from.many(|from| Ok((from.string()?, from.optional_path()?)))?;
            Ok(all.into_iter().collect())
        })
    }

    /// Keeps a path from its collector as long as this is open.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub fn add_temp_root(&self, path: &StorePath) -> Result<()> {
        self.ask(&Request::AddTempRoot(path.clone()), |c| c.stream.from.number()).map(drop)
    }

    /// Keeps what a link on the daemon's host leads to, as long as it is there.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub fn add_indirect_root(&self, link: &Path) -> Result<()> {
        let request = Request::AddIndirectRoot(link.as_os_str().as_bytes().to_vec());
        self.ask(&request, |c| c.stream.from.number()).map(drop)
    }

    /// Has the daemon make a link to a path on its host, which keeps the path. Needs its trust,
    /// and a daemon of 1.36 or newer.
    ///
    /// # Errors
    /// When it refuses.
    pub fn add_perm_root(&self, path: &StorePath, link: &Path) -> Result<()> {
        let link = link.as_os_str().as_bytes().to_vec();
        let request = Request::AddPermRoot { path: path.clone(), link };
        self.with_both(|connection| {
            if connection.version.minor < 36 {
                connection.stream.in_step = true;
                let minor = connection.version.minor;
                return Err(self.address.error(format!(
                    "it speaks version 1.{minor} of the worker protocol, which cannot make a root"
                )));
            }
            let mut ask = || {
                request.write(&mut connection.stream.to)?;
                connection.answered()?;
                connection.stream.from.bytes()?;
                Ok(())
            };
            Ok(ask())
        })
    }
}
