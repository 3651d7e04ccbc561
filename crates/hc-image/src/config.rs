//! What an image says about how it is run, and the manifest that lies beside it.

use crate::error::{Context, Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// The name of the manifest in an image's directory.
pub const MANIFEST: &str = "manifest.json";
/// The version of the manifest's form.
pub const SCHEMA: u32 = 1;

/// How an image is run where nobody says otherwise: the part of an OCI configuration that a machine
/// has a use for (image-spec, config.md).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Config {
    /// Program and arguments: an OCI image's entry point and command.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// Its environment.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// The user that runs it: a name or number, with `:` and a group after it or not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The directory it starts in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workdir: Option<String>,
    /// The signal that asks it to stop, without `SIG`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_signal: Option<String>,
    /// Whether the program is an init system, and has to be process 1.
    #[serde(skip_serializing_if = "is_false")]
    pub init: bool,
    /// The ports it listens on, such as `80/tcp`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exposed_ports: Vec<String>,
    /// Directories it keeps its data in.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<String>,
    /// What its maker notes about it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // as serde calls it
fn is_false(value: &bool) -> bool {
    !value
}

/// One layer of an OCI image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Layer {
    /// The digest of its uncompressed tar file.
    pub diff_id: String,
    /// The size of that.
    pub size: u64,
}

/// What an image was made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Origin {
    /// A tar file.
    Tar,
    /// A NixOS system.
    Nixos {
        /// The store path of `system.build.toplevel`.
        toplevel: String,
    },
    /// An OCI layout or archive, or what `docker save` writes.
    Oci {
        /// The digest of its manifest; `docker save` has none.
        #[serde(skip_serializing_if = "Option::is_none")]
        manifest: Option<String>,
        /// The platform, such as `linux/amd64`.
        platform: String,
        /// From the lowest up.
        layers: Vec<Layer>,
    },
}

/// What lies beside an image as `manifest.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`SCHEMA`].
    pub schema: u32,
    /// What it was made from.
    pub origin: Origin,
    /// How it is run.
    pub config: Config,
    /// Store paths that a machine sees below `/nix/store` beside the image.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub store: Vec<String>,
}

impl Manifest {
    /// Writes it into the image's directory.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn write(&self, out: &Path) -> Result<()> {
        let mut json =
            serde_json::to_vec_pretty(self).map_err(std::io::Error::from).on("write", out)?;
        json.push(b'\n');
        Ok(hc_fs::plain::write(&out.join(MANIFEST), &json, 0o644)?)
    }
}

impl Config {
    /// Checks what would only be noticed when a machine starts.
    ///
    /// # Errors
    /// A sentence.
    pub fn check(&self) -> Result<(), String> {
        let texts = self.command.iter().chain(self.env.keys()).chain(self.env.values());
        if texts.chain(&self.user).chain(&self.workdir).any(|text| text.contains('\0')) {
            return Err("it holds a NUL byte".into());
        }
        if let Some(key) = self.env.keys().find(|key| key.is_empty() || key.contains('=')) {
            return Err(format!("`{key}` cannot name a variable"));
        }
        if let Some(dir) = self.workdir.as_ref().filter(|dir| !dir.starts_with('/')) {
            return Err(format!("its working directory `{dir}` is not absolute"));
        }
        Ok(())
    }

    /// From a derivation's attribute: JSON.
    pub(crate) fn from_json(text: &str) -> Result<Self> {
        let wrong = |why: String| Error::Attribute { name: "config".into(), why };
        let config: Self = serde_json::from_str(text)
            .map_err(|e| wrong(format!("is not what is expected: {e}")))?;
        config.check().map_err(|why| wrong(format!("cannot be used: {why}")))?;
        Ok(config)
    }
}
