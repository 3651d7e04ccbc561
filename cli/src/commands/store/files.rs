//! `hc store ls` and `hc store cat`: what is in a path.

use crate::commands::build;
use crate::context::Globals;
use crate::error::{Code, Coded, Failure};
use crate::output;
use nix_store::HostStore;
use serde_json::{Map, Value, json};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// List the files in a path of the store
#[derive(Debug, clap::Args)]
pub struct LsArgs {
    /// A path in the store, or a file or directory in one
    path: PathBuf,
    /// With everything below
    #[arg(short = 'R', long)]
    recursive: bool,
    /// With types, sizes and targets
    #[arg(short, long)]
    long: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Print a file in the store
#[derive(Debug, clap::Args)]
pub struct CatArgs {
    /// A file in a path of the store
    path: PathBuf,
}

pub fn ls(globals: &Globals, args: &LsArgs) -> anyhow::Result<()> {
    let store = build::store(globals)?;
    let at = physical(&store, &args.path)?;
    if args.json {
        let depth = if args.recursive { usize::MAX } else { 1 };
        return output::json(&describe(&at, depth)?);
    }
    if !at.symlink_metadata()?.is_dir() {
        return line(&at, ".", args.long);
    }
    list(&at, ".", args)
}

pub fn cat(globals: &Globals, args: &CatArgs) -> anyhow::Result<()> {
    let store = build::store(globals)?;
    let at = physical(&store, &args.path)?;
    if !at.symlink_metadata()?.is_file() {
        let message = format!("{} is no regular file", args.path.display());
        return Err(Failure::new(Code::Failed, message)
            .hint("hc store ls shows what it is")
            .into());
    }
    std::io::copy(&mut std::fs::File::open(&at)?, &mut std::io::stdout().lock())?;
    Ok(())
}

/// Where a file of a valid path is on disk. No symlink is followed: it could lead anywhere.
fn physical(store: &HostStore, named: &Path) -> anyhow::Result<PathBuf> {
    let fail = |reason: String| {
        anyhow::Error::from(Failure::new(Code::Failed, format!("{}: {reason}", named.display())))
    };
    let file = std::path::absolute(named)?;
    let path = store.path_of(&file).ok_or_else(|| fail("it is not in the store".into()))?;
    if !store.is_valid(&path).code(Code::Failed)? {
        return Err(fail(format!("{path} is not valid")));
    }
    let mut at = store.physical(&path);
    let whole = store.physical_file(&file);
    let below = whole.strip_prefix(&at).map_err(|_| fail("it is not in the store".into()))?;
    for step in below.components() {
        let metadata = at.symlink_metadata();
        if metadata.is_ok_and(|metadata| metadata.is_symlink()) {
            return Err(fail(format!("{} is a symlink", at.display())));
        }
        at.push(step);
    }
    at.symlink_metadata().map_err(|error| fail(error.to_string()))?;
    Ok(at)
}

fn children(at: &Path) -> anyhow::Result<Vec<(String, PathBuf)>> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(at)? {
        let entry = entry?;
        all.push((entry.file_name().to_string_lossy().into_owned(), entry.path()));
    }
    all.sort();
    Ok(all)
}

fn list(at: &Path, name: &str, args: &LsArgs) -> anyhow::Result<()> {
    for (child, path) in children(at)? {
        let name = format!("{name}/{child}");
        line(&path, &name, args.long)?;
        if args.recursive && path.symlink_metadata()?.is_dir() {
            list(&path, &name, args)?;
        }
    }
    Ok(())
}

fn line(at: &Path, name: &str, long: bool) -> anyhow::Result<()> {
    if !long {
        return output::line(name);
    }
    let metadata = at.symlink_metadata()?;
    let executable = metadata.permissions().mode() & 0o100 != 0;
    let (kind, size) = match metadata.file_type() {
        kind if kind.is_dir() => ("dr-xr-xr-x", 0),
        kind if kind.is_symlink() => ("lrwxrwxrwx", 0),
        _ if executable => ("-r-xr-xr-x", metadata.len()),
        _ => ("-r--r--r--", metadata.len()),
    };
    match std::fs::read_link(at) {
        Ok(target) => {
            output::line(format_args!("{kind} {size:>12} {name} -> {}", target.display()))
        }
        Err(_) => output::line(format_args!("{kind} {size:>12} {name}")),
    }
}

/// As the listings of binary caches have it.
fn describe(at: &Path, depth: usize) -> anyhow::Result<Value> {
    let metadata = at.symlink_metadata()?;
    if metadata.is_symlink() {
        let target = std::fs::read_link(at)?;
        return Ok(json!({ "type": "symlink", "target": target.to_string_lossy() }));
    }
    if !metadata.is_dir() {
        let executable = metadata.permissions().mode() & 0o100 != 0;
        return Ok(json!({ "type": "regular", "size": metadata.len(), "executable": executable }));
    }
    let mut entries = Map::new();
    if depth > 0 {
        for (name, path) in children(at)? {
            entries.insert(name, describe(&path, depth - 1)?);
        }
    }
    Ok(json!({ "type": "directory", "entries": entries }))
}
