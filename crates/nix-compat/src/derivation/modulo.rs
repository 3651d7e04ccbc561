//! Derivation hashes modulo fixed outputs, over a graph of derivations.

use super::count;
use super::settle::settle;
use crate::{Derivation, DerivationError, InputDerivationHash, InputResolutionError, StorePath};
use std::collections::HashMap;

/// Remembers what every derivation counts as when it is an input of another.
///
/// The hash of a derivation needs those of its inputs, down to the leaves. An evaluator makes
/// derivations inputs first and tells them here as they come; one that starts from a store lets
/// them be read on demand.
#[derive(Debug, Default)]
pub struct ModuloHashes {
    known: HashMap<StorePath, InputDerivationHash>,
}

/// Why a derivation could not be hashed.
#[derive(Debug, thiserror::Error)]
pub enum ModuloError<E> {
    /// The derivation itself is not right.
    #[error("{path}: {source}")]
    Derivation {
        /// The derivation.
        path: StorePath,
        /// What is wrong with it.
        source: DerivationError,
    },
    /// One of its inputs could not be read.
    #[error(transparent)]
    Read(E),
}

impl ModuloHashes {
    /// The hash of a derivation that was told or read before.
    #[must_use]
    pub fn get(&self, path: &StorePath) -> Option<InputDerivationHash> {
        self.known.get(path).copied()
    }

    /// Tells a derivation whose hash is known already.
    pub fn insert(&mut self, path: StorePath, hash: InputDerivationHash) {
        self.known.insert(path, hash);
    }

    /// What the derivation at `path` counts as when it is an input; `read` gives the derivations
    /// that were not told before. Deep graphs cost heap, not stack.
    ///
    /// # Errors
    /// When a derivation is not right or cannot be read.
    pub fn resolve<E>(
        &mut self,
        path: &StorePath,
        mut read: impl FnMut(&StorePath) -> Result<Derivation, E>,
    ) -> Result<InputDerivationHash, ModuloError<E>> {
        if let Some(known) = self.get(path) {
            return Ok(known);
        }
        let mut open = vec![(path.clone(), read(path).map_err(ModuloError::Read)?)];
        while let Some((path, derivation)) = open.last() {
            let missing = if derivation.is_fixed_output() {
                None // Its hash does not depend on its inputs.
            } else {
                derivation.input_derivations().keys().find(|p| !self.known.contains_key(*p))
            };
            if let Some(missing) = missing {
                let missing = missing.clone();
                if open.iter().any(|(above, _)| *above == missing) {
                    let source = DerivationError::InvalidDerivation("it is its own input".into());
                    return Err(ModuloError::Derivation { path: missing, source });
                }
                let derivation = read(&missing).map_err(ModuloError::Read)?;
                open.push((missing, derivation));
                continue;
            }
            let hash = self.told(path, derivation)?;
            self.known.insert(path.clone(), hash);
            open.pop();
        }
        Ok(self.known[path])
    }

    /// Tells a derivation whose inputs are all known, and gives its hash.
    ///
    /// # Errors
    /// When the derivation is not right, or an input is not known.
    pub fn tell<E>(
        &mut self,
        path: &StorePath,
        derivation: &Derivation,
    ) -> Result<InputDerivationHash, ModuloError<E>> {
        let hash = self.told(path, derivation)?;
        self.known.insert(path.clone(), hash);
        Ok(hash)
    }

    /// Finishes a derivation whose inputs are all known: computes its output paths.
    ///
    /// # Errors
    /// When it is not right, or an input is not known.
    pub fn finish(&self, derivation: Derivation) -> Result<Derivation, DerivationError> {
        settle(derivation, |path| self.lookup(path)).map_err(unwrap_resolution)
    }

    /// Checks a derivation whose inputs are all known, its output paths above all.
    ///
    /// # Errors
    /// When it is not right, or an input is not known.
    pub fn check(&self, derivation: &Derivation) -> Result<(), DerivationError> {
        count::check(derivation, |path| self.lookup(path)).map_err(unwrap_resolution)
    }

    fn told<E>(
        &self,
        path: &StorePath,
        derivation: &Derivation,
    ) -> Result<InputDerivationHash, ModuloError<E>> {
        count::input_hash(derivation, |input| self.lookup(input))
            .map_err(unwrap_resolution)
            .map_err(|source| ModuloError::Derivation { path: path.clone(), source })
    }

    fn lookup(&self, path: &StorePath) -> Result<InputDerivationHash, DerivationError> {
        self.get(path).ok_or_else(|| {
            DerivationError::InvalidDerivation(format!("its input {path} is not known"))
        })
    }
}

pub(super) fn unwrap_resolution(error: InputResolutionError<DerivationError>) -> DerivationError {
    match error {
        InputResolutionError::Derivation(error) | InputResolutionError::Resolve { error, .. } => {
            error
        }
        other => DerivationError::InvalidDerivation(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn leaf(name: &str) -> Derivation {
        Derivation::new(name, "x86_64-linux", "/bin/sh")
            .input_addressed_output("out")
            .set("out", "")
            .build()
            .unwrap()
    }

    #[test]
    fn a_chain_is_read_on_demand_and_remembered() {
        let first = leaf("first");
        let mut hashes = ModuloHashes::default();
        hashes.tell::<()>(&first.drv_path().unwrap(), &first).unwrap();
        let second = hashes
            .finish(
                Derivation::new("second", "x86_64-linux", "/bin/sh")
                    .input_derivation(
                        first.drv_path().unwrap(),
                        crate::InputDerivation::new(["out"]),
                    )
                    .input_addressed_output("out"),
            )
            .unwrap();
        hashes.check(&second).unwrap();
        let told = hashes.tell::<()>(&second.drv_path().unwrap(), &second).unwrap();
        let mut fresh = ModuloHashes::default();
        let mut reads = 0;
        let read = |path: &StorePath| {
            reads += 1;
            let all = [&first, &second];
            let found =
                all.into_iter().find(|d| d.drv_path().unwrap() == *path).ok_or("missing")?;
            Ok::<_, &str>(found.clone())
        };
        assert_eq!(fresh.resolve(&second.drv_path().unwrap(), read).unwrap(), told);
        assert_eq!(reads, 2);
        let unknown = ModuloHashes::default().check(&second).unwrap_err();
        assert!(unknown.to_string().contains("is not known"), "{unknown}");
    }

    proptest! {
        #[test]
        fn a_derivation_is_read_back(
            args in proptest::collection::vec(any::<String>(), 0..4),
            env in proptest::collection::btree_map("[a-z]{1,8}", any::<Vec<u8>>(), 0..4),
        ) {
            let mut builder = Derivation::new("p", "x86_64-linux", "/bin/sh")
                .input_addressed_output("out");
            for arg in args {
                builder = builder.argument(arg);
            }
            for (key, value) in env {
                if key != "out" {
                    builder = builder.set(key, value);
                }
            }
            if let Ok(made) = builder.build() {
                let bytes = made.to_aterm_bytes();
                let again = Derivation::from_aterm_bytes(&bytes, "p").unwrap();
                prop_assert_eq!(again.to_aterm_bytes(), bytes);
                prop_assert_eq!(again, made);
            }
        }
    }
}
