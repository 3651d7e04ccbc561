//! What an image says about how it is run: the part of its manifest that machines use.

use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The `manifest.json` beside an image; `hc-image` writes it, and more in it than is read here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Manifest {
    /// The version of its form.
    pub schema: u32,
    /// How it is run.
    #[serde(default)]
    pub config: Config,
    /// Store paths that a machine sees beside the image.
    #[serde(default)]
    pub store: Vec<PathBuf>,
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
    /// Whether the program has to be process 1.
    pub init: bool,
}

impl Manifest {
    /// Reads a manifest.
    ///
    /// # Errors
    /// When it is none, or of another schema; a sentence.
    pub fn from_json(text: &[u8]) -> Result<Self, String> {
        let manifest: Self = serde_json::from_slice(text).map_err(|e| e.to_string())?;
        if manifest.schema != 1 {
            return Err(format!("it has schema {}, this hc reads 1", manifest.schema));
        }
        if let Some(path) = manifest.store.iter().find(|path| !is_store_path(path)) {
            return Err(format!("it names {}, which is no store path", path.display()));
        }
        Ok(manifest)
    }
}

/// Whether it is something right below `/nix/store`.
fn is_store_path(path: &Path) -> bool {
    let below = path.to_str().and_then(|path| path.strip_prefix("/nix/store/"));
    below.is_some_and(|name| !name.is_empty() && !name.starts_with('.') && !name.contains('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_machine_sees_of_the_store_is_store_paths() {
        let read = |path: &str| {
            let text = serde_json::json!({"schema": 1, "store": [path]});
            Manifest::from_json(text.to_string().as_bytes())
        };
        read("/nix/store/abc-x").unwrap();
        for path in ["/nix/store", "/nix/store/", "/nix/store/..", "/nix/store/a/b", "/etc", "x"] {
            assert!(read(path).unwrap_err().contains("no store path"), "{path}");
        }
    }
}
