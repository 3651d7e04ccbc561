//! A derivation with all that follows from it: its text, its path, those of its outputs, and what it
//! counts as where it is an input.
//!
//! An evaluation of a package set spends most of its hashing here, so what the three texts that are
//! hashed have in common is written once. Whatever is out of the ordinary goes the long way.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};

use super::count::{fixed_hash, input_hash};
use super::settle::settle;
use super::text::{Text, rendered};
use super::write;
use crate::{
    Derivation, InputDerivationHash, InputResolutionError, Output, StoreDir, StorePath, path,
};

/// A derivation and what follows from it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Made {
    /// Where its `.drv` file is.
    pub path: StorePath,
    /// What is in that file.
    pub text: Vec<u8>,
    /// What it counts as in derivations that it is an input of.
    pub hash: InputDerivationHash,
    /// Its outputs by name, with their paths where these are known before it is built.
    pub outputs: Vec<(String, Option<StorePath>)>,
}

/// Finishes a derivation, as [`settle`] does, and works out what follows from it.
///
/// # Errors
/// When it is not right, or `resolve` cannot tell what an input counts as.
pub fn make<E>(
    mut drv: Derivation,
    mut resolve: impl FnMut(&StorePath) -> Result<InputDerivationHash, E>,
) -> Result<Made, InputResolutionError<E>> {
    if is_ordinary(&drv)
        && let Some(inputs) = inputs_modulo(&drv, &mut resolve)?
        && let Some(made) = make_ordinary(&mut drv, &inputs)
    {
        return Ok(made);
    }
    let drv = settle(drv, &mut resolve)?;
    let outputs = drv.resolved_outputs()?.into_iter().map(|(name, output)| (name, output.path));
    Ok(Made {
        path: drv.drv_path()?,
        hash: input_hash(&drv, resolve)?,
        outputs: outputs.collect(),
        text: drv.to_aterm_bytes(),
    })
}

/// Whether a derivation has nothing in it that [`make_ordinary`] does not know.
fn is_ordinary(drv: &Derivation) -> bool {
    let name = |name: &str| {
        name == "out" || (name != "drv" && StorePath::from_parts([0; 20], name).is_ok())
    };
    let outputs = &drv.outputs;
    let one_fixed = outputs.len() == 1
        && outputs.get("out").is_some_and(|output| matches!(output, Output::Fixed { .. }));
    let deferred = !outputs.is_empty()
        && outputs.iter().all(|(key, output)| matches!(output, Output::Deferred) && name(key));
    (one_fixed || deferred)
        && drv.structured_attrs.is_none()
        && !drv.environment.contains_key(b"__json".as_slice())
        && !drv.builder.is_empty()
        && !drv.system.is_empty()
        && drv.input_derivations.iter().all(|(path, input)| {
            path.is_derivation()
                && !input.is_dynamic()
                && !input.outputs().is_empty()
                && input.outputs().iter().all(|output| name(output))
        })
}

/// The inputs by what they count as, with the outputs that are asked for, as a text; none where one
/// of them is not known yet, or is asked for what it has not.
fn inputs_modulo<E>(
    drv: &Derivation,
    mut resolve: impl FnMut(&StorePath) -> Result<InputDerivationHash, E>,
) -> Result<Option<Vec<u8>>, InputResolutionError<E>> {
    // Two inputs may count as the same: then what is asked of either is asked of one.
    let mut inputs: Vec<(&[u8; 32], BTreeSet<&str>)> = Vec::new();
    let mut hashes = Vec::with_capacity(drv.input_derivations.len());
    for path in drv.input_derivations.keys() {
        let hash = resolve(path)
            .map_err(|error| InputResolutionError::Resolve { path: path.clone(), error })?;
        hashes.push(hash);
    }
    for (hash, input) in hashes.iter().zip(drv.input_derivations.values()) {
        let names = input.outputs().iter().map(String::as_str);
        match hash {
            InputDerivationHash::Regular(hash) => inputs.push((hash.as_bytes(), names.collect())),
            InputDerivationHash::FixedOutput(hash) if input.outputs().iter().eq(["out"]) => {
                inputs.push((hash.as_bytes(), names.collect()));
            }
            _ => return Ok(None),
        }
    }
    inputs.sort_unstable_by_key(|(hash, _)| *hash);
    inputs.dedup_by(|later, earlier| {
        let same = later.0 == earlier.0;
        if same {
            earlier.1.append(&mut later.1);
        }
        same
    });
    let mut text = Text(Vec::with_capacity(inputs.len() * 80 + 2));
    text.list(&inputs, |text, (hash, outputs)| {
        text.raw(b"(\"");
        text.hex(*hash);
        text.raw(b"\",");
        text.list(outputs, |text, name| text.plain(name.as_bytes()));
        text.raw(b")");
    });
    Ok(Some(text.0))
}

fn make_ordinary(drv: &mut Derivation, inputs: &[u8]) -> Option<Made> {
    let store = drv.store_dir.clone();
    let name = drv.name.clone();
    let drv_name = format!("{name}.drv");
    let names: Vec<String> = drv.outputs.keys().cloned().collect();
    for name in &names {
        drv.environment.entry(name.clone().into_bytes()).or_default();
    }
    let (input_paths, rest, places) = common(drv);
    let mut paths = Vec::with_capacity(names.len());
    let fixed = match drv.outputs.get("out") {
        Some(output @ Output::Fixed { ca }) => {
            paths.push(output.path_in(&store, &name, "out").ok()??);
            Some(write::fixed(ca))
        }
        _ => {
            let mut outputs = Text(Vec::new());
            outputs.list(&names, |text, name| {
                text.raw(b"(");
                text.plain(name.as_bytes());
                text.raw(b",\"\",\"\",\"\")");
            });
            let mut masked = Sha256::new();
            masked.update(b"Derive(");
            masked.update(&outputs.0);
            masked.update(b",");
            masked.update(inputs);
            masked.update(&rest);
            let masked: [u8; 32] = masked.finalize().into();
            for output in &names {
                let path = path::output_path_name(&name, output).ok()?;
                paths.push(store_path(&store, &["output:", output], &masked, &path)?);
            }
            None
        }
    };
    let shown: Vec<String> = paths.iter().map(|path| rendered(&store, path)).collect();
    // The same once more, with the paths of the outputs in their places.
    let mut outputs = Text(b"Derive(".to_vec());
    outputs.list(names.iter().zip(&shown), |text, (name, path)| {
        text.raw(b"(");
        text.plain(name.as_bytes());
        text.raw(b",");
        text.plain(path.as_bytes());
        match &fixed {
            None => text.raw(b",\"\",\"\")"),
            Some((method, hash)) => {
                text.raw(b",");
                text.plain(method.as_bytes());
                text.raw(b",");
                text.plain(hash.as_bytes());
                text.raw(b")");
            }
        }
    });
    outputs.raw(b",");
    let mut filled = Vec::with_capacity(rest.len() + places.len() * 100);
    let mut from = 0;
    for (at, output) in places {
        filled.extend_from_slice(&rest[from..at]);
        filled.extend_from_slice(shown[output].as_bytes());
        from = at;
    }
    filled.extend_from_slice(&rest[from..]);
    let mut text =
        Text(Vec::with_capacity(outputs.0.len() + filled.len() + 100 * input_paths.len()));
    text.raw(&outputs.0);
    text.list(input_paths.iter().zip(drv.input_derivations.values()), |text, (path, input)| {
        text.raw(b"(");
        text.plain(path.as_bytes());
        text.raw(b",");
        text.list(input.outputs(), |text, name| text.plain(name.as_bytes()));
        text.raw(b")");
    });
    text.raw(&filled);
    let sources = drv.input_sources.iter().map(|source| rendered(&store, source));
    let mut references: Vec<String> = input_paths.into_iter().chain(sources).collect();
    references.sort_unstable();
    references.dedup();
    let mut kind = vec!["text"];
    for reference in &references {
        kind.extend([":", reference]);
    }
    let path = store_path(&store, &kind, &Sha256::digest(&text.0).into(), &drv_name)?;
    let hash = match &fixed {
        None => {
            let mut counts_as = Sha256::new();
            counts_as.update(&outputs.0);
            counts_as.update(inputs);
            counts_as.update(&filled);
            InputDerivationHash::regular(<[u8; 32]>::from(counts_as.finalize()))
        }
        Some((method, hash)) => fixed_hash(method, hash, &shown[0]),
    };
    let outputs = names.into_iter().zip(paths.into_iter().map(Some)).collect();
    Some(Made { path, text: text.0, hash, outputs })
}

/// The paths of the inputs; what follows on them in each of the texts, with variables of outputs
/// empty; and where these are, with the number of the output.
fn common(drv: &Derivation) -> (Vec<String>, Vec<u8>, Vec<(usize, usize)>) {
    let inputs = drv.input_derivations.keys().map(|input| rendered(&drv.store_dir, input));
    let sizes = drv.environment.iter().map(|(key, value)| key.len() + value.len() + 8);
    let size: usize = sizes.sum();
    let mut text = Text(Vec::with_capacity(size + size / 8 + 512));
    let mut places = Vec::new();
    write::rest(&mut text, drv, |text, name, value| {
        match drv.outputs.keys().position(|output| output.as_bytes() == name) {
            None => text.quoted(value),
            Some(output) => {
                text.raw(b"\"");
                places.push((text.0.len(), output));
                text.raw(b"\"");
            }
        }
    });
    (inputs.collect(), text.0, places)
}

/// The path of what is of this kind (in pieces) and has this hash.
fn store_path(store: &StoreDir, kind: &[&str], sha256: &[u8; 32], name: &str) -> Option<StorePath> {
    let mut digits = Text(Vec::with_capacity(64));
    digits.hex(sha256);
    let mut hasher = Sha256::new();
    for part in kind {
        hasher.update(part.as_bytes());
    }
    hasher.update(b":sha256:");
    hasher.update(&digits.0);
    for part in [":", store.as_str(), ":", name] {
        hasher.update(part.as_bytes());
    }
    StorePath::from_parts(path::compress(&hasher.finalize()), name).ok()
}

#[cfg(test)]
mod tests;
