//! What a derivation counts as where it is an input, and the hash that its outputs' paths are made from.
//!
//! `nix-derivation` does it, but for two kinds. Of derivations that ask for outputs of derivations which
//! a build makes, C++ Nix leaves out what is asked of those: it counts only what is asked of the derivation
//! that is known, and its outputs have their paths beforehand, unless that one has to be built to be
//! known (`hashDerivationModulo` of its libstore/derivations.cc, up to 2.34). `nix-derivation` gives
//! such derivations no paths. And it has words of its own for some numbers in structured attributes.

use super::settle::settle;
use super::write::{has_numbers_of_its_own, text_modulo};
use crate::{
    Derivation, DerivationError, HashAlgorithm, InputDerivation, InputDerivationHash,
    InputResolutionError, Output, OutputPathHash, StorePath, hash_bytes,
};
use std::collections::{BTreeMap, BTreeSet};

/// What a derivation counts as when it is an input of another; `resolve` tells it of its own inputs.
///
/// # Errors
/// When the derivation is not right, or `resolve` cannot tell.
pub(crate) fn input_hash<E>(
    drv: &Derivation,
    resolve: impl FnMut(&StorePath) -> Result<InputDerivationHash, E>,
) -> Result<InputDerivationHash, InputResolutionError<E>> {
    if !has_paths(drv) {
        return drv.try_hash_input_derivation_modulo(resolve);
    }
    Ok(match modulo(drv, resolve, false)? {
        Some(digest) => InputDerivationHash::regular(digest),
        None => InputDerivationHash::Deferred,
    })
}

/// Checks a derivation, its output paths above all.
///
/// # Errors
/// When it is not right, or `resolve` cannot tell what an input counts as.
pub(crate) fn check<E>(
    drv: &Derivation,
    resolve: impl FnMut(&StorePath) -> Result<InputDerivationHash, E>,
) -> Result<(), InputResolutionError<E>> {
    if !has_paths(drv) {
        return drv.try_validate_with_input_hashes(resolve);
    }
    let mut open = drv.clone().into_builder();
    for name in drv.outputs().keys() {
        open.outputs_mut().insert(name.clone(), Output::Deferred);
        open.environment_mut().insert(name.clone(), Vec::new());
    }
    let right = settle(open, resolve)?;
    if right == *drv {
        return Ok(());
    }
    let path = |drv: &Derivation, name| match &drv.outputs()[name] {
        Output::InputAddressed { path } => path.to_string(),
        _ => "none".into(),
    };
    let wrong = drv.outputs().keys().find(|&name| path(drv, name) != path(&right, name));
    let text = match wrong {
        Some(name) => {
            format!("output {name:?} has path {}, expected {}", path(drv, name), path(&right, name))
        }
        None => "the variable of an output is not its path".into(),
    };
    Err(DerivationError::InvalidDerivation(text).into())
}

/// The hash that the paths of outputs are made from.
pub(crate) fn output_hash<E>(
    drv: &Derivation,
    resolve: impl FnMut(&StorePath) -> Result<InputDerivationHash, E>,
) -> Result<OutputPathHash, InputResolutionError<E>> {
    if !is_hashed_here(drv) {
        return drv.try_hash_output_path_modulo(resolve);
    }
    Ok(modulo(drv, resolve, true)?.map_or(OutputPathHash::Deferred, OutputPathHash::ready))
}

pub(crate) fn is_dynamic(inputs: &BTreeMap<StorePath, InputDerivation>) -> bool {
    inputs.values().any(InputDerivation::is_dynamic)
}

fn is_hashed_here(drv: &Derivation) -> bool {
    is_dynamic(drv.input_derivations()) || has_numbers_of_its_own(drv.structured_attrs())
}

/// Whether its outputs have their paths from hashes that are made here.
fn has_paths(drv: &Derivation) -> bool {
    let known = |output: &Output| matches!(output, Output::InputAddressed { .. });
    drv.outputs().values().all(known) && is_hashed_here(drv)
}

fn modulo<E>(
    drv: &Derivation,
    mut resolve: impl FnMut(&StorePath) -> Result<InputDerivationHash, E>,
    mask: bool,
) -> Result<Option<[u8; 32]>, InputResolutionError<E>> {
    let mut inputs: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (path, asked) in drv.input_derivations() {
        let hash = resolve(path)
            .map_err(|error| InputResolutionError::Resolve { path: path.clone(), error })?;
        let (InputDerivationHash::Regular(hash) | InputDerivationHash::FixedOutput(hash)) = hash
        else {
            return Ok(None);
        };
        if !asked.outputs().is_empty() {
            let hash = hash.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
            inputs.entry(hash).or_default().extend(asked.outputs().iter().cloned());
        }
    }
    let text = text_modulo(&drv.clone().into_builder(), &inputs, mask)?;
    let hash = hash_bytes(HashAlgorithm::Sha256, &text);
    Ok(hash.digest_as_bytes().try_into().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DerivationBuilder, ModuloHashes, path};

    fn named(name: &str) -> DerivationBuilder {
        DerivationBuilder::new(name, "x86_64-linux", "/bin/sh")
            .output("out", Output::Deferred)
            .environment("builder", "/bin/sh")
            .environment("name", name)
            .environment("system", "x86_64-linux")
    }

    /// Known answers from C++ Nix 2.34, for `derivation { …; x = builtins.outputOf x.outPath "out"; }`.
    #[test]
    fn what_is_asked_of_an_output_does_not_count() {
        let mut hashes = ModuloHashes::default();
        let mut made = |drv: DerivationBuilder| {
            let drv = settle(drv, |path| hashes.get(path).ok_or("unknown")).unwrap();
            let at = drv.drv_path().unwrap();
            hashes.check(&drv).unwrap();
            hashes.tell::<()>(&at, &drv).unwrap();
            let out = drv.resolved_outputs().unwrap()["out"].path.clone();
            (at, out.map(|path| path.to_string()), drv)
        };
        let (known, out, _) = made(named("x"));
        let out = out.unwrap();
        let below = InputDerivation::new(["out"]);
        let asked = |outputs: &[&str]| {
            let asked = InputDerivation::new(outputs.iter().copied());
            asked.with_dynamic_output("out", below.clone()).unwrap()
        };
        let placeholder = path::downstream_placeholder(&known, &["out", "out"]);
        let reader = named("b")
            .environment("x", placeholder.clone())
            .input_derivation(known.clone(), asked(&[]));
        let (reader, reader_out, drv) = made(reader);
        assert_eq!(reader.to_string(), "/nix/store/7zihhvvislhlj3rsammjwmrmf4h6a6hb-b.drv");
        let reader_out = reader_out.unwrap();
        assert_eq!(reader_out, "/nix/store/a319w0d7hcrap38c9qgfcrz6c8hmdbs7-b");
        let both = named("two")
            .environment("x", placeholder)
            .environment("y", out)
            .input_derivation(known, asked(&["out"]));
        let (both, ..) = made(both);
        assert_eq!(both.to_string(), "/nix/store/3kzrfxhl4s8b4pp7nb98kvap9273mdgd-two.drv");
        let over = named("over").environment("x", reader_out).input_derivation(reader, below);
        let (over, ..) = made(over);
        assert_eq!(over.to_string(), "/nix/store/gf0vsjg0jg4zjhli83zv96c7whb1g2nk-over.drv");
        // Another path is refused.
        let text = String::from_utf8(drv.to_aterm_bytes()).unwrap().replace("a319w", "b319w");
        let wrong = Derivation::from_aterm_bytes(text.as_bytes(), "b").unwrap();
        let error = hashes.check(&wrong).unwrap_err().to_string();
        assert!(error.contains("expected /nix/store/a319w"), "{error}");
    }
}
