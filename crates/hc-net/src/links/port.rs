//! The host's end of a machine's link, whatever is on the other one: a port of its network's bridge.

use super::CHANGE;
use crate::error::{Error, Result};
use crate::netlink::{Netlink, link_error};
use crate::{firewall, sysctl};
use hc_spec::Name;
use hc_spec::addr::Place;
use netlink_packet_route::link::{LinkAttribute, LinkMessage, State};
use netlink_packet_route::neighbour::NeighbourState;
use netlink_packet_route::route::{RouteMessage, RouteScope};
use rtnetlink::{LinkMessageBuilder, LinkUnspec, RouteMessageBuilder};
use std::net::{IpAddr, Ipv4Addr};

/// A port about to be made, or there.
pub(super) struct Port<'a> {
    pub outside: Netlink,
    pub place: &'a Place<'a>,
    pub machine: &'a Name,
    /// Index of the bridge.
    pub bridge: u32,
    /// Bytes in the largest packet: that of the bridge.
    pub mtu: u32,
}

impl<'a> Port<'a> {
    /// Finds the bridge and lets the port through the packet filter, before it is there: its first
    /// packet is judged by that.
    pub async fn prepare(place: &'a Place<'a>, machine: &'a Name) -> Result<Self> {
        let outside = Netlink::here()?;
        let bridge = outside.link(&place.bridge()).await?.ok_or_else(|| Error::NoNetwork {
            network: place.network.clone(),
            bridge: place.bridge(),
        })?;
        firewall::admit_machine(place, machine)?;
        let (mtu, bridge) = (mtu(&bridge), bridge.header.index);
        Ok(Self { outside, place, machine, bridge, mtu })
    }

    /// Name of the port.
    pub fn link(&self) -> String {
        self.place.link(self.machine)
    }

    /// Puts it up, and tells the host where the machine's addresses are.
    pub async fn set_up(&self) -> Result<()> {
        let Self { outside, place, machine, bridge, .. } = self;
        let link = self.link();
        // The port carries frames and has no addresses of its own.
        sysctl::set(&format!("ipv6/conf/{link}/disable_ipv6"), "1")?;
        let up = LinkMessageBuilder::<LinkUnspec>::new()
            .name(link.as_str())
            .mtu(self.mtu)
            .controller(*bridge)
            .up();
        let set = outside.handle.link().change(up.build()).set_flags(CHANGE).execute().await;
        set.map_err(link_error("set up the link", &link))?;
        let route = host_route(*bridge, place, machine);
        let routed = outside.handle.route().add(route).replace().execute().await;
        routed.map_err(link_error("add the route to", place.v4(machine)))?;
        // The host asks nobody where a machine is, so no other machine can answer.
        for address in [IpAddr::from(place.v6(machine)), place.v4(machine).into()] {
            neighbour(outside, *bridge, address, &place.mac(machine).0).await?;
        }
        Ok(())
    }

    /// Waits until it and the bridge pass packets. The end of a pair that went up first notices
    /// the other one later, in a work queue, and until then drops what it is given: a connection
    /// attempt in that moment would be repeated only after a second. Since Linux 6.8 asking for the
    /// link is enough. A tap's state is never told: it passes packets as soon as it is up.
    pub async fn carries(&self) -> Result<()> {
        for link in [self.link(), self.place.bridge()] {
            for _ in 0..200 {
                let Some(state) = self.outside.link(&link).await? else { break };
                let passes = |attribute: &LinkAttribute| {
                    matches!(attribute, LinkAttribute::OperState(State::Up | State::Unknown))
                };
                if state.attributes.iter().any(passes) {
                    break;
                }
                // Not tokio's: the caller's runtime may have no timer, and this is for old kernels only.
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
        }
        Ok(())
    }
}

/// A link has the largest packet of its bridge; 1500 bytes where that is not told.
fn mtu(bridge: &LinkMessage) -> u32 {
    let mtu = bridge.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::Mtu(mtu) => Some(*mtu),
        _ => None,
    });
    mtu.unwrap_or(1500)
}

/// The way to a machine's IPv4 address, which is in no subnet.
pub(super) fn host_route(bridge: u32, place: &Place<'_>, machine: &Name) -> RouteMessage {
    RouteMessageBuilder::<Ipv4Addr>::new()
        .output_interface(bridge)
        .destination_prefix(place.v4(machine), 32)
        .pref_source(place.gateway_v4())
        .scope(RouteScope::Link)
        .build()
}

/// A neighbour that is never asked for.
pub(super) async fn neighbour(
    netlink: &Netlink,
    index: u32,
    address: IpAddr,
    mac: &[u8],
) -> Result<()> {
    let entry = netlink.handle.neighbours().add(index, address).link_layer_address(mac);
    let added = entry.state(NeighbourState::Permanent).replace().execute().await;
    added.map_err(link_error("add a neighbour entry for", address))
}
