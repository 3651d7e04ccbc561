//! What an image says about how it is run: the part of its manifest that machines use.

use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The `manifest.json` beside an image; `hc-image` writes it, and more in it than is read here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Manifest {
    /// The version of its form.
    pub schema: u32,
    /// How it is run.
    #[serde(default)]
    pub config: Config,
}

/// How an image is run where the machine does not say otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Config {
    /// Program and arguments.
    pub command: Vec<String>,
    /// Its environment.
    pub env: BTreeMap<String, String>,
    /// The user that runs it.
    pub user: Option<String>,
    /// The directory it starts in.
    pub workdir: Option<PathBuf>,
    /// The signal that asks it to stop, without `SIG`.
    pub stop_signal: Option<String>,
}

impl Manifest {
    /// Reads a manifest.
    ///
    /// # Errors
    /// When it is none, or of another schema; a sentence.
    pub fn from_json(text: &[u8]) -> Result<Self, String> {
        let manifest: Self = serde_json::from_slice(text).map_err(|e| e.to_string())?;
        match manifest.schema {
            1 => Ok(manifest),
            other => Err(format!("it has schema {other}, this hc reads 1")),
        }
    }
}
