//! A derivation with all that follows from it: its text, its path, those of its outputs, and what it
//! counts as where it is an input.
//!
//! An evaluation of a package set spends most of its hashing here, so what the three texts that are
//! hashed have in common is written once. Whatever is out of the ordinary goes the long way.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};

use crate::{
    CAHash, Derivation, DerivationBuilder, InputDerivationHash, InputResolutionError, Output,
    StoreDir, StorePath, path, unusual::settle,
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
    mut drv: DerivationBuilder,
    mut resolve: impl FnMut(&StorePath) -> Result<InputDerivationHash, E>,
) -> Result<Made, InputResolutionError<E>> {
    if is_ordinary(&drv)
        && let Some(inputs) = inputs_modulo(&drv, &mut resolve)?
        && let Some(made) = make_ordinary(&mut drv, &inputs)
    {
        return Ok(made);
    }
    let drv = settle(drv, &mut resolve)?;
    Ok(Made {
        path: drv.drv_path()?,
        hash: drv.try_hash_input_derivation_modulo(resolve)?,
        outputs: drv
            .resolved_outputs()?
            .into_iter()
            .map(|(name, output)| (name, output.path))
            .collect(),
        text: drv.to_aterm_bytes(),
    })
}

/// What a finished derivation counts as in those that it is an input of.
///
/// # Errors
/// When it is not right, or `resolve` cannot tell what an input counts as.
pub fn hash_modulo<E>(
    drv: &Derivation,
    mut resolve: impl FnMut(&StorePath) -> Result<InputDerivationHash, E>,
) -> Result<InputDerivationHash, InputResolutionError<E>> {
    match made_again(drv, &mut resolve)? {
        Some(made) => Ok(made.hash),
        None => drv.try_hash_input_derivation_modulo(&mut resolve),
    }
}

/// The same derivation made once more, where it has inputs that count as the same, which
/// `nix-derivation` takes for one of them; nothing where what comes out is another derivation.
pub(crate) fn made_again<E>(
    drv: &Derivation,
    mut resolve: impl FnMut(&StorePath) -> Result<InputDerivationHash, E>,
) -> Result<Option<Made>, InputResolutionError<E>> {
    let mut seen = BTreeSet::new();
    let mut twins = false;
    for path in drv.input_derivations().keys() {
        let hash = resolve(path)
            .map_err(|error| InputResolutionError::Resolve { path: path.clone(), error })?;
        if let InputDerivationHash::Regular(hash) = hash {
            twins |= !seen.insert(hash);
        }
    }
    if !twins {
        return Ok(None);
    }
    let mut again = drv.clone().into_builder();
    for output in again.outputs_mut().values_mut() {
        if let Output::InputAddressed { .. } = output {
            *output = Output::Deferred;
        }
    }
    let made = make(again, resolve)?;
    Ok((made.text == drv.to_aterm_bytes()).then_some(made))
}

/// Whether a derivation has nothing in it that [`make_ordinary`] does not know.
fn is_ordinary(drv: &DerivationBuilder) -> bool {
    let name = |name: &str| {
        name == "out" || (name != "drv" && StorePath::from_parts([0; 20], name).is_ok())
    };
    let outputs = drv.outputs();
    let one_fixed = outputs.len() == 1
        && outputs.get("out").is_some_and(|output| matches!(output, Output::Fixed { .. }));
    let deferred = !outputs.is_empty()
        && outputs.iter().all(|(key, output)| matches!(output, Output::Deferred) && name(key));
    (one_fixed || deferred)
        && drv.structured_attrs_ref().is_none()
        && !drv.environment_entries().contains_key("")
        && !drv.environment_entries().contains_key("__json")
        && !drv.builder().is_empty()
        && !drv.system().is_empty()
        && !drv.system().contains(['"', '\\', '\n', '\r', '\t'])
        && drv.input_derivations().iter().all(|(path, input)| {
            path.is_derivation()
                && !input.is_dynamic()
                && !input.outputs().is_empty()
                && input.outputs().iter().all(|output| name(output))
        })
}

/// The inputs by what they count as, with the outputs that are asked for, as a text; none where one
/// of them is not known yet, or is asked for what it has not.
fn inputs_modulo<E>(
    drv: &DerivationBuilder,
    mut resolve: impl FnMut(&StorePath) -> Result<InputDerivationHash, E>,
) -> Result<Option<Vec<u8>>, InputResolutionError<E>> {
    // Two inputs may count as the same: then what is asked of either is asked of one.
    let mut inputs: Vec<(&[u8; 32], BTreeSet<&str>)> = Vec::new();
    let mut hashes = Vec::with_capacity(drv.input_derivations().len());
    for path in drv.input_derivations().keys() {
        let hash = resolve(path)
            .map_err(|error| InputResolutionError::Resolve { path: path.clone(), error })?;
        hashes.push(hash);
    }
    for (hash, input) in hashes.iter().zip(drv.input_derivations().values()) {
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

fn make_ordinary(drv: &mut DerivationBuilder, inputs: &[u8]) -> Option<Made> {
    let store = drv.store_dir().clone();
    let name = drv.name().to_owned();
    let drv_name = format!("{name}.drv");
    let names: Vec<String> = drv.outputs().keys().cloned().collect();
    for name in &names {
        drv.environment_mut().entry(name.clone()).or_default();
    }
    let (input_paths, rest, places) = common(drv);
    let mut paths = Vec::with_capacity(names.len());
    let fixed = match drv.outputs().get("out") {
        Some(output @ Output::Fixed { ca }) => {
            paths.push(output.path_in(&store, &name, "out").ok()??);
            Some(FixedParts::of(ca))
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
            Some(FixedParts { method, hash }) => {
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
    text.list(input_paths.iter().zip(drv.input_derivations().values()), |text, (path, input)| {
        text.raw(b"(");
        text.plain(path.as_bytes());
        text.raw(b",");
        text.list(input.outputs(), |text, name| text.plain(name.as_bytes()));
        text.raw(b")");
    });
    text.raw(&filled);
    let sources = drv.input_sources().iter().map(|source| rendered(&store, source));
    let mut references: Vec<String> = input_paths.into_iter().chain(sources).collect();
    references.sort_unstable();
    references.dedup();
    let mut kind = vec!["text"];
    for reference in &references {
        kind.extend([":", reference]);
    }
    let path = store_path(&store, &kind, &Sha256::digest(&text.0).into(), &drv_name)?;
    let mut counts_as = Sha256::new();
    let hash = match &fixed {
        None => {
            counts_as.update(&outputs.0);
            counts_as.update(inputs);
            counts_as.update(&filled);
            InputDerivationHash::regular(<[u8; 32]>::from(counts_as.finalize()))
        }
        Some(FixedParts { method, hash }) => {
            for part in ["fixed:out:", method, ":", hash, ":", &shown[0]] {
                counts_as.update(part.as_bytes());
            }
            InputDerivationHash::fixed_output(<[u8; 32]>::from(counts_as.finalize()))
        }
    };
    let outputs = names.into_iter().zip(paths.into_iter().map(Some)).collect();
    Some(Made { path, text: text.0, hash, outputs })
}

/// The paths of the inputs; what follows on them in each of the texts, with variables of outputs
/// empty; and where these are, with the number of the output.
fn common(drv: &DerivationBuilder) -> (Vec<String>, Vec<u8>, Vec<(usize, usize)>) {
    let store = drv.store_dir();
    let inputs: Vec<String> =
        drv.input_derivations().keys().map(|input| rendered(store, input)).collect();
    let size: usize =
        drv.environment_entries().iter().map(|(key, value)| key.len() + value.len() + 8).sum();
    let mut text = Text(Vec::with_capacity(size + size / 8 + 512));
    let mut places = Vec::new();
    text.raw(b",");
    text.list(drv.input_sources(), |text, source| {
        text.plain(rendered(store, source).as_bytes());
    });
    text.raw(b",");
    text.plain(drv.system().as_bytes());
    text.raw(b",");
    text.quoted(drv.builder().as_bytes());
    text.raw(b",");
    text.list(drv.arguments(), |text, argument| text.quoted(argument.as_bytes()));
    text.raw(b",");
    text.list(drv.environment_entries(), |text, (name, value)| {
        text.raw(b"(");
        text.quoted(name.as_bytes());
        text.raw(b",");
        match drv.outputs().keys().position(|output| output == name) {
            None => text.quoted(value),
            Some(output) => {
                text.raw(b"\"");
                places.push((text.0.len(), output));
                text.raw(b"\"");
            }
        }
        text.raw(b")");
    });
    text.raw(b")");
    (inputs, text.0, places)
}

/// Method with algorithm, and hash, of a fixed output.
struct FixedParts {
    method: String,
    hash: String,
}

impl FixedParts {
    fn of(ca: &CAHash) -> Self {
        let prefix = match ca {
            CAHash::Flat(_) => "",
            CAHash::Nar(_) => "r:",
            CAHash::Text(_) => "text:",
            CAHash::Git(_) => "git:",
        };
        let hash = ca.hash();
        let mut digits = Text(Vec::new());
        digits.hex(hash.digest_as_bytes());
        FixedParts {
            method: format!("{prefix}{}", hash.algorithm().as_str()),
            hash: String::from_utf8(digits.0).unwrap_or_default(),
        }
    }
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

/// A store path as it is written.
fn rendered(store: &StoreDir, path: &StorePath) -> String {
    const DIGITS: &[u8; 32] = b"0123456789abcdfghijklmnpqrsvwxyz";
    let (dir, name, digest) = (store.as_str(), path.name(), path.digest());
    let mut text = String::with_capacity(dir.len() + name.len() + 34);
    text.push_str(dir);
    text.push('/');
    // Five bits a digit, the last ones first.
    for at in (0..32).rev() {
        let (byte, bit) = (at * 5 / 8, at * 5 % 8);
        let above = digest.get(byte + 1).copied().unwrap_or(0);
        let bits = u16::from_le_bytes([digest[byte], above]) >> bit;
        text.push(char::from(DIGITS[usize::from(bits & 31)]));
    }
    text.push('-');
    text.push_str(name);
    text
}

struct Text(Vec<u8>);

impl Text {
    fn raw(&mut self, text: &[u8]) {
        self.0.extend_from_slice(text);
    }

    /// A string in which nothing is escaped.
    fn plain(&mut self, text: &[u8]) {
        self.0.push(b'"');
        self.0.extend_from_slice(text);
        self.0.push(b'"');
    }

    fn quoted(&mut self, text: &[u8]) {
        self.0.push(b'"');
        let mut rest = text;
        let special = |byte: &u8| matches!(byte, b'"' | b'\\' | b'\n' | b'\r' | b'\t');
        while let Some(at) = rest.iter().position(special) {
            self.0.extend_from_slice(&rest[..at]);
            self.0.extend_from_slice(match rest[at] {
                b'"' => b"\\\"",
                b'\\' => b"\\\\",
                b'\n' => b"\\n",
                b'\r' => b"\\r",
                _ => b"\\t",
            });
            rest = &rest[at + 1..];
        }
        self.0.extend_from_slice(rest);
        self.0.push(b'"');
    }

    fn hex(&mut self, bytes: &[u8]) {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        for byte in bytes {
            self.0.push(DIGITS[usize::from(byte >> 4)]);
            self.0.push(DIGITS[usize::from(byte & 15)]);
        }
    }

    fn list<T>(&mut self, items: impl IntoIterator<Item = T>, mut write: impl FnMut(&mut Self, T)) {
        self.0.push(b'[');
        for (index, item) in items.into_iter().enumerate() {
            if index > 0 {
                self.0.push(b',');
            }
            write(self, item);
        }
        self.0.push(b']');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{HashAlgorithm, InputDerivation, hash_bytes};
    use proptest::prelude::*;
    use std::convert::Infallible;

    /// What a path counts as, made up from its name.
    fn counted(path: &StorePath) -> Result<InputDerivationHash, Infallible> {
        let digest: [u8; 32] = Sha256::digest(path.name().as_bytes()).into();
        Ok(if path.name().starts_with('f') {
            InputDerivationHash::fixed_output(digest)
        } else {
            InputDerivationHash::regular(digest)
        })
    }

    fn the_long_way(drv: DerivationBuilder) -> Result<Made, InputResolutionError<Infallible>> {
        let drv = settle(drv, counted)?;
        let outputs = drv.resolved_outputs()?.into_iter().map(|(name, it)| (name, it.path));
        Ok(Made {
            path: drv.drv_path()?,
            hash: drv.try_hash_input_derivation_modulo(counted)?,
            outputs: outputs.collect(),
            text: drv.to_aterm_bytes(),
        })
    }

    fn output_names() -> impl Strategy<Value = BTreeSet<String>> {
        let name = prop_oneof![Just("out".to_owned()), "[a-z]{1,3}"];
        proptest::collection::btree_set(name, 1..4)
    }

    fn paths(pattern: &'static str) -> impl Strategy<Value = StorePath> {
        (any::<[u8; 20]>(), pattern)
            .prop_map(|(digest, name)| StorePath::from_parts(digest, &name).expect("a store path"))
    }

    proptest! {
        #[test]
        fn paths_are_written_as_everywhere(path in paths("[a-z]{1,9}")) {
            let store = StoreDir::default();
            prop_assert_eq!(rendered(&store, &path), store.render_path(&path));
        }

        // Text, path, outputs and hash are those of `nix-derivation`.
        #[test]
        fn both_ways_make_the_same(
            outputs in output_names(),
            fixed in proptest::option::of(any::<bool>()),
            inputs in proptest::collection::btree_map(paths("[f-h][a-z]{4,8}\\.drv"), output_names(), 0..4),
            sources in proptest::collection::vec(paths("[a-z]{1,9}"), 0..4),
            arguments in proptest::collection::vec("\\PC{0,9}|[\"\\\\\n\r\t]{1,3}", 0..3),
            environment in proptest::collection::btree_map("[a-z]{1,3}|\\PC{1,4}", any::<Vec<u8>>(), 0..6),
        ) {
            let mut drv = DerivationBuilder::new("a-name", "x86_64-linux", "/bin/\"sh\"\n");
            match fixed {
                None => drv.outputs_mut().extend(outputs.into_iter().map(|name| (name, Output::Deferred))),
                Some(flat) => {
                    let hash = hash_bytes(HashAlgorithm::Sha256, b"x");
                    let ca = if flat { CAHash::Flat(hash) } else { CAHash::Nar(hash) };
                    drv.outputs_mut().insert("out".to_owned(), Output::Fixed { ca });
                }
            }
            for (path, outputs) in inputs {
                drv.input_derivations_mut().insert(path, InputDerivation::new(outputs));
            }
            drv.input_sources_mut().extend(sources);
            *drv.arguments_mut() = arguments;
            *drv.environment_mut() = environment;
            let (short, long) = (make(drv.clone(), counted), the_long_way(drv));
            prop_assert_eq!(short.is_ok(), long.is_ok());
            if let (Ok(short), Ok(long)) = (short, long) {
                prop_assert_eq!(String::from_utf8_lossy(&short.text), String::from_utf8_lossy(&long.text));
                prop_assert_eq!(short, long);
            }
        }
    }

    /// Known answer from C++ Nix 2.34: two inputs that differ in where something fixed is fetched
    /// from count as one, of which the outputs of both are asked.
    #[test]
    fn inputs_that_count_as_one() {
        let mut hashes = std::collections::BTreeMap::new();
        let mut build = |drv: DerivationBuilder| {
            let made = make(drv, |path| Ok::<_, Infallible>(hashes[path])).expect("it is right");
            hashes.insert(made.path.clone(), made.hash);
            made
        };
        let base = |name: &str| {
            DerivationBuilder::new(name, "x", "b")
                .environment("name", name)
                .environment("system", "x")
                .environment("builder", "b")
        };
        let empty = hash_bytes(HashAlgorithm::Sha256, b"");
        let mut middle = |url: &str| {
            let sri = "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
            let fixed = build(
                base("f")
                    .output("out", Output::Fixed { ca: CAHash::Flat(empty.clone()) })
                    .environment("url", url)
                    .environment("outputHash", sri)
                    .environment("outputHashMode", "flat")
                    .environment("outputHashAlgo", "sha256"),
            );
            let source = fixed.outputs[0].1.as_ref().map(ToString::to_string).unwrap_or_default();
            build(
                base("m")
                    .output("out", Output::Deferred)
                    .output("dev", Output::Deferred)
                    .environment("outputs", "out dev")
                    .environment("src", source)
                    .input_derivation(fixed.path, InputDerivation::new(["out"])),
            )
        };
        let (one, two) = (middle("one"), middle("two"));
        let output = |made: &Made, name: &str| {
            let found = made.outputs.iter().find(|(output, _)| output == name);
            found.and_then(|(_, path)| path.as_ref()).map(ToString::to_string).unwrap_or_default()
        };
        let last = build(
            base("t")
                .output("out", Output::Deferred)
                .environment("x", format!("{} {}", output(&one, "out"), output(&two, "dev")))
                .input_derivation(one.path.clone(), InputDerivation::new(["out"]))
                .input_derivation(two.path.clone(), InputDerivation::new(["dev"])),
        );
        assert_eq!(output(&last, "out"), "/nix/store/jc7pd3x665m05wxdahq5kqi24whphcyy-t");
    }
}
