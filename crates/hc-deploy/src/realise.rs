//! Building what a prepared cloud needs, and adding its closures and set.

use crate::assemble::{Prepared, SET_NAME, closure_name};
use crate::store_io::{Pending, StoreIo};
use crate::{Error, Result};
use hc_spec::set::HOST_FILE;
use nix_compat::{DrvOutput, StoreDir, StorePath};
use nix_lang::{ContextElem, Ingestion};
use nix_store::{BuildObserver, IngestMethod, Store};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

impl Prepared {
    /// Makes the machine set valid in `store`: builds and downloads what is missing, then adds the
    /// closures, then the set. `scratch` is a directory for a few small files.
    ///
    /// # Errors
    /// When a build or download fails, or the store cannot take something.
    pub fn realise(
        &self,
        store: &Store,
        scratch: &Path,
        observer: &dyn BuildObserver,
    ) -> Result<()> {
        if store.is_valid(&self.set)? {
            return Ok(());
        }
        // A closure that is valid has everything it refers to: most machines of a cloud are as they
        // were, and most of the others share what they refer to.
        let mut missing = BTreeMap::new();
        for (name, machine) in &self.machines {
            if !store.is_valid(&machine.closure)? {
                missing.insert(name, machine);
            }
        }
        let elements: BTreeSet<&ContextElem> = missing.values().flat_map(|m| &m.context).collect();
        let mut wanted = BTreeSet::new();
        for element in elements {
            match element {
                ContextElem::Opaque(path) => add(&self.io, store, path)?,
                ContextElem::DrvDeep(drv) => add_derivation(&self.io, store, drv)?,
                ContextElem::Built { drv, output } => {
                    add_derivation(&self.io, store, drv)?;
                    wanted.insert((drv.clone(), output.clone()));
                }
            }
        }
        let wanted: Vec<DrvOutput> =
            wanted.into_iter().map(|(drv_path, output)| DrvOutput::new(drv_path, output)).collect();
        store.build(&wanted, observer)?;
        for (name, machine) in missing {
            let added = store.add_text(
                &closure_name(name),
                machine.text.as_bytes(),
                &machine.references,
            )?;
            debug_assert_eq!(added, machine.closure);
        }
        self.add_set(store, scratch)
    }

    fn add_set(&self, store: &Store, scratch: &Path) -> Result<()> {
        let directory = tempfile::tempdir_in(scratch).map_err(Error::Scratch)?;
        hc_fs::plain::write(&directory.path().join(HOST_FILE), self.host_text.as_bytes(), 0o644)?;
        for (name, machine) in &self.machines {
            let target = StoreDir::default().render_path(&machine.closure);
            hc_fs::plain::symlink(Path::new(&target), &directory.path().join(name.as_str()))?;
        }
        let references = self.machines.values().map(|m| m.closure.clone()).collect();
        let added = store.add_path(
            SET_NAME,
            directory.path(),
            IngestMethod::Recursive,
            &references,
            None,
        )?;
        debug_assert_eq!(added, self.set);
        Ok(())
    }
}

/// Adds a path that evaluation named; one it did not make must be in the store already.
fn add(io: &StoreIo, store: &Store, path: &StorePath) -> Result<()> {
    if store.is_valid(path)? {
        return Ok(());
    }
    if io.derivation(path).is_some() {
        return add_derivation(io, store, path);
    }
    io.with_pending(path, |pending| match pending {
        None => Err(Error::Missing { path: path.clone() }),
        Some(Pending::Text { name, contents, references }) => {
            for reference in references {
                add(io, store, reference)?;
            }
            store.add_text(name, contents, references)?;
            Ok(())
        }
        Some(Pending::Path { name, from, ingestion, only }) => {
            let method = match ingestion {
                Ingestion::Flat => IngestMethod::Flat,
                Ingestion::Recursive => IngestMethod::Recursive,
            };
            let keep = |file: &Path, _| only.as_ref().is_none_or(|kept| kept.contains(file));
            store.add_path(
                name,
                from,
                method,
                &BTreeSet::new(),
                only.is_some().then_some(&keep),
            )?;
            Ok(())
        }
    })
}

/// Adds a derivation after everything it refers to. An explicit stack: graphs can be deep.
fn add_derivation(io: &StoreIo, store: &Store, drv: &StorePath) -> Result<()> {
    let mut open = vec![(drv.clone(), false)];
    let mut done = BTreeSet::new();
    while let Some((path, inputs_added)) = open.pop() {
        if done.contains(&path) || (!inputs_added && store.is_valid(&path)?) {
            continue;
        }
        let derivation =
            io.derivation(&path).ok_or_else(|| Error::Missing { path: path.clone() })?;
        if inputs_added {
            store.add_derivation(&derivation)?;
            done.insert(path);
            continue;
        }
        for source in derivation.input_sources() {
            add(io, store, source)?;
        }
        open.push((path, true));
        open.extend(derivation.input_derivations().keys().map(|input| (input.clone(), false)));
    }
    Ok(())
}
