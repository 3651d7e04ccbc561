//! Connections to the kernel's routing tables, and what its answers mean.

use crate::error::{Error, Result};
use futures_util::StreamExt;
use netlink_packet_route::link::LinkMessage;
use rtnetlink::sys::{Socket, TokioSocket, protocols::NETLINK_ROUTE};
use std::io;
use std::os::fd::{FromRawFd, IntoRawFd};

/// A connection, closed when dropped.
pub(crate) struct Netlink {
    pub(crate) handle: rtnetlink::Handle,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Netlink {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A socket for the network namespace of the calling thread.
pub(crate) fn socket() -> io::Result<Socket> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    socket.set_non_blocking(true)?;
    Ok(socket)
}

impl Netlink {
    /// Connects to the network namespace of the calling thread.
    pub(crate) fn here() -> Result<Self> {
        let opened = socket();
        Ok(Self::over(
            opened.map_err(|source| Error::System { action: "open a netlink socket", source })?,
        ))
    }

    /// Takes over a socket that may belong to another network namespace.
    pub(crate) fn over(socket: Socket) -> Self {
        // SAFETY: the descriptor comes out of an owned socket, which gives up its ownership.
        let socket = unsafe { TokioSocket::from_raw_fd(socket.into_raw_fd()) };
        let (connection, handle, _) = rtnetlink::from_socket(socket);
        Self { handle, task: tokio::spawn(connection) }
    }

    /// Finds a link by its name.
    pub(crate) async fn link(&self, name: &str) -> Result<Option<LinkMessage>> {
        let mut found = std::pin::pin!(self.handle.link().get().match_name(name).execute());
        match found.next().await {
            Some(Ok(link)) => Ok(Some(link)),
            None => Ok(None),
            Some(Err(error)) if is(&error, libc::ENODEV) => Ok(None),
            Some(Err(error)) => Err(link_error("look for", name)(error)),
        }
    }

    /// Finds the index of a link by its name.
    pub(crate) async fn index(&self, name: &str) -> Result<Option<u32>> {
        Ok(self.link(name).await?.map(|link| link.header.index))
    }

    /// Deletes a link; one that is gone is fine. Says whether it was there.
    pub(crate) async fn delete(&self, name: &str) -> Result<bool> {
        let Some(index) = self.index(name).await? else { return Ok(false) };
        match self.handle.link().del(index).execute().await {
            Ok(()) => Ok(true),
            // Its other end's namespace went away in the meantime, and took it along.
            Err(error) if is(&error, libc::ENODEV) => Ok(false),
            Err(error) => Err(link_error("delete", name)(error)),
        }
    }
}

/// What the kernel said, as an I/O error.
pub(crate) fn to_io(error: rtnetlink::Error) -> io::Error {
    match error {
        rtnetlink::Error::NetlinkError(message) => message.to_io(),
        other => io::Error::other(other),
    }
}

/// Whether the kernel answered with this error number.
pub(crate) fn is(error: &rtnetlink::Error, errno: i32) -> bool {
    matches!(error, rtnetlink::Error::NetlinkError(message) if message.raw_code() == -errno)
}

/// Says what was tried.
pub(crate) fn link_error(
    action: &'static str,
    what: impl ToString,
) -> impl FnOnce(rtnetlink::Error) -> Error {
    let what = what.to_string();
    move |source| Error::Link { action, what, source: to_io(source) }
}

/// Turns one error number into success.
pub(crate) fn unless(
    result: std::result::Result<(), rtnetlink::Error>,
    errno: i32,
) -> std::result::Result<(), rtnetlink::Error> {
    match result {
        Err(error) if is(&error, errno) => Ok(()),
        other => other,
    }
}
