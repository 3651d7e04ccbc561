//! The protocol of `nix-store --serve`, which C++ Nix speaks over `ssh://`: version 2.7.

mod request;

pub use request::{BuildOptions, Request};

use crate::StorePath;
use crate::hash::CAHash;
use crate::wire::{Reader, Result, UnkeyedPathInfo, Writer, malformed, parse_ca, parse_nar_hash};
use std::io::{Read, Write};

const CLIENT_MAGIC: u64 = 0x390c_9deb;
const SERVER_MAGIC: u64 = 0x5452_eecb;
const MAJOR: u64 = 2;
const MINOR: u64 = 7;

/// The client's side of the greeting.
///
/// # Errors
/// When the other side is no such server, or an older one.
pub fn greet(from: &mut Reader<impl Read>, to: &mut Writer<impl Write>) -> Result<()> {
    to.number(CLIENT_MAGIC)?;
    to.number(MAJOR << 8 | MINOR)?;
    to.flush()?;
    if from.number()? != SERVER_MAGIC {
        return Err(malformed("it does not greet as `nix-store --serve` does"));
    }
    agree(from.number()?)
}

/// The server's side of the greeting.
///
/// # Errors
/// When the other side is no client of it, or an older one.
pub fn welcome(from: &mut Reader<impl Read>, to: &mut Writer<impl Write>) -> Result<()> {
    if from.number()? != CLIENT_MAGIC {
        return Err(malformed("it does not greet as a client of `nix-store --serve` does"));
    }
    to.number(SERVER_MAGIC)?;
    to.number(MAJOR << 8 | MINOR)?;
    to.flush()?;
    agree(from.number()?)
}

fn agree(theirs: u64) -> Result<()> {
    let (major, minor) = (theirs >> 8, theirs & 0xff);
    if major != MAJOR || minor < MINOR {
        return Err(malformed(format!(
            "it speaks version {major}.{minor} of `nix-store --serve`; needed is {MAJOR}.{MINOR}"
        )));
    }
    Ok(())
}

/// One of the answers to [`Request::QueryPathInfos`]; nothing after the last. When a path was
/// registered, and whether it was built there, is not told.
///
/// # Errors
/// When it makes no sense, or the connection breaks.
pub fn read_path_info(
    from: &mut Reader<impl Read>,
) -> Result<Option<(StorePath, UnkeyedPathInfo)>> {
    from.begin();
    let Some(path) = from.optional_path()? else { return Ok(None) };
    let (deriver, references) = (from.optional_path()?, from.paths()?);
    from.number()?; // once the size of the download
    let info = UnkeyedPathInfo {
        deriver,
        references,
        nar_size: from.number()?,
        nar_hash: parse_nar_hash(&from.string()?)?,
        ca: parse_ca(&from.string()?)?,
        signatures: from.strings()?,
        registered: 0,
        ultimate: false,
    };
    Ok(Some((path, info)))
}

/// One of the answers to [`Request::QueryPathInfos`].
///
/// # Errors
/// When the connection broke.
pub fn write_path_info(
    to: &mut Writer<impl Write>,
    path: &StorePath,
    info: &UnkeyedPathInfo,
) -> Result<()> {
    to.path(path)?;
    to.optional_path(info.deriver.as_ref())?;
    to.paths(&info.references)?;
    to.number(info.nar_size)?;
    to.number(info.nar_size)?;
    to.bytes(info.nar_hash.to_nix_nixbase32_string())?;
    to.bytes(info.ca.as_ref().map(CAHash::to_nix_string).unwrap_or_default())?;
    to.strings(&info.signatures)
}

/// Ends the answers to [`Request::QueryPathInfos`].
///
/// # Errors
/// When the connection broke.
pub fn write_path_info_end(to: &mut Writer<impl Write>) -> Result<()> {
    to.bytes("")
}

#[cfg(test)]
mod tests;
