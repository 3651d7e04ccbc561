//! The text of a derivation, as its file has it and as it is hashed.

use super::text::{Text, rendered};
use crate::{
    CAHash, ContentAddressMethod, Derivation, HashAlgorithm, InputDerivation, Output,
    StructuredAttrs,
};
use std::collections::{BTreeMap, BTreeSet};

/// Whether the attributes are as C++ Nix writes them, but with digits of numbers that `nix-derivation`
/// would write otherwise: `1e-07`, where it has `1e-7`.
fn has_numbers_of_its_own(attrs: &StructuredAttrs) -> bool {
    let (raw, other) = (attrs.raw_json(), attrs.canonical_json());
    raw != other
        && words(raw).count() == words(other).count()
        && words(raw).zip(words(other)).all(|(own, other)| own == other || is_same(own, other))
}

/// What is made of structured attributes, with numbers written as they are there: `json` has them as
/// `nix-derivation` writes them.
pub(super) fn with_numbers_of(attrs: &StructuredAttrs, json: Vec<u8>) -> Vec<u8> {
    if !has_numbers_of_its_own(attrs) {
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

/// The text; where there are other names for its inputs, with these, and with `mask` without the paths
/// of its outputs: what is hashed.
pub(super) fn write(
    drv: &Derivation,
    inputs: Option<&BTreeMap<String, BTreeSet<String>>>,
    mask: bool,
) -> Vec<u8> {
    let store = &drv.store_dir;
    let mut text = Text(Vec::new());
    let dynamic = drv.input_derivations.values().any(InputDerivation::is_dynamic);
    text.raw(if dynamic { b"DrvWithVersion(\"xp-dyn-drv\"," } else { b"Derive(" });
    text.list(&drv.outputs, |text, (name, output)| {
        // A name that no path can have is refused where a derivation is read or finished.
        let path = output.path_in(store, &drv.name, name).ok().flatten().filter(|_| !mask);
        let path = path.map(|path| rendered(store, &path)).unwrap_or_default();
        let (method, hash) = kind(output);
        text.fields([name.as_bytes(), path.as_bytes(), method.as_bytes(), hash.as_bytes()]);
    });
    text.raw(b",");
    if let Some(inputs) = inputs {
        text.list(inputs, |text, (hash, outputs)| {
            text.raw(b"(");
            text.plain(hash.as_bytes());
            text.raw(b",");
            text.list(outputs, |text, name| text.plain(name.as_bytes()));
            text.raw(b")");
        });
    } else {
        text.list(&drv.input_derivations, |text, (drv, asked)| {
            text.raw(b"(");
            text.plain(rendered(store, drv).as_bytes());
            text.raw(b",");
            input(text, asked);
            text.raw(b")");
        });
    }
    rest(&mut text, drv, |text, name, value| {
        let is_output = str::from_utf8(name).is_ok_and(|name| drv.outputs.contains_key(name));
        text.quoted(if mask && is_output { b"" } else { value });
    });
    text.0
}

/// What follows on the inputs that are built; `value` writes that of a variable.
pub(super) fn rest(
    text: &mut Text,
    drv: &Derivation,
    mut value: impl FnMut(&mut Text, &[u8], &[u8]),
) {
    text.raw(b",");
    text.list(&drv.input_sources, |text, source| {
        text.plain(rendered(&drv.store_dir, source).as_bytes());
    });
    text.raw(b",");
    text.plain(&drv.system);
    text.raw(b",");
    text.quoted(&drv.builder);
    text.raw(b",");
    text.list(&drv.arguments, |text, argument| text.quoted(argument));
    text.raw(b",");
    let json = drv.structured_attrs.as_ref().map(|attrs| {
        let own = has_numbers_of_its_own(attrs);
        let json = if own { attrs.raw_json() } else { attrs.canonical_json() };
        (b"__json".as_slice(), json)
    });
    let variables = drv.environment.iter().map(|(name, value)| (name.as_slice(), value.as_slice()));
    let before = variables.clone().take_while(|(name, _)| *name < b"__json".as_slice());
    let after = variables.skip_while(|(name, _)| *name < b"__json".as_slice());
    text.list(before.chain(json).chain(after), |text, (name, of_variable)| {
        text.raw(b"(");
        text.quoted(name);
        text.raw(b",");
        value(text, name, of_variable);
        text.raw(b")");
    });
    text.raw(b")");
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
            has_numbers_of_its_own(&attrs)
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
