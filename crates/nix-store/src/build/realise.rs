//! Making the outputs of one derivation, whose inputs are valid.

use super::call::Call;
use super::log::Log;
use super::platform::check_platform;
use super::realised::Realised;
use super::sandbox::{self, Job};
use super::users::BuildUsers;
use super::{BuildEvent, BuildMode, builtin, floating, keep, options, references};
use crate::error::{Error, Result, archive};
use crate::lock::{OwnedLock, path_lock};
use crate::scratch::Scratch;
use nix_compat::resolve::{Inputs, is_impure, is_open, resolve};
use nix_compat::{Derivation, DrvOutput, InputDerivation, NixHash, StorePath, nar};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

/// Whether the builder is part of this program.
pub(crate) fn is_builtin(derivation: &Derivation) -> bool {
    derivation.builder().starts_with(b"builtin:")
}

/// The output paths; those that follow from what is built are not known.
pub(super) fn output_paths(
    path: &StorePath,
    derivation: &Derivation,
) -> Result<BTreeMap<String, Option<StorePath>>> {
    let wrong = |reason: String| Error::Derivation { path: path.clone(), reason };
    let outputs = derivation.resolved_outputs().map_err(|e| wrong(e.to_string()))?;
    Ok(outputs.into_iter().map(|(name, output)| (name, output.path)).collect())
}

/// One derivation to build, and who wants to know.
pub(super) struct Realiser<'a> {
    pub call: &'a Call<'a>,
    pub cancelled: &'a (dyn Fn() -> bool + Sync),
    pub mode: BuildMode,
    pub realised: &'a Realised,
}

/// What is to be made where, for one build.
pub(super) struct Task<'a> {
    pub path: &'a StorePath,
    pub derivation: &'a Derivation,
    /// The paths that the builder is told.
    pub outputs: &'a BTreeMap<String, StorePath>,
    /// Those of them that are to be made.
    pub missing: BTreeMap<String, StorePath>,
    /// What is valid already: what is made is compared with it, and thrown away.
    pub known: Option<&'a BTreeMap<String, Option<StorePath>>>,
    /// The paths follow from what is made.
    pub floating: bool,
    pub scratch: &'a Path,
}

impl Realiser<'_> {
    /// Makes what is missing; gives the paths of all outputs.
    pub fn run(
        &self,
        path: &StorePath,
        derivation: &Derivation,
        asked: bool,
    ) -> Result<BTreeMap<String, StorePath>> {
        let open = is_open(derivation);
        let inputs = self.inputs(derivation)?;
        let mut resolved = None;
        let dynamic = derivation.input_derivations().values().any(InputDerivation::is_dynamic);
        let drvs = inputs.keys().map(|(drv, _)| drv);
        if open || dynamic || self.realised.any_open(self.call.store, drvs)? {
            let wrong = |error: nix_compat::DerivationError| Error::Derivation {
                path: path.clone(),
                reason: error.to_string(),
            };
            resolved = Some(resolve(derivation, &inputs).map_err(wrong)?);
        }
        let Some(resolved) = resolved else {
            return self.realise(path, derivation, &inputs, asked);
        };
        if !open {
            return self.realise(path, &resolved, &inputs, asked);
        }
        let drv = self.call.store.add_derivation(&resolved)?;
        let made = self.realise(&drv, &resolved, &inputs, asked)?;
        if !is_impure(derivation) {
            for drv in BTreeSet::from([path, &drv]) {
                self.realised.remember(self.call.store, drv, &made)?;
            }
        }
        Ok(made)
    }

    /// The outputs of inputs, with their paths, which are valid.
    fn inputs(&self, derivation: &Derivation) -> Result<Inputs> {
        let mut inputs = Inputs::new();
        for (input, wanted) in derivation.input_derivations() {
            for name in wanted.outputs() {
                let output = self.realised.output(self.call.store, input, name)?;
                inputs.insert((input.clone(), vec![name.clone()]), output);
            }
            for (name, wanted) in wanted.dynamic_outputs() {
                let made = self.realised.output(self.call.store, input, name)?;
                self.made(input, vec![name.clone()], &made, wanted, &mut inputs)?;
            }
        }
        Ok(inputs)
    }

    /// Builds outputs of a derivation that was only made by the build of one that `chain` leads to.
    fn made(
        &self,
        input: &StorePath,
        chain: Vec<String>,
        drv: &StorePath,
        wanted: &InputDerivation,
        inputs: &mut Inputs,
    ) -> Result<()> {
        let output = |name: &String| DrvOutput::new(drv.clone(), name);
        let names = wanted.outputs().iter().chain(wanted.dynamic_outputs().keys());
        let names: Vec<DrvOutput> = names.map(output).collect();
        let paths = self.call.make(&names, BuildMode::Normal, self.cancelled)?;
        let further = |name: &String| [&chain[..], std::slice::from_ref(name)].concat();
        for name in wanted.outputs() {
            let path = paths[&output(name)].clone();
            inputs.insert((input.clone(), further(name)), path);
        }
        for (name, wanted) in wanted.dynamic_outputs() {
            self.made(input, further(name), &paths[&output(name)], wanted, inputs)?;
        }
        Ok(())
    }

    fn realise(
        &self,
        path: &StorePath,
        derivation: &Derivation,
        inputs: &Inputs,
        asked: bool,
    ) -> Result<BTreeMap<String, StorePath>> {
        let store = self.call.store;
        let known = self.realised.outputs(store, path, derivation)?;
        let floating = output_paths(path, derivation)?.values().any(Option::is_none);
        let mode = if asked { self.mode } else { BuildMode::Normal };
        let all: Option<BTreeMap<String, StorePath>> =
            known.iter().map(|(name, path)| Some((name.clone(), path.clone()?))).collect();
        let outputs: BTreeMap<String, StorePath> = match &all {
            Some(all) if !floating => all.clone(),
            _ => known
                .keys()
                .map(|name| (name.clone(), floating::scratch_path(path, derivation, name)))
                .collect(),
        };
        store.add_temp_root(path)?;
        let mut locks = Vec::new();
        // In one order everywhere, so that nobody waits in a circle.
        for output in outputs.values().collect::<BTreeSet<_>>() {
            store.add_temp_root(output)?;
            locks.push(OwnedLock::take(&path_lock(&store.physical(output)), self.cancelled)?);
        }
        let valid = self.valid(&known)?;
        let all = all.filter(|all| valid.len() == all.len());
        if let (BuildMode::Check, None) = (mode, &all) {
            let what = "its outputs are not valid, so nothing can be compared; build it first";
            return Err(Error::Unsupported { drv: path.clone(), what: what.into() });
        }
        let mut missing = outputs.clone();
        match (mode, all) {
            (BuildMode::Normal, Some(all)) => return Ok(all),
            (BuildMode::Repair, Some(all)) => {
                let mut damaged = BTreeSet::new();
                for (name, output) in &all {
                    if self.is_damaged(output)? {
                        damaged.insert(name.clone());
                    }
                }
                if damaged.is_empty() {
                    return Ok(all);
                }
                missing.retain(|name, _| damaged.contains(name));
            }
            (BuildMode::Check, _) => {}
            (_, None) if floating => {}
            (_, None) => missing.retain(|name, _| !valid.contains(name)),
        }
        let scratch = self.scratch(path)?;
        let scratch = &scratch.path;
        let known = if mode == BuildMode::Check { Some(&known) } else { None };
        let task = Task { path, derivation, outputs: &outputs, missing, known, floating, scratch };
        self.make(&task, inputs)
    }

    fn valid(&self, outputs: &BTreeMap<String, Option<StorePath>>) -> Result<BTreeSet<String>> {
        let mut valid = BTreeSet::new();
        for (name, output) in outputs {
            if let Some(output) = output
                && self.call.store.is_valid(output)?
            {
                valid.insert(name.clone());
            }
        }
        Ok(valid)
    }

    /// Whether a valid path is not what it was when it was registered.
    fn is_damaged(&self, path: &StorePath) -> Result<bool> {
        let at = self.call.store.physical(path);
        if at.symlink_metadata().is_err() {
            return Ok(true);
        }
        let hash = nar::hash_path(&at).map_err(archive(&at))?;
        Ok(self.call.store.info(path)?.nar_hash != NixHash::Sha256(hash.sha256))
    }

    /// The name that C++ Nix gives its own: it shares the hash of the derivation, which is kept.
    fn scratch(&self, path: &StorePath) -> Result<Scratch> {
        let name = format!("{}.chroot", path.to_basename());
        loop {
            if let Some(scratch) = Scratch::try_named(self.call.store.layout(), &name)? {
                return Ok(scratch);
            }
            if (self.cancelled)() {
                return Err(Error::Cancelled);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn make(&self, task: &Task<'_>, inputs: &Inputs) -> Result<BTreeMap<String, StorePath>> {
        let store = self.call.store;
        let mut direct = task.derivation.input_sources().clone();
        direct.extend(inputs.values().cloned());
        for input in &direct {
            if !store.is_valid(input)? {
                return Err(Error::NotValid { path: input.clone() });
            }
        }
        let mut inputs = store.closure(&direct)?;
        if is_builtin(task.derivation) {
            hc_fs::plain::create_dir(task.scratch, 0o700)?;
            hc_fs::plain::create_dir_all(&sandbox::outputs_directory(task.scratch), 0o700)?;
            self.call.observer.event(BuildEvent::Started { drv: task.path });
            self.builtin(task)?;
            return self.register(task, &inputs, None, false);
        }
        let features = options::required_features(task.derivation);
        check_platform(task.path, task.derivation, &features)?;
        let graphs = references::graphs(store, task.path, task.derivation, &inputs)?;
        let range = features.contains("uid-range");
        let permit = self.call.permits.take(self.cancelled)?;
        self.call.observer.event(BuildEvent::Started { drv: task.path });
        let users = BuildUsers::take(store.layout(), task.path, range, self.cancelled)?;
        let fixed = is_fixed(task.derivation);
        let network = fixed || is_impure(task.derivation);
        let job = Job {
            layout: store.layout(),
            path: task.path,
            derivation: task.derivation,
            inputs: &inputs,
            scratch: task.scratch,
            users: &users,
            config: store.config(),
            outputs: task.outputs,
            graphs: &graphs,
            fixed,
            recursive: features.contains("recursive-nix").then_some(store),
            network,
        };
        let mut log = Log::create(store.layout(), task.path, self.call.observer)?;
        let mut done = sandbox::run(&job, &mut log, self.cancelled);
        log.finish()?;
        if let (Err(Error::BuildFailed(failure)), true) = (&mut done, store.config().keep_failed) {
            failure.kept = keep::keep_build(store.layout(), task.path, task.scratch)?;
        }
        let added = done?;
        drop(permit);
        inputs.extend(added);
        self.register(task, &inputs, Some(users.host.clone()), network)
    }

    fn builtin(&self, task: &Task<'_>) -> Result<()> {
        let builtin = builtin::Builtin {
            store: self.call.store,
            downloader: &self.call.downloader,
            path: task.path,
            derivation: task.derivation,
            outputs: task.outputs,
            directory: &sandbox::outputs_directory(task.scratch),
            observer: self.call.observer,
            cancelled: self.cancelled,
        };
        builtin.run()
    }
}

pub(super) fn is_fixed(derivation: &Derivation) -> bool {
    derivation.is_fixed_output()
}
