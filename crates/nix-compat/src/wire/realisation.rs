use super::{Reader, Result, Writer, malformed};
use crate::StorePath;
use crate::hash::{HashAlgorithm, NixHash};
use serde_json::{Value, json};
use std::io::{Read, Write};

/// An output of a derivation, as protocols up to 1.38 name it: by the hash of the derivation modulo
/// its fixed outputs (`sha256:<hex>!out`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RealisationId {
    /// The derivation's hash modulo.
    pub drv_hash: NixHash,
    /// The output's name.
    pub output: String,
}

impl RealisationId {
    /// Reads `sha256:<hex>!<output>`.
    ///
    /// # Errors
    /// When it is not written like this.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = || malformed(format!("{text:?} names no output of a derivation"));
        let (hash, output) = text.split_once('!').ok_or_else(wrong)?;
        let drv_hash = NixHash::parse(hash).map_err(|_| wrong())?;
        if drv_hash.algorithm() != HashAlgorithm::Sha256 || output.is_empty() {
            return Err(wrong());
        }
        Ok(Self { drv_hash, output: output.into() })
    }
}

impl std::fmt::Display for RealisationId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}!{}", self.drv_hash.to_nix_base16_string(), self.output)
    }
}

/// Where an output of a derivation is: JSON in protocols up to 1.38.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Realisation {
    /// Which output.
    pub id: RealisationId,
    /// Its path.
    pub path: StorePath,
    /// `name:base64` signatures.
    pub signatures: Vec<String>,
}

impl Realisation {
    /// Reads the JSON object.
    ///
    /// # Errors
    /// When a field is missing or wrong.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = |what: &str| malformed(format!("{what} of a realisation is missing or wrong"));
        let value: Value = serde_json::from_str(text).map_err(|_| wrong("the JSON"))?;
        let id = value["id"].as_str().ok_or_else(|| wrong("the id"))?;
        let path = value["outPath"].as_str().ok_or_else(|| wrong("the path"))?;
        // A basename, or in some versions the whole path.
        let path = StorePath::from_basename(path.as_bytes())
            .or_else(|_| StorePath::from_absolute_path(path.as_bytes()))
            .map_err(|_| wrong("the path"))?;
        let signatures = match &value["signatures"] {
            Value::Array(all) => all
                .iter()
                .map(|s| s.as_str().map(str::to_owned).ok_or_else(|| wrong("a signature")))
                .collect::<Result<_>>()?,
            _ => Vec::new(),
        };
        Ok(Self { id: RealisationId::parse(id)?, path, signatures })
    }

    /// The JSON object.
    #[must_use]
    pub fn to_json(&self) -> String {
        json!({
            "dependentRealisations": {},
            "id": self.id.to_string(),
            "outPath": self.path.to_basename(),
            "signatures": self.signatures,
        })
        .to_string()
    }
}

impl<R: Read> Reader<R> {
    /// A realisation.
    ///
    /// # Errors
    /// When it makes no sense, or the connection ends.
    pub fn realisation(&mut self) -> Result<Realisation> {
        Realisation::parse(&self.string()?)
    }
}

impl<W: Write> Writer<W> {
    /// A realisation.
    ///
    /// # Errors
    /// When the connection broke.
    pub fn realisation(&mut self, realisation: &Realisation) -> Result<()> {
        self.bytes(realisation.to_json())
    }
}
