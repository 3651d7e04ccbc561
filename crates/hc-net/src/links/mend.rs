//! Machines' links after somebody took bridges, or the links themselves, away.

use super::attach::{attach, inside};
use super::exists;
use super::lan::attach_lan;
use super::port::Port;
use crate::channel::Channel;
use crate::error::Result;
use crate::netlink::{self, Netlink};
use crate::sysctl::Settings;
use hc_spec::Name;
use hc_spec::addr::Place;
use hc_spec::lan::Foot;
use netlink_packet_route::link::LinkAttribute;
use std::os::fd::BorrowedFd;

/// Puts a machine's link onto a wire back, which went with the host's link and does not come back with it.
/// As [`reattach`] otherwise; `first` is as for [`attach_lan`].
///
/// # Errors
/// When the host's link is not there, or the kernel refuses.
pub async fn reattach_lan(
    netns: Option<BorrowedFd<'_>>,
    foot: &Foot<'_>,
    first: Option<&Place<'_>>,
) -> Result<bool> {
    let Some(netns) = netns else { return Ok(false) };
    let ifname = foot.ifname();
    if inside(netns, || Ok(exists(&ifname)))? {
        return Ok(true);
    }
    let attached = attach_lan(netns, foot, first).await;
    if attached.is_err() {
        // What is half there would be taken for whole the next time.
        let within = inside(netns, netlink::socket)?;
        Netlink::over(within).delete(&ifname).await?;
    }
    attached.map(|()| true)
}

/// Puts the link of a machine that runs back where it belongs. One that is gone is made again where
/// `netns` is the machine's network namespace; a virtual machine's went with its descriptor, and
/// comes back when the machine is started again. `index` counts the machine's networks. Says whether
/// it is there now.
///
/// # Errors
/// When the kernel refuses.
pub fn reattach(
    netns: Option<BorrowedFd<'_>>,
    place: &Place<'_>,
    machine: &Name,
    index: u32,
) -> Result<bool> {
    let links = Channel::here()?.links(&[&place.link(machine)])?;
    let Some(link) = links.first() else {
        let Some(netns) = netns else { return Ok(false) };
        attach(netns, place, machine, index)?;
        return Ok(true);
    };
    let (port, _) = Port::prepare(place, machine)?;
    if !link.attributes.contains(&LinkAttribute::Controller(port.bridge)) {
        port.set_up(&Settings::fresh())?;
        port.carries()?;
    }
    Ok(true)
}
