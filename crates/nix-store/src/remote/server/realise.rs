//! What a client of a daemon has built and deleted.

use super::worker::{Answer, Session, answer};
use super::{Target, refused};
use crate::build::{BuildMode, Plan};
use crate::copy::Sink;
use crate::error::{Error, Result};
use crate::gc::GcOptions;
use crate::store::Store;
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
        let mode = super::sent::mode(mode)?;
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

    /// Makes targets valid, one after the other, and tells of each what came of it.
    pub fn build_each(&self, targets: Vec<String>, mode: u64) -> Vec<(String, BuildResult)> {
        let mut results = Vec::new();
        for target in targets {
            let result = self.build(&target, mode).unwrap_or_else(|error| BuildResult {
                error: error.to_string(),
                ..BuildResult::new(status(&error))
            });
            results.push((target, result));
        }
        results
    }

    /// How protocols up to 1.38 name an output.
    fn id(&self, output: &DrvOutput) -> Result<RealisationId> {
        let drv_hash = realisation_hash(&self.store, output.drv_path())?;
        Ok(RealisationId { drv_hash, output: output.output_name().to_owned() })
    }

    /// What it would take to make targets valid; `unknown` cannot be had, and neither can others.
    pub fn missing(&self, targets: &[String], mut unknown: BTreeSet<StorePath>) -> Result<Answer> {
        let mut outputs = Vec::new();
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

    /// Deletes what nothing keeps (2), or of it these paths (3), or tells what is kept (0) or would
    /// go (1).
    pub fn collect(
        &self,
        action: u64,
        paths: BTreeSet<StorePath>,
        max_freed: u64,
    ) -> Result<Answer> {
        let (dry_run, only) = match action {
            0 | 1 => (true, None),
            2 => (false, None),
            3 => (false, Some(paths)),
            other => return Err(refused(format!("{other} is no way to collect"))),
        };
        if only.is_some() {
            // To have been asked about is no reason to stay.
            self.store.forget_temp_roots()?;
            self.builder.forget_temp_roots()?;
        }
        let keep = self.keep;
        let options = GcOptions { dry_run, keep, max_freed, only, ..GcOptions::default() };
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

/// By what the outputs of a derivation are known.
pub(super) fn realisation_hash(store: &Store, drv: &StorePath) -> Result<NixHash> {
    let mut hashes = store.modulo();
    let hash =
        nix_compat::resolve::realisation_hash(&mut hashes, drv, |path| store.derivation(path));
    hash.map(NixHash::Sha256)
        .map_err(|error| Error::Derivation { path: drv.clone(), reason: error.to_string() })
}

/// The result of a build that failed.
pub(super) fn failed(error: &Error) -> BuildResult {
    BuildResult { error: error.to_string(), ..BuildResult::new(status(error)) }
}

/// How a failure is told in the protocol.
fn status(error: &Error) -> BuildStatus {
    match error {
        Error::BuildFailed(_) => BuildStatus::PermanentFailure,
        Error::NotReproducible { .. } => BuildStatus::NotDeterministic,
        Error::HashMismatch { .. } | Error::Output { .. } => BuildStatus::OutputRejected,
        _ => BuildStatus::MiscFailure,
    }
}
