use super::{Reader, Result, Writer};
use crate::{Derivation, DerivationError, StorePath};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};

/// An output as a derivation writes it: three strings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BasicOutput {
    /// The path, where it is known.
    pub path: Option<StorePath>,
    /// The method and algorithm (`r:sha256`) of a content address; empty without one.
    pub method: String,
    /// The digest in hexadecimal, where it is fixed.
    pub digest: String,
}

/// A derivation whose inputs are there already: what a builder elsewhere is asked to build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BasicDerivation {
    /// The outputs by name.
    pub outputs: BTreeMap<String, BasicOutput>,
    /// Everything the builder may read.
    pub input_sources: BTreeSet<StorePath>,
    /// The system it builds on.
    pub system: String,
    /// The program.
    pub builder: String,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Its environment.
    pub environment: BTreeMap<String, Vec<u8>>,
}

impl BasicDerivation {
    /// Whether the path of an output follows from the inputs, and so has to be believed: it cannot be
    /// computed from this alone.
    #[must_use]
    pub fn is_input_addressed(&self) -> bool {
        self.outputs.values().any(|output| output.method.is_empty())
    }

    /// As a derivation without input derivations; `name` is without `.drv`.
    ///
    /// # Errors
    /// When it makes no sense.
    pub fn to_derivation(&self, name: &str) -> std::result::Result<Derivation, DerivationError> {
        Derivation::from_aterm_bytes(&self.to_aterm(), name)
    }

    fn to_aterm(&self) -> Vec<u8> {
        let mut text = b"Derive(".to_vec();
        list(&mut text, &self.outputs, |text, (name, output)| {
            let path = output.path.as_ref().map(ToString::to_string).unwrap_or_default();
            tuple(text, [name, &path, &output.method, &output.digest].map(|s| s.as_bytes()));
        });
        text.extend(b",[],");
        let sources: Vec<String> = self.input_sources.iter().map(ToString::to_string).collect();
        list(&mut text, &sources, |text, source| quoted(text, source.as_bytes()));
        for word in [&self.system, &self.builder] {
            text.push(b',');
            quoted(&mut text, word.as_bytes());
        }
        text.push(b',');
        list(&mut text, &self.arguments, |text, word| quoted(text, word.as_bytes()));
        text.push(b',');
        list(&mut text, &self.environment, |text, (name, value)| {
            tuple(text, [name.as_bytes(), value]);
        });
        text.push(b')');
        text
    }
}

fn list<T>(text: &mut Vec<u8>, all: impl IntoIterator<Item = T>, one: impl Fn(&mut Vec<u8>, T)) {
    text.push(b'[');
    for (number, item) in all.into_iter().enumerate() {
        if number > 0 {
            text.push(b',');
        }
        one(text, item);
    }
    text.push(b']');
}

fn tuple<const N: usize>(text: &mut Vec<u8>, words: [&[u8]; N]) {
    text.push(b'(');
    for (number, word) in words.into_iter().enumerate() {
        if number > 0 {
            text.push(b',');
        }
        quoted(text, word);
    }
    text.push(b')');
}

fn quoted(text: &mut Vec<u8>, word: &[u8]) {
    text.push(b'"');
    for &byte in word {
        match byte {
            b'"' | b'\\' => text.extend([b'\\', byte]),
            b'\n' => text.extend(b"\\n"),
            b'\r' => text.extend(b"\\r"),
            b'\t' => text.extend(b"\\t"),
            _ => text.push(byte),
        }
    }
    text.push(b'"');
}

impl<R: Read> Reader<R> {
    /// A derivation whose inputs are there.
    ///
    /// # Errors
    /// When it makes no sense, or the connection ends.
    pub fn basic_derivation(&mut self) -> Result<BasicDerivation> {
        let outputs = self.many(|r| {
            let name = r.string()?;
            let output =
                BasicOutput { path: r.optional_path()?, method: r.string()?, digest: r.string()? };
            Ok((name, output))
        })?;
        Ok(BasicDerivation {
            outputs: outputs.into_iter().collect(),
            input_sources: self.paths()?,
            system: self.string()?,
            builder: self.string()?,
            arguments: self.strings()?,
            environment: self.map()?,
        })
    }
}

impl<W: Write> Writer<W> {
    /// A derivation whose inputs are there.
    ///
    /// # Errors
    /// When the connection broke.
    pub fn basic_derivation(&mut self, derivation: &BasicDerivation) -> Result<()> {
        self.many(&derivation.outputs, |w, (name, output)| {
            w.bytes(name)?;
            w.optional_path(output.path.as_ref())?;
            w.bytes(&output.method)?;
            w.bytes(&output.digest)
        })?;
        self.paths(&derivation.input_sources)?;
        self.bytes(&derivation.system)?;
        self.bytes(&derivation.builder)?;
        self.strings(&derivation.arguments)?;
        self.map(&derivation.environment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_derivation_that_it_says() {
        let path = |name: &str| -> StorePath {
            format!("/nix/store/miacmq2d49l5qm1xgkpr982m3rd9ax08-{name}").parse().unwrap()
        };
        let output = |path: Option<StorePath>, method: &str, digest: &str| BasicOutput {
            path,
            method: method.into(),
            digest: digest.into(),
        };
        let odd = b"a\"b\\c\nd\re\tf\xff".to_vec();
        let mut basic = BasicDerivation {
            outputs: BTreeMap::from([("out".into(), output(Some(path("x")), "", ""))]),
            input_sources: BTreeSet::from([path("a"), path("b")]),
            system: "x86_64-linux".into(),
            builder: "/bin/sh".into(),
            arguments: vec!["-c".into(), "a \"b\"".into()],
            environment: BTreeMap::from([("odd".into(), odd.clone()), ("out".into(), Vec::new())]),
        };
        assert!(basic.is_input_addressed());
        let made = basic.to_derivation("x").unwrap();
        assert_eq!(made.to_aterm_bytes(), basic.to_aterm());
        assert_eq!(made.arguments(), ["-c", "a \"b\""]);
        assert_eq!(made.environment()["odd"], odd);
        assert_eq!(*made.input_sources(), basic.input_sources);
        basic.outputs.insert("out".into(), output(None, "r:sha256", ""));
        assert!(!basic.is_input_addressed());
        assert_eq!(basic.to_derivation("x").unwrap().to_aterm_bytes(), basic.to_aterm());
        basic.outputs.insert("out".into(), output(None, "nonsense", ""));
        assert!(basic.to_derivation("x").is_err());
    }
}
