//! Archives of trees that hold the hash parts of paths which are about to change.

use crate::hash::{HashAlgorithm, HashWriter, NixHash};
use crate::nar;
use crate::path::HASH_PART_LEN;
use std::collections::BTreeMap;
use std::io::{Result, Write};
use std::path::Path;

/// One hash part.
pub type HashPart = [u8; HASH_PART_LEN];

/// A writer that passes on what it gets with hash parts replaced by others, wherever they stand.
pub struct Rewriter<'a, W> {
    to: W,
    replacements: &'a BTreeMap<HashPart, HashPart>,
    /// What may be the beginning of a hash part.
    held: Vec<u8>,
    /// Bytes passed on.
    position: u64,
    /// Where something was replaced.
    matches: Vec<u64>,
}

impl<'a, W: Write> Rewriter<'a, W> {
    /// Begins at position 0.
    pub fn new(to: W, replacements: &'a BTreeMap<HashPart, HashPart>) -> Self {
        Self { to, replacements, held: Vec::new(), position: 0, matches: Vec::new() }
    }

    /// Passes on the rest; gives the writer, and where something was replaced.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn finish(mut self) -> Result<(W, Vec<u64>)> {
        self.to.write_all(&self.held)?;
        Ok((self.to, self.matches))
    }
}

impl<W: Write> Write for Rewriter<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        self.held.extend_from_slice(bytes);
        let mut at = 0;
        while let Some(part) = self.held.get(at..).and_then(<[u8]>::first_chunk::<HASH_PART_LEN>) {
            // Hash parts are few: most bytes are told apart by the first character.
            match self.replacements.get(part) {
                Some(with) => {
                    self.held[at..at + HASH_PART_LEN].copy_from_slice(with);
                    self.matches.push(self.position + at as u64);
                    at += HASH_PART_LEN;
                }
                None => at += 1,
            }
        }
        self.to.write_all(&self.held[..at])?;
        self.position += at as u64;
        self.held.drain(..at);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<()> {
        self.to.flush()
    }
}

/// Writes the archive of the tree at `path`, rewritten.
///
/// # Errors
/// As for [`nar::dump`].
pub fn dump<W: Write>(
    path: &Path,
    to: W,
    replacements: &BTreeMap<HashPart, HashPart>,
) -> std::result::Result<(W, Vec<u64>), nar::Error> {
    let mut rewriter = Rewriter::new(to, replacements);
    nar::dump(path, &mut rewriter)?;
    Ok(rewriter.finish()?)
}

/// The digest of the archive of a tree that may refer to itself as `own`: its own hash part counts
/// as zeros, and where it stands is hashed too, so that zeros in its place give another digest.
///
/// # Errors
/// As for [`nar::dump`].
pub fn hash_modulo(
    algorithm: HashAlgorithm,
    path: &Path,
    own: HashPart,
) -> std::result::Result<NixHash, nar::Error> {
    let zeros = BTreeMap::from([(own, [0; HASH_PART_LEN])]);
    let (mut hasher, matches) = dump(path, HashWriter::new(algorithm), &zeros)?;
    for position in matches {
        write!(hasher, "|{position}")?;
    }
    Ok(hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn part(character: u8) -> HashPart {
        [character; HASH_PART_LEN]
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(
            before in proptest::collection::vec(any::<u8>(), 0..80),
            after in proptest::collection::vec(any::<u8>(), 0..80),
            size in 1..50usize,
        ) {
            let replacements = BTreeMap::from([(part(b'a'), part(b'b'))]);
            let text = [&before[..], &part(b'a'), &after[..]].concat();
            let mut whole = Rewriter::new(Vec::new(), &replacements);
            whole.write_all(&text).unwrap();
            let (whole, matches) = whole.finish().unwrap();
            let mut pieces = Rewriter::new(Vec::new(), &replacements);
            for piece in text.chunks(size) {
                pieces.write_all(piece).unwrap();
            }
            prop_assert_eq!(&pieces.finish().unwrap(), &(whole.clone(), matches.clone()));
            prop_assert!(!whole.windows(HASH_PART_LEN).any(|w| w == part(b'a')));
            prop_assert_eq!(whole.len(), text.len());
            prop_assert!(!matches.is_empty());
        }
    }
}
