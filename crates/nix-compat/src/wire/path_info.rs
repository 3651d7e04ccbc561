use super::{Reader, Result, Writer, malformed};
use crate::StorePath;
use crate::hash::{CAHash, HashAlgorithm, HashFormat, NixHash};
use std::collections::BTreeSet;
use std::io::{Read, Write};

/// What a store knows about a path, without the path (`UnkeyedValidPathInfo` of C++ Nix).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnkeyedPathInfo {
    /// The derivation it was built from.
    pub deriver: Option<StorePath>,
    /// The SHA-256 of its archive.
    pub nar_hash: NixHash,
    /// What it refers to, itself included where it does.
    pub references: BTreeSet<StorePath>,
    /// When it was registered, in seconds since 1970.
    pub registered: u64,
    /// The size of its archive in bytes; 0 is unknown.
    pub nar_size: u64,
    /// Whether it was built where it is.
    pub ultimate: bool,
    /// `name:base64` signatures.
    pub signatures: Vec<String>,
    /// The content address, where it has one.
    pub ca: Option<CAHash>,
}

/// The hash of an archive: hexadecimal (or any other way), with or without its algorithm.
pub(crate) fn parse_nar_hash(text: &str) -> Result<NixHash> {
    let hash = if text.contains([':', '-']) {
        NixHash::parse(text)
    } else {
        crate::hash::parse(text, Some(HashAlgorithm::Sha256))
    };
    match hash {
        Ok(hash @ NixHash::Sha256(_)) if !text.is_empty() => Ok(hash),
        Ok(_) => Err(malformed(format!("the archive's hash {text:?} is no SHA-256"))),
        Err(error) => Err(malformed(format!("the archive's hash: {error}"))),
    }
}

pub(crate) fn parse_ca(text: &str) -> Result<Option<CAHash>> {
    if text.is_empty() {
        return Ok(None);
    }
    CAHash::parse(text)
        .map(Some)
        .map_err(|e| malformed(format!("the content address {text:?}: {e}")))
}

impl<R: Read> Reader<R> {
    /// What a store knows about a path, as the worker protocol has it.
    ///
    /// # Errors
    /// When it makes no sense, or the connection ends.
    pub fn path_info(&mut self) -> Result<UnkeyedPathInfo> {
        Ok(UnkeyedPathInfo {
            deriver: self.optional_path()?,
            nar_hash: parse_nar_hash(&self.string()?)?,
            references: self.paths()?,
            registered: self.number()?,
            nar_size: self.number()?,
            ultimate: self.bool()?,
            signatures: self.strings()?,
            ca: parse_ca(&self.string()?)?,
        })
    }
}

impl<W: Write> Writer<W> {
    /// What a store knows about a path, as the worker protocol has it.
    ///
    /// # Errors
    /// When the connection broke.
    pub fn path_info(&mut self, info: &UnkeyedPathInfo) -> Result<()> {
        self.optional_path(info.deriver.as_ref())?;
        self.bytes(crate::hash::format(&info.nar_hash, HashFormat::Base16))?;
        self.paths(&info.references)?;
        self.number(info.registered)?;
        self.number(info.nar_size)?;
        self.bool(info.ultimate)?;
        self.strings(&info.signatures)?;
        self.bytes(info.ca.as_ref().map(CAHash::to_nix_string).unwrap_or_default())
    }
}
