//! The client of a Nix daemon: the worker protocol 1.34 to 1.38.

mod add;
mod build;
mod copy;
mod query;

pub use query::Missing;

use super::RemoteOptions;
use super::address::Address;
use super::pool::{Connected, Pool};
use super::process::plain;
use super::stream::{Stream, said};
use crate::error::{Error, Result};
use nix_compat::wire;
use nix_compat::worker::{self, Message, Request, Server, Version};
use std::os::unix::net::UnixStream;

/// A store that a Nix daemon looks after.
#[derive(Debug)]
pub struct Daemon {
    address: Address,
    options: RemoteOptions,
    pool: Pool<Connection>,
}

/// What a daemon says of itself and of us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DaemonInfo {
    /// Its release, such as `2.34.8`.
    pub release: String,
    /// The minor version of the protocol that is spoken, 1.34 to 1.38.
    pub minor: u8,
    /// Whether it trusts us to add paths without signatures and to change settings; unknown
    /// before version 1.35.
    pub trusts_us: Option<bool>,
}

pub(super) struct Connection {
    stream: Stream,
    version: Version,
    server: Server,
    message: fn(&str),
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("server", &self.server).finish_non_exhaustive()
    }
}

impl Connected for Connection {
    fn stream(&self) -> &Stream {
        &self.stream
    }
}

/// Why a daemon gave no answer.
enum Refusal {
    /// It said why; the connection is good.
    Said(String),
    /// The connection is not.
    Broken(wire::Error),
}

impl<E: Into<wire::Error>> From<E> for Refusal {
    fn from(error: E) -> Self {
        Self::Broken(error.into())
    }
}

impl Connection {
    fn open(address: &Address, options: &RemoteOptions) -> Result<Self> {
        let mut stream = Stream::open(address)?;
        let (version, server) = worker::greet(&mut stream.from, &mut stream.to)
            .map_err(|error| stream.no_greeting(address, &error))?;
        let mut connection = Self { stream, version, server, message: options.message };
        // It may refuse us only now, in its first messages.
        let mut start = || {
            connection.answered()?;
            let options = Request::SetOptions {
                keep_failed: options.keep_failed,
                keep_going: options.keep_going,
                jobs: options.jobs as u64,
                cores: options.cores as u64,
                substitute: options.substitute,
                settings: options.settings.clone(),
            };
            options.write(&mut connection.stream.to)?;
            connection.answered()
        };
        match start() {
            Ok(()) => Ok(connection),
            Err(Refusal::Said(reason)) => Err(address.error(reason)),
            Err(Refusal::Broken(error)) => Err(connection.stream.no_greeting(address, &error)),
        }
    }

    /// Sends what was written, and passes messages for people on, up to the answer.
    fn answered(&mut self) -> std::result::Result<(), Refusal> {
        let message = self.message;
        self.wait(&mut |said| {
            if let Message::Line(text) = said {
                let text = plain(&text);
                if !text.trim().is_empty() {
                    message(text.trim());
                }
            }
        })
    }

    /// Sends what was written, and reads messages up to the answer.
    fn wait(&mut self, tell: &mut dyn FnMut(Message)) -> std::result::Result<(), Refusal> {
        self.stream.to.flush()?;
        loop {
            match Message::read(&mut self.stream.from)? {
                Message::Last => {
                    self.stream.from.begin();
                    return Ok(());
                }
                Message::Error(text) => return Err(Refusal::Said(said(&text))),
                other => tell(other),
            }
        }
    }
}

impl Daemon {
    pub(super) fn new(address: Address, options: RemoteOptions) -> Self {
        Self { pool: Pool::new(address.connections), address, options }
    }

    /// A connection to its socket, on which nothing was said yet.
    pub(crate) fn connect(&self) -> Result<UnixStream> {
        self.address.connect()
    }

    /// Who it is, and whether it trusts us.
    ///
    /// # Errors
    /// When it cannot be reached.
    pub fn ping(&self) -> Result<DaemonInfo> {
        self.with(|connection| {
            let Server { release, trusts_us } = connection.server.clone();
            let release = plain(&release);
            Ok(DaemonInfo { release, minor: connection.version.minor, trusts_us })
        })
    }

    /// Sends a request, and reads its answer by `read`.
    fn ask<T>(
        &self,
        request: &Request,
        read: impl FnOnce(&mut Connection) -> wire::Result<T>,
    ) -> Result<T> {
        self.with(|connection| {
            request.write(&mut connection.stream.to)?;
            connection.answered()?;
            Ok(read(connection)?)
        })
    }

    /// Does something with a connection; one where the daemon has said what it does not like is
    /// good for more.
    fn with<T>(
        &self,
        work: impl FnOnce(&mut Connection) -> std::result::Result<T, Refusal>,
    ) -> Result<T> {
        self.with_both(|connection| Ok(work(connection)))
    }

    /// As [`Daemon::with`], for what may also fail on this side: such a failure ends the
    /// connection.
    fn with_both<T>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<std::result::Result<T, Refusal>>,
    ) -> Result<T> {
        let open = || Connection::open(&self.address, &self.options);
        self.pool.with(open, |connection| {
            connection.stream.in_step = false;
            match work(connection)? {
                Ok(done) => {
                    connection.stream.in_step = true;
                    Ok(done)
                }
                Err(Refusal::Said(reason)) => {
                    connection.stream.in_step = true;
                    Err(self.address.error(reason))
                }
                Err(Refusal::Broken(error)) => Err(connection.stream.broken(&self.address, &error)),
            }
        })
    }

    fn not_promised(&self, what: &str) -> Error {
        self.address.error(format!("it does not keep to the protocol: {what}"))
    }
}
