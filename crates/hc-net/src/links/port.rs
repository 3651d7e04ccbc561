//! The host's end of a machine's link, whatever is on the other one: a port of its network's bridge.

use crate::channel::{Change, Channel};
use crate::error::{Error, Result};
use crate::firewall;
use crate::sysctl::Settings;
use hc_fs::Lingering;
use hc_spec::Name;
use hc_spec::addr::Place;
use netlink_packet_route::link::{LinkAttribute, State};
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState,
};
use netlink_packet_route::route::{RouteMessage, RouteScope};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage as Message};
use rtnetlink::{LinkMessageBuilder, LinkUnspec, RouteMessageBuilder};
use std::net::{IpAddr, Ipv4Addr};

/// A port about to be made, or there.
pub(super) struct Port<'a> {
    pub outside: Channel,
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
    pub fn prepare(place: &'a Place<'a>, machine: &'a Name) -> Result<(Self, Lingering)> {
        let outside = Channel::here()?;
        let name = place.bridge();
        let Some(bridge) = outside.index(&name) else {
            return Err(Error::NoNetwork { network: place.network.clone(), bridge: name });
        };
        let lingering = firewall::admit_machines(&[(*place, machine)])?;
        // A link has the largest packet of its bridge.
        let mtu = outside.mtu(&name).unwrap_or(1500);
        Ok((Self { outside, place, machine, bridge, mtu }, lingering))
    }

    /// Name of the port.
    pub fn link(&self) -> String {
        self.place.link(self.machine)
    }

    /// Takes a link of its name out of the way; says which. It is not deleted: whoever
    /// deletes a link waits for several grace periods, tens of milliseconds, most of them with the lock that
    /// everybody needs who makes one, and this one goes with its other end anyway. Down it carries
    /// nothing, and no rule lets a link of its new name send.
    pub fn put_aside(&self) -> Result<Option<u32>> {
        let link = self.link();
        let Some(index) = self.outside.index(&link) else { return Ok(None) };
        let aside = || LinkMessageBuilder::<LinkUnspec>::new().index(index);
        // In this order, as kernels before 6.2 rename nothing that is up.
        let changes = [aside().down(), aside().name(format!("hcx{index}"))];
        let changes = changes.map(|change| {
            // Its other end may go in the meantime, and take it along.
            let change = Change::to(Message::SetLink(change.build())).unless(libc::ENODEV);
            change.doing("put out of the way", &link)
        });
        self.outside.change(changes.into()).map(|()| Some(index))
    }

    /// Deletes the link of that index.
    pub fn delete(&self, index: u32) -> Result<()> {
        let gone = LinkMessageBuilder::<LinkUnspec>::new().index(index).build();
        // Its other end's namespace may go away in the meantime, and take it along.
        let gone = Change::to(Message::DelLink(gone)).unless(libc::ENODEV);
        self.outside.change(vec![gone.doing("delete", self.link())])
    }

    /// Puts it up, and tells the host where the machine's addresses are.
    pub fn set_up(&self, settings: &Settings) -> Result<()> {
        let Self { outside, place, machine, bridge, .. } = self;
        let link = self.link();
        // The port carries frames and has no addresses of its own.
        settings.put(&format!("ipv6/conf/{link}/disable_ipv6"), "1")?;
        let up = LinkMessageBuilder::<LinkUnspec>::new()
            .name(link.as_str())
            .mtu(self.mtu)
            .controller(*bridge)
            .up();
        let route = Message::NewRoute(host_route(*bridge, place, machine));
        let mut changes = vec![
            Change::to(Message::SetLink(up.build())).doing("set up the link", link),
            Change::put(route).doing("add the route to", place.v4(machine)),
        ];
        // The host asks nobody where a machine is, so no other machine can answer.
        let mac = place.mac(machine).0;
        for address in [IpAddr::from(place.v6(machine)), place.v4(machine).into()] {
            let entry = Message::NewNeighbour(neighbour(*bridge, address, Some(&mac)));
            changes.push(Change::put(entry).doing("add a neighbour entry for", address));
        }
        outside.change(changes)
    }

    /// Waits until it and the bridge pass packets. The end of a pair that went up first notices
    /// the other one later, in a work queue, and until then drops what it is given: a connection
    /// attempt in that moment would be repeated only after a second. Since Linux 6.8 asking for the
    /// link is enough. A tap's state is never told: it passes packets as soon as it is up.
    pub fn carries(&self) -> Result<()> {
        let (link, bridge) = (self.link(), self.place.bridge());
        let passes = |attribute: &LinkAttribute| {
            matches!(attribute, LinkAttribute::OperState(State::Up | State::Unknown))
        };
        for _ in 0..200 {
            let links = self.outside.links(&[&link, &bridge])?;
            if links.iter().all(|link| link.attributes.iter().any(passes)) {
                break;
            }
            // This is for old kernels only.
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        Ok(())
    }
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

/// A neighbour that is never asked for, at that MAC address; without one, to be deleted.
pub(super) fn neighbour(index: u32, address: IpAddr, mac: Option<&[u8]>) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.ifindex = index;
    message.header.state = NeighbourState::Permanent;
    let (family, address) = match address {
        IpAddr::V4(address) => (AddressFamily::Inet, NeighbourAddress::Inet(address)),
        IpAddr::V6(address) => (AddressFamily::Inet6, NeighbourAddress::Inet6(address)),
    };
    message.header.family = family;
    message.attributes.push(NeighbourAttribute::Destination(address));
    message.attributes.extend(mac.map(|mac| NeighbourAttribute::LinkLayerAddress(mac.to_vec())));
    message
}
