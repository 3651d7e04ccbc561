//! Derivations that a client sends to be built, as C++ Nix's build hook does: they are not in the
//! store, their inputs are.

use super::realise::failed;
use super::refused;
use super::worker::Session;
use crate::build::{BuildMode, BuildObserver};
use crate::copy::Sink;
use crate::error::{Error, Result};
use crate::store::Store;
use nix_compat::wire::{BasicDerivation, BuildResult, BuildStatus, Realisation, RealisationId};
use nix_compat::{DrvOutput, StorePath};
use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

/// How the protocol counts: 0 as usual, 1 to repair, 2 to check.
pub(super) fn mode(number: u64) -> Result<BuildMode> {
    Ok(match number {
        0 => BuildMode::Normal,
        1 => BuildMode::Repair,
        2 => BuildMode::Check,
        other => return Err(refused(format!("{other} is no way to build"))),
    })
}

impl Session<'_> {
    pub fn build_sent(
        &self,
        path: &StorePath,
        sent: &BasicDerivation,
        way: u64,
    ) -> Result<BuildResult> {
        // The name of such an output cannot be checked.
        if sent.is_input_addressed() && !self.access.trusted {
            return Err(refused(format!(
                "{path} is taken from a trusted client only: the paths of its outputs cannot be checked"
            )));
        }
        Ok(build(&self.builder, path, sent, mode(way)?, &self.speaker, &self.store))
    }
}

/// Builds it in `builder`; `store` keeps what comes of it. Why it failed is in the result.
pub(super) fn build(
    builder: &Store,
    path: &StorePath,
    sent: &BasicDerivation,
    mode: BuildMode,
    observer: &dyn BuildObserver,
    store: &Store,
) -> BuildResult {
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let started = now();
    let made = make(builder, path, sent, mode, observer).and_then(|made| {
        store.valid(&made.outputs.values().cloned().collect())?;
        Ok(made)
    });
    let mut result = match made {
        Err(error) => failed(&error),
        Ok(made) => {
            let status = if made.built { BuildStatus::Built } else { BuildStatus::AlreadyValid };
            let mut result = BuildResult::new(status);
            for (output, path) in made.outputs {
                if let Some(hash) = &made.key {
                    let id = RealisationId { drv_hash: hash.clone(), output };
                    let signatures = Vec::new();
                    result.outputs.insert(id.clone(), Realisation { id, path, signatures });
                }
            }
            result
        }
    };
    (result.started, result.stopped, result.times_built) = (started, now(), 1);
    result
}

struct Made {
    outputs: BTreeMap<String, StorePath>,
    /// By what the outputs are known whose paths follow from what was built.
    key: Option<nix_compat::NixHash>,
    built: bool,
}

fn make(
    store: &Store,
    path: &StorePath,
    sent: &BasicDerivation,
    mode: BuildMode,
    observer: &dyn BuildObserver,
) -> Result<Made> {
    let name = path.name().strip_suffix(".drv").unwrap_or(path.name());
    let wrong = |reason: String| Error::Derivation { path: path.clone(), reason };
    let derivation = sent.to_derivation(name).map_err(|error| wrong(error.to_string()))?;
    if sent.is_input_addressed() {
        let known: Option<Vec<&StorePath>> =
            sent.outputs.values().map(|output| output.path.as_ref()).collect();
        let known = known.ok_or_else(|| wrong("it does not say where its outputs are".into()))?;
        let mut built = mode != BuildMode::Normal;
        for output in known {
            built |= !store.is_valid(output)?;
        }
        let outputs = store.build_sent(path, &derivation, mode, observer)?;
        return Ok(Made { outputs, key: None, built });
    }
    // The paths follow from what is built: the derivation can be in the store as any other.
    let drv = store.add_derivation(&derivation)?;
    let wanted: Vec<DrvOutput> =
        sent.outputs.keys().map(|name| DrvOutput::new(drv.clone(), name)).collect();
    let built = store.plan(&wanted)? != crate::build::Plan::default();
    let outputs = store.build_in_mode(&wanted, mode, observer)?;
    let outputs = outputs.into_iter().map(|(o, path)| (o.output_name().to_owned(), path)).collect();
    let key = super::realise::realisation_hash(store, &drv)?;
    Ok(Made { outputs, key: Some(key), built })
}
