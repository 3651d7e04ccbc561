//! Building what a prepared cloud needs, and adding its closures and set.

use crate::assemble::{Prepared, SET_NAME, closure_name};
use crate::{Error, Result};
use hc_spec::set::HOST_FILE;
use nix_compat::{DrvOutput, StoreDir};
use nix_lang::ContextElem;
use nix_store::{BuildObserver, HostStore, IngestMethod};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

impl Prepared<'_> {
    /// Makes the machine set valid in `store`: builds and downloads what is missing, then adds the
    /// closures, then the set. `scratch` is a directory for a few small files.
    ///
    /// # Errors
    /// When a build or download fails, or the store cannot take something.
    pub fn realise(
        &self,
        store: &HostStore,
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
        if let Some(far) = &self.far {
            far.write(store, &elements)?;
        }
        let wanted: Vec<DrvOutput> = self.io.add_all(store, elements)?.into_iter().collect();
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

    fn add_set(&self, store: &HostStore, scratch: &Path) -> Result<()> {
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
