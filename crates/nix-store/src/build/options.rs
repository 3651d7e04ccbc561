//! What a derivation says about how it is to be built: attributes that are variables of the
//! builder, or values of `__json` where its attributes are structured.

use nix_compat::Derivation;
use serde_json::Value;
use std::collections::BTreeSet;

/// A text; from structured attributes only where it is one.
pub(super) fn text(derivation: &Derivation, name: &str) -> Option<String> {
    match derivation.structured_attrs() {
        Some(all) => all.get(name).and_then(Value::as_str).map(str::to_owned),
        None => variable(derivation, name),
    }
}

fn variable(derivation: &Derivation, name: &str) -> Option<String> {
    derivation.variable(name).map(|value| String::from_utf8_lossy(value).into_owned())
}

/// A boolean: `1` as a variable, `true` (or `"1"`) as a value.
pub(super) fn flag(derivation: &Derivation, name: &str) -> bool {
    match derivation.structured_attrs() {
        Some(all) => match all.get(name) {
            Some(Value::Bool(flag)) => *flag,
            Some(Value::String(text)) => text == "1",
            _ => false,
        },
        None => variable(derivation, name).is_some_and(|value| value == "1"),
    }
}

/// Whether its outputs may come from a binary cache: unless `allowSubstitutes` is set and false.
pub(super) fn may_substitute(derivation: &Derivation) -> bool {
    let said = match derivation.structured_attrs() {
        Some(all) => all.get("allowSubstitutes").is_some(),
        None => derivation.variable("allowSubstitutes").is_some(),
    };
    !said || flag(derivation, "allowSubstitutes")
}

/// A list of words: separated by white space as a variable, a list of texts as a value.
pub(super) fn words(derivation: &Derivation, name: &str) -> Option<Vec<String>> {
    match derivation.structured_attrs() {
        Some(all) => all.get(name).and_then(strings),
        None => variable(derivation, name)
            .map(|text| text.split_ascii_whitespace().map(str::to_owned).collect()),
    }
}

fn strings(value: &Value) -> Option<Vec<String>> {
    let list = value.as_array()?;
    Some(list.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect())
}

/// The features it lists in `requiredSystemFeatures`.
pub(super) fn required_features(derivation: &Derivation) -> BTreeSet<String> {
    words(derivation, "requiredSystemFeatures").unwrap_or_default().into_iter().collect()
}

/// What one output may refer to and how large it may be.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct OutputChecks {
    /// Bytes of its archive.
    pub max_size: Option<u64>,
    /// Bytes of the archives of its closure.
    pub max_closure_size: Option<u64>,
    pub allowed_references: Option<Vec<String>>,
    pub allowed_requisites: Option<Vec<String>>,
    pub disallowed_references: Option<Vec<String>>,
    pub disallowed_requisites: Option<Vec<String>>,
    /// A closure holds the output itself; as variables, these checks do not mean it.
    pub ignore_self: bool,
}

/// The checks of an output: for all outputs alike as variables, by output in `outputChecks`.
pub(super) fn output_checks(derivation: &Derivation, output: &str) -> Result<OutputChecks, String> {
    let Some(all) = derivation.structured_attrs() else {
        return Ok(OutputChecks {
            allowed_references: words(derivation, "allowedReferences"),
            allowed_requisites: words(derivation, "allowedRequisites"),
            disallowed_references: words(derivation, "disallowedReferences"),
            disallowed_requisites: words(derivation, "disallowedRequisites"),
            ignore_self: true,
            ..OutputChecks::default()
        });
    };
    let Some(checks) = all.get("outputChecks").and_then(|checks| checks.get(output)) else {
        return Ok(OutputChecks::default());
    };
    let list = |name: &str| match checks.get(name) {
        None => Ok(None),
        Some(value) => match strings(value) {
            Some(list) => Ok(Some(list)),
            None => Err(format!("outputChecks.{output}.{name} is not a list of texts")),
        },
    };
    let size = |name: &str| checks.get(name).and_then(Value::as_u64);
    Ok(OutputChecks {
        max_size: size("maxSize"),
        max_closure_size: size("maxClosureSize"),
        allowed_references: list("allowedReferences")?,
        allowed_requisites: list("allowedRequisites")?,
        disallowed_references: list("disallowedReferences")?,
        disallowed_requisites: list("disallowedRequisites")?,
        ignore_self: false,
    })
}

/// Whether what an output refers to is not to be looked for (`unsafeDiscardReferences`).
pub(super) fn discards_references(derivation: &Derivation, output: &str) -> bool {
    derivation
        .structured_attrs()
        .and_then(|all| all.get("unsafeDiscardReferences"))
        .and_then(|outputs| outputs.get(output))
        .and_then(Value::as_bool)
        .unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix_compat::{Derivation, StructuredAttrs};

    fn plain(pairs: &[(&str, &str)]) -> Derivation {
        let mut builder = Derivation::new("x", "x86_64-linux", "/bin/sh")
            .set("out", "")
            .input_addressed_output("out");
        for (name, value) in pairs {
            builder = builder.set(*name, *value);
        }
        builder.build().unwrap()
    }

    fn structured(json: &str) -> Derivation {
        let attributes = StructuredAttrs::from_json_bytes(json.as_bytes().to_vec()).unwrap();
        Derivation::new("x", "x86_64-linux", "/bin/sh")
            .with_structured_attrs(attributes)
            .input_addressed_output("out")
            .build()
            .unwrap()
    }

    #[test]
    fn variables_and_values_say_the_same() {
        let one = plain(&[("f", "1"), ("w", " a  b\n"), ("t", "x")]);
        let two = structured(r#"{"f":true,"w":["a","b"],"t":"x","outputs":["out"]}"#);
        for derivation in [one, two] {
            assert!(flag(&derivation, "f") && !flag(&derivation, "g"));
            assert_eq!(words(&derivation, "w").unwrap(), ["a", "b"]);
            assert_eq!(text(&derivation, "t").unwrap(), "x");
        }
    }

    #[test]
    fn checks_are_for_all_outputs_or_for_one() {
        let checks = output_checks(&plain(&[("allowedReferences", "")]), "out").unwrap();
        assert_eq!(checks.allowed_references, Some(vec![]));
        assert!(checks.ignore_self);
        let derivation = structured(
            r#"{"outputChecks":{"out":{"maxSize":5,"disallowedRequisites":["a"]},"bad":{"allowedReferences":1}},
                "unsafeDiscardReferences":{"out":true},"outputs":["out"]}"#,
        );
        let checks = output_checks(&derivation, "out").unwrap();
        assert_eq!((checks.max_size, checks.allowed_references), (Some(5), None));
        assert_eq!(checks.disallowed_requisites.unwrap(), ["a"]);
        assert_eq!(output_checks(&derivation, "dev").unwrap(), OutputChecks::default());
        assert!(output_checks(&derivation, "bad").is_err());
        assert!(
            discards_references(&derivation, "out") && !discards_references(&derivation, "dev")
        );
    }
}
