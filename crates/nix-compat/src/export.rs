//! The stream of `nix-store --export`: of each path a 1, its archive and what [`Trailer`] has; then
//! a 0.

use crate::StorePath;
use crate::wire::{Reader, Result, Writer, malformed};
use std::collections::BTreeSet;
use std::io::{Read, Write};

const MAGIC: u64 = 0x4558_494e;

/// What follows a path's archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trailer {
    /// The path.
    pub path: StorePath,
    /// What it refers to, itself included where it does.
    pub references: BTreeSet<StorePath>,
    /// The derivation it was built from.
    pub deriver: Option<StorePath>,
}

/// Whether another archive follows.
///
/// # Errors
/// When it is no such stream, or the stream breaks.
pub fn read_more(from: &mut Reader<impl Read>) -> Result<bool> {
    match from.number()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(malformed("it was not written by `nix-store --export`")),
    }
}

/// Says whether another archive follows.
///
/// # Errors
/// When the stream broke.
pub fn write_more(to: &mut Writer<impl Write>, more: bool) -> Result<()> {
    to.bool(more)
}

impl Trailer {
    /// Reads what follows an archive.
    ///
    /// # Errors
    /// When it makes no sense, or the stream breaks.
    pub fn read(from: &mut Reader<impl Read>) -> Result<Self> {
        from.begin();
        if from.number()? != MAGIC {
            return Err(malformed("an archive is not followed by what an export says of its path"));
        }
        let trailer =
            Self { path: from.path()?, references: from.paths()?, deriver: from.optional_path()? };
        // Once a signature, which nobody checks any more.
        match from.number()? {
            0 => {}
            1 => drop(from.bytes()?),
            other => return Err(malformed(format!("{other} is neither no signature (0) nor one"))),
        }
        Ok(trailer)
    }

    /// Writes what follows an archive.
    ///
    /// # Errors
    /// When the stream broke.
    pub fn write(&self, to: &mut Writer<impl Write>) -> Result<()> {
        to.number(MAGIC)?;
        to.path(&self.path)?;
        to.paths(&self.references)?;
        to.optional_path(self.deriver.as_ref())?;
        to.number(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::tests::path;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn trailers_are_read_back(
            path in path(),
            references in proptest::collection::btree_set(path(), 0..4),
            deriver in proptest::option::of(path()),
        ) {
            let trailer = Trailer { path, references, deriver };
            let mut writer = Writer::new(Vec::new());
            trailer.write(&mut writer).unwrap();
            let written = writer.into_inner();
            let mut left = written.as_slice();
            prop_assert_eq!(Trailer::read(&mut Reader::new(&mut left)).unwrap(), trailer);
            prop_assert!(left.is_empty());
            for cut in 0..written.len() {
                prop_assert!(Trailer::read(&mut Reader::new(&written[..cut])).is_err());
            }
        }
    }

    #[test]
    fn other_streams_are_told() {
        let number = |n: u64| n.to_le_bytes();
        let more = |n| read_more(&mut Reader::new(number(n).as_slice()));
        assert!(more(1).unwrap());
        assert!(!more(0).unwrap());
        insta::assert_snapshot!(more(13).unwrap_err(), @"the peer does not keep to the protocol: it was not written by `nix-store --export`");
        insta::assert_snapshot!(Trailer::read(&mut Reader::new(number(1).as_slice())).unwrap_err(), @"the peer does not keep to the protocol: an archive is not followed by what an export says of its path");
    }
}
