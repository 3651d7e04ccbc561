//! Directories, taken as they are.

use crate::error::{Error, Result, io};
use crate::{Content, Tree};
use nix_compat::flake_ref::Input;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

fn absolute(input: &Input) -> Result<PathBuf> {
    let path = input.text("path").unwrap_or_default();
    if path.starts_with('/') {
        return Ok(PathBuf::from(path));
    }
    let input = input.describe();
    Err(Error::Input(format!("cannot fetch input '{input}' because it uses a relative path")))
}

pub(crate) fn fetch(input: &Input) -> Result<Tree> {
    let path = absolute(input)?;
    if path.symlink_metadata().is_err() {
        return Err(Error::Input(format!("path '{}' does not exist", path.display())));
    }
    let facts: &[&str] =
        if input.attrs().contains_key("lastModified") { &[] } else { &["lastModified"] };
    Ok(Tree { input: input.clone(), content: Content::Local { path, files: None }, facts })
}

/// The newest time of anything in the directory.
pub(crate) fn last_modified(input: &Input) -> Result<u64> {
    let mut newest = 0;
    let mut open = vec![absolute(input)?];
    while let Some(path) = open.pop() {
        let metadata = path.symlink_metadata().map_err(io("reading", &path))?;
        newest = newest.max(metadata.mtime());
        if metadata.is_dir() {
            open.extend(children(&path)?);
        }
    }
    Ok(u64::try_from(newest).unwrap_or(0))
}

fn children(path: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(path).map_err(io("reading", path))?;
    let entries: std::io::Result<Vec<_>> =
        entries.map(|entry| entry.map(|entry| entry.path())).collect();
    entries.map_err(io("reading", path))
}
