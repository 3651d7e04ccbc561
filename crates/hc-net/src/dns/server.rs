use super::handler::{Handler, Shared};
use super::owner;
use super::{Names, State};
use crate::error::{Error, Result};
use hc_spec::Name;
use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinSet;

/// A name server on any number of addresses. Dropping it closes them.
pub struct Server {
    shared: Arc<Shared>,
    listeners: BTreeMap<SocketAddr, Listener>,
}

/// One address.
struct Listener {
    connections: hickory_server::Server<Handler>,
    /// One task.
    datagrams: JoinSet<()>,
}

/// A connection that says nothing for so long is closed.
const IDLE: Duration = Duration::from_secs(5);
/// Answers that wait for a slow reader on one connection.
const BACKLOG: usize = 32;

impl Server {
    /// Makes a name server that listens nowhere yet.
    ///
    /// `upstreams` are asked about names outside the cloud. None of them may lead back to this
    /// server: [`crate::resolv::upstreams`] leaves it out.
    ///
    /// # Errors
    /// When a name is too long for DNS.
    pub fn new(names: &Names, upstreams: &[SocketAddr]) -> Result<Self> {
        let shared = Arc::new(Shared::new(names, upstreams, true)?);
        Ok(Self { shared, listeners: BTreeMap::new() })
    }

    /// The same before all machines are known, as when an agent begins: whoever asks for one that is not among
    /// these waits, until [`Self::set_names`] or for as long as for one that starts.
    ///
    /// # Errors
    /// The same.
    pub fn before_names(names: &Names, upstreams: &[SocketAddr]) -> Result<Self> {
        let shared = Arc::new(Shared::new(names, upstreams, false)?);
        Ok(Self { shared, listeners: BTreeMap::new() })
    }

    /// Replaces all names: the next question is answered from these.
    ///
    /// # Errors
    /// When a name is too long for DNS; the old names then stay.
    pub fn set_names(&self, names: &Names) -> Result<()> {
        self.shared.set_names(names)
    }

    /// Says what machines are doing, whose names stay as they are. Does nothing, and says so, where one of
    /// them has none.
    #[must_use]
    pub fn set_states(&self, changes: &[(&Name, State)]) -> bool {
        self.shared.set_states(changes)
    }

    /// Replaces the resolvers for names outside the cloud, and forgets what the old ones said.
    ///
    /// # Errors
    /// When the resolver cannot be made; the old ones then stay.
    pub fn set_upstreams(&self, upstreams: &[SocketAddr]) -> Result<()> {
        self.shared.set_upstreams(upstreams)
    }

    /// Listens on exactly these addresses, over UDP and TCP. Ones it listens on already are not
    /// disturbed.
    ///
    /// # Errors
    /// When an address is not there or taken; all others are then listened on nevertheless.
    pub async fn listen(&mut self, addresses: &BTreeSet<SocketAddr>) -> Result<()> {
        let gone: Vec<SocketAddr> =
            self.listeners.keys().filter(|a| !addresses.contains(a)).copied().collect();
        for address in gone {
            if let Some(mut listener) = self.listeners.remove(&address) {
                // Waits for the sockets to close, so that the address is free afterwards.
                let _ = listener.connections.shutdown_gracefully().await;
                listener.datagrams.shutdown().await;
            }
        }
        let mut failed = None;
        for &address in addresses {
            if self.listeners.contains_key(&address) {
                continue;
            }
            match self.open(address).await {
                Ok(listener) => drop(self.listeners.insert(address, listener)),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// Where it listens.
    #[must_use]
    pub fn addresses(&self) -> BTreeSet<SocketAddr> {
        self.listeners.keys().copied().collect()
    }

    /// Closes all addresses.
    pub async fn stop(mut self) {
        let _ = self.listen(&BTreeSet::new()).await;
    }

    async fn open(&self, address: SocketAddr) -> Result<Listener> {
        let udp = UdpSocket::bind(address).await.map_err(|e| refused(address, "udp", e))?;
        let tcp = TcpListener::bind(address).await.map_err(|e| refused(address, "tcp", e))?;
        let mut connections = hickory_server::Server::new(Handler(Arc::clone(&self.shared)));
        connections.register_listener(tcp, IDLE, BACKLOG);
        let mut datagrams = JoinSet::new();
        datagrams.spawn(super::datagrams::serve(udp, Arc::clone(&self.shared)));
        Ok(Listener { connections, datagrams })
    }
}

fn refused(addr: SocketAddr, protocol: &'static str, source: std::io::Error) -> Error {
    if source.kind() == ErrorKind::AddrInUse {
        let by = owner::of(addr, protocol).unwrap_or_else(|| "another program".into());
        return Error::PortTaken { addr, protocol, by };
    }
    Error::Listen { addr, protocol, source }
}
