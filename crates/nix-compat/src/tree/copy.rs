//! Copying a tree as it is kept in a store.

use super::{Context, produce};
use crate::HashAlgorithm;
use crate::nar::frame::Framer;
use crate::nar::walk::{Contents, Unreadable, Visitor, Wanted, walk};
use crate::nar::{Error, Hasher, NarHash};
use crate::place::Places;
use std::ffi::CStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Arc, OnceLock};

/// What was copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// How many files, directories and symlinks.
    pub entries: usize,
    /// The hash of its archive.
    pub hash: NarHash,
}

/// Why a tree was not copied.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// It could not be read.
    #[error(transparent)]
    Read(#[from] Unreadable),
    /// The copy could not be written.
    #[error(transparent)]
    Write(#[from] io::Error),
    /// It cannot be an archive.
    #[error(transparent)]
    Archive(Error),
}

/// Copies the tree at `from`, of what is in it only what is `wanted`, to `to`, which must not be there
/// yet. The copy has the modes and times of a store, and its archive is hashed on the way.
///
/// # Errors
/// When it cannot be read or written, holds something that is no file, directory or symlink, or
/// changes; what has been written by then stays.
pub fn copy_tree(
    from: &Path,
    to: &Path,
    places: Places,
    wanted: Option<&Wanted<'_>>,
) -> Result<Copied, CopyError> {
    let root = to.as_os_str().as_bytes().into();
    let context = Arc::new(Context { places, root, failed: OnceLock::new() });
    let mut hasher = Hasher::new(HashAlgorithm::Sha256);
    let entries = produce(&context, Some(&mut hasher), |hand_over| {
        let mut copier = Copier(Framer::new(Some(&context), hand_over));
        walk(from, wanted, &mut copier)?;
        copier.0.finish()?;
        Ok::<_, CopyError>(copier.0.entries)
    })?;
    let hash = hasher.finish().unwrap_or_else(|| unreachable!("asked for SHA-256"));
    Ok(Copied { entries, hash })
}

impl From<Error> for CopyError {
    fn from(error: Error) -> Self {
        match error {
            // What could not be read, the walk says itself.
            Error::Io(error) => Self::Write(error),
            other => Self::Archive(other),
        }
    }
}

/// Keeps the kinds of errors apart.
struct Copier<'f>(Framer<'f>);

impl Visitor for Copier<'_> {
    type Error = CopyError;

    fn start_directory(&mut self, name: Option<&CStr>) -> Result<(), CopyError> {
        Ok(self.0.start_directory(name)?)
    }

    fn end_directory(&mut self) -> Result<(), CopyError> {
        Ok(self.0.end_directory()?)
    }

    fn symlink(&mut self, name: Option<&CStr>, target: &CStr) -> Result<(), CopyError> {
        Ok(self.0.symlink(name, target)?)
    }

    fn regular(
        &mut self,
        name: Option<&CStr>,
        executable: bool,
        contents: &mut Contents<'_>,
    ) -> Result<(), CopyError> {
        Ok(self.0.regular(name, executable, contents)?)
    }
}
