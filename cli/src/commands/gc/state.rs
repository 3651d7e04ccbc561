//! What machines left that nothing describes any more.

use crate::context::Globals;
use hc_agent::{Generation, Generations};
use hc_runtime::RunError;
use hc_runtime::volumes::{VolumeError, VolumeStore};
use hc_spec::Name;
use std::collections::BTreeSet;

/// Machines of the generations that stay.
pub fn described(
    globals: &Globals,
    generations: &Generations,
    pruned: &[Generation],
) -> anyhow::Result<BTreeSet<Name>> {
    let mut names = BTreeSet::new();
    for generation in generations.list()? {
        if pruned.iter().all(|gone| gone.number != generation.number) {
            let set = generations.set(generation.number)?;
            let set = hc_agent::read_set(globals.store.as_deref(), &set)?;
            names.extend(set.machines.into_keys());
        }
    }
    Ok(names)
}

/// Removes the state of all other machines that do not run, and says of what.
pub fn collect(
    globals: &Globals,
    generations: &Generations,
    pruned: &[Generation],
    dry_run: bool,
) -> anyhow::Result<Vec<String>> {
    let stay = described(globals, generations, pruned)?;
    let mut gone = Vec::new();
    let volumes = VolumeStore::new(&globals.state_dir, &globals.run_dir);
    for name in volumes.names()?.into_iter().filter(|name| !stay.contains(&name.machine)) {
        let info = volumes.info(&name)?;
        if info.keep || info.in_use {
            continue;
        }
        if !dry_run {
            match volumes.remove(&name, false) {
                // Taken into use, or gone, since it was looked at.
                Err(VolumeError::Busy(_) | VolumeError::Missing(_)) => continue,
                removed => removed?,
            }
        }
        gone.push(format!("volume {name}"));
    }
    for name in machines(globals)?.into_iter().filter(|name| !stay.contains(name)) {
        let status = hc_runtime::Status::read(&globals.run_dir, name.as_str())?;
        if status.is_some_and(|status| status.is_supervised()) {
            continue;
        }
        if !dry_run {
            let cleaned =
                hc_runtime::cleanup(&name, &globals.run_dir, Some(&globals.state_dir), None);
            match cleaned {
                Err(RunError::AlreadyRunning { .. }) => continue,
                cleaned => cleaned?,
            }
        }
        gone.push(format!("the state of {name}"));
    }
    Ok(gone)
}

fn machines(globals: &Globals) -> anyhow::Result<Vec<Name>> {
    let entries = match std::fs::read_dir(globals.state_dir.join("machines")) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(Name::new(entry?.file_name().to_string_lossy()).ok());
    }
    names.sort();
    Ok(names)
}
