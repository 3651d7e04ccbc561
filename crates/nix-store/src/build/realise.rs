//! Making the outputs of one derivation, whose inputs are valid.

use super::BuildObserver;
use super::fetch::Downloader;
use super::outputs::{check_cycle, check_fixed};
use super::platform::{check_platform, required_features};
use super::sandbox::{self, Job};
use super::users::BuildUsers;
use crate::canonical::canonicalise;
use crate::db::Registration;
use crate::error::{Error, Result, archive};
use crate::info::PathInfo;
use crate::lock::{OwnedLock, path_lock};
use crate::scratch::Scratch;
use crate::store::Store;
use nix_compat::{Derivation, NixHash, StorePath, nar};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// Whether the builder is part of this program.
pub(super) fn is_builtin(derivation: &Derivation) -> bool {
    derivation.builder().starts_with("builtin:")
}

/// The output paths; every output has one before it is built.
pub(super) fn output_paths(
    path: &StorePath,
    derivation: &Derivation,
) -> Result<BTreeMap<String, StorePath>> {
    let wrong = |reason: String| Error::Derivation { path: path.clone(), reason };
    let outputs = derivation.resolved_outputs().map_err(|e| wrong(e.to_string()))?;
    outputs
        .into_iter()
        .map(|(name, output)| match output.path {
            Some(output) => Ok((name, output)),
            None => Err(Error::Unsupported {
                drv: path.clone(),
                what: "floating content-addressed and impure outputs are not implemented".into(),
            }),
        })
        .collect()
}

/// One derivation to build, and who wants to know.
pub(super) struct Realiser<'a> {
    pub store: &'a Store,
    pub downloader: &'a Downloader,
    pub observer: &'a dyn BuildObserver,
    pub cancelled: &'a dyn Fn() -> bool,
}

impl Realiser<'_> {
    pub fn run(&self, path: &StorePath, derivation: &Derivation) -> Result<()> {
        let store = self.store;
        let outputs = output_paths(path, derivation)?;
        for kept in outputs.values().chain([path]) {
            store.add_temp_root(kept)?;
        }
        // In one order everywhere, so that nobody waits in a circle.
        let sorted: BTreeSet<&StorePath> = outputs.values().collect();
        let mut locks = Vec::new();
        for output in sorted {
            locks.push(OwnedLock::take(&path_lock(&store.physical(output)), self.cancelled)?);
        }
        let mut missing = BTreeMap::new();
        for (name, output) in &outputs {
            if !store.is_valid(output)? {
                missing.insert(name.clone(), output.clone());
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        let scratch = self.scratch(path)?;
        let (inputs, owners) = if is_builtin(derivation) {
            self.download(path, derivation, &outputs, &scratch.path)?;
            (BTreeSet::new(), None)
        } else {
            self.build(path, derivation, &scratch.path)?
        };
        self.register(path, derivation, &outputs, &missing, &inputs, owners, &scratch.path)
    }

    /// The name that C++ Nix gives its own: it shares the hash of the derivation, which is kept.
    fn scratch(&self, path: &StorePath) -> Result<Scratch> {
        let name = format!("{}.chroot", path.to_basename());
        loop {
            if let Some(scratch) = Scratch::try_named(self.store.layout(), &name)? {
                return Ok(scratch);
            }
            if (self.cancelled)() {
                return Err(Error::Cancelled);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn download(
        &self,
        path: &StorePath,
        derivation: &Derivation,
        outputs: &BTreeMap<String, StorePath>,
        scratch: &Path,
    ) -> Result<()> {
        let unsupported = |what: &str| Error::Unsupported { drv: path.clone(), what: what.into() };
        if derivation.builder() != "builtin:fetchurl" {
            let what = format!("the builder {} is not implemented", derivation.builder());
            return Err(unsupported(&what));
        }
        let Some(output) = outputs.get("out").filter(|_| is_fixed(derivation)) else {
            return Err(unsupported("a download needs a fixed output hash"));
        };
        let directory = sandbox::outputs_directory(scratch);
        hc_fs::plain::create_dir_all(&directory, 0o700)?;
        let to = directory.join(output.to_basename());
        let config = self.store.config();
        self.downloader.run(config, path, derivation, &to, self.observer, self.cancelled)
    }

    fn build(
        &self,
        path: &StorePath,
        derivation: &Derivation,
        scratch: &Path,
    ) -> Result<(BTreeSet<StorePath>, Option<Range<u32>>)> {
        let store = self.store;
        let features = required_features(derivation);
        check_platform(path, derivation, &features)?;
        let mut direct = derivation.input_sources().clone();
        for (input, wanted) in derivation.input_derivations() {
            let made = output_paths(input, &store.derivation(input)?)?;
            for name in wanted.outputs() {
                let output = made.get(name).cloned();
                direct.insert(output.ok_or_else(|| Error::NoSuchOutput {
                    output: nix_compat::DrvOutput::new(input.clone(), name),
                })?);
            }
        }
        for input in &direct {
            if !store.is_valid(input)? {
                return Err(Error::NotValid { path: input.clone() });
            }
        }
        let inputs = store.closure(&direct)?;
        let range = features.contains("uid-range");
        let users = BuildUsers::take(store.layout(), path, range, self.cancelled)?;
        let job = Job {
            layout: store.layout(),
            path,
            derivation,
            inputs: &inputs,
            scratch,
            users: &users,
            features: &features,
            cores: store.config().cores,
            limit: store.config().build_timeout,
        };
        sandbox::run(&job, self.observer, self.cancelled)?;
        Ok((inputs, Some(users.host.clone())))
    }

    /// Makes canonical, checks, moves into place and registers what was made.
    #[allow(clippy::too_many_arguments)] // They are what a build consists of.
    fn register(
        &self,
        path: &StorePath,
        derivation: &Derivation,
        outputs: &BTreeMap<String, StorePath>,
        missing: &BTreeMap<String, StorePath>,
        inputs: &BTreeSet<StorePath>,
        owners: Option<Range<u32>>,
        scratch: &Path,
    ) -> Result<()> {
        let store = self.store;
        let made = sandbox::outputs_directory(scratch);
        let candidates: BTreeSet<StorePath> =
            inputs.iter().chain(outputs.values()).cloned().collect();
        let mut infos = Vec::new();
        for (name, output) in missing {
            let refuse = |reason: String| Error::Output {
                drv: path.clone(),
                output: output.clone(),
                reason,
            };
            let at = made.join(output.to_basename());
            if at.symlink_metadata().is_err() {
                return Err(refuse(format!("the builder did not make it (output {name:?})")));
            }
            let ca = derivation.outputs().get(name).and_then(|o| o.fixed_content_address());
            // The hash comes first: flushing gigabytes that are wrong helps nobody.
            if let Some(ca) = ca {
                check_fixed(path, ca, &at, &refuse)?;
            }
            canonicalise(&at, owners.as_ref())?;
            let (hash, references) = nar::scan(&at, &candidates).map_err(archive(&at))?;
            if let (Some(_), Some(reference)) = (ca, references.first()) {
                return Err(refuse(format!("a fixed output must not refer to {reference}")));
            }
            infos.push(PathInfo {
                path: output.clone(),
                nar_hash: NixHash::Sha256(hash.sha256),
                nar_size: hash.size,
                references,
                deriver: Some(path.clone()),
                registered: SystemTime::now(),
                ultimate: true,
                signatures: Vec::new(),
                ca: ca.cloned(),
            });
        }
        check_cycle(path, &infos)?;
        for info in &infos {
            store.install(&made.join(info.path.to_basename()), &info.path)?;
        }
        let rows: Vec<_> =
            infos.iter().map(|info| Registration { info, derivation: None }).collect();
        store.database().register(&rows)
    }
}

fn is_fixed(derivation: &Derivation) -> bool {
    derivation.is_fixed_output().unwrap_or(false)
}
