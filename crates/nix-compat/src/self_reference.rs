//! Hashing what refers to itself: `HashModuloSink` of C++ Nix, whose format this is.

use crate::hash::{HashAlgorithm, NixHash, NixHasher};
use std::io::Write;

/// Hashes what is written with every `needle` made zeros, and then where they were.
pub(crate) struct ModuloWriter {
    hasher: NixHasher,
    needle: Vec<u8>,
    /// The end of what was written, which may be the start of a needle.
    tail: Vec<u8>,
    /// Where `tail` begins.
    position: u64,
    found: Vec<u64>,
}

impl ModuloWriter {
    pub fn new(algorithm: HashAlgorithm, needle: &[u8]) -> Self {
        let hasher = NixHasher::new(algorithm);
        Self { hasher, needle: needle.into(), tail: Vec::new(), position: 0, found: Vec::new() }
    }

    pub fn finish(mut self) -> NixHash {
        self.hasher.update(&self.tail);
        for position in self.found {
            self.hasher.update(format!("|{position}").as_bytes());
        }
        self.hasher.finalize()
    }
}

impl Write for ModuloWriter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.tail.extend_from_slice(bytes);
        let (length, mut at) = (self.needle.len(), 0);
        while let Some(window) = self.tail.get(at..at + length) {
            if window == self.needle {
                self.tail[at..at + length].fill(0);
                self.found.push(self.position + at as u64);
                at += length;
            } else {
                at += 1;
            }
        }
        let done = at.min(self.tail.len());
        self.hasher.update(&self.tail[..done]);
        self.tail.drain(..done);
        self.position += done as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn pieces_do_not_matter(
            parts in proptest::collection::vec("(ab|abc|x|c)*", 0..8),
        ) {
            let whole = parts.concat();
            let mut writer = ModuloWriter::new(HashAlgorithm::Sha256, b"abc");
            for part in &parts {
                writer.write_all(part.as_bytes()).unwrap();
            }
            let mut expected = whole.replace("abc", "\0\0\0");
            for (at, _) in whole.match_indices("abc") {
                expected += &format!("|{at}");
            }
            let expected = crate::hash_bytes(HashAlgorithm::Sha256, expected.as_bytes());
            prop_assert_eq!(writer.finish(), expected);
        }
    }
}
