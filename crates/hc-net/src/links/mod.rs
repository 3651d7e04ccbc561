//! Bridges of networks, and machines' links into them.
//!
//! Every function changes the network namespace of the calling thread, so call them from a
//! current-thread runtime (or through [`crate::blocking`]) when that is not the process's own.
//! All of them may be repeated, after a crash too, and end in the same state.

mod attach;
mod forwarding;
mod lan;
mod lost;
mod mend;
mod overlay;
mod port;
mod roads;
mod tap;

pub use attach::{Attached, attach, detach};
pub use lan::{LanTap, attach_lan, attach_lan_tap};
pub use lost::{lost, macvtaps};
pub use mend::{reattach, reattach_lan};
pub use roads::ensure_roads;
pub use tap::{Tap, attach_tap, loose_taps};

/// Name of the device to other hosts.
pub(crate) const OVERLAY: &str = "hco0";

use crate::channel::Channel;
use crate::error::{Error, Result};
use crate::firewall::{self, Protection};
use crate::netlink::{Netlink, link_error};
use crate::sysctl;
use hc_fs::Lingering;
use hc_spec::addr::Place;
use hc_spec::{HostSpec, Name, NetworkSpec};
use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage,
};
use netlink_packet_route::link::{InfoKind, LinkAttribute, LinkInfo, LinkMessage};
use rtnetlink::{AddressMessageBuilder, LinkBridge, LinkMessageBuilder};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Makes the bridges, gateway addresses and packet filter of all networks of a host.
///
/// Machines that are attached stay attached. Networks that left the host are not removed: see
/// [`remove_networks`].
///
/// # Errors
/// When the kernel refuses, `nft` is missing, or a bridge's name is taken by something else.
pub async fn ensure_networks(host: &HostSpec) -> Result<Protection> {
    let netlink = Netlink::here()?;
    for (network, spec) in &host.networks {
        ensure_network(&netlink, place(&host.cloud, &host.host, network), spec).await?;
    }
    // The rules name no network, only the pattern of the bridges' names: nothing is unfiltered
    // between making a bridge and filtering it but the very first time, when no machine is on it.
    let protection = firewall::ensure(host)?;
    overlay::ensure(&netlink, host).await?;
    if !host.networks.is_empty() {
        forwarding::enable_uplinks(&netlink).await?;
    }
    Ok(protection)
}

/// Makes one network for a machine that was started without an agent; what the agent wrote down
/// about the host stays.
///
/// # Errors
/// As [`ensure_networks`].
pub async fn ensure_alone(place: Place<'_>) -> Result<Protection> {
    let netlink = Netlink::here()?;
    ensure_network(&netlink, place, &NetworkSpec::default()).await?;
    let protection = firewall::ensure_alone(&place)?;
    forwarding::enable_uplinks(&netlink).await?;
    Ok(protection)
}

/// Takes the link to other hosts away.
///
/// # Errors
/// When the kernel refuses.
pub async fn remove_overlay() -> Result<()> {
    overlay::remove(&Netlink::here()?).await
}

/// Says that a machine stopped: its addresses are nobody's until it is attached again, from when this
/// returns. Quick, where [`detach`] waits for the kernel: a container's link goes with its network
/// namespace and a virtual machine's with its descriptor, everything else is a function of its name and
/// does no harm, and [`attach`] takes over whatever it finds.
///
/// # Errors
/// When the kernel refuses.
pub fn retire(machines: &[(Place<'_>, &Name)]) -> Result<Lingering> {
    firewall::forget_machines(machines)
}

/// The same of machines that do not come back: the host forgets its ways to them, too.
///
/// # Errors
/// When the kernel refuses.
pub fn dismiss(machines: &[(Place<'_>, &Name)]) -> Result<Lingering> {
    let lingering = firewall::forget_machines(machines)?;
    let outside = Channel::here()?;
    let changes =
        machines.iter().flat_map(|(place, name)| attach::forgotten(&outside, place, name));
    outside.change(changes.collect()).map(|()| lingering)
}

/// Says again which machines run, for tables that may have been lost meanwhile.
///
/// # Errors
/// When the kernel refuses.
pub fn readmit(machines: &[(Place<'_>, &Name)]) -> Result<()> {
    firewall::admit_machines(machines).map(drop)
}

/// Whether that is the link to other hosts.
#[must_use]
pub fn is_overlay(link: &str) -> bool {
    link == OVERLAY
}

/// Whether the link to other hosts is there.
#[must_use]
pub fn overlay_exists() -> bool {
    exists(OVERLAY)
}

/// Links of the host on which forwarding is on for hc alone: nothing else passes there.
///
/// # Errors
/// When they cannot be listed.
pub fn uplinks() -> Result<std::collections::BTreeSet<String>> {
    firewall::uplinks()
}

/// Says again which links those are.
///
/// # Errors
/// When the kernel refuses.
pub fn readmit_uplinks<'a>(names: impl IntoIterator<Item = &'a String>) -> Result<()> {
    names.into_iter().try_for_each(|name| firewall::admit_uplink(name))
}

/// Whether a link of that name is in the network namespace of the calling thread.
#[must_use]
pub fn exists(link: &str) -> bool {
    let Ok(name) = std::ffi::CString::new(link) else { return false };
    // SAFETY: the name ends in a zero byte.
    unsafe { libc::if_nametoindex(name.as_ptr()) != 0 }
}

/// Removes the bridges of networks and, where no network is left on the host, the packet filter.
///
/// # Errors
/// When the kernel refuses.
pub async fn remove_networks(cloud: &Name, host: &Name, networks: &[Name]) -> Result<()> {
    let netlink = Netlink::here()?;
    for network in networks {
        let place = place(cloud, host, network);
        netlink.delete(&place.bridge()).await?;
        firewall::forget_network(&place)?;
    }
    if !bridges(&netlink).await?.is_empty() {
        return Ok(());
    }
    overlay::remove(&netlink).await?;
    firewall::remove()
}

fn place<'a>(cloud: &'a Name, host: &'a Name, network: &'a Name) -> Place<'a> {
    Place { cloud, host, network }
}

async fn ensure_network(netlink: &Netlink, place: Place<'_>, spec: &NetworkSpec) -> Result<()> {
    let name = place.bridge();
    if let Some(link) = netlink.link(&name).await? {
        if !is_bridge(&link) {
            return Err(Error::NotABridge { link: name, network: place.network.clone() });
        }
    } else {
        let create = LinkMessageBuilder::<LinkBridge>::new(&name);
        let created = netlink.handle.link().add(create.build()).execute().await;
        // Somebody else doing the same is fine.
        crate::netlink::unless(created, libc::EEXIST)
            .map_err(link_error("create the bridge", &name))?;
    }
    let index = netlink
        .index(&name)
        .await?
        .ok_or_else(|| Error::NoNetwork { network: place.network.clone(), bridge: name.clone() })?;
    // Before it goes up: its addresses are ours by construction, and nobody tells us routes.
    for setting in ["accept_ra", "accept_dad"] {
        sysctl::set(&format!("ipv6/conf/{name}/{setting}"), "0")?;
    }
    // Nobody asks who listens to which group, so that everybody gets everything either way; and each port
    // that goes up would look after all of them. Without its name: before Linux 6.2 none that is up is
    // given any, be it its own.
    let settings = LinkMessageBuilder::<LinkBridge>::new_with_info_kind(InfoKind::Bridge)
        .mcast_snooping(false)
        .index(index)
        .mtu(spec.mtu)
        .address(place.gateway_mac().0.to_vec())
        .up();
    let set = netlink.handle.link().change(settings.build()).set_flags(CHANGE).execute().await;
    set.map_err(link_error("set up the bridge", &name))?;
    forwarding::enable_bridge(&name)?;
    // The gateway of IPv4 is a /32 that answers for every address the machines ask it to route.
    sysctl::set(&format!("ipv4/conf/{name}/send_redirects"), "0")?;
    // Published ports are reached under 127.0.0.1 too; the rules keep machines from that address.
    sysctl::set(&format!("ipv4/conf/{name}/route_localnet"), "1")?;
    add_address(netlink, index, place.gateway().into(), 64, &name).await?;
    add_address(netlink, index, place.gateway_v4().into(), 32, &name).await
}

/// An `RTM_NEWLINK` that changes a link and makes none.
const CHANGE: u16 = (libc::NLM_F_REQUEST | libc::NLM_F_ACK) as u16;

/// Adds an address that is usable at once: it is ours by construction, nobody needs asking.
pub(crate) async fn add_address(
    netlink: &Netlink,
    index: u32,
    address: IpAddr,
    prefix: u8,
    link: &str,
) -> Result<()> {
    let mut request = netlink.handle.address().add(index, address, prefix).replace();
    *request.message_mut() = self::address(index, address, prefix);
    let added = request.execute().await;
    added.map_err(link_error("add the address", format!("{address}/{prefix} to {link}")))
}

/// An address that is usable at once.
fn address(index: u32, address: IpAddr, prefix: u8) -> AddressMessage {
    match address {
        IpAddr::V4(address) => {
            AddressMessageBuilder::<Ipv4Addr>::new().index(index).address(address, prefix).build()
        }
        IpAddr::V6(address) => {
            let mut message = AddressMessageBuilder::<Ipv6Addr>::new()
                .index(index)
                .address(address, prefix)
                .build();
            message.header.flags = AddressHeaderFlags::Nodad;
            message.attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
            message
        }
    }
}

fn is_bridge(link: &LinkMessage) -> bool {
    link.attributes.iter().any(|attribute| {
        matches!(attribute, LinkAttribute::LinkInfo(infos)
            if infos.iter().any(|info| matches!(info, LinkInfo::Kind(InfoKind::Bridge))))
    })
}

/// Names of all bridges hc made in this namespace.
async fn bridges(netlink: &Netlink) -> Result<Vec<String>> {
    use futures_util::TryStreamExt;
    let links: Vec<LinkMessage> = netlink
        .handle
        .link()
        .get()
        .execute()
        .try_collect()
        .await
        .map_err(link_error("list", "links"))?;
    let names = links.iter().filter(|link| is_bridge(link)).filter_map(|link| {
        link.attributes.iter().find_map(|attribute| match attribute {
            LinkAttribute::IfName(name) if name.starts_with("hcb") => Some(name.clone()),
            _ => None,
        })
    });
    Ok(names.collect())
}
