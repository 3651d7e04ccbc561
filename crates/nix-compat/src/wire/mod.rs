//! How Nix's protocols write numbers, strings and store paths: 64-bit little-endian numbers, and
//! strings as their length, their bytes and zeros up to a multiple of eight.
//!
//! The peer may be hostile: lengths are believed only as far as bytes come, and what one message
//! may make us keep is bounded.

mod derivation;
mod frame;
mod path_info;
mod realisation;
mod result;

pub use derivation::{BasicDerivation, BasicOutput};
pub use frame::{FramedReader, FramedWriter};
pub use path_info::UnkeyedPathInfo;
pub(crate) use path_info::{parse_ca, parse_nar_hash};
pub use realisation::{Realisation, RealisationId};
pub use result::{BuildResult, BuildStatus};

use crate::StorePath;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};

/// What one message may hold in strings, in bytes.
pub const MESSAGE_LIMIT: u64 = 256 << 20;

/// What every kept string costs beside its bytes: a message of empty strings has a limit too.
const STRING_COST: u64 = 64;

/// Why a message could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The connection broke, or ended in the middle of a message.
    #[error("the connection broke: {0}")]
    Io(#[from] io::Error),
    /// The peer says something that is not in the protocol.
    #[error("the peer does not keep to the protocol: {0}")]
    Malformed(String),
    /// A message is larger than any honest one.
    #[error("the peer sends a message of more than {} MiB", MESSAGE_LIMIT >> 20)]
    TooLarge,
}

/// A result of this module.
pub type Result<T> = std::result::Result<T, Error>;

pub(crate) fn malformed(reason: impl Into<String>) -> Error {
    Error::Malformed(reason.into())
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Io(error) => error,
            other => Self::new(io::ErrorKind::InvalidData, other),
        }
    }
}

/// Reads the parts of messages.
#[derive(Debug)]
pub struct Reader<R> {
    from: R,
    left: u64,
}

impl<R: Read> Reader<R> {
    /// Reads from `from`, which should be buffered: it is read in small pieces.
    pub const fn new(from: R) -> Self {
        Self { from, left: MESSAGE_LIMIT }
    }

    /// A new message begins: the limit counts from here.
    pub const fn begin(&mut self) {
        self.left = MESSAGE_LIMIT;
    }

    /// What it reads from, for what follows a message without framing (an archive).
    pub const fn get_mut(&mut self) -> &mut R {
        &mut self.from
    }

    /// What it reads from.
    pub fn into_inner(self) -> R {
        self.from
    }

    /// A number.
    ///
    /// # Errors
    /// When the connection ends.
    pub fn number(&mut self) -> Result<u64> {
        let mut bytes = [0; 8];
        self.from.read_exact(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    /// A number, or nothing where the connection ends in good order.
    ///
    /// # Errors
    /// When the connection ends within the number.
    pub fn number_or_end(&mut self) -> Result<Option<u64>> {
        let mut bytes = [0; 8];
        let mut got = 0;
        while got < bytes.len() {
            match self.from.read(&mut bytes[got..]) {
                Ok(0) if got == 0 => return Ok(None),
                Ok(0) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                Ok(n) => got += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Some(u64::from_le_bytes(bytes)))
    }

    /// A number that must be small.
    ///
    /// # Errors
    /// When it is not, or the connection ends.
    pub fn small(&mut self) -> Result<u32> {
        let number = self.number()?;
        u32::try_from(number).map_err(|_| malformed(format!("{number} is too large a number")))
    }

    /// A truth value: any number but 0 is true, as in Nix.
    ///
    /// # Errors
    /// When the connection ends.
    pub fn bool(&mut self) -> Result<bool> {
        Ok(self.number()? != 0)
    }

    /// A string of bytes.
    ///
    /// # Errors
    /// When it is too large for one message, its padding is not zero, or the connection ends.
    pub fn bytes(&mut self) -> Result<Vec<u8>> {
        let length = self.number()?;
        let cost = length.saturating_add(STRING_COST);
        self.left = self.left.checked_sub(cost).ok_or(Error::TooLarge)?;
        let mut bytes = Vec::new();
        // Grows as bytes come, not as the length says.
        (&mut self.from).take(length).read_to_end(&mut bytes)?;
        if bytes.len() as u64 != length {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        let mut padding = [0; 8];
        let padding = &mut padding[..padding_of(length)];
        self.from.read_exact(padding)?;
        if padding.iter().any(|byte| *byte != 0) {
            return Err(malformed("the padding of a string is not zero"));
        }
        Ok(bytes)
    }

    /// A string, which must be UTF-8.
    ///
    /// # Errors
    /// As for [`Reader::bytes`], or when it is not UTF-8.
    pub fn string(&mut self) -> Result<String> {
        String::from_utf8(self.bytes()?).map_err(|_| malformed("a string is not UTF-8"))
    }

    /// A string for people to read.
    ///
    /// # Errors
    /// As for [`Reader::bytes`].
    pub fn text(&mut self) -> Result<String> {
        Ok(String::from_utf8_lossy(&self.bytes()?).into_owned())
    }

    /// A store path, written in full.
    ///
    /// # Errors
    /// When it is none, or the connection ends.
    pub fn path(&mut self) -> Result<StorePath> {
        parse_path(&self.bytes()?)
    }

    /// A store path, or nothing where the string is empty.
    ///
    /// # Errors
    /// As for [`Reader::path`].
    pub fn optional_path(&mut self) -> Result<Option<StorePath>> {
        let bytes = self.bytes()?;
        if bytes.is_empty() { Ok(None) } else { parse_path(&bytes).map(Some) }
    }

    /// A number of things.
    ///
    /// # Errors
    /// When one of them cannot be read.
    pub fn many<T>(&mut self, mut one: impl FnMut(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        let count = self.number()?;
        let mut all = Vec::new();
        for _ in 0..count {
            // Things of no strings at all count too.
            self.left = self.left.checked_sub(8).ok_or(Error::TooLarge)?;
            all.push(one(self)?);
        }
        Ok(all)
    }

    /// A set of store paths.
    ///
    /// # Errors
    /// As for [`Reader::path`].
    pub fn paths(&mut self) -> Result<BTreeSet<StorePath>> {
        Ok(self.many(Self::path)?.into_iter().collect())
    }

    /// Strings.
    ///
    /// # Errors
    /// As for [`Reader::string`].
    pub fn strings(&mut self) -> Result<Vec<String>> {
        self.many(Self::string)
    }

    /// A map of strings of bytes.
    ///
    /// # Errors
    /// As for [`Reader::bytes`].
    pub fn map(&mut self) -> Result<BTreeMap<Vec<u8>, Vec<u8>>> {
        let pairs = self.many(|r| Ok((r.bytes()?, r.bytes()?)))?;
        Ok(pairs.into_iter().collect())
    }
}

fn parse_path(bytes: &[u8]) -> Result<StorePath> {
    StorePath::from_absolute_path(bytes)
        .map_err(|e| malformed(format!("{:?}: {e}", String::from_utf8_lossy(bytes))))
}

/// Zeros that follow so many bytes.
const fn padding_of(length: u64) -> usize {
    (length.wrapping_neg() % 8) as usize
}

/// Writes the parts of messages.
#[derive(Debug)]
pub struct Writer<W> {
    to: W,
}

impl<W: Write> Writer<W> {
    /// Writes to `to`, which should be buffered.
    pub const fn new(to: W) -> Self {
        Self { to }
    }

    /// What it writes to, for what follows a message without framing.
    pub const fn get_mut(&mut self) -> &mut W {
        &mut self.to
    }

    /// What it writes to.
    pub fn into_inner(self) -> W {
        self.to
    }

    /// Sends what was written.
    ///
    /// # Errors
    /// When the connection broke.
    pub fn flush(&mut self) -> Result<()> {
        Ok(self.to.flush()?)
    }

    /// A number.
    ///
    /// # Errors
    /// When the connection broke.
    pub fn number(&mut self, number: u64) -> Result<()> {
        Ok(self.to.write_all(&number.to_le_bytes())?)
    }

    /// A truth value.
    ///
    /// # Errors
    /// When the connection broke.
    pub fn bool(&mut self, value: bool) -> Result<()> {
        self.number(value.into())
    }

    /// A string.
    ///
    /// # Errors
    /// When the connection broke.
    pub fn bytes(&mut self, bytes: impl AsRef<[u8]>) -> Result<()> {
        let bytes = bytes.as_ref();
        self.number(bytes.len() as u64)?;
        self.to.write_all(bytes)?;
        Ok(self.to.write_all(&[0; 8][..padding_of(bytes.len() as u64)])?)
    }

    /// A store path, in full.
    ///
    /// # Errors
    /// When the connection broke.
    pub fn path(&mut self, path: &StorePath) -> Result<()> {
        self.bytes(path.to_absolute_path())
    }

    /// A store path, or an empty string.
    ///
    /// # Errors
    /// When the connection broke.
    pub fn optional_path(&mut self, path: Option<&StorePath>) -> Result<()> {
        self.bytes(path.map(StorePath::to_absolute_path).unwrap_or_default())
    }

    /// Things, after their number.
    ///
    /// # Errors
    /// When the connection broke.
    pub fn many<T>(
        &mut self,
        things: impl IntoIterator<Item = T, IntoIter: ExactSizeIterator>,
        mut one: impl FnMut(&mut Self, T) -> Result<()>,
    ) -> Result<()> {
        let things = things.into_iter();
        self.number(things.len() as u64)?;
        for thing in things {
            one(self, thing)?;
        }
        Ok(())
    }

    /// A set of store paths.
    ///
    /// # Errors
    /// When the connection broke.
    pub fn paths(&mut self, paths: &BTreeSet<StorePath>) -> Result<()> {
        self.many(paths, Self::path)
    }

    /// Strings.
    ///
    /// # Errors
    /// When the connection broke.
    pub fn strings<S: AsRef<[u8]>>(&mut self, strings: &[S]) -> Result<()> {
        self.many(strings, |w, s| w.bytes(s.as_ref()))
    }

    /// A map of strings of bytes.
    ///
    /// # Errors
    /// When the connection broke.
    pub fn map(&mut self, map: &BTreeMap<Vec<u8>, Vec<u8>>) -> Result<()> {
        self.many(map, |w, (key, value)| {
            w.bytes(key)?;
            w.bytes(value)
        })
    }
}

#[cfg(test)]
pub(crate) mod tests;
