//! The text of a derivation, as its file has it and as it is hashed.

use super::text::{Text, rendered};
use crate::{
    CAHash, ContentAddressMethod, Derivation, DerivationBuilder, DerivationError, HashAlgorithm,
    InputDerivation, Output, StructuredAttrs,
};
use std::collections::{BTreeMap, BTreeSet};

/// What is in the file of a derivation.
///
/// Structured attributes keep the words that their numbers have there: C++ Nix writes `1e-07`, and
/// [`Derivation::to_aterm_bytes`] would make `1e-7` of it.
#[must_use]
pub fn text(drv: &Derivation) -> Vec<u8> {
    if has_numbers_of_its_own(drv.structured_attrs())
        && let Ok(text) = write(&drv.clone().into_builder(), None, false)
    {
        return text;
    }
    drv.to_aterm_bytes()
}

/// Whether `nix-derivation` would write the attributes as they are, but for the digits of numbers.
pub(super) fn has_numbers_of_its_own(attrs: Option<&StructuredAttrs>) -> bool {
    attrs.is_some_and(|attrs| {
        let (raw, other) = (attrs.raw_json(), attrs.canonical_json());
        raw != other
            && words(raw).count() == words(other).count()
            && words(raw).zip(words(other)).all(|(own, other)| own == other || is_same(own, other))
    })
}

/// What is made of structured attributes, with numbers written as they are there: `json` has them as
/// `nix-derivation` writes them.
#[must_use]
pub fn with_numbers_of(attrs: &StructuredAttrs, json: Vec<u8>) -> Vec<u8> {
    if !has_numbers_of_its_own(Some(attrs)) {
        return json;
    }
    let pairs = words(attrs.canonical_json()).zip(words(attrs.raw_json()));
    let own: BTreeMap<&[u8], &[u8]> = pairs.filter(|(other, own)| other != own).collect();
    words(&json).flat_map(|word| *own.get(word).unwrap_or(&word)).copied().collect()
}

/// C++ Nix writes as many digits as its library's algorithm (Grisu2) comes to, which now and then are
/// not the fewest that say the number: then there are as many as this.
const MANY_DIGITS: usize = 16;

/// Whether the first is a number as only C++ Nix would write it, and the other the same number.
fn is_same(own: &[u8], other: &[u8]) -> bool {
    let number = |word| str::from_utf8(word).ok().and_then(|word: &str| word.parse::<f64>().ok());
    let significant = own.split(|byte| *byte == b'e').next().unwrap_or_default();
    let zero = |byte: &u8| matches!(byte, b'0' | b'.' | b'-');
    let first = significant.iter().position(|byte| !zero(byte)).unwrap_or(significant.len());
    let digits = significant[first..].iter().filter(|byte| byte.is_ascii_digit()).count();
    digits >= MANY_DIGITS && number(own).is_some() && number(own) == number(other)
}

/// What a JSON text consists of.
fn words(json: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = json;
    std::iter::from_fn(move || {
        let digits = |byte: &u8| b"0123456789+-.eE".contains(byte);
        let length = match rest.first()? {
            b'"' => string(rest),
            b'-' | b'0'..=b'9' => rest.iter().take_while(|byte| digits(byte)).count(),
            _ => 1,
        };
        let (word, after) = rest.split_at(length);
        rest = after;
        Some(word)
    })
}

/// The length of the string that `json` begins with.
fn string(json: &[u8]) -> usize {
    let mut escaped = false;
    let end = json[1..].iter().position(|byte| {
        let ends = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        ends
    });
    end.map_or(json.len(), |end| end + 2)
}

/// The derivation as it is, unchecked.
pub(super) fn read_back(drv: &DerivationBuilder) -> Result<Derivation, DerivationError> {
    let text = write(drv, None, false)?;
    Derivation::from_aterm_bytes_in(&text, drv.name(), drv.store_dir().clone())
}

/// The text with other names for its inputs, and with `mask` without the paths of its outputs: what
/// is hashed.
pub(super) fn text_modulo(
    drv: &DerivationBuilder,
    inputs: &BTreeMap<String, BTreeSet<String>>,
    mask: bool,
) -> Result<Vec<u8>, DerivationError> {
    write(drv, Some(inputs), mask)
}

fn write(
    drv: &DerivationBuilder,
    inputs: Option<&BTreeMap<String, BTreeSet<String>>>,
    mask: bool,
) -> Result<Vec<u8>, DerivationError> {
    let store = drv.store_dir();
    let mut text = Text(Vec::new());
    let dynamic = drv.input_derivations().values().any(InputDerivation::is_dynamic);
    text.raw(if dynamic { b"DrvWithVersion(\"xp-dyn-drv\"," } else { b"Derive(" });
    let mut outputs = Vec::new();
    for (name, output) in drv.outputs() {
        let path = output.path_in(store, drv.name(), name)?.filter(|_| !mask);
        let path = path.map(|path| rendered(store, &path)).unwrap_or_default();
        outputs.push((name, path, kind(output)));
    }
    text.list(outputs, |text, (name, path, (method, hash))| {
        text.fields([name.as_bytes(), path.as_bytes(), method.as_bytes(), hash.as_bytes()]);
    });
    text.raw(b",");
    let names = |text: &mut Text, names: &BTreeSet<String>| {
        text.list(names, |text, name| text.plain(name.as_bytes()));
    };
    if let Some(inputs) = inputs {
        text.list(inputs, |text, (hash, outputs)| {
            text.raw(b"(");
            text.plain(hash.as_bytes());
            text.raw(b",");
            names(text, outputs);
            text.raw(b")");
        });
    } else {
        text.list(drv.input_derivations(), |text, (drv, asked)| {
            text.raw(b"(");
            text.plain(rendered(store, drv).as_bytes());
            text.raw(b",");
            input(text, asked);
            text.raw(b")");
        });
    }
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
    let masked = |name: &String| mask && drv.outputs().contains_key(name);
    let variables = drv.environment_entries().iter().map(|(name, value)| {
        (name.as_str(), if masked(name) { &[][..] } else { value.as_slice() })
    });
    let mut variables: Vec<(&str, &[u8])> = variables.collect();
    if let Some(attrs) = drv.structured_attrs_ref() {
        let own = has_numbers_of_its_own(Some(attrs));
        variables.push(("__json", if own { attrs.raw_json() } else { attrs.canonical_json() }));
        variables.sort_unstable();
    }
    text.list(variables, |text, (name, value)| {
        text.raw(b"(");
        text.quoted(name.as_bytes());
        text.raw(b",");
        text.quoted(value);
        text.raw(b")");
    });
    text.raw(b")");
    Ok(text.0)
}

/// What is asked of an input: at most as deep as `nix-derivation` lets it get.
fn input(text: &mut Text, asked: &InputDerivation) {
    let outputs = |text: &mut Text| {
        text.list(asked.outputs(), |text, name| text.plain(name.as_bytes()));
    };
    if !asked.is_dynamic() {
        return outputs(text);
    }
    text.raw(b"(");
    outputs(text);
    text.raw(b",");
    text.list(asked.dynamic_outputs(), |text, (name, below)| {
        text.raw(b"(");
        text.plain(name.as_bytes());
        text.raw(b",");
        input(text, below);
        text.raw(b")");
    });
    text.raw(b")");
}

/// Method with algorithm, and hash, of an output.
fn kind(output: &Output) -> (String, String) {
    match output {
        Output::InputAddressed { .. } | Output::Deferred => Default::default(),
        Output::Floating { method, hash_algorithm } => {
            (method_of(*method, *hash_algorithm), String::new())
        }
        Output::Impure { method, hash_algorithm } => {
            (method_of(*method, *hash_algorithm), "impure".to_owned())
        }
        Output::Fixed { ca } => fixed(ca),
    }
}

/// Method with algorithm, and hash, of a fixed output.
pub(super) fn fixed(ca: &CAHash) -> (String, String) {
    let method = match ca {
        CAHash::Flat(_) => ContentAddressMethod::Flat,
        CAHash::Nar(_) => ContentAddressMethod::Nar,
        CAHash::Text(_) => ContentAddressMethod::Text,
        CAHash::Git(_) => ContentAddressMethod::Git,
    };
    let hash = ca.hash();
    let mut digits = Text(Vec::new());
    digits.hex(hash.digest_as_bytes());
    let digits = String::from_utf8(digits.0).unwrap_or_default();
    (method_of(method, hash.algorithm()), digits)
}

fn method_of(method: ContentAddressMethod, algorithm: HashAlgorithm) -> String {
    let prefix = match method {
        ContentAddressMethod::Flat => "",
        ContentAddressMethod::Nar => "r:",
        ContentAddressMethod::Text => "text:",
        ContentAddressMethod::Git => "git:",
    };
    format!("{prefix}{}", algorithm.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_they_were() {
        let json = r#"{"a":9.699999999999999e+21,"b":1.5}"#;
        let attrs = StructuredAttrs::from_json_bytes(json.as_bytes().to_vec()).unwrap();
        let made = br#"{"a":9.7e+21,"b":1.5,"c":"9.7e+21"}"#.to_vec();
        let made = String::from_utf8(with_numbers_of(&attrs, made)).unwrap();
        assert_eq!(made, r#"{"a":9.699999999999999e+21,"b":1.5,"c":"9.7e+21"}"#);
    }

    #[test]
    fn numbers_are_told_from_all_else() {
        let own = |json: &str| {
            let attrs = StructuredAttrs::from_json_bytes(json.as_bytes().to_vec()).unwrap();
            has_numbers_of_its_own(Some(&attrs))
        };
        assert!(own(r#"{"a":9.699999999999999e+21}"#));
        assert!(own(r#"{"a":[9.699999999999999e+21,1.5],"b":"9.7e+21 \" 9.7e+21"}"#));
        for usual in [
            r#"{"a":1.5,"b":[1,true,null],"c":"1e-07","d":1e-07}"#,
            r#"{ "a":9.699999999999999e+21}"#,
            r#"{"b":9.699999999999999e+21,"a":1}"#,
            r#"{"a":1.50}"#,
            r#"{"a":"\u0041","b":9.699999999999999e+21}"#,
            r#"{"e":1}"#,
        ] {
            assert!(!own(usual), "{usual}");
        }
    }
}
