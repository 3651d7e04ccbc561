//! Copying a tree from outside into the store's directory, canonical as it is written, and hashed on
//! the way.

use crate::add::Filter;
use crate::canonical::has_attributes;
use crate::error::{Context, Error, Result, io};
use nix_compat::nar::NarHash;
use nix_compat::nar::walk::{Unreadable, Wanted};
use nix_compat::place::Places;
use nix_compat::{CopyError, copy_tree};
use rustix::fs::CWD;
use std::fs::File;
use std::path::Path;

/// What was copied.
pub(crate) struct Copied {
    /// Files, directories and symlinks.
    pub entries: usize,
    /// Of its archive.
    pub hash: NarHash,
    /// Whether modes and times are what they must be; a directory with default access lists gives
    /// them to what is made in it, which has to be undone.
    pub canonical: bool,
}

/// Copies files with their executable bit, directories and symlinks; nothing else. Directories
/// get their last modes when all is in them.
pub(crate) fn copy(from: &Path, to: &Path, filter: Option<&Filter<'_>>) -> Result<Copied> {
    let parent = to.parent().unwrap_or(to);
    let places = if has_attributes(parent)? { Places::CAREFUL } else { Places::new() };
    let wanted = |path: &Path| match filter {
        Some(filter) => Ok(filter(path, path.symlink_metadata()?.file_type())),
        None => Ok(true),
    };
    let wanted = filter.is_some().then_some(&wanted as &Wanted<'_>);
    let copied = copy_tree(from, to, places, wanted).map_err(|error| match error {
        CopyError::Read(error) => error.into(),
        CopyError::Write(source) => io("write", to, source),
        CopyError::Archive(source) => crate::error::archive(from)(source),
    })?;
    Ok(Copied { entries: copied.entries, hash: copied.hash, canonical: !has_attributes(to)? })
}

/// Copies one file, with the mode and time of a file in the store.
pub(crate) fn copy_file(from: &Path, to: &Path, executable: bool) -> Result<()> {
    let mut source = File::open(from).on("open", from)?;
    let places = Places::CAREFUL;
    let mut file = File::from(places.start_file(CWD, to, executable).on("create", to)?);
    std::io::copy(&mut source, &mut file).on("write", to)?;
    places.finish_file(&file, executable).on("write", to)
}

impl From<Unreadable> for Error {
    fn from(error: Unreadable) -> Self {
        let other = |path: &Path, what| io("store", path, std::io::Error::other(what));
        match error {
            Unreadable::Io { path, source } => io("read", &path, source),
            Unreadable::Changed(path) => other(&path, "it changes while it is read"),
            Unreadable::Unsupported(path) => other(&path, "it is no file, directory or symlink"),
        }
    }
}
