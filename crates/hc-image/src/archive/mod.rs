//! Archives that nobody vouches for: what they are packed with, and the tar files in them.
//!
//! An archive is read once: what is compressed is unpacked to a file without a name in the work
//! directory, what is not stays where it is. A [`tar::Reader`] then tells where each file's bytes
//! lie, and the image is written from there. So memory holds names and never contents.

mod compression;
pub mod pax;
mod sparse;
pub mod tar;

pub use compression::{Observer, Slice, Spool};

use crate::error::{Error, Result};

/// What an archive may take at most. What takes more is a bomb, or wants to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes that all archives of one image unpack to, their headers included.
    pub bytes: u64,
    /// Files, directories and links in them.
    pub entries: u64,
}

impl Default for Limits {
    /// 32 GiB and a million entries.
    fn default() -> Self {
        Self { bytes: 32 << 30, entries: 1_000_000 }
    }
}

/// What is left of the [`Limits`] of one image.
#[derive(Clone, Debug)]
pub struct Budget {
    limits: Limits,
    bytes: u64,
    entries: u64,
    /// Bytes of names, link targets and attributes, which are held in memory.
    names: u64,
}

/// No image of a million files has longer names and attributes.
const NAMES_MAX: u64 = 512 << 20;

impl Budget {
    /// Nothing is used yet.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, bytes: limits.bytes, entries: limits.entries, names: NAMES_MAX }
    }

    /// The bytes that are left.
    #[must_use]
    pub fn bytes_left(&self) -> u64 {
        self.bytes
    }

    /// Takes bytes.
    ///
    /// # Errors
    /// A sentence on the limit, when there are not so many left.
    pub fn take_bytes(&mut self, count: u64) -> Result<(), String> {
        self.bytes = self.bytes.checked_sub(count).ok_or_else(|| self.too_large())?;
        Ok(())
    }

    /// What to say when the bytes are used up.
    #[must_use]
    pub fn too_large(&self) -> String {
        format!(
            "it unpacks to more than {} bytes, which is the limit; if that is right, raise the \
             image's `maxSize`",
            self.limits.bytes
        )
    }

    pub(crate) fn take_entry(&mut self, names: usize) -> Result<(), String> {
        self.entries = self.entries.checked_sub(1).ok_or_else(|| {
            format!(
                "it has more than {} entries, which is the limit; if that is right, raise the \
                 image's `maxEntries`",
                self.limits.entries
            )
        })?;
        self.names = self.names.checked_sub(names as u64 + 64).ok_or_else(|| {
            format!("its names and attributes take more than {NAMES_MAX} bytes together")
        })?;
        Ok(())
    }
}

pub(crate) fn refuse(archive: &str, why: impl Into<String>) -> Error {
    Error::Unpack { archive: archive.into(), entry: None, why: why.into() }
}

pub(crate) fn refuse_entry(archive: &str, entry: &[u8], why: impl Into<String>) -> Error {
    let entry = (!entry.is_empty()).then(|| String::from_utf8_lossy(entry).into_owned());
    Error::Unpack { archive: archive.into(), entry, why: why.into() }
}
