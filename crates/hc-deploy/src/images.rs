//! Building images of a cloud, and nothing else of it.

use crate::assemble::{Machine, Prepared};
use crate::{Error, Result};
use hc_spec::{MachineSpec, Name};
use nix_compat::{DrvOutput, StoreDir, StorePath};
use nix_lang::ContextElem;
use nix_store::{BuildObserver, HostStore};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

impl Prepared<'_> {
    /// Builds or downloads what the machines `only` run from, of all where none is named, and gives
    /// the store path of each one's image.
    ///
    /// # Errors
    /// When there is no such machine, or a build fails.
    pub fn build_images(
        &self,
        store: &HostStore,
        only: &[Name],
        observer: &dyn BuildObserver,
    ) -> Result<BTreeMap<Name, PathBuf>> {
        let mut images = BTreeMap::new();
        let mut wanted = BTreeSet::new();
        let names =
            if only.is_empty() { self.machines.keys().collect() } else { Vec::from_iter(only) };
        for name in names {
            let machine = self.machines.get(name).ok_or_else(|| {
                let names: Vec<&str> = self.machines.keys().map(Name::as_str).collect();
                Error::Shape(format!(
                    "there is no machine '{name}'; there are: {}",
                    names.join(", ")
                ))
            })?;
            let (image, others) = runs_from(machine)?;
            for path in image.iter().chain(&others) {
                if !store.is_valid(path)? {
                    wanted.extend(self.maker(store, machine, path)?);
                }
            }
            // A disk that begins empty is made when the machine starts.
            if let Some(image) = image {
                images.insert(name.clone(), StoreDir::default().render_path(&image).into());
            }
        }
        let wanted: Vec<DrvOutput> = wanted.into_iter().collect();
        store.build(&wanted, observer)?;
        Ok(images)
    }

    /// What gives an image of a machine once it is built; nothing where adding it is enough.
    fn maker(
        &self,
        store: &HostStore,
        machine: &Machine,
        image: &StorePath,
    ) -> Result<BTreeSet<DrvOutput>> {
        if let Some(far) = &self.far {
            far.write(store, &machine.context.iter().collect())?;
        }
        for element in &machine.context {
            let makes = match element {
                ContextElem::Built { drv, output } => {
                    let derivation = match self.io.derivation(drv) {
                        Some(derivation) => derivation,
                        None => store.derivation(drv)?,
                    };
                    let outputs = derivation.resolved_outputs().map_err(|e| {
                        Error::Shape(format!("derivation {}: {e}", drv.to_basename()))
                    })?;
                    outputs.get(output).is_some_and(|found| found.path.as_ref() == Some(image))
                }
                other => other.path() == image,
            };
            if makes {
                return self.io.add_all(store, [element]);
            }
        }
        Err(Error::Missing { path: image.clone() })
    }
}

/// The store path of a machine's image, where it has one, and those of what a virtual machine is
/// started with.
fn runs_from(machine: &Machine) -> Result<(Option<StorePath>, Vec<StorePath>)> {
    let spec = MachineSpec::from_json(machine.text.as_bytes())?;
    let find = |file: &Path| {
        store_path(file).ok_or_else(|| {
            let (shown, name) = (file.display(), &spec.name);
            Error::Shape(format!("machine '{name}': its image {shown} is not in the store"))
        })
    };
    let vm = spec.vm.iter().flat_map(|vm| [&vm.kernel, &vm.initrd]);
    let media = spec.q35.iter().flat_map(|q35| &q35.media);
    let others = vm.chain(media).map(|file| find(file)).collect::<Result<_>>()?;
    Ok((spec.image.file().map(find).transpose()?, others))
}

fn store_path(path: &Path) -> Option<StorePath> {
    Some(nix_compat::path::split(path.to_str()?.as_bytes()).ok()?.0)
}
