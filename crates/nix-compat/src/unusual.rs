//! Derivations that C++ Nix makes and `nix-derivation` would refuse: an output called `drv` or
//! nothing at all, or a variable without a name.
//!
//! Reading and hashing take them; only the builder's checks do not. So they are written as a text
//! here, and read back.

use crate::dynamic::{is_dynamic, output_hash};
use crate::{
    CAHash, ContentAddressMethod, Derivation, DerivationBuilder, DerivationError, HashAlgorithm,
    InputDerivation, InputDerivationHash, InputResolutionError, Output, OutputPathHash, StorePath,
};
use std::collections::{BTreeMap, BTreeSet};

/// Finishes a derivation: gives its outputs their paths, where these follow from its inputs.
///
/// # Errors
/// When it is not right, or `resolve` cannot tell what an input counts as.
pub fn settle<E>(
    drv: DerivationBuilder,
    mut resolve: impl FnMut(&StorePath) -> Result<InputDerivationHash, E>,
) -> Result<Derivation, InputResolutionError<E>> {
    if !is_usual(&drv) {
        return settle_unusual(drv, resolve);
    }
    let dynamic = is_dynamic(drv.input_derivations()).then(|| drv.clone());
    let built = drv.try_build_with_input_hashes(&mut resolve)?.into_derivation();
    match dynamic {
        // It was checked, but may have paths all the same.
        Some(drv) => settle_unusual(drv, resolve),
        None => Ok(built),
    }
}

fn is_usual(drv: &DerivationBuilder) -> bool {
    let name = |name: &String| {
        name == "out" || (name != "drv" && StorePath::from_parts([0; 20], name).is_ok())
    };
    !drv.environment_entries().contains_key("")
        && drv.outputs().keys().all(name)
        && drv.input_derivations().values().all(|input| {
            input.walk().all(|node| {
                let input = node.input();
                input.outputs().iter().chain(input.dynamic_outputs().keys()).all(name)
            })
        })
}

fn settle_unusual<E>(
    mut drv: DerivationBuilder,
    resolve: impl FnMut(&StorePath) -> Result<InputDerivationHash, E>,
) -> Result<Derivation, InputResolutionError<E>> {
    let names: Vec<String> = drv.outputs().keys().cloned().collect();
    let mut deferred = false;
    for name in &names {
        match &drv.outputs()[name] {
            Output::InputAddressed { .. } | Output::Deferred => {
                deferred = true;
                drv.environment_mut().entry(name.clone()).or_default();
            }
            output @ Output::Fixed { .. } => {
                let path = output.path_in(drv.store_dir(), drv.name(), name)?;
                if let Some(path) = path {
                    let text = drv.store_dir().render_path(&path);
                    drv.environment_mut().insert(name.clone(), text.into_bytes());
                }
            }
            Output::Floating { .. } | Output::Impure { .. } => {}
        }
    }
    let masked = read_back(&drv)?;
    if !deferred {
        return Ok(masked);
    }
    let OutputPathHash::Ready(hash) = output_hash(&masked, resolve)? else {
        return Ok(masked);
    };
    for name in names {
        let path = drv
            .store_dir()
            .build_output_path(hash, &name, drv.name())
            .map_err(DerivationError::from)?;
        let text = drv.store_dir().render_path(&path);
        drv.environment_mut().insert(name.clone(), text.into_bytes());
        drv.outputs_mut().insert(name, Output::InputAddressed { path });
    }
    Ok(read_back(&drv)?)
}

/// The derivation as it is, unchecked.
pub(crate) fn read_back(drv: &DerivationBuilder) -> Result<Derivation, DerivationError> {
    Derivation::from_aterm_bytes_in(&written(drv)?, drv.name(), drv.store_dir().clone())
}

/// The text of the `.drv` file.
fn written(drv: &DerivationBuilder) -> Result<Vec<u8>, DerivationError> {
    write_text(drv, None, false)
}

/// The text with other names for its inputs, and with `mask` without the paths of its outputs: what
/// is hashed.
pub(crate) fn text_modulo(
    drv: &DerivationBuilder,
    inputs: &BTreeMap<String, BTreeSet<String>>,
    mask: bool,
) -> Result<Vec<u8>, DerivationError> {
    write_text(drv, Some(inputs), mask)
}

fn write_text(
    drv: &DerivationBuilder,
    inputs: Option<&BTreeMap<String, BTreeSet<String>>>,
    mask: bool,
) -> Result<Vec<u8>, DerivationError> {
    let path = |path: &StorePath| drv.store_dir().render_path(path);
    let mut text = Text(Vec::new());
    let dynamic = drv.input_derivations().values().any(InputDerivation::is_dynamic);
    text.raw(if dynamic { "DrvWithVersion(\"xp-dyn-drv\"," } else { "Derive(" });
    let mut outputs = Vec::new();
    for (name, output) in drv.outputs() {
        let mut fields = output_fields(drv, name, output)?;
        if mask {
            fields[0].clear();
        }
        outputs.push((name, fields));
    }
    text.list(outputs, |text, (name, [path, method, hash])| {
        text.raw("(");
        text.list_without_brackets([name, &path, &method, &hash], |text, part| text.plain(part));
        text.raw(")");
    });
    text.raw(",");
    if let Some(inputs) = inputs {
        text.list(inputs, |text, (hash, outputs)| {
            text.raw("(");
            text.plain(hash);
            text.raw(",");
            text.list(outputs, |text, name| text.plain(name));
            text.raw(")");
        });
    } else {
        text.list(drv.input_derivations(), |text, (drv, input)| {
            text.raw("(");
            text.plain(&path(drv));
            text.raw(",");
            text.input(input);
            text.raw(")");
        });
    }
    text.raw(",");
    text.list(drv.input_sources(), |text, source| text.plain(&path(source)));
    text.raw(",");
    text.plain(drv.system());
    text.raw(",");
    text.quoted(drv.builder().as_bytes());
    text.raw(",");
    text.list(drv.arguments(), |text, argument| text.quoted(argument.as_bytes()));
    text.raw(",");
    let mut variables: Vec<(&str, &[u8])> = drv
        .environment_entries()
        .iter()
        .map(|(name, value)| {
            let masked = mask && drv.outputs().contains_key(name);
            (name.as_str(), if masked { &[][..] } else { value.as_slice() })
        })
        .collect();
    if let Some(attrs) = drv.structured_attrs_ref() {
        variables.push(("__json", attrs.canonical_json()));
        variables.sort_unstable();
    }
    text.list(variables, |text, (name, value)| {
        text.raw("(");
        text.quoted(name.as_bytes());
        text.raw(",");
        text.quoted(value);
        text.raw(")");
    });
    text.raw(")");
    Ok(text.0)
}

/// Path, method with algorithm, and hash of an output.
fn output_fields(
    drv: &DerivationBuilder,
    name: &str,
    output: &Output,
) -> Result<[String; 3], DerivationError> {
    let path = output.path_in(drv.store_dir(), drv.name(), name)?;
    let path = path.map(|path| drv.store_dir().render_path(&path)).unwrap_or_default();
    let method = |method: ContentAddressMethod, algorithm: HashAlgorithm| {
        let prefix = match method {
            ContentAddressMethod::Flat => "",
            ContentAddressMethod::Nar => "r:",
            ContentAddressMethod::Text => "text:",
            ContentAddressMethod::Git => "git:",
        };
        format!("{prefix}{}", algorithm.as_str())
    };
    Ok(match output {
        Output::InputAddressed { .. } | Output::Deferred => [path, String::new(), String::new()],
        Output::Floating { method: how, hash_algorithm } => {
            [path, method(*how, *hash_algorithm), String::new()]
        }
        Output::Impure { method: how, hash_algorithm } => {
            [path, method(*how, *hash_algorithm), "impure".to_owned()]
        }
        Output::Fixed { ca } => {
            let how = match ca {
                CAHash::Flat(_) => ContentAddressMethod::Flat,
                CAHash::Nar(_) => ContentAddressMethod::Nar,
                CAHash::Text(_) => ContentAddressMethod::Text,
                CAHash::Git(_) => ContentAddressMethod::Git,
            };
            let hash = ca.hash();
            let digits = hash.digest_as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
            [path, method(how, hash.algorithm()), digits]
        }
    })
}

struct Text(Vec<u8>);

impl Text {
    fn raw(&mut self, text: &str) {
        self.0.extend_from_slice(text.as_bytes());
    }

    /// A string in which nothing is escaped.
    fn plain(&mut self, text: &str) {
        self.raw("\"");
        self.raw(text);
        self.raw("\"");
    }

    fn quoted(&mut self, text: &[u8]) {
        self.raw("\"");
        for byte in text {
            match byte {
                b'"' => self.raw("\\\""),
                b'\\' => self.raw("\\\\"),
                b'\n' => self.raw("\\n"),
                b'\r' => self.raw("\\r"),
                b'\t' => self.raw("\\t"),
                _ => self.0.push(*byte),
            }
        }
        self.raw("\"");
    }

    fn list<T>(&mut self, items: impl IntoIterator<Item = T>, write: impl FnMut(&mut Self, T)) {
        self.raw("[");
        self.list_without_brackets(items, write);
        self.raw("]");
    }

    fn list_without_brackets<T>(
        &mut self,
        items: impl IntoIterator<Item = T>,
        mut write: impl FnMut(&mut Self, T),
    ) {
        for (index, item) in items.into_iter().enumerate() {
            if index > 0 {
                self.raw(",");
            }
            write(self, item);
        }
    }

    /// What is asked of an input: at most as deep as `nix-derivation` lets it get.
    fn input(&mut self, input: &InputDerivation) {
        if !input.is_dynamic() {
            return self.list(input.outputs(), |text, name| text.plain(name));
        }
        self.raw("(");
        self.list(input.outputs(), |text, name| text.plain(name));
        self.raw(",");
        self.list(input.dynamic_outputs(), |text, (name, below)| {
            text.raw("(");
            text.plain(name);
            text.raw(",");
            text.input(below);
            text.raw(")");
        });
        self.raw(")");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    fn settled(drv: DerivationBuilder) -> Derivation {
        settle(drv, |_| Ok::<_, Infallible>(InputDerivationHash::regular([7; 32]))).unwrap()
    }

    /// Known answers from C++ Nix 2.34.
    #[test]
    fn names_that_nothing_else_has() {
        let mut drv = DerivationBuilder::new("a", "x", "b").output("drv", Output::Deferred);
        for (name, value) in [("builder", "b"), ("name", "a"), ("outputs", "drv"), ("system", "x")]
        {
            drv = drv.environment(name, value);
        }
        let outputs = settled(drv).resolved_outputs().unwrap();
        let path = outputs["drv"].path.as_ref().unwrap();
        assert_eq!(path.to_string(), "/nix/store/xpis8fn0fp6gv33s8wcjxhmg3plpv3gg-a-drv");
        let mut drv = DerivationBuilder::new("a", "x", "b").output("out", Output::Deferred);
        for (name, value) in [("", "q"), ("builder", "b"), ("name", "a"), ("system", "x")] {
            drv = drv.environment(name, value);
        }
        let path = settled(drv).drv_path().unwrap();
        assert_eq!(path.to_string(), "/nix/store/6nq5pm11hrcpcs91wxxmfks3rjpgsncz-a.drv");
    }

    /// What both ways can make, both make the same.
    #[test]
    fn usual_derivations_come_out_the_same() {
        let input: StorePath =
            StorePath::from_absolute_path(b"/nix/store/00000000000000000000000000000000-in.drv")
                .unwrap();
        let dynamic = InputDerivation::new(["dev"])
            .with_dynamic_output("out", InputDerivation::new(["out"]))
            .unwrap();
        let hash = crate::hash_bytes(HashAlgorithm::Sha256, b"");
        let floating = Output::Floating {
            method: ContentAddressMethod::Nar,
            hash_algorithm: HashAlgorithm::Sha256,
        };
        for input_drv in [InputDerivation::new(["out", "dev"]), dynamic] {
            for output in [
                Output::Deferred,
                Output::Fixed { ca: CAHash::Nar(hash.clone()) },
                Output::Fixed { ca: CAHash::Flat(hash.clone()) },
                floating.clone(),
            ] {
                let drv = DerivationBuilder::new("a", "x", "b \"\\\n")
                    .output("out", output)
                    .input_derivation(input.clone(), input_drv.clone())
                    .input_source(
                        StorePath::from_absolute_path(
                            b"/nix/store/00000000000000000000000000000001-src",
                        )
                        .unwrap(),
                    )
                    .argument("-e")
                    .environment("x", "tab\tand \r\n");
                let resolve =
                    |_: &StorePath| Ok::<_, Infallible>(InputDerivationHash::regular([7; 32]));
                let other = settle_unusual(drv.clone(), resolve).unwrap();
                assert_eq!(settled(drv.clone()).to_aterm_bytes(), other.to_aterm_bytes());
                if !input_drv.is_dynamic() {
                    let built = drv.build_with_input_hashes(|_| [7; 32]).unwrap();
                    assert_eq!(built.to_aterm_bytes(), other.to_aterm_bytes());
                }
            }
        }
    }
}
