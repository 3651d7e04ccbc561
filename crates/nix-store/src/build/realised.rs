//! Which paths the outputs of derivations have: told by the derivation, come to in this call, or
//! remembered in the store.

use super::realise::output_paths;
use crate::error::{Error, Result};
use crate::realisations;
use crate::store::Store;
use nix_compat::modulo::ModuloError;
use nix_compat::resolve::{is_impure, is_open, realisation_hash};
use nix_compat::{Derivation, DrvOutput, StorePath};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What outputs came to in one call.
#[derive(Default)]
pub(super) struct Realised {
    made: Mutex<HashMap<StorePath, BTreeMap<String, StorePath>>>,
    /// Whether the outputs of a derivation depend on what is built.
    open: Mutex<HashMap<StorePath, bool>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Realised {
    /// The outputs of a derivation came to this.
    pub fn tell(&self, drv: &StorePath, outputs: BTreeMap<String, StorePath>) {
        lock(&self.made).insert(drv.clone(), outputs);
    }

    /// Remembers what outputs came to for other calls.
    pub fn remember(
        &self,
        store: &Store,
        drv: &StorePath,
        outputs: &BTreeMap<String, StorePath>,
    ) -> Result<()> {
        let key = key(store, drv)?;
        let rows: Vec<_> =
            outputs.iter().map(|(name, path)| realisations::made(&key, name, path)).collect();
        store.register_realisations(&rows)
    }

    /// The outputs of a derivation, with the paths that are known.
    pub fn outputs(
        &self,
        store: &Store,
        drv: &StorePath,
        derivation: &Derivation,
    ) -> Result<BTreeMap<String, Option<StorePath>>> {
        let mut outputs = output_paths(drv, derivation)?;
        if outputs.values().all(Option::is_some) {
            return Ok(outputs);
        }
        if let Some(made) = lock(&self.made).get(drv) {
            return Ok(made.iter().map(|(n, p)| (n.clone(), Some(p.clone()))).collect());
        }
        if is_impure(derivation) {
            return Ok(outputs);
        }
        let key = key(store, drv)?;
        for (name, path) in outputs.iter_mut().filter(|(_, path)| path.is_none()) {
            *path = store.realisation(&key, name)?;
        }
        Ok(outputs)
    }

    /// One output of a derivation that was built.
    pub fn output(&self, store: &Store, drv: &StorePath, name: &str) -> Result<StorePath> {
        let made = lock(&self.made).get(drv).and_then(|outputs| outputs.get(name).cloned());
        if let Some(made) = made {
            return Ok(made);
        }
        let outputs = self.outputs(store, drv, &store.derivation(drv)?)?;
        match outputs.get(name) {
            Some(Some(path)) => Ok(path.clone()),
            Some(None) => Err(Error::Unsupported {
                drv: drv.clone(),
                what: format!("its output {name:?} is known only once it is built"),
            }),
            None => Err(Error::NoSuchOutput { output: DrvOutput::new(drv.clone(), name) }),
        }
    }

    /// Whether any of these derivations has outputs that are known only once it is built.
    pub fn any_open<'a>(
        &self,
        store: &Store,
        derivations: impl Iterator<Item = &'a StorePath>,
    ) -> Result<bool> {
        for drv in derivations {
            let known = lock(&self.open).get(drv).copied();
            let open = match known {
                Some(open) => open,
                None => is_open(&store.derivation(drv)?),
            };
            lock(&self.open).insert(drv.clone(), open);
            if open {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// By what a derivation is known whose outputs follow from what is built.
pub(super) fn key(store: &Store, drv: &StorePath) -> Result<String> {
    let wrong = |reason: String| Error::Derivation { path: drv.clone(), reason };
    let mut hashes = store.modulo();
    let hash = realisation_hash(&mut hashes, drv, |path| store.derivation(path));
    hash.map(realisations::key).map_err(|error| match error {
        ModuloError::Read(error) => error,
        other => wrong(other.to_string()),
    })
}
