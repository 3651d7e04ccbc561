//! [`crate::links`] for callers without an async runtime.
//!
//! Each call makes a runtime of its own on the calling thread, so that it acts in that thread's
//! network namespace.

use crate::error::{Error, Result};
use crate::firewall::Protection;
use crate::links::{self, LanTap};
use hc_spec::addr::Place;
use hc_spec::lan::Foot;
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

/// See [`links::ensure_alone`].
///
/// # Errors
/// The same.
pub fn ensure_alone(place: Place<'_>) -> Result<Protection> {
    run(links::ensure_alone(place))
}

/// See [`links::remove_networks`].
///
/// # Errors
/// The same.
pub fn remove_networks(cloud: &Name, host: &Name, networks: &[Name]) -> Result<()> {
    run(links::remove_networks(cloud, host, networks))
}

/// See [`links::attach_lan`].
///
/// # Errors
/// The same.
pub fn attach_lan(netns: BorrowedFd<'_>, foot: &Foot<'_>, first: Option<&Place<'_>>) -> Result<()> {
    run(links::attach_lan(netns, foot, first))
}

/// See [`links::reattach_lan`].
///
/// # Errors
/// The same.
pub fn reattach_lan(
    netns: Option<BorrowedFd<'_>>,
    foot: &Foot<'_>,
    first: Option<&Place<'_>>,
) -> Result<bool> {
    run(links::reattach_lan(netns, foot, first))
}

/// See [`links::attach_lan_tap`].
///
/// # Errors
/// The same.
pub fn attach_lan_tap(foot: &Foot<'_>) -> Result<LanTap> {
    run(links::attach_lan_tap(foot))
}
