//! Machines' links after somebody took bridges, or the links themselves, away.

use super::attach::attach;
use super::port::Port;
use crate::error::Result;
use crate::netlink::Netlink;
use hc_spec::Name;
use hc_spec::addr::Place;
use netlink_packet_route::link::LinkAttribute;
use std::os::fd::BorrowedFd;

/// Puts the link of a machine that runs back where it belongs. One that is gone is made again where
/// `netns` is the machine's network namespace; a virtual machine's went with its descriptor, and
/// comes back when the machine is started again. `index` counts the machine's networks. Says whether
/// it is there now.
///
/// # Errors
/// When the kernel refuses.
pub async fn reattach(
    netns: Option<BorrowedFd<'_>>,
    place: &Place<'_>,
    machine: &Name,
    index: u32,
) -> Result<bool> {
    let netlink = Netlink::here()?;
    let link = netlink.link(&place.link(machine)).await?;
    let Some(link) = link else {
        let Some(netns) = netns else { return Ok(false) };
        attach(netns, place, machine, index).await?;
        return Ok(true);
    };
    let port = Port::prepare(place, machine).await?;
    if !link.attributes.contains(&LinkAttribute::Controller(port.bridge)) {
        port.set_up().await?;
        port.carries().await?;
    }
    Ok(true)
}
