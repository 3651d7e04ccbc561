//! Copying a tree from outside into the store's directory, canonical as it is written, and hashed on
//! the way.

use crate::add::Filter;
use crate::canonical::has_attributes;
use crate::error::{Context, Error, Result, archive, io};
use nix_compat::HashAlgorithm;
use nix_compat::nar::walk::{self, Contents, Unreadable, Visitor};
use nix_compat::nar::{Archiver, Background, Hasher, NarHash};
use nix_compat::place::Places;
use rustix::fs::CWD;
use std::ffi::{CStr, CString, OsStr};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Large files are read and written in pieces of this size.
const PIECE: usize = 256 << 10;

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
    let hasher = Background::new(Hasher::new(HashAlgorithm::Sha256));
    let root = CString::new(to.as_os_str().as_bytes());
    let root = root.map_err(|error| io("write", to, error.into()))?;
    let archiver = Archiver::new(hasher).map_err(archive(from))?;
    let (directories, path, buffer) = (Vec::new(), to.into(), Vec::new());
    let mut copier = Copier { from, archiver, places, root, path, directories, entries: 0, buffer };
    let wanted = |path: &Path| match filter {
        Some(filter) => Ok(filter(path, path.symlink_metadata()?.file_type())),
        None => Ok(true),
    };
    let wanted = filter.is_some().then_some(&wanted as &walk::Wanted<'_>);
    walk::walk(from, wanted, &mut copier)?;
    let hasher = copier.archiver.finish().map_err(archive(from))?.finish();
    let hash = hasher.on("hash", from)?.finish();
    let hash = hash.unwrap_or_else(|| unreachable!("asked for SHA-256"));
    Ok(Copied { entries: copier.entries, hash, canonical: !has_attributes(to)? })
}

/// Copies one file, with the mode and time of a file in the store.
pub(crate) fn copy_file(from: &Path, to: &Path, executable: bool) -> Result<()> {
    let mut source = File::open(from).on("open", from)?;
    let name = CString::new(to.as_os_str().as_bytes());
    let name = name.map_err(|error| io("write", to, error.into()))?;
    let written = Places::CAREFUL
        .file(CWD, &name, executable, |file| std::io::copy(&mut source, file).map(drop));
    written.on("write", to)
}

struct Copier<'a> {
    from: &'a Path,
    archiver: Archiver<Background<Hasher>>,
    places: Places,
    root: CString,
    /// Where the innermost open directory is.
    path: PathBuf,
    directories: Vec<OwnedFd>,
    entries: usize,
    buffer: Vec<u8>,
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

/// Where the next thing is to be made: in which directory, by which name, and what that is called.
fn place<'p>(
    directories: &'p [OwnedFd],
    root: &'p CStr,
    path: &Path,
    name: Option<&'p CStr>,
) -> (BorrowedFd<'p>, &'p CStr, PathBuf) {
    match (directories.last(), name) {
        (Some(directory), Some(name)) => {
            (directory.as_fd(), name, path.join(OsStr::from_bytes(name.to_bytes())))
        }
        _ => (CWD, root, path.into()),
    }
}

impl Visitor for Copier<'_> {
    type Error = Error;

    fn start_directory(&mut self, name: Option<&CStr>) -> Result<()> {
        self.entries += 1;
        let (parent, at, path) = place(&self.directories, &self.root, &self.path, name);
        let made = self.places.start_directory(parent, at).on("create", &path)?;
        self.directories.push(made);
        self.path = path;
        self.archiver.start_directory(name).map_err(archive(self.from))
    }

    fn end_directory(&mut self) -> Result<()> {
        if let Some(directory) = self.directories.pop() {
            self.places.finish_directory(&directory).on("write", &self.path)?;
        }
        if !self.directories.is_empty() {
            self.path.pop();
        }
        self.archiver.end_directory().map_err(archive(self.from))
    }

    fn symlink(&mut self, name: Option<&CStr>, target: &CStr) -> Result<()> {
        self.entries += 1;
        let (parent, at, path) = place(&self.directories, &self.root, &self.path, name);
        self.places.symlink(parent, at, target).on("create", &path)?;
        self.archiver.symlink(name, target).map_err(archive(self.from))
    }

    fn regular(
        &mut self,
        name: Option<&CStr>,
        executable: bool,
        contents: Contents<'_, '_>,
    ) -> Result<()> {
        self.entries += 1;
        let Self { from, archiver, places, root, path, directories, buffer, .. } = self;
        let (parent, at, path) = place(directories, root, path, name);
        match contents {
            Contents::Whole(bytes) => {
                let written = places.file(parent, at, executable, |file| file.write_all(bytes));
                written.on("write", &path)?;
                archiver.regular(name, executable, contents).map_err(archive(from))
            }
            Contents::Pieces(pieces) => {
                let streamed = archiver.stream(name, executable, pieces.size());
                let mut archived = streamed.map_err(archive(from))?;
                buffer.resize(PIECE, 0);
                let written = places.file(parent, at, executable, |file| {
                    loop {
                        match pieces.read(buffer) {
                            Ok(0) => return Ok(()),
                            Ok(count) => {
                                file.write_all(&buffer[..count])?;
                                archived.write_all(&buffer[..count])?;
                            }
                            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                            Err(error) => return Err(error),
                        }
                    }
                });
                written.on("write", &path)?;
                archived.finish().map_err(archive(from))
            }
        }
    }
}
