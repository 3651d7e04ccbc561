//! [`crate::links`] for callers without an async runtime.
//!
//! Each call makes a runtime of its own on the calling thread, so that it acts in that thread's
//! network namespace.

use crate::error::{Error, Result};
use crate::firewall::Protection;
use crate::links::{self, Attached, Tap};
use hc_spec::addr::Place;
use hc_spec::{HostSpec, Name};
use std::os::fd::BorrowedFd;

fn run<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .map_err(|source| Error::System { action: "make an async runtime", source })?;
    runtime.block_on(future)
}

/// See [`links::ensure_networks`].
///
/// # Errors
/// The same.
pub fn ensure_networks(host: &HostSpec) -> Result<Protection> {
    run(links::ensure_networks(host))
}

/// See [`links::remove_networks`].
///
/// # Errors
/// The same.
pub fn remove_networks(cloud: &Name, host: &Name, networks: &[Name]) -> Result<()> {
    run(links::remove_networks(cloud, host, networks))
}

/// See [`links::attach`].
///
/// # Errors
/// The same.
pub fn attach(
    netns: BorrowedFd<'_>,
    place: &Place<'_>,
    machine: &Name,
    index: u32,
) -> Result<Attached> {
    run(links::attach(netns, place, machine, index))
}

/// See [`links::attach_tap`].
///
/// # Errors
/// The same.
pub fn attach_tap(place: &Place<'_>, machine: &Name) -> Result<Tap> {
    run(links::attach_tap(place, machine))
}

/// See [`links::detach`].
///
/// # Errors
/// The same.
pub fn detach(place: &Place<'_>, machine: &Name) -> Result<()> {
    run(links::detach(place, machine))
}
