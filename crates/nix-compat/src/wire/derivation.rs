use super::{Reader, Result, Writer};
use crate::derivation::parse;
use crate::{Derivation, DerivationError, StorePath, StructuredAttrs};
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
    pub system: Vec<u8>,
    /// The program.
    pub builder: Vec<u8>,
    /// Its arguments.
    pub arguments: Vec<Vec<u8>>,
    /// Its environment.
    pub environment: BTreeMap<Vec<u8>, Vec<u8>>,
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
        let mut made = Derivation::new(name, self.system.clone(), self.builder.clone());
        for (name, output) in &self.outputs {
            let (method, digest) = (output.method.as_bytes(), output.digest.as_bytes());
            let output = parse::output(output.path.clone(), method, digest)?;
            output.path_in(made.store_dir(), made.name(), name)?;
            made.outputs_mut().insert(name.clone(), output);
        }
        *made.input_sources_mut() = self.input_sources.clone();
        *made.arguments_mut() = self.arguments.clone();
        *made.environment_mut() = self.environment.clone();
        let json = made.environment_mut().remove(b"__json".as_slice());
        *made.structured_attrs_mut() = json.map(StructuredAttrs::from_json_bytes).transpose()?;
        Ok(made)
    }
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
            system: self.bytes()?,
            builder: self.bytes()?,
            arguments: self.many(Self::bytes)?,
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
            arguments: vec![b"-c".to_vec(), b"a \"b\"\xe9".to_vec()],
            environment: BTreeMap::from([("odd".into(), odd.clone()), ("out".into(), Vec::new())]),
        };
        assert!(basic.is_input_addressed());
        let made = basic.to_derivation("x").unwrap();
        assert_eq!(made.arguments(), [b"-c".to_vec(), b"a \"b\"\xe9".to_vec()]);
        assert_eq!(made.variable("odd").unwrap(), odd);
        assert_eq!(*made.input_sources(), basic.input_sources);
        assert_eq!(Derivation::from_aterm_bytes(&made.to_aterm_bytes(), "x").unwrap(), made);
        basic.outputs.insert("out".into(), output(None, "r:sha256", ""));
        assert!(!basic.is_input_addressed());
        let made = basic.to_derivation("x").unwrap();
        assert!(matches!(made.outputs()["out"], crate::Output::Floating { .. }));
        basic.outputs.insert("out".into(), output(None, "nonsense", ""));
        assert!(basic.to_derivation("x").is_err());
    }
}
