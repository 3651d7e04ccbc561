//! What a derivation is, what it counts as where it is an input, and the hash that its outputs' paths are
//! made from.
//!
//! Of derivations that ask for outputs of derivations which a build makes, C++ Nix leaves out what is
//! asked of those: it counts only what is asked of the derivation that is known, and its outputs have
//! their paths beforehand, unless that one has to be built to be known (`hashDerivationModulo` of its
//! libstore/derivations.cc, up to 2.34).

use super::settle::settle;
use super::text::rendered;
use super::write::{fixed, write};
use crate::{
    Derivation, DerivationError, HashAlgorithm, InputDerivationHash, InputResolutionError, Output,
    OutputPathHash, StorePath, hash_bytes,
};
use std::collections::{BTreeMap, BTreeSet};

/// What all outputs of a derivation are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    InputAddressed,
    Deferred,
    Fixed,
    Floating(HashAlgorithm),
    Impure,
}

fn wrong<T>(text: impl Into<String>) -> Result<T, DerivationError> {
    Err(DerivationError::InvalidDerivation(text.into()))
}

impl Derivation {
    pub(super) fn kind(&self) -> Result<Kind, DerivationError> {
        let mut found = None;
        for (name, output) in &self.outputs {
            let kind = match output {
                Output::InputAddressed { .. } => Kind::InputAddressed,
                Output::Fixed { .. } if name != "out" || self.outputs.len() > 1 => {
                    let (name, outputs) = (self.name.clone(), self.outputs.len());
                    return Err(DerivationError::InvalidFixedOutputs { name, outputs });
                }
                Output::Fixed { .. } => Kind::Fixed,
                Output::Floating { hash_algorithm, .. } => Kind::Floating(*hash_algorithm),
                Output::Deferred => Kind::Deferred,
                Output::Impure { .. } => Kind::Impure,
            };
            match found.replace(kind) {
                Some(Kind::Floating(before)) if matches!(kind, Kind::Floating(h) if h != before) => {
                    return wrong("all floating outputs must use the same hash algorithm");
                }
                Some(before) if before != kind => {
                    return wrong("cannot mix derivation output types");
                }
                _ => {}
            }
        }
        found.map_or_else(|| wrong("must have at least one output"), Ok)
    }

    /// Checks what needs no other derivation.
    pub(super) fn check_structure(&self) -> Result<Kind, DerivationError> {
        let kind = self.kind()?;
        StorePath::from_parts([0; 20], &format!("{}.drv", self.name))?;
        for (name, output) in &self.outputs {
            output.path_in(&self.store_dir, &self.name, name)?;
        }
        for (path, input) in &self.input_derivations {
            if !path.is_derivation() {
                return wrong(format!("input path {path} does not name a .drv file"));
            }
            let nothing = |input: &crate::InputDerivation| {
                input.outputs().is_empty() && input.dynamic_outputs().is_empty()
            };
            if input.walk().any(|node| nothing(node.input())) {
                return wrong(format!("input derivation {path} requests no outputs"));
            }
        }
        for (what, text) in [("system", &self.system), ("builder", &self.builder)] {
            if text.is_empty() {
                return wrong(format!("{what} is empty"));
            }
        }
        Ok(kind)
    }
}

/// What a finished derivation counts as when it is an input of another; `resolve` tells it of its own
/// inputs.
///
/// # Errors
/// When the derivation is not right, or `resolve` cannot tell.
pub fn input_hash<E>(
    drv: &Derivation,
    resolve: impl FnMut(&StorePath) -> Result<InputDerivationHash, E>,
) -> Result<InputDerivationHash, InputResolutionError<E>> {
    Ok(match drv.kind()? {
        Kind::InputAddressed => match modulo(drv, resolve, false)? {
            Some(digest) => InputDerivationHash::regular(digest),
            None => InputDerivationHash::Deferred,
        },
        Kind::Fixed => match &drv.outputs["out"] {
            output @ Output::Fixed { ca } => {
                let path = output.path_in(&drv.store_dir, &drv.name, "out")?;
                let path = path.map(|path| rendered(&drv.store_dir, &path)).unwrap_or_default();
                let (method, hash) = fixed(ca);
                fixed_hash(&method, &hash, &path)
            }
            _ => InputDerivationHash::Deferred,
        },
        Kind::Floating(_) | Kind::Deferred | Kind::Impure => InputDerivationHash::Deferred,
    })
}

/// What one counts as whose output is known by its hash.
pub(super) fn fixed_hash(method: &str, hash: &str, path: &str) -> InputDerivationHash {
    let text = format!("fixed:out:{method}:{hash}:{path}");
    InputDerivationHash::fixed_output(sha256(text.as_bytes()))
}

/// Checks a derivation, its output paths above all.
///
/// # Errors
/// When it is not right, or `resolve` cannot tell what an input counts as.
pub(crate) fn check<E>(
    drv: &Derivation,
    resolve: impl FnMut(&StorePath) -> Result<InputDerivationHash, E>,
) -> Result<(), InputResolutionError<E>> {
    match drv.check_structure()? {
        // Those that could have paths are taken without, as C++ Nix does: older releases wrote such.
        Kind::Floating(_) | Kind::Impure | Kind::Deferred => return Ok(()),
        Kind::Fixed | Kind::InputAddressed => {}
    }
    let right = settle(drv.clone(), resolve)?;
    for (name, output) in &right.outputs {
        let known = |output: &Output| output.path_in(&drv.store_dir, &drv.name, name);
        let (is, expected) = (known(&drv.outputs[name])?, known(output)?);
        let shown = |path: &Option<StorePath>| {
            path.as_ref().map_or_else(|| "none".into(), |path| drv.store_dir.render_path(path))
        };
        if is != expected {
            let (is, expected) = (shown(&is), shown(&expected));
            return Ok(wrong(format!("output {name:?} has path {is}, expected {expected}"))?);
        }
        if drv.variable(name) != right.variable(name) {
            return Ok(wrong(format!("the variable of output {name:?} is not its path"))?);
        }
    }
    Ok(())
}

/// The hash that the paths of outputs are made from.
pub(crate) fn output_hash<E>(
    drv: &Derivation,
    resolve: impl FnMut(&StorePath) -> Result<InputDerivationHash, E>,
) -> Result<OutputPathHash, InputResolutionError<E>> {
    Ok(modulo(drv, resolve, true)?.map_or(OutputPathHash::Deferred, OutputPathHash::ready))
}

/// Nothing, where an input has to be built to be known.
fn modulo<E>(
    drv: &Derivation,
    mut resolve: impl FnMut(&StorePath) -> Result<InputDerivationHash, E>,
    mask: bool,
) -> Result<Option<[u8; 32]>, InputResolutionError<E>> {
    // Two inputs may count as the same: then what is asked of either is asked of one.
    let mut inputs: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (path, asked) in &drv.input_derivations {
        let hash = resolve(path)
            .map_err(|error| InputResolutionError::Resolve { path: path.clone(), error })?;
        let hash = match hash {
            InputDerivationHash::Regular(hash) => hash,
            InputDerivationHash::FixedOutput(hash) => {
                if let Some(other) = asked.outputs().iter().find(|output| *output != "out") {
                    let text = format!(
                        "fixed-output input derivation {path} cannot provide requested output {other:?}"
                    );
                    return Ok(wrong(text)?);
                }
                hash
            }
            InputDerivationHash::Deferred => return Ok(None),
        };
        if !asked.outputs().is_empty() {
            let hash = hash.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
            inputs.entry(hash).or_default().extend(asked.outputs().iter().cloned());
        }
    }
    Ok(Some(sha256(&write(drv, Some(&inputs), mask))))
}

pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let hash = hash_bytes(HashAlgorithm::Sha256, bytes);
    hash.digest_as_bytes().try_into().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{InputDerivation, ModuloHashes, path};

    fn named(name: &str) -> Derivation {
        Derivation::new(name, "x86_64-linux", "/bin/sh")
            .output("out", Output::Deferred)
            .set("builder", "/bin/sh")
            .set("name", name)
            .set("system", "x86_64-linux")
    }

    /// Known answers from C++ Nix 2.34, for `derivation { …; x = builtins.outputOf x.outPath "out"; }`.
    #[test]
    fn what_is_asked_of_an_output_does_not_count() {
        let mut hashes = ModuloHashes::default();
        let mut made = |drv: Derivation| {
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
        let reader =
            named("b").set("x", placeholder.clone()).input_derivation(known.clone(), asked(&[]));
        let (reader, reader_out, drv) = made(reader);
        assert_eq!(reader.to_string(), "/nix/store/7zihhvvislhlj3rsammjwmrmf4h6a6hb-b.drv");
        let reader_out = reader_out.unwrap();
        assert_eq!(reader_out, "/nix/store/a319w0d7hcrap38c9qgfcrz6c8hmdbs7-b");
        let both = named("two")
            .set("x", placeholder)
            .set("y", out)
            .input_derivation(known, asked(&["out"]));
        let (both, ..) = made(both);
        assert_eq!(both.to_string(), "/nix/store/3kzrfxhl4s8b4pp7nb98kvap9273mdgd-two.drv");
        let over = named("over").set("x", reader_out).input_derivation(reader, below);
        let (over, ..) = made(over);
        assert_eq!(over.to_string(), "/nix/store/gf0vsjg0jg4zjhli83zv96c7whb1g2nk-over.drv");
        // Another path is refused.
        let text = String::from_utf8(drv.to_aterm_bytes()).unwrap().replace("a319w", "b319w");
        let wrong = Derivation::from_aterm_bytes(text.as_bytes(), "b").unwrap();
        let error = hashes.check(&wrong).unwrap_err().to_string();
        assert!(error.contains("expected /nix/store/a319w"), "{error}");
    }
}
