//! Which way to the store of this host is open.

use super::{DaemonStore, HostStore};
use crate::config::StoreConfig;
use crate::error::{Error, Result};
use crate::layout::Layout;
use crate::remote::RemoteOptions;
use crate::store::Store;
use rustix::fs::{Access, AtFlags, CWD};
use std::path::{Path, PathBuf};

/// How the store of this host is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// Directly where this process may write it; else through the daemon that listens at this
    /// socket, if one does. C++ Nix chooses in the same way.
    Auto {
        /// The daemon's socket.
        socket: PathBuf,
    },
    /// Directly.
    Direct,
    /// Through the daemon at this address: `daemon`, `unix://SOCKET`.
    Daemon(String),
    /// None: what is meant is no store of this host. Evaluation needs none before it builds.
    Nowhere {
        /// What was said.
        address: String,
        /// Why that cannot be opened, and what can.
        reason: String,
    },
}

impl Way {
    /// Through the daemon that listens at a socket.
    #[must_use]
    pub fn via(socket: &Path) -> Self {
        Self::Daemon(format!("unix://{}", encoded(socket)))
    }
}

/// What the store of this host is opened with.
#[derive(Debug, Clone)]
pub struct HostConfig {
    /// The store, and how this process builds.
    pub store: StoreConfig,
    /// How a daemon is to build for us.
    pub remote: RemoteOptions,
    /// The way to it.
    pub way: Way,
}

impl From<StoreConfig> for HostConfig {
    fn from(store: StoreConfig) -> Self {
        Self { store, remote: RemoteOptions::default(), way: Way::Direct }
    }
}

impl Default for HostConfig {
    fn default() -> Self {
        StoreConfig::default().into()
    }
}

impl HostStore {
    /// Opens the store.
    ///
    /// # Errors
    /// When it can neither be written nor asked for through a daemon.
    pub fn open(config: HostConfig) -> Result<Self> {
        match &config.way {
            Way::Direct => Store::open(config.store).map(Self::Local),
            Way::Daemon(address) => {
                let address = address.clone();
                DaemonStore::open(&address, config).map(Self::Daemon)
            }
            Way::Nowhere { address, reason } => {
                Err(Error::Peer { address: address.clone(), reason: reason.clone() })
            }
            Way::Auto { socket } => {
                let layout = Layout::new(config.store.root.as_deref())?;
                if may_write(&layout.state) {
                    return Store::open(config.store).map(Self::Local);
                }
                let socket = socket.clone();
                if socket.exists() {
                    return Self::open(HostConfig { way: Way::via(&socket), ..config });
                }
                Err(Error::NoWay { state: layout.state, socket })
            }
        }
    }

    /// What it was opened with, to open it again.
    #[must_use]
    pub fn host_config(&self) -> HostConfig {
        match self {
            Self::Local(store) => store.config().clone().into(),
            Self::Daemon(store) => store.host_config().clone(),
        }
    }
}

/// Whether this process may make what is missing of a store, or write what is there.
fn may_write(state: &Path) -> bool {
    let there = state.ancestors().find(|path| path.symlink_metadata().is_ok());
    there.is_some_and(|path| {
        rustix::fs::accessat(CWD, path, Access::WRITE_OK, AtFlags::EACCESS).is_ok()
    })
}

/// A path as it stands in an address.
fn encoded(path: &Path) -> String {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte);
    let bytes = std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str());
    bytes.iter().fold(String::new(), |mut text, byte| {
        if legal(*byte) {
            text.push(char::from(*byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
        text
    })
}
