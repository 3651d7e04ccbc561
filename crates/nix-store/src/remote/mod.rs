//! Stores that somebody else looks after: a Nix daemon at its socket, and stores of other hosts
//! over ssh.

mod address;
mod client;
mod daemon;
mod pool;
mod process;
mod server;
mod ssh;
mod stream;
mod wire_info;

pub use client::ServeClient;
pub use daemon::{Daemon, DaemonInfo, Missing};
pub(crate) use server::serve_builder;
pub use server::{Access, Client, serve, serve_daemon};

use crate::copy::{Sink, Source};
use crate::error::Result;
use std::path::PathBuf;

/// Where a Nix daemon listens.
pub const DAEMON_SOCKET: &str = "/nix/var/nix/daemon-socket/socket";

/// How a remote store is reached and used, beside what its address says.
#[derive(Debug, Clone)]
pub struct RemoteOptions {
    /// Options for every call of `ssh`, as `NIX_SSHOPTS` has them.
    pub ssh: Vec<String>,
    /// Ask a daemon to check the signatures of what is added; it does in any case where it does
    /// not trust us.
    pub check_signatures: bool,
    /// Whether a daemon may substitute what it is asked to build.
    pub substitute: bool,
    /// Builds that run at once.
    pub jobs: usize,
    /// What builders are told in `NIX_BUILD_CORES`.
    pub cores: usize,
    /// Build what does not depend on a failed build before giving up.
    pub keep_going: bool,
    /// Keep what a failed build left.
    pub keep_failed: bool,
    /// Settings that a daemon is told, by the names of `nix.conf`. It takes them from those whom it
    /// trusts, and a few of them from everybody.
    pub settings: Vec<(String, String)>,
    /// Gets what a daemon has to say beside its answers, such as warnings.
    pub message: fn(&str),
}

impl Default for RemoteOptions {
    fn default() -> Self {
        Self {
            ssh: Vec::new(),
            check_signatures: true,
            substitute: true,
            jobs: 1,
            cores: 0,
            keep_going: false,
            keep_failed: false,
            settings: Vec::new(),
            message: |_| (),
        }
    }
}

/// A store that somebody else looks after.
#[derive(Debug)]
pub enum Remote {
    /// It speaks the worker protocol: `daemon`, `unix://SOCKET`, `ssh-ng://HOST`.
    Daemon(Daemon),
    /// It speaks that of `nix-store --serve`: `ssh://HOST`.
    Serve(ServeClient),
}

impl Remote {
    /// Whether this is the address of a remote store, right or wrong.
    #[must_use]
    pub fn is_address(address: &str) -> bool {
        address == "daemon"
            || ["unix://", "ssh://", "ssh-ng://"].iter().any(|scheme| address.starts_with(scheme))
    }

    /// The store at an address. Nothing is asked yet.
    ///
    /// # Errors
    /// When the address makes no sense.
    pub fn open(address: &str, options: &RemoteOptions) -> Result<Self> {
        let parsed = address::Address::parse(address, &options.ssh)?;
        Ok(match parsed.protocol {
            address::Protocol::Worker => Self::Daemon(Daemon::new(parsed, options.clone())),
            address::Protocol::Serve => Self::Serve(ServeClient::new(parsed)),
        })
    }

    /// The daemon of this host at an address, and where its store is if the address says so.
    pub(crate) fn host_daemon(
        address: &str,
        options: &RemoteOptions,
    ) -> Result<(Daemon, Option<PathBuf>)> {
        let parsed = address::Address::parse(address, &options.ssh)?;
        if !matches!(parsed.transport, stream::Transport::Socket(_)) {
            let reason = "it is no daemon of this host: say daemon or unix://SOCKET";
            return Err(parsed.error(reason));
        }
        let root = parsed.root.clone();
        Ok((Daemon::new(parsed, options.clone()), root))
    }

    /// As a place to copy from.
    #[must_use]
    pub fn source(&self) -> &dyn Source {
        match self {
            Self::Daemon(daemon) => daemon,
            Self::Serve(client) => client,
        }
    }

    /// As a place to copy to.
    #[must_use]
    pub fn sink(&self) -> &dyn Sink {
        match self {
            Self::Daemon(daemon) => daemon,
            Self::Serve(client) => client,
        }
    }
}
