//! From what a builder left to valid paths.

use super::floating::{self, Made, Settled};
use super::guards::Guard;
use super::options::discards_references;
use super::outputs::{check_cycle, check_fixed, check_references};
use super::realise::{Realiser, Task};
use super::{guards, sandbox};
use crate::canonical::{make_canonical, rename_tree};
use crate::error::{Context, Error, Result, archive};
use crate::info::PathInfo;
use crate::lock::{OwnedLock, path_lock};
use crate::together::Ready;
use nix_compat::{Derivation, NixHash, StorePath, nar};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

impl Realiser<'_> {
    /// Makes canonical, checks, moves into place and registers what was made; gives the paths of
    /// all outputs. `shared`: the builder had the host's network.
    pub(super) fn register(
        &self,
        task: &Task<'_>,
        inputs: &BTreeSet<StorePath>,
        owners: Option<Range<u32>>,
        shared: bool,
    ) -> Result<BTreeMap<String, StorePath>> {
        let made = sandbox::outputs_directory(task.scratch);
        // Beside the builder's root, where it never was.
        let work = task.scratch.join("made");
        hc_fs::plain::create_dir(&work, 0o700)?;
        let mut trees = BTreeMap::new();
        for (name, output) in &task.missing {
            let mut at = made.join(output.to_basename());
            if at.symlink_metadata().is_err() {
                let reason = format!("the builder did not make it (output {name:?})");
                return Err(refuse(task, output, reason));
            }
            if shared {
                at = guards::freshen(task.derivation, at, &work)?;
            }
            trees.insert(name.clone(), at);
        }
        // A fresh copy is root's.
        let owners = if shared && Guard::Copy.stands(task.derivation) { None } else { owners };
        let mut mismatch = None;
        let settled = if task.floating {
            let rewriting = task.scratch.join("rewritten");
            hc_fs::plain::create_dir(&rewriting, 0o700)?;
            let made = self.scan_floating(task, inputs, owners.as_ref(), trees)?;
            floating::settle(task.path, task.derivation, made, &rewriting)?
        } else {
            self.scan(task, inputs, owners.as_ref(), trees, &mut mismatch)?
        };
        match mismatch {
            // Building again is for comparing only.
            Some(mismatch) if task.known.is_some() => Err(mismatch),
            None => self.finish(task, settled),
            Some(mismatch) => self.finish(task, settled).and(Err(mismatch)),
        }
    }

    fn scan(
        &self,
        task: &Task<'_>,
        inputs: &BTreeSet<StorePath>,
        owners: Option<&Range<u32>>,
        trees: BTreeMap<String, PathBuf>,
        mismatch: &mut Option<Error>,
    ) -> Result<BTreeMap<String, Settled>> {
        let candidates: BTreeSet<StorePath> =
            inputs.iter().chain(task.outputs.values()).cloned().collect();
        let mut settled = BTreeMap::new();
        for (name, at) in trees {
            let output = &task.outputs[&name];
            let (mut path, mut ca) = (output.clone(), None);
            let promised = task.derivation.outputs().get(&name);
            if let Some(promised) = promised.and_then(|output| output.fixed_content_address()) {
                let refuse = |reason| refuse(task, output, reason);
                let fixed = check_fixed(task.path, output, promised, &at, &refuse)?;
                (path, ca, *mismatch) = (fixed.path, Some(fixed.ca), fixed.mismatch);
            }
            let unflushed = make_canonical(&at, owners)?;
            let (hash, mut references) = nar::scan(&at, &candidates).map_err(archive(&at))?;
            if discards_references(task.derivation, &name) {
                references.clear();
            }
            if let (Some(_), Some(reference)) = (&ca, references.first()) {
                let reason = format!("a fixed output must not refer to {reference}");
                return Err(refuse(task, output, reason));
            }
            let info = PathInfo {
                path,
                nar_hash: NixHash::Sha256(hash.sha256),
                nar_size: hash.size,
                references,
                deriver: Some(task.path.clone()),
                registered: SystemTime::now(),
                ultimate: true,
                signatures: Vec::new(),
                ca,
            };
            settled.insert(name, Settled { at, info, unflushed });
        }
        Ok(settled)
    }

    fn scan_floating(
        &self,
        task: &Task<'_>,
        inputs: &BTreeSet<StorePath>,
        owners: Option<&Range<u32>>,
        trees: BTreeMap<String, PathBuf>,
    ) -> Result<BTreeMap<String, Made>> {
        let candidates: BTreeSet<StorePath> =
            inputs.iter().chain(task.outputs.values()).cloned().collect();
        let mut made = BTreeMap::new();
        for (name, at) in trees {
            let scratch = task.outputs[&name].clone();
            make_canonical(&at, owners)?;
            let (_, mut references) = nar::scan(&at, &candidates).map_err(archive(&at))?;
            if discards_references(task.derivation, &name) {
                references.clear();
            }
            made.insert(name, Made { at, scratch, references });
        }
        Ok(made)
    }

    fn finish(
        &self,
        task: &Task<'_>,
        settled: BTreeMap<String, Settled>,
    ) -> Result<BTreeMap<String, StorePath>> {
        let store = self.call.store;
        let mut outputs: BTreeMap<String, StorePath> = task.outputs.clone();
        for (name, output) in &settled {
            outputs.insert(name.clone(), output.info.path.clone());
        }
        let infos: Vec<PathInfo> = settled.values().map(|output| output.info.clone()).collect();
        check_cycle(task.path, &infos)?;
        check_references(store, task.path, task.derivation, &outputs, &infos)?;
        if let Some(known) = task.known {
            self.compare(task, known, &settled)?;
            return Ok(outputs);
        }
        let mut ready = Vec::new();
        let mut locks = Vec::new();
        for (name, Settled { at, info, unflushed }) in settled {
            // Whoever knows its path beforehand has locked it.
            if task.floating || task.outputs.get(&name) != Some(&info.path) {
                store.add_temp_root(&info.path)?;
                let lock = path_lock(&store.physical(&info.path));
                locks.push(OwnedLock::take(&lock, self.cancelled)?);
                if store.is_valid(&info.path)? {
                    store.trust(&info.path)?;
                    continue;
                }
            }
            let mut derivation = None;
            if info.path.is_derivation() {
                let made = made_derivation(task, &at, &info.path)?;
                store.check_derivation(&info.path, &made)?;
                derivation = Some(made);
            }
            ready.push(Ready { at, info, unflushed, derivation });
        }
        store.make_valid(ready)?;
        Ok(outputs)
    }

    /// Whether what was made again is what is valid.
    fn compare(
        &self,
        task: &Task<'_>,
        known: &BTreeMap<String, Option<StorePath>>,
        settled: &BTreeMap<String, Settled>,
    ) -> Result<()> {
        let store = self.call.store;
        for (name, again) in settled {
            let Some(Some(before)) = known.get(name) else { continue };
            if store.info(before)?.nar_hash == again.info.nar_hash {
                continue;
            }
            let mut kept = None;
            if store.config().keep_failed {
                let at = store.physical(before).with_added_extension("check");
                crate::canonical::remove_tree(&at)?;
                rename_tree(&again.at, &at)?;
                kept = Some(at.into_boxed_path());
            }
            return Err(Error::NotReproducible {
                drv: task.path.clone(),
                output: before.clone(),
                kept,
            });
        }
        Ok(())
    }
}

/// An output whose name says that it is a derivation has to be one.
fn made_derivation(task: &Task<'_>, at: &Path, output: &StorePath) -> Result<Derivation> {
    let name = output.name().strip_suffix(".drv").unwrap_or(output.name());
    let text = std::fs::read(at).on("read", at)?;
    Derivation::from_aterm_bytes(&text, name)
        .map_err(|error| refuse(task, output, format!("it is no derivation: {error}")))
}

fn refuse(task: &Task<'_>, output: &StorePath, reason: String) -> Error {
    Error::Output { drv: task.path.clone(), output: output.clone(), reason }
}
