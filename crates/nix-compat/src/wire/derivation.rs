use super::{Reader, Result, Writer};
use crate::StorePath;
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
