//! Derivations whose inputs are known by what they hold: putting real paths in the place of what
//! stood for them, and the hash under which such outputs are remembered.

use super::count::sha256;
use super::modulo::ModuloError;
use super::settle::settle;
use super::write::write;
use crate::{Derivation, DerivationError, ModuloHashes, Output, StorePath, StructuredAttrs, path};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Whether its outputs are known only once it, or an input of it, is built.
#[must_use]
pub fn is_open(derivation: &Derivation) -> bool {
    derivation.outputs().values().any(|output| {
        matches!(output, Output::Floating { .. } | Output::Impure { .. } | Output::Deferred)
    })
}

/// Whether it may come out different each time.
#[must_use]
pub fn is_impure(derivation: &Derivation) -> bool {
    derivation.outputs().values().any(|output| matches!(output, Output::Impure { .. }))
}

/// Paths of outputs of input derivations. A chain of more than one output leads to one of a
/// derivation that the output before it is.
pub type Inputs = BTreeMap<(StorePath, Vec<String>), StorePath>;

/// The derivation with the paths of its inputs' outputs instead of these derivations: those of
/// outputs that follow from inputs are known then. Those that were known stay.
///
/// # Errors
/// When it is not right with them.
pub fn resolve(derivation: &Derivation, inputs: &Inputs) -> Result<Derivation, DerivationError> {
    let replacements: Vec<(String, String)> = inputs
        .iter()
        .map(|((drv, outputs), path)| {
            (path::downstream_placeholder(drv, outputs), path.to_string())
        })
        .collect();
    let bytes = |mut text: Vec<u8>| {
        for (from, to) in &replacements {
            text = replace(text, from.as_bytes(), to.as_bytes());
        }
        text
    };
    let mut drv = derivation.clone();
    drv.input_derivations.clear();
    drv.input_sources.extend(inputs.values().cloned());
    drv.builder = bytes(drv.builder);
    drv.arguments = drv.arguments.into_iter().map(bytes).collect();
    let variables = drv.environment.into_iter();
    drv.environment = variables.map(|(name, value)| (bytes(name), bytes(value))).collect();
    if let Some(attributes) = drv.structured_attrs.take() {
        let json = bytes(attributes.raw_json().to_vec());
        drv.structured_attrs = Some(StructuredAttrs::from_json_bytes(json)?);
    }
    if !is_open(derivation) {
        return Ok(drv);
    }
    settle(drv, |input| Err::<crate::InputDerivationHash, _>(input.clone()))
        .map_err(|error| DerivationError::InvalidDerivation(error.to_string()))
}

/// `text` with `to` in the place of every `from`, which is not empty.
#[must_use]
pub fn replace(text: Vec<u8>, from: &[u8], to: &[u8]) -> Vec<u8> {
    let Some(first) = text.windows(from.len().max(1)).position(|window| window == from) else {
        return text;
    };
    let mut made = text[..first].to_vec();
    let mut rest = &text[first..];
    while let Some(byte) = rest.first() {
        if let Some(after) = rest.strip_prefix(from) {
            made.extend_from_slice(to);
            rest = after;
        } else {
            made.push(*byte);
            rest = &rest[1..];
        }
    }
    made
}

/// The hash that, with an output's name, is the key of a realisation: of the derivation's text
/// with the hashes of its inputs, and without the paths of its outputs.
///
/// # Errors
/// When a derivation is not right or cannot be read.
pub fn realisation_hash<E>(
    hashes: &mut ModuloHashes,
    path: &StorePath,
    mut read: impl FnMut(&StorePath) -> Result<Derivation, E>,
) -> Result<[u8; 32], ModuloError<E>> {
    let mut open = Unmasked { hashes, read: &mut read, known: HashMap::new() };
    let derivation = open.read(path)?;
    open.inputs_of(&derivation)?;
    Ok(open.hash(&derivation, true))
}

/// Hashes of derivations with open outputs, as inputs.
struct Unmasked<'a, E> {
    hashes: &'a mut ModuloHashes,
    read: &'a mut dyn FnMut(&StorePath) -> Result<Derivation, E>,
    known: HashMap<StorePath, [u8; 32]>,
}

impl<E> Unmasked<'_, E> {
    fn read(&mut self, path: &StorePath) -> Result<Derivation, ModuloError<E>> {
        (self.read)(path).map_err(ModuloError::Read)
    }

    /// Makes the hashes of all inputs known; deep graphs cost heap, not stack.
    fn inputs_of(&mut self, derivation: &Derivation) -> Result<(), ModuloError<E>> {
        let mut open: Vec<StorePath> = derivation.input_derivations().keys().cloned().collect();
        while let Some(path) = open.last().cloned() {
            if self.known.contains_key(&path) {
                open.pop();
                continue;
            }
            let read = &mut *self.read;
            let hash = self.hashes.resolve(&path, |path| read(path))?;
            if let Some(hash) = hash.regular_hash().or_else(|| hash.fixed_output_hash()) {
                self.known.insert(path, *hash.as_bytes());
                continue;
            }
            let derivation = self.read(&path)?;
            if is_impure(&derivation) {
                let hash = sha256(b"impure");
                self.known.insert(path, hash);
                continue;
            }
            let inputs = derivation.input_derivations().keys();
            let missing: Vec<StorePath> =
                inputs.filter(|input| !self.known.contains_key(*input)).cloned().collect();
            if missing.is_empty() {
                let hash = self.hash(&derivation, false);
                self.known.insert(path, hash);
            } else {
                open.extend(missing);
            }
        }
        Ok(())
    }

    fn hash(&self, derivation: &Derivation, mask: bool) -> [u8; 32] {
        let mut inputs: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        // C++ Nix leaves out what is asked of derivations that a build makes.
        let inputs_of = derivation.input_derivations.iter();
        for (input, wanted) in inputs_of.filter(|(_, wanted)| !wanted.outputs().is_empty()) {
            let hash = self.known.get(input).copied().unwrap_or_default();
            let hash = hash.iter().map(|byte| format!("{byte:02x}")).collect();
            inputs.entry(hash).or_default().extend(wanted.outputs().iter().cloned());
        }
        sha256(&write(derivation, Some(&inputs), mask))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ContentAddressMethod, Derivation, HashAlgorithm, InputDerivation};

    fn floating(name: &str) -> Derivation {
        let method = ContentAddressMethod::Nar;
        let output = Output::Floating { method, hash_algorithm: HashAlgorithm::Sha256 };
        Derivation::new(name, "x86_64-linux", "/bin/sh")
            .output("out", output)
            .set("out", path::hash_placeholder("out"))
    }

    #[test]
    fn what_stands_for_something_is_replaced_everywhere() {
        let replaced = |text: &str| replace(text.into(), b"ab", b"xyz");
        assert_eq!(replaced("ab cab aab"), b"xyz cxyz axyz");
        assert_eq!(replaced("a b"), b"a b");
        assert_eq!(replaced(""), b"");
    }

    #[test]
    fn real_paths_take_the_place_of_what_stood_for_them() {
        let first = floating("first").build().unwrap();
        let drv = first.drv_path().unwrap();
        let placeholder = path::downstream_placeholder(&drv, &["out"]);
        let second = Derivation::new("second", "x86_64-linux", "/bin/sh")
            .output("out", Output::Deferred)
            .input_derivation(drv.clone(), InputDerivation::new(["out"]))
            .set("out", "")
            .set("dep", format!("{placeholder}/x"))
            .argument(placeholder);
        let mut hashes = ModuloHashes::default();
        hashes.tell::<()>(&drv, &first).unwrap();
        let second = hashes.finish(second).unwrap();
        assert!(is_open(&second));
        let real: StorePath = "/nix/store/miacmq2d49l5qm1xgkpr982m3rd9ax08-a".parse().unwrap();
        let inputs = BTreeMap::from([((drv.clone(), vec!["out".to_owned()]), real.clone())]);
        let resolved = resolve(&second, &inputs).unwrap();
        assert!(!is_open(&resolved) && resolved.input_derivations().is_empty());
        assert_eq!(resolved.arguments(), [real.to_string().into_bytes()]);
        assert_eq!(resolved.variable("dep").unwrap(), format!("{real}/x").as_bytes());
        let out = resolved.resolved_outputs().unwrap()["out"].path.clone().unwrap();
        assert_eq!(resolved.variable("out").unwrap(), out.to_string().as_bytes());
        let read = |path: &StorePath| {
            if *path == drv { Ok(first.clone()) } else { Err("missing") }
        };
        assert!(realisation_hash(&mut hashes, &drv, read).is_ok());
    }

    /// The key of a realisation in the database of C++ Nix 2.34.
    #[test]
    fn what_is_asked_of_derivations_that_a_build_makes_is_not_in_the_hash() {
        let maker = r#"Derive([("out","","text:sha256","")],[],["/nix/store/ap5lw0pk87zllpr8psdiqgxx50yqpp1h-busybox","/nix/store/w0rp9cpgb6bxridnnvj1awfky032z4mk-inner.drv"],"x86_64-linux","/nix/store/ap5lw0pk87zllpr8psdiqgxx50yqpp1h-busybox/bin/sh",["-ec","//nix/store/ap5lw0pk87zllpr8psdiqgxx50yqpp1h-busybox/bin/busybox cat /nix/store/w0rp9cpgb6bxridnnvj1awfky032z4mk-inner.drv > $out"],[("PATH","/nix/store/ap5lw0pk87zllpr8psdiqgxx50yqpp1h-busybox/bin"),("builder","/nix/store/ap5lw0pk87zllpr8psdiqgxx50yqpp1h-busybox/bin/sh"),("name","inner.drv"),("out","/1rz4g4znpzjwh1xymhjpm42vipw92pr73vdgl6xs1hycac8kf2n9"),("outputHashAlgo","sha256"),("outputHashMode","text"),("system","x86_64-linux")])"#;
        let reader = r#"DrvWithVersion("xp-dyn-drv",[("out","","","")],[("/nix/store/kv6w0c554bzkr9q84c2k32d5ycz890p3-inner.drv.drv",([],[("out",["out"])]))],["/nix/store/ap5lw0pk87zllpr8psdiqgxx50yqpp1h-busybox"],"x86_64-linux","/nix/store/ap5lw0pk87zllpr8psdiqgxx50yqpp1h-busybox/bin/sh",["-ec","//nix/store/ap5lw0pk87zllpr8psdiqgxx50yqpp1h-busybox/bin/busybox cat /0zzbnhh0zhplmm0ng0dhfnc3zihjwmsyysndhw7q9jn6kycqqlqa > $out; echo /0zzbnhh0zhplmm0ng0dhfnc3zihjwmsyysndhw7q9jn6kycqqlqa >> $out"],[("PATH","/nix/store/ap5lw0pk87zllpr8psdiqgxx50yqpp1h-busybox/bin"),("builder","/nix/store/ap5lw0pk87zllpr8psdiqgxx50yqpp1h-busybox/bin/sh"),("name","reader"),("out",""),("system","x86_64-linux")])"#;
        let parse = |text: &str, name| Derivation::from_aterm_bytes(text.as_bytes(), name).unwrap();
        let maker_path = "/nix/store/kv6w0c554bzkr9q84c2k32d5ycz890p3-inner.drv.drv";
        let reader_path: StorePath =
            "/nix/store/9ac242gx5fnjd3r70wp5ky38m0s0m7wn-reader.drv".parse().unwrap();
        let read = |path: &StorePath| match path.to_string() == maker_path {
            true => Ok::<_, ()>(parse(maker, "inner.drv")),
            false => Ok(parse(reader, "reader")),
        };
        let hash = realisation_hash(&mut ModuloHashes::default(), &reader_path, read).unwrap();
        let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hash, "c83771befd722ebbd310c44546912d92ecc610a640647b738692a85883a88c47");
    }
}
