use std::io::{self, Read};

/// Reads one archive out of a stream that goes on after it: what comes out are the archive's bytes
/// as they are, and not one byte more is taken. In memory is never more than a word of it.
///
/// Where it ends follows from its words, which must come in their order; what names, contents and
/// padding hold is for whoever unpacks it to check.
#[derive(Debug)]
pub struct ArchiveReader<R> {
    from: R,
    expected: Expected,
    /// Directories that are open.
    depth: u64,
    /// Bytes of words that were read and not given yet.
    ready: Vec<u8>,
    /// Bytes of a name, of contents or of a target that come next.
    data: u64,
}

/// The word that comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    Magic,
    Node,
    Type,
    Kind,
    Regular,
    Executable,
    Contents,
    Target,
    NodeEnd,
    Entry,
    EntryStart,
    Name,
    EntryNode,
    EntryEnd,
    Nothing,
}

/// As long as the longest word, padded.
const WORD: u64 = 16;

impl<R: Read> ArchiveReader<R> {
    /// The archive begins with the next byte. `from` should be buffered: it is read in small
    /// pieces.
    pub const fn new(from: R) -> Self {
        Self { from, expected: Expected::Magic, depth: 0, ready: Vec::new(), data: 0 }
    }

    /// Whether the last byte of the archive was read.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        matches!(self.expected, Expected::Nothing) && self.data == 0 && self.ready.is_empty()
    }

    /// Skips what is left of the archive, so that the stream can be used on.
    ///
    /// # Errors
    /// When the stream breaks, or is no archive.
    pub fn finish(&mut self) -> io::Result<()> {
        io::copy(self, &mut io::sink()).map(drop)
    }

    fn length(&mut self) -> io::Result<u64> {
        let mut bytes = [0; 8];
        self.from.read_exact(&mut bytes)?;
        self.ready.extend_from_slice(&bytes);
        let length = u64::from_le_bytes(bytes);
        length
            .checked_next_multiple_of(8)
            .ok_or_else(|| wrong(&format!("a length of {length} bytes")))?;
        Ok(length)
    }

    /// A word, at most [`WORD`] bytes long.
    fn word(&mut self) -> io::Result<([u8; WORD as usize], usize)> {
        let length = self.length()?;
        if length > WORD {
            return Err(wrong(&format!("{length} bytes where a word should be")));
        }
        let (mut word, length) = ([0; WORD as usize], length as usize);
        let padded = length.next_multiple_of(8);
        self.from.read_exact(&mut word[..padded])?;
        self.ready.extend_from_slice(&word[..padded]);
        Ok((word, length))
    }

    /// Reads one word, and the length of what comes after it.
    fn step(&mut self) -> io::Result<()> {
        use Expected as E;
        let (word, length) = self.word()?;
        let word = &word[..length];
        self.expected = match (self.expected, word) {
            (E::Magic, b"nix-archive-1") => E::Node,
            (E::Node, b"(") => E::Type,
            (E::Type, b"type") => E::Kind,
            (E::Kind, b"regular") => E::Regular,
            (E::Kind, b"symlink") => E::Target,
            (E::Kind, b"directory") => {
                self.depth += 1;
                E::Entry
            }
            (E::Regular, b"executable") => E::Executable,
            (E::Executable, b"") => E::Contents,
            (E::Regular | E::Contents, b"contents") | (E::Target, b"target") => {
                self.data = self.length()?.next_multiple_of(8);
                E::NodeEnd
            }
            (E::Regular | E::Contents | E::NodeEnd, b")") => self.after_node(),
            (E::Entry, b"entry") => E::EntryStart,
            (E::EntryStart, b"(") => E::Name,
            (E::Name, b"name") => {
                self.data = self.length()?.next_multiple_of(8);
                E::EntryNode
            }
            (E::EntryNode, b"node") => E::Node,
            (E::EntryEnd, b")") => E::Entry,
            (E::Entry, b")") => {
                self.depth -= 1;
                self.after_node()
            }
            _ => {
                return Err(wrong(&format!(
                    "{:?} is out of place",
                    word.escape_ascii().to_string()
                )));
            }
        };
        Ok(())
    }

    const fn after_node(&self) -> Expected {
        if self.depth == 0 { Expected::Nothing } else { Expected::EntryEnd }
    }
}

impl<R: Read> Read for ArchiveReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        while self.ready.is_empty() {
            if self.data > 0 {
                let wanted = usize::try_from(self.data).unwrap_or(usize::MAX).min(buffer.len());
                let got = self.from.read(&mut buffer[..wanted])?;
                if got == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                self.data -= got as u64;
                return Ok(got);
            }
            if self.expected == Expected::Nothing {
                return Ok(0);
            }
            self.step()?;
        }
        let given = self.ready.len().min(buffer.len());
        buffer[..given].copy_from_slice(&self.ready[..given]);
        self.ready.drain(..given);
        Ok(given)
    }
}

fn wrong(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the archive is malformed: {reason}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods)]
    use super::*;
    use proptest::prelude::*;
    use std::path::Path;

    fn archive() -> Vec<u8> {
        let dir = tempfile::tempdir().unwrap();
        let tree = dir.path().join("tree");
        std::fs::create_dir_all(tree.join("a/b")).unwrap();
        std::fs::write(tree.join("a/b/)"), "nix-archive-1").unwrap();
        std::fs::write(tree.join("empty"), "").unwrap();
        std::os::unix::fs::symlink(")", tree.join("z")).unwrap();
        std::fs::copy("/proc/self/exe", tree.join("x")).unwrap();
        std::fs::File::options().write(true).open(tree.join("x")).unwrap().set_len(70_001).unwrap();
        dump(&tree)
    }

    fn dump(tree: &Path) -> Vec<u8> {
        let mut archive = Vec::new();
        crate::nar::dump(tree, &mut archive).unwrap();
        archive
    }

    #[test]
    fn an_archive_ends_where_it_ends() {
        let archive = archive();
        let stream = [archive.as_slice(), b"more"].concat();
        let mut left = stream.as_slice();
        let mut reader = ArchiveReader::new(&mut left);
        let mut got = Vec::new();
        reader.read_to_end(&mut got).unwrap();
        assert!(reader.is_done());
        assert_eq!(got, archive);
        assert_eq!(left, b"more");
    }

    #[test]
    fn one_that_is_cut_off_is_told_at_every_byte() {
        let archive = archive();
        for cut in (0..archive.len().min(2000)).chain(archive.len() - 500..archive.len()) {
            let error = ArchiveReader::new(&archive[..cut]).finish().unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "at {cut}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        let word = |w: &str| {
            let mut bytes = (w.len() as u64).to_le_bytes().to_vec();
            bytes.extend(w.as_bytes());
            bytes.resize(bytes.len().next_multiple_of(8), 0);
            bytes
        };
        let said = |words: &[&str], end: &[u8]| {
            let mut all: Vec<u8> = words.iter().flat_map(|w| word(w)).collect();
            all.extend(end);
            ArchiveReader::new(all.as_slice()).finish().unwrap_err().to_string()
        };
        insta::assert_snapshot!(said(&["nix-archive-2"], b""), @r#"the archive is malformed: "nix-archive-2" is out of place"#);
        insta::assert_snapshot!(said(&["nix-archive-1", "(", "type", "fifo"], b""), @r#"the archive is malformed: "fifo" is out of place"#);
        let huge = u64::MAX.to_le_bytes();
        insta::assert_snapshot!(said(&["nix-archive-1", "(", "type", "regular", "contents"], &huge), @"the archive is malformed: a length of 18446744073709551615 bytes");
        insta::assert_snapshot!(said(&["nix-archive-1"], &(1_u64 << 63).to_le_bytes()), @"the archive is malformed: 9223372036854775808 bytes where a word should be");
    }

    proptest! {
        #[test]
        fn what_the_unpacker_takes_passes(bytes: Vec<u8>) {
            if crate::nar::decode(&bytes).is_ok() {
                prop_assert!(ArchiveReader::new(bytes.as_slice()).finish().is_ok());
            }
        }
    }
}
