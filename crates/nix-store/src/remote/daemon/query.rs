//! What a daemon is asked.

use super::super::wire_info::from_wire;
use super::Daemon;
use super::build::targets;
use crate::error::Result;
use crate::info::PathInfo;
use crate::roots::Root;
use nix_compat::wire::{self, Realisation, RealisationId};
use nix_compat::worker::Request;
use nix_compat::{DrvOutput, StorePath};
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// What a daemon would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// Derivations it would build.
    pub builds: BTreeSet<StorePath>,
    /// Paths it would substitute.
    pub substitutes: BTreeSet<StorePath>,
}

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

    /// The valid derivations that have a path as an output.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub fn valid_derivers(&self, path: &StorePath) -> Result<BTreeSet<StorePath>> {
        self.ask(&Request::QueryValidDerivers(path.clone()), |c| c.stream.from.paths())
    }

    /// What it would build, and what it would substitute, to make outputs valid.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub fn missing(&self, outputs: &[DrvOutput]) -> Result<Missing> {
        self.ask(&Request::QueryMissing(targets(outputs)), |connection| {
            let from = &mut connection.stream.from;
            let missing = Missing { builds: from.paths()?, substitutes: from.paths()? };
            from.paths()?; // What is not known: it fails when it is built.
            from.number()?; // What it is to download.
            from.number()?; // How large that becomes.
            Ok(missing)
        })
    }

    /// What keeps paths from its collector. It tells those whom it does not trust less.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub fn roots(&self) -> Result<BTreeSet<Root>> {
        self.ask(&Request::FindRoots, |connection| {
            let from = &mut connection.stream.from;
            let all = from.many(|from| {
                let link = PathBuf::from(std::ffi::OsString::from_vec(from.bytes()?));
                Ok(Root { link, path: from.path()? })
            })?;
            Ok(all.into_iter().collect())
        })
    }

    /// Adds signatures to a valid path. Needs its trust.
    ///
    /// # Errors
    /// When it refuses.
    pub fn add_signatures(&self, path: &StorePath, signatures: &[String]) -> Result<()> {
        let request =
            Request::AddSignatures { path: path.clone(), signatures: signatures.to_vec() };
        self.ask(&request, |c| c.stream.from.number()).map(drop)
    }

    /// Deletes paths that nothing keeps, and what refers to them. Gives what went, and the bytes
    /// that this freed.
    ///
    /// # Errors
    /// When something keeps one of them, or it cannot.
    pub fn delete(&self, paths: &BTreeSet<StorePath>) -> Result<(BTreeSet<StorePath>, u64)> {
        let request =
            Request::CollectGarbage { action: 3, paths: paths.clone(), max_freed: u64::MAX };
        self.ask(&request, |connection| {
            let from = &mut connection.stream.from;
            let deleted = from.paths()?;
            let freed = from.number()?;
            from.number()?; // once something else
            Ok((deleted, freed))
        })
    }

    /// What an output is known to be; nothing where it is not.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub fn realisation(&self, id: &RealisationId) -> Result<Option<Realisation>> {
        let found = self.ask(&Request::QueryRealisation(id.clone()), |connection| {
            connection.stream.from.many(wire::Reader::realisation)
        })?;
        Ok(found.into_iter().next())
    }

    /// Tells it what an output came to; it has the path.
    ///
    /// # Errors
    /// When it does not take it, such as one that has no content-addressed derivations.
    pub fn register_output(&self, realisation: Realisation) -> Result<()> {
        self.ask(&Request::RegisterDrvOutput(realisation), |_| Ok(()))
    }

    /// Has it store equal files once.
    ///
    /// # Errors
    /// When it cannot.
    pub fn optimise(&self) -> Result<()> {
        self.ask(&Request::OptimiseStore, |c| c.stream.from.number()).map(drop)
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
