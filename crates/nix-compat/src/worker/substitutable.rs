use crate::StorePath;
use crate::wire::{Reader, Result, Writer};
use std::collections::BTreeSet;
use std::io::{Read, Write};

/// What a substituter says of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubstitutableInfo {
    /// The derivation it was built from.
    pub deriver: Option<StorePath>,
    /// What it refers to.
    pub references: BTreeSet<StorePath>,
    /// Bytes that have to be downloaded; 0 is unknown.
    pub download_size: u64,
    /// The size of its archive in bytes; 0 is unknown.
    pub nar_size: u64,
}

impl<R: Read> Reader<R> {
    /// What a substituter says of a path.
    ///
    /// # Errors
    /// When it makes no sense, or the connection ends.
    pub fn substitutable_info(&mut self) -> Result<SubstitutableInfo> {
        Ok(SubstitutableInfo {
            deriver: self.optional_path()?,
            references: self.paths()?,
            download_size: self.number()?,
            nar_size: self.number()?,
        })
    }
}

impl<W: Write> Writer<W> {
    /// What a substituter says of a path.
    ///
    /// # Errors
    /// When the connection broke.
    pub fn substitutable_info(&mut self, info: &SubstitutableInfo) -> Result<()> {
        self.optional_path(info.deriver.as_ref())?;
        self.paths(&info.references)?;
        self.number(info.download_size)?;
        self.number(info.nar_size)
    }
}
