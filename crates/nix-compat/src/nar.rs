//! Nix archives: writing, hashing, restoring and scanning them for references.

use crate::StorePath;
use crate::hash::{HashAlgorithm, HashWriter, NixHash};
use crate::path::hash_part;
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::path::Path;

mod filtered;
pub(crate) mod frame;
mod stream;
pub mod walk;

pub use filtered::dump_filtered;
pub use stream::ArchiveReader;

pub use nix_archive::nar::{
    Encoder, Error, Event, FileContents, NamedNode, NarHash, Node, RegularWriter, decode,
    decode_events, decode_events_reader, encode_tree, hash_tree,
};

use crate::tree::{Block, Context, produce};
use frame::Framer;

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
    let mut hand_over = |block: &mut Block, _| {
        let used = std::mem::take(&mut block.used);
        to.write_all(&block.bytes[..used])
    };
    let mut framer = Framer::new(None, &mut hand_over);
    walk::walk(path, None, &mut framer)?;
    framer.finish()
}

/// Passes the archive of the tree at `path` through a writer, which works on another thread.
fn pass(path: &Path, to: &mut (dyn Write + Send)) -> Result<(), Error> {
    produce(&Context::default(), Some(to), |hand_over| {
        let mut framer = Framer::new(None, hand_over);
        walk::walk(path, None, &mut framer)?;
        framer.finish()
    })
}

/// The SHA-256 and size of the archive of the tree at `path`.
///
/// # Errors
/// As for [`dump`].
pub fn hash_path(path: &Path) -> Result<NarHash, Error> {
    let mut hasher = Hasher::new(HashAlgorithm::Sha256);
    pass(path, &mut hasher)?;
    Ok(hasher.finish().unwrap_or_else(|| unreachable!("asked for SHA-256")))
}

/// The digest of the archive of the tree at `path`, by any algorithm.
///
/// # Errors
/// As for [`dump`].
pub fn hash_path_with(algorithm: HashAlgorithm, path: &Path) -> Result<NixHash, Error> {
    let mut hasher = HashWriter::new(algorithm);
    pass(path, &mut hasher)?;
    Ok(hasher.finish())
}

/// Unpacks an archive to `destination`, which must not be there yet, as `nix-store --restore` does: the
/// modes follow from the umask, and the times are now.
///
/// # Errors
/// As for [`crate::unpack`].
pub fn restore(from: &mut (impl Read + ?Sized), destination: &Path) -> Result<(), Error> {
    crate::unpack::restore(from, destination).map(drop)
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
    let mut scanned = pattern.writer(Hasher::new(HashAlgorithm::Sha256));
    pass(path, &mut scanned)?;
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
