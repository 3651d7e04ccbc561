//! Writing to the store what evaluation made.

use crate::pending::Pending;
use crate::store_io::StoreIo;
use crate::{Error, Result};
use nix_compat::{Derivation, DrvOutput, StorePath};
use nix_lang::{ContextElem, Ingestion};
use nix_store::HostStore;
use std::collections::BTreeSet;
use std::path::Path;

/// So many derivations are written together: each holds two files open.
const TOGETHER: usize = 128;

impl StoreIo {
    /// Adds sources and derivations; the outputs that are left to build, those of derivations that only
    /// these builds make not among them ([`crate::built::build`]).
    pub(crate) fn add_all<'e>(
        &self,
        store: &HostStore,
        context: impl IntoIterator<Item = &'e ContextElem>,
    ) -> Result<BTreeSet<DrvOutput>> {
        let (mut wanted, mut derivations) = (BTreeSet::new(), Vec::new());
        for element in context {
            match element {
                ContextElem::Opaque(path) => self.add(store, path)?,
                ContextElem::DrvDeep(drv) => derivations.push(drv),
                ContextElem::Built { drv, output } => {
                    derivations.push(drv);
                    wanted.insert(DrvOutput::new(drv.clone(), output.clone()));
                }
                ContextElem::Dynamic { drv, outputs } => {
                    derivations.push(drv);
                    let first = outputs.first().map(|name| DrvOutput::new(drv.clone(), name));
                    wanted.extend(first);
                }
            }
        }
        self.write_derivations(store, derivations)?;
        Ok(wanted)
    }

    /// Adds the sources and derivations that a context names, and builds nothing.
    ///
    /// # Errors
    /// When the store cannot be opened or written.
    pub fn write<'e>(&self, context: impl IntoIterator<Item = &'e ContextElem>) -> Result<()> {
        let store = self.store()?;
        self.add_all(&store, context).map(|_| ())
    }

    /// Adds a path that evaluation named; one it did not make must be in the store already.
    ///
    /// # Errors
    /// When it is neither, or the store cannot take it.
    pub fn add(&self, store: &HostStore, path: &StorePath) -> Result<()> {
        if store.is_valid(path)? {
            return Ok(());
        }
        if self.derivation(path).is_some() {
            return self.write_derivation(store, path);
        }
        self.with_pending(path, |pending| self.write_pending(store, path, pending))
    }

    fn write_pending(
        &self,
        store: &HostStore,
        path: &StorePath,
        pending: Option<&Pending>,
    ) -> Result<()> {
        let added = match pending {
            None => return Err(Error::Missing { path: path.clone() }),
            Some(Pending::Text { name, contents, references }) => {
                for reference in references {
                    self.add(store, reference)?;
                }
                store.add_text(name, contents, references)?
            }
            Some(Pending::Path { name, from, ingestion, only }) => {
                let method = match ingestion {
                    Ingestion::Flat => nix_store::IngestMethod::Flat,
                    Ingestion::Recursive => nix_store::IngestMethod::Recursive,
                };
                let keep = |file: &Path, _| only.as_ref().is_none_or(|kept| kept.contains(file));
                let keep = only.is_some().then_some(&keep as &nix_store::Filter<'_>);
                store.add_path(name, from, method, &BTreeSet::new(), keep)?
            }
        };
        // A file that was edited since it was hashed is not what was evaluated.
        if added == *path { Ok(()) } else { Err(Error::Changed { path: path.clone() }) }
    }

    /// Writes a derivation after everything it refers to, many together. An explicit stack: graphs
    /// can be deep.
    ///
    /// # Errors
    /// When something it refers to is nowhere, or the store cannot take it.
    pub fn write_derivation(&self, store: &HostStore, drv: &StorePath) -> Result<()> {
        self.write_derivations(store, [drv])
    }

    fn write_derivations<'p>(
        &self,
        store: &HostStore,
        drvs: impl IntoIterator<Item = &'p StorePath>,
    ) -> Result<()> {
        let mut open: Vec<(StorePath, bool)> =
            drvs.into_iter().map(|drv| (drv.clone(), false)).collect();
        let (mut done, mut waiting) = (BTreeSet::new(), Vec::new());
        while let Some((path, inputs_added)) = open.pop() {
            if done.contains(&path) || (!inputs_added && store.is_valid(&path)?) {
                continue;
            }
            let derivation =
                self.derivation(&path).ok_or_else(|| Error::Missing { path: path.clone() })?;
            if inputs_added {
                waiting.push(derivation);
                done.insert(path);
                if waiting.len() >= TOGETHER {
                    add_derivations(store, &mut waiting)?;
                }
                continue;
            }
            for source in derivation.input_sources() {
                self.add(store, source)?;
            }
            open.push((path, true));
            open.extend(derivation.input_derivations().keys().map(|input| (input.clone(), false)));
        }
        add_derivations(store, &mut waiting)
    }
}

fn add_derivations(store: &HostStore, waiting: &mut Vec<Derivation>) -> Result<()> {
    store.add_derivations(&waiting.iter().collect::<Vec<_>>())?;
    waiting.clear();
    Ok(())
}
