//! The packet filter: which machine may send what, to whom.
//!
//! Two tables called `hc`. `bridge hc` checks frames on the ports of the bridges: a machine sends
//! from its own MAC and IP addresses only, answers for no other, and neither advertises routes nor
//! hands out addresses.
//! `inet hc` checks what is routed: networks are kept apart, nobody outside opens connections to
//! machines, and of the host machines reach names and echo only, but for what the cloud allows and
//! publishes ([`rules`]). Rules and what follows from the description are written by `nft` in one
//! transaction; what comes and goes with machines are elements of sets, changed directly
//! ([`elements`]), so that starting a machine starts no other program.

mod elements;
mod rules;

use crate::error::{Error, Result};
use crate::program;
use elements::{Element, Family};
use hc_fs::Lingering;
use hc_spec::addr::Place;
use hc_spec::{HostSpec, Name};

const ROUTED: &str = include_str!("routed.nft");
const SETS: &str = include_str!("sets.nft");
const PORTS: &str = include_str!("ports.nft");

/// How far machines are kept from sending under addresses that are not theirs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Protection {
    /// Every frame is checked where it enters a bridge.
    Ports,
    /// The kernel cannot filter on bridges; only what is routed is checked, so machines of one
    /// network can still pretend to be each other.
    RoutedOnly {
        /// What `nft` said.
        reason: String,
    },
}

/// Writes the rules, and what follows from a host's description.
pub(crate) fn ensure(host: &HostSpec) -> Result<Protection> {
    write(&rules::text(host))
}

/// Lets computers that are no hosts onto their networks, and nobody else of that kind.
pub(crate) fn ensure_roads(host: &HostSpec, roads: &[(&Name, Place<'_>)]) -> Result<()> {
    nft(&rules::roads(host, roads))
}

/// Writes the rules for a network of a host whose description is not known, and leaves what
/// follows from one as it is.
pub(crate) fn ensure_alone(place: &Place<'_>) -> Result<Protection> {
    let bridge = place.bridge();
    write(&format!("add element inet hc hc_same {{ {bridge} . {bridge} }}\n"))
}

fn write(elements: &str) -> Result<Protection> {
    match nft(&[ROUTED, SETS, PORTS, elements].concat()) {
        Ok(()) => Ok(Protection::Ports),
        Err(Error::Failed { program, status, stderr }) => {
            // Either everything is refused, or only filtering on bridges is.
            match nft(&[ROUTED, SETS, elements].concat()) {
                Ok(()) => Ok(Protection::RoutedOnly { reason: stderr }),
                Err(_) => Err(Error::Failed { program, status, stderr }),
            }
        }
        Err(other) => Err(other),
    }
}

/// Removes the tables; missing ones are fine.
pub(crate) fn remove() -> Result<()> {
    // Declared first, so that deleting them never fails.
    nft("table inet hc {}\ntable bridge hc {}\ndelete table inet hc\ndelete table bridge hc\n")
}

/// Whether the kernel and `nft` take the rules; changes nothing.
pub(crate) fn check() -> Result<Protection> {
    let dry = |text: &str| program::feed("nft", "nftables", &["-c", "-f", "-"], text);
    match dry(&[ROUTED, SETS, PORTS].concat()) {
        Ok(()) => Ok(Protection::Ports),
        Err(Error::Failed { stderr, .. }) => {
            dry(&[ROUTED, SETS].concat())?;
            Ok(Protection::RoutedOnly { reason: stderr })
        }
        Err(other) => Err(other),
    }
}

pub(crate) fn forget_network(place: &Place<'_>) -> Result<()> {
    change("remove", &place.bridge(), elements::remove, &[same(place)]).map(drop)
}

/// Links that forward because hc wants them to: nothing but what is hc's passes there.
pub(crate) fn admit_uplink(name: &str) -> Result<()> {
    let uplink = Element::new(Family::Inet, "hc_uplink").interface(name);
    change("add", name, elements::add, &[uplink]).map(drop)
}

/// The links that [`admit_uplink`] was told of.
pub(crate) fn uplinks() -> Result<std::collections::BTreeSet<String>> {
    let text = program::output("nft", "nftables", &["list", "set", "inet", "hc", "hc_uplink"])?;
    // Names of links stand in quotes, and nothing else does.
    Ok(text.split('"').skip(1).step_by(2).map(str::to_owned).collect())
}

/// Lets machines send and be reached.
pub(crate) fn admit_machines(machines: &[(Place<'_>, &Name)]) -> Result<Lingering> {
    of_machines("add", elements::add, machines)
}

/// Keeps machines from both, from when this returns.
pub(crate) fn forget_machines(machines: &[(Place<'_>, &Name)]) -> Result<Lingering> {
    of_machines("remove", elements::remove, machines)
}

fn of_machines(
    action: &'static str,
    how: impl Fn(&[Element]) -> std::io::Result<Lingering>,
    machines: &[(Place<'_>, &Name)],
) -> Result<Lingering> {
    let mut lingering = Lingering::default();
    // A message has to fit into a socket's buffer.
    for some in machines.chunks(100) {
        let what = match some {
            [(place, machine)] => place.link(machine),
            _ => "machines".into(),
        };
        let all: Vec<Element> = some.iter().flat_map(|(place, name)| own(place, name)).collect();
        lingering.join(change(action, &what, &how, &all)?);
    }
    Ok(lingering)
}

fn change(
    action: &'static str,
    what: &str,
    how: impl FnOnce(&[Element]) -> std::io::Result<Lingering>,
    elements: &[Element],
) -> Result<Lingering> {
    how(elements).map_err(|source| Error::Filter { action, what: what.into(), source })
}

fn same(place: &Place<'_>) -> Element {
    let bridge = place.bridge();
    Element::new(Family::Inet, "hc_same").interface(&bridge).interface(&bridge)
}

fn own(place: &Place<'_>, machine: &Name) -> [Element; 6] {
    let link = place.link(machine);
    let of = |set| Element::new(Family::Bridge, set).interface(&link);
    [
        of("hc_mac").bytes(&place.mac(machine).0),
        of("hc_v6").bytes(&place.v6(machine).octets()),
        of("hc_target").bytes(&place.v6(machine).octets()),
        of("hc_v4").bytes(&place.v4(machine).octets()),
        Element::new(Family::Inet, "hc_live6").bytes(&place.v6(machine).octets()),
        Element::new(Family::Inet, "hc_live4").bytes(&place.v4(machine).octets()),
    ]
}

fn nft(text: &str) -> Result<()> {
    program::feed("nft", "nftables", &["-f", "-"], text)
}
