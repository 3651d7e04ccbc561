//! The worker protocol, between a Nix daemon and its clients: versions 1.34 to 1.38.

mod log;
mod request;
mod substitutable;

pub use log::{Field, Message};
pub use request::Request;
pub use substitutable::SubstitutableInfo;

use crate::wire::{Reader, Result, Writer, malformed};
use std::collections::BTreeSet;
use std::io::{Read, Write};

const CLIENT_MAGIC: u64 = 0x6e69_7863;
const SERVER_MAGIC: u64 = 0x6478_696f;
const MAJOR: u64 = 1;
const OLDEST: u8 = 34;
const NEWEST: u8 = 38;

/// What both sides agreed on: the minor version (the major is 1) and optional features.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// 34 to 38.
    pub minor: u8,
    /// Features that both sides have; from version 1.38 on. We offer none yet.
    pub features: BTreeSet<String>,
}

impl Version {
    /// Whether results of builds have processor times.
    #[must_use]
    pub const fn has_cpu_times(&self) -> bool {
        self.minor >= 37
    }
}

/// What a daemon says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Its release, such as `2.34.8`.
    pub release: String,
    /// Whether it trusts the client; unknown before version 1.35.
    pub trusts_us: Option<bool>,
}

/// The client's side of the greeting, up to the first request. The messages of the daemon's start
/// follow ([`Message`]).
///
/// # Errors
/// When the other side is no daemon, or of another version.
pub fn greet(
    from: &mut Reader<impl Read>,
    to: &mut Writer<impl Write>,
) -> Result<(Version, Server)> {
    to.number(CLIENT_MAGIC)?;
    to.number(MAJOR << 8 | u64::from(NEWEST))?;
    to.flush()?;
    if from.number()? != SERVER_MAGIC {
        return Err(malformed("it is no Nix daemon"));
    }
    let minor = agree(from.number()?)?;
    if minor >= 38 {
        to.strings::<&str>(&[])?;
        to.flush()?;
        from.strings()?; // We have none, so none is common.
    }
    to.number(0)?; // once the processor to run on
    to.number(0)?; // once space to reserve
    to.flush()?;
    let release = from.text()?;
    let trusts_us = if minor >= 35 {
        match from.number()? {
            0 => None,
            1 => Some(true),
            2 => Some(false),
            other => return Err(malformed(format!("{other} is no kind of trust"))),
        }
    } else {
        None
    };
    Ok((Version { minor, features: BTreeSet::new() }, Server { release, trusts_us }))
}

/// The daemon's side of the greeting.
///
/// # Errors
/// When the other side is no client, or of another version.
pub fn welcome(
    from: &mut Reader<impl Read>,
    to: &mut Writer<impl Write>,
    server: &Server,
) -> Result<Version> {
    if from.number()? != CLIENT_MAGIC {
        return Err(malformed("it is no client of a Nix daemon"));
    }
    to.number(SERVER_MAGIC)?;
    to.number(MAJOR << 8 | u64::from(NEWEST))?;
    to.flush()?;
    let minor = agree(from.number()?)?;
    if minor >= 38 {
        from.strings()?;
        to.strings::<&str>(&[])?;
        to.flush()?;
    }
    if from.bool()? {
        from.number()?;
    }
    from.number()?;
    to.bytes(&server.release)?;
    if minor >= 35 {
        to.number(server.trusts_us.map_or(0, |trusts| if trusts { 1 } else { 2 }))?;
    }
    to.flush()?;
    Ok(Version { minor, features: BTreeSet::new() })
}

fn agree(theirs: u64) -> Result<u8> {
    let (major, minor) = (theirs >> 8, (theirs & 0xff) as u8);
    if major != MAJOR || minor < OLDEST {
        return Err(malformed(format!(
            "it speaks version {major}.{minor} of the worker protocol; needed is 1.{OLDEST} or newer"
        )));
    }
    Ok(minor.min(NEWEST))
}

#[cfg(test)]
mod tests;
