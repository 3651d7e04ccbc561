//! What a machine is: its closure, and what the image it names says besides.

use crate::config::physical;
use crate::error::RunError;
use hc_spec::MachineSpec;
use hc_spec::image::Manifest;
use std::path::{Path, PathBuf};

/// A machine's closure, filled in from its image.
pub(crate) struct Description {
    pub spec: MachineSpec,
    /// Store paths that it sees beside its image.
    pub store: Vec<PathBuf>,
}

impl Description {
    /// Reads a closure, and the manifest it names in the store at `store_root`.
    pub fn read(closure: &Path, store_root: Option<&Path>) -> Result<Self, RunError> {
        let text = std::fs::read(closure)
            .map_err(|source| RunError::Closure { path: closure.into(), source })?;
        let refused = |source| RunError::Spec { path: closure.into(), source };
        let mut spec = MachineSpec::from_json(&text).map_err(refused)?;
        let mut store = Vec::new();
        if let Some(manifest) = &spec.image.manifest {
            let manifest = read_manifest(&physical(store_root, manifest))?;
            spec.adopt(&manifest).map_err(refused)?;
            store = manifest.store;
        }
        Ok(Self { spec, store })
    }
}

fn read_manifest(path: &Path) -> Result<Manifest, RunError> {
    let wrong = |problem| RunError::Manifest { path: path.into(), problem };
    let text = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
    Manifest::from_json(&text).map_err(wrong)
}
