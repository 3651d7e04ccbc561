//! The far end: what `nix-store --serve` and `nix-daemon --stdio` are for C++ Nix, for a store of
//! this host.

mod builder;
mod incoming;
mod realise;
mod sent;
mod serve;
mod session;
mod substitute;
mod worker;

pub(crate) use builder::serve_builder;
pub use serve::serve;
pub use worker::serve_daemon;

use crate::copy::Trust;
use crate::error::{Error, Result};
use crate::host::HostStore;
use nix_compat::{Derivation, DrvOutput, StorePath, wire};
use std::io::{Read, Write};

/// What a client may do.
#[derive(Debug, Clone)]
pub struct Access {
    /// Whether it may add, build and delete.
    pub write: bool,
    /// What a path must show that it adds without being trusted for it.
    pub trust: Trust,
    /// Whether it may do without: whoever could write to the store all the same.
    pub trusted: bool,
}

/// A client at the other end of two pipes or of a socket.
pub struct Client<'a> {
    /// What it says.
    pub from: &'a mut (dyn Read + Send),
    /// Where it listens.
    pub to: &'a mut (dyn Write + Send),
    /// Whether it has gone: a build for nobody is ended.
    pub gone: &'a (dyn Fn() -> bool + Sync),
}

impl std::fmt::Debug for Client<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

/// An error of the connection.
fn lost(error: wire::Error) -> Error {
    Error::Peer { address: "the client".into(), reason: error.to_string() }
}

fn refused(reason: impl Into<String>) -> Error {
    Error::Peer { address: "hc store serve".into(), reason: reason.into() }
}

/// What a client names to be built.
enum Target {
    /// Outputs of a derivation.
    Outputs(Vec<DrvOutput>),
    /// A path that must be there.
    Path(StorePath),
}

impl Target {
    /// Reads `/nix/store/….drv!out,dev`, `….drv!*` or a path.
    fn parse(store: &HostStore, text: &str) -> Result<Self> {
        let wrong = |reason: &str| refused(format!("{text:?} cannot be built: {reason}"));
        let (path, names) = match text.split_once('!') {
            Some((path, names)) => (path, Some(names)),
            None => (text, None),
        };
        let path: StorePath = path.parse().map_err(|_| wrong("it is no path of the store"))?;
        let Some(names) = names else { return Ok(Self::Path(path)) };
        let names: Vec<String> = match names {
            "*" => {
                let derivation: Derivation = store.derivation(&path)?;
                derivation.outputs().keys().map(ToString::to_string).collect()
            }
            _ => names.split(',').map(str::to_owned).collect(),
        };
        Ok(Self::Outputs(
            names.into_iter().map(|name| DrvOutput::new(path.clone(), name)).collect(),
        ))
    }
}
