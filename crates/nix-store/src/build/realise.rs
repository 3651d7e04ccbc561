//! Making the outputs of one derivation, whose inputs are valid.

use super::fetch::Downloader;
use super::sandbox::{self, Job};
use super::users::BuildUsers;
use super::BuildObserver;
use crate::add::hash_file;
use crate::canonical::canonicalise;
use crate::db::Registration;
use crate::error::{Error, Result, archive};
use crate::info::PathInfo;
use crate::lock::{OwnedLock, path_lock};
use crate::scratch::Scratch;
use crate::store::Store;
use nix_compat::{
    CAHash, ContentAddressMethod, Derivation, NixHash, StorePath, nar,
};
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

fn check_fixed(
    drv: &StorePath,
    ca: &CAHash,
    at: &Path,
    refuse: &dyn Fn(String) -> Error,
) -> Result<()> {
    let wanted = ca.hash();
    let got = match ca.method() {
        ContentAddressMethod::Flat | ContentAddressMethod::Text => {
            let metadata = at.symlink_metadata().map_err(|e| refuse(e.to_string()))?;
            let mode = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions());
            if !metadata.is_file() || mode & 0o100 != 0 {
                let what = "a flat output hash is for a regular file that is not executable";
                return Err(refuse(what.into()));
            }
            hash_file(at, wanted.algorithm())?
        }
        ContentAddressMethod::Nar => hash_archive(at, wanted.algorithm())?,
        ContentAddressMethod::Git => return Err(refuse("git hashes are not implemented".into())),
    };
    if got == wanted {
        return Ok(());
    }
    Err(Error::HashMismatch {
        drv: drv.clone(),
        specified: wanted.to_sri_string(),
        got: got.to_sri_string(),
    })
}

fn hash_archive(at: &Path, algorithm: nix_compat::HashAlgorithm) -> Result<NixHash> {
    struct Sink(nix_compat::NixHasher);
    impl std::io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.update(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut sink = Sink(nix_compat::NixHasher::new(algorithm));
    nar::dump(at, &mut sink).map_err(archive(at))?;
    Ok(sink.0.finalize())
}

/// Outputs that refer to each other in a circle could never be deleted one by one.
fn check_cycle(drv: &StorePath, infos: &[PathInfo]) -> Result<()> {
    let by_path: BTreeMap<&StorePath, &PathInfo> = infos.iter().map(|i| (&i.path, i)).collect();
    for info in infos {
        let mut seen = BTreeSet::new();
        let mut open: Vec<&StorePath> = info.references.iter().filter(|r| **r != info.path).collect();
        while let Some(next) = open.pop() {
            if *next == info.path {
                return Err(Error::Output {
                    drv: drv.clone(),
                    output: info.path.clone(),
                    reason: "it is in a cycle of outputs that refer to each other".into(),
                });
            }
            if let Some(other) = by_path.get(next).filter(|_| seen.insert(next)) {
                open.extend(&other.references);
            }
        }
    }
    Ok(())
}

fn required_features(derivation: &Derivation) -> BTreeSet<String> {
    let mut features = BTreeSet::new();
    if let Some(attributes) = derivation.structured_attrs() {
        let listed = attributes.get("requiredSystemFeatures").and_then(|v| v.as_array());
        let names = listed.into_iter().flatten().filter_map(|v| v.as_str());
        features.extend(names.map(str::to_owned));
    } else if let Some(value) = derivation.environment().get("requiredSystemFeatures") {
        let text = String::from_utf8_lossy(value);
        features.extend(text.split_ascii_whitespace().map(str::to_owned));
    }
    features
}

fn check_platform(
    drv: &StorePath,
    derivation: &Derivation,
    features: &BTreeSet<String>,
) -> Result<()> {
    let ours = format!("{}-linux", std::env::consts::ARCH);
    let refuse = |what: String| Err(Error::Unsupported { drv: drv.clone(), what });
    if derivation.system() != ours {
        return refuse(format!("it is for {}, this is {ours}", derivation.system()));
    }
    for feature in features {
        let there = match feature.as_str() {
            "uid-range" | "nixos-test" | "benchmark" | "big-parallel" => true,
            "kvm" => Path::new("/dev/kvm").exists(),
            _ => false,
        };
        if !there {
            return refuse(format!("it needs the system feature {feature}, which is not here"));
        }
    }
    if derivation.environment().contains_key("exportReferencesGraph") {
        return refuse("exportReferencesGraph is not implemented".into());
    }
    Ok(())
}
