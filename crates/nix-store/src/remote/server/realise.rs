//! What a client of a daemon has built and deleted.

use super::worker::{Answer, Session, answer};
use super::{Target, refused};
use crate::build::{BuildMode, Plan};
use crate::copy::Sink;
use crate::error::{Error, Result};
use crate::gc::GcOptions;
use nix_compat::hash::NixHash;
use nix_compat::wire::{BuildResult, BuildStatus, Realisation, RealisationId};
use nix_compat::{DrvOutput, StorePath};
use std::collections::BTreeSet;

impl Session<'_> {
    /// Makes one target valid: 0 as usual, 1 to repair, 2 to check.
    pub fn build(&self, target: &str, mode: u64) -> Result<BuildResult> {
        let outputs = match Target::parse(&self.store.clone().into(), target)? {
            Target::Outputs(outputs) => outputs,
            Target::Path(path) if self.store.is_valid(&path)? => {
                return Ok(BuildResult::new(BuildStatus::AlreadyValid));
            }
            Target::Path(path) => return Err(Error::NotValid { path }),
        };
        let mode = match mode {
            0 => BuildMode::Normal,
            1 => BuildMode::Repair,
            2 => BuildMode::Check,
            other => return Err(refused(format!("{other} is no way to build"))),
        };
        let plan = self.builder.plan(&outputs)?;
        let built = self.builder.build_in_mode(&outputs, mode, &self.speaker)?;
        self.store.valid(&built.values().cloned().collect())?;
        let there = plan == Plan::default() && mode == BuildMode::Normal;
        let mut result =
            BuildResult::new(if there { BuildStatus::AlreadyValid } else { BuildStatus::Built });
        for (output, path) in built {
            let id = self.id(&output)?;
            let signatures = Vec::new();
            result.outputs.insert(id.clone(), Realisation { id, path, signatures });
        }
        Ok(result)
    }

    /// How protocols up to 1.38 name an output.
    fn id(&self, output: &DrvOutput) -> Result<RealisationId> {
        let drv = output.drv_path();
        let mut hashes = self.store.modulo();
        let hash = nix_compat::resolve::realisation_hash(&mut hashes, drv, |path| {
            self.store.derivation(path)
        });
        let hash = hash
            .map_err(|error| Error::Derivation { path: drv.clone(), reason: error.to_string() })?;
        let output = output.output_name().to_owned();
        Ok(RealisationId { drv_hash: NixHash::Sha256(hash), output })
    }

    /// What it would take to make targets valid.
    pub fn missing(&self, targets: &[String]) -> Result<Answer> {
        let (mut outputs, mut unknown) = (Vec::new(), BTreeSet::new());
        for target in targets {
            match Target::parse(&self.store.clone().into(), target)? {
                Target::Outputs(more) => outputs.extend(more),
                Target::Path(path) if self.store.is_valid(&path)? => {}
                Target::Path(path) => drop(unknown.insert(path)),
            }
        }
        let plan = self.builder.plan(&outputs)?;
        let builds: BTreeSet<StorePath> = plan.builds.into_iter().chain(plan.fetches).collect();
        Ok(answer(move |to| {
            to.paths(&builds)?;
            to.paths(&plan.substitutes)?;
            to.paths(&unknown)?;
            // How much that is to download is not known.
            to.number(0)?;
            to.number(0)
        }))
    }

    /// Deletes what nothing keeps (2), or tells what is kept (0) or would go (1).
    pub fn collect(&self, action: u64, max_freed: u64) -> Result<Answer> {
        let dry_run = match action {
            0 | 1 => true,
            2 => false,
            _ => return Err(refused("to delete single paths is not supported")),
        };
        let options = GcOptions { dry_run, keep: self.keep, max_freed, ..GcOptions::default() };
        let report = self.store.gc(&options, &BTreeSet::new())?;
        let found: Vec<String> = if action == 0 {
            let valid = self.store.valid_paths()?;
            valid.difference(&report.deleted).map(ToString::to_string).collect()
        } else {
            report.deleted.iter().map(ToString::to_string).collect()
        };
        Ok(answer(move |to| {
            to.strings(&found)?;
            to.number(report.freed)?;
            to.number(0)
        }))
    }
}

/// How a failure is told in the protocol.
pub(super) fn status(error: &Error) -> BuildStatus {
    match error {
        Error::BuildFailed(_) => BuildStatus::PermanentFailure,
        Error::NotReproducible { .. } => BuildStatus::NotDeterministic,
        Error::HashMismatch { .. } | Error::Output { .. } => BuildStatus::OutputRejected,
        _ => BuildStatus::MiscFailure,
    }
}
