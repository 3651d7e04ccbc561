//! Nix archives: writing, hashing, restoring and scanning them for references.

use crate::StorePath;
use crate::hash::{HashAlgorithm, HashWriter, NixHash};
use crate::path::hash_part;
use std::collections::BTreeSet;
use std::ffi::CStr;
use std::io::{Read, Write};
use std::path::Path;

mod background;
mod filtered;
mod stream;
pub mod walk;

pub use background::Background;
pub use filtered::dump_filtered;
pub use stream::ArchiveReader;

pub use nix_archive::nar::{
    Encoder, Error, Event, FileContents, NamedNode, NarHash, Node, RegularWriter, decode,
    decode_events, decode_events_reader, encode_tree, hash_tree,
};

use walk::{Contents, Visitor};

// Linux file systems tell names apart by case: the hack for those that do not is never wanted.
const CASES: nix_archive::nar::CaseHack = nix_archive::nar::CaseHack::Disabled;

/// Writes what a walk tells as an archive.
pub struct Archiver<W>(Encoder<W>);

impl<W> std::fmt::Debug for Archiver<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Archiver").finish_non_exhaustive()
    }
}

impl<W: Write> Archiver<W> {
    /// Begins an archive.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn new(to: W) -> Result<Self, Error> {
        Encoder::new(to).map(Self)
    }

    /// Begins a file of so many bytes, which are written to what is returned.
    ///
    /// # Errors
    /// When it cannot be written, or a file does not belong here.
    pub fn stream(
        &mut self,
        name: Option<&CStr>,
        executable: bool,
        size: u64,
    ) -> Result<RegularWriter<'_, W>, Error> {
        self.0.start_regular(name.map(CStr::to_bytes), executable, size)
    }

    /// The archive is complete; gives the writer.
    ///
    /// # Errors
    /// When it is not.
    pub fn finish(self) -> Result<W, Error> {
        self.0.finish()
    }
}

impl<W: Write> Visitor for Archiver<W> {
    type Error = Error;

    fn start_directory(&mut self, name: Option<&CStr>) -> Result<(), Error> {
        self.0.start_directory(name.map(CStr::to_bytes))
    }

    fn end_directory(&mut self) -> Result<(), Error> {
        self.0.end_directory()
    }

    fn symlink(&mut self, name: Option<&CStr>, target: &CStr) -> Result<(), Error> {
        self.0.symlink(name.map(CStr::to_bytes), target.to_bytes())
    }

    fn regular(
        &mut self,
        name: Option<&CStr>,
        executable: bool,
        contents: Contents<'_, '_>,
    ) -> Result<(), Error> {
        match contents {
            Contents::Whole(bytes) => self.0.regular(name.map(CStr::to_bytes), executable, bytes),
            Contents::Pieces(pieces) => {
                let mut file = self.stream(name, executable, pieces.size())?;
                let mut buffer = vec![0; PIECE];
                loop {
                    match pieces.read(&mut buffer) {
                        Ok(0) => return file.finish(),
                        Ok(count) => file.write_all(&buffer[..count])?,
                        Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                        Err(error) => return Err(error.into()),
                    }
                }
            }
        }
    }
}

/// Large files are read in pieces of this size.
const PIECE: usize = 256 << 10;

/// A writer that hashes archives, and counts their bytes.
#[derive(Debug)]
pub struct Hasher {
    hash: HashWriter,
    size: u64,
}

impl Hasher {
    /// Begins a digest.
    #[must_use]
    pub fn new(algorithm: HashAlgorithm) -> Self {
        Self { hash: HashWriter::new(algorithm), size: 0 }
    }

    /// The digest and size of what was written; nothing where it is no SHA-256.
    #[must_use]
    pub fn finish(self) -> Option<NarHash> {
        match self.hash.finish() {
            NixHash::Sha256(sha256) => Some(NarHash { size: self.size, sha256 }),
            _ => None,
        }
    }
}

impl Write for Hasher {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.size += bytes.len() as u64;
        self.hash.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Writes the tree at `path` as an archive.
///
/// # Errors
/// When it cannot be read, holds something that is no file, directory or symlink, or changes.
pub fn dump(path: &Path, to: &mut impl Write) -> Result<(), Error> {
    let mut archiver = Archiver::new(to)?;
    walk::walk(path, None, &mut archiver)?;
    archiver.finish().map(drop)
}

/// Passes the archive of the tree at `path` through a writer, which may work on a thread of its own.
fn pass<W: Write + Send + 'static>(path: &Path, to: W) -> Result<W, Error> {
    let mut background = Background::new(to);
    dump(path, &mut background)?;
    Ok(background.finish()?)
}

/// The SHA-256 and size of the archive of the tree at `path`.
///
/// # Errors
/// As for [`dump`].
pub fn hash_path(path: &Path) -> Result<NarHash, Error> {
    let hasher = pass(path, Hasher::new(HashAlgorithm::Sha256))?;
    Ok(hasher.finish().unwrap_or_else(|| unreachable!("asked for SHA-256")))
}

/// The digest of the archive of the tree at `path`, by any algorithm.
///
/// # Errors
/// As for [`dump`].
pub fn hash_path_with(algorithm: HashAlgorithm, path: &Path) -> Result<NixHash, Error> {
    Ok(pass(path, HashWriter::new(algorithm))?.finish())
}

/// Unpacks an archive to `destination`, which must not be there yet.
///
/// # Errors
/// When the archive is malformed, or it cannot be written.
pub fn restore(from: &mut impl Read, destination: &Path) -> Result<(), Error> {
    nix_archive::nar::restore_reader(from, destination, CASES)
}

/// Hashes the archive of the tree at `path`, and tells which of `candidates` it refers to.
///
/// # Errors
/// As for [`dump`].
pub fn scan(
    path: &Path,
    candidates: &BTreeSet<StorePath>,
) -> Result<(NarHash, BTreeSet<StorePath>), Error> {
    let hash_parts = candidates.iter().map(hash_part);
    let Ok(pattern) = nix_archive::nar::ReferencePattern::new(hash_parts) else {
        unreachable!("the hash part of a store path is 32 characters of nix32")
    };
    let scanned = pass(path, pattern.writer(Hasher::new(HashAlgorithm::Sha256)))?;
    let (hasher, scanner) = scanned.into_parts();
    let all: Vec<&StorePath> = candidates.iter().collect();
    let found = scanner.matches().filter_map(|i| all.get(i)).map(|p| (*p).clone()).collect();
    Ok((hasher.finish().unwrap_or_else(|| unreachable!("asked for SHA-256")), found))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods)]
    use super::*;

    #[test]
    fn a_tree_survives_the_archive_and_its_references_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let one: StorePath = "/nix/store/miacmq2d49l5qm1xgkpr982m3rd9ax08-a".parse().unwrap();
        let two: StorePath = "/nix/store/niacmq2d49l5qm1xgkpr982m3rd9ax08-b".parse().unwrap();
        let tree = dir.path().join("tree");
        std::fs::create_dir_all(tree.join("sub")).unwrap();
        std::fs::write(tree.join("sub/file"), format!("xx{one}xx")).unwrap();
        std::os::unix::fs::symlink("nowhere", tree.join("link")).unwrap();
        let candidates = BTreeSet::from([one.clone(), two]);
        let (hash, found) = scan(&tree, &candidates).unwrap();
        assert_eq!(found, BTreeSet::from([one]));
        assert_eq!(hash, hash_path(&tree).unwrap());
        let mut archive = Vec::new();
        dump(&tree, &mut archive).unwrap();
        restore(&mut archive.as_slice(), &dir.path().join("again")).unwrap();
        assert_eq!(hash, hash_path(&dir.path().join("again")).unwrap());
    }
}
