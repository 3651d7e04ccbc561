//! The packet filter: which machine may send what, to whom.
//!
//! Two tables called `hc`. `bridge hc` checks frames on the ports of the bridges: a machine sends
//! from its own MAC and IP addresses only, answers for no other, and neither advertises routes nor
//! hands out addresses.
//! `inet hc` checks what is routed: networks are kept apart, nobody outside opens connections to
//! machines, and of the host machines reach names and echo only, but for what the cloud allows and
//! publishes ([`rules`]). Rules, and everything that follows from the description, are written by `nft` in
//! one transaction, once; from then on only elements that differ are changed, in one transaction too
//! ([`difference`]), as are those that come and go with machines ([`batch`]). So neither starting a machine
//! nor a deploy starts another program, and it takes as long as there is something to change.

mod batch;
mod difference;
mod element;
mod leftovers;
mod rules;

use crate::error::{Error, Result};
use crate::program;
use element::{Element, Family, Fields};
use hc_fs::Lingering;
use hc_spec::addr::Place;
use hc_spec::{HostSpec, Name};
use rules::Sets;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::net::IpAddr;

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
    let sets = rules::sets(host);
    // Whatever keeps somebody from changing what is there, it can be written anew.
    if intact() && difference::apply(&sets).is_ok() {
        return Ok(Protection::Ports);
    }
    write(&text(&sets))
}

/// Lets computers that are no hosts onto their networks, and nobody else of that kind.
pub(crate) fn ensure_roads(host: &HostSpec, roads: &[(&Name, Place<'_>)]) -> Result<()> {
    let wanted = rules::roads(host, roads);
    difference::apply(&wanted).map_err(|source| Error::Filter {
        action: "change",
        what: "the ways of computers that are no hosts".into(),
        source,
    })
}

/// Writes the rules for a network of a host whose description is not known, and leaves what
/// follows from one as it is.
pub(crate) fn ensure_alone(place: &Place<'_>) -> Result<Protection> {
    let protection = if intact() { Protection::Ports } else { write("")? };
    change("add", &place.bridge(), batch::add, &[same(place)])?;
    Ok(protection)
}

/// Text for `nft` that makes these sets hold what they should.
fn text(sets: &Sets) -> String {
    let mut out = String::new();
    for (set, elements) in sets {
        let kind = if rules::MAPS.contains(set) { "map" } else { "set" };
        // Writing to a String cannot fail.
        let _ = writeln!(out, "flush {kind} inet hc {set}");
        if !elements.is_empty() {
            let elements: Vec<&str> = elements.iter().map(|fields| fields.text.as_str()).collect();
            let _ = writeln!(out, "add element inet hc {set} {{ {} }}", elements.join(", "));
        }
    }
    out
}

fn write(elements: &str) -> Result<Protection> {
    // Who is stopped before the stamp is there has everything written anew the next time.
    let gone = leftovers::removal(&[ROUTED, SETS, PORTS].concat());
    let gone = gone.map_err(|source| Error::Filter {
        action: "list",
        what: "what is in its tables".into(),
        source,
    })?;
    let elements = format!("flush set inet hc hc_stamp\n{elements}{gone}");
    match nft(&[ROUTED, SETS, PORTS, &elements].concat()) {
        Ok(()) => {
            // Where that cannot be told, all is written anew the next time.
            if let Ok((_, stamp)) = stamps() {
                let stamp = Element::new(Family::Inet, "hc_stamp", stamp);
                change("add", "the rules' stamp", batch::add, &[stamp])?;
            }
            Ok(Protection::Ports)
        }
        Err(Error::Failed { program, status, stderr }) => {
            // Either everything is refused, or only filtering on bridges is.
            match nft(&[ROUTED, SETS, &elements].concat()) {
                Ok(()) => Ok(Protection::RoutedOnly { reason: stderr }),
                Err(_) => Err(Error::Failed { program, status, stderr }),
            }
        }
        Err(other) => Err(other),
    }
}

/// Whether all rules are there as this version writes them.
fn intact() -> bool {
    stamps().is_ok_and(|(there, should)| there == [should.value])
}

/// What the tables say about the rules in them, and what there is to say about those.
fn stamps() -> std::io::Result<(Vec<element::Value>, Fields)> {
    let there = batch::list(Family::Inet, "hc_stamp")?;
    let mut hash = blake3::Hasher::new();
    for text in [ROUTED, SETS, PORTS] {
        hash.update(text.as_bytes());
    }
    for family in [Family::Inet, Family::Bridge] {
        hash.update(&batch::rules(family)?);
        for (kind, name) in batch::parts(family)? {
            hash.update(kind.as_bytes()).update(name.as_bytes());
        }
    }
    let mut stamp = [0; 16];
    hash.finalize_xof().fill(&mut stamp);
    Ok((there, Fields::default().address(IpAddr::from(stamp))))
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
    change("remove", &place.bridge(), batch::remove, &[same(place)]).map(drop)
}

/// Links that forward because hc wants them to: nothing but what is hc's passes there.
pub(crate) fn admit_uplink(name: &str) -> Result<()> {
    let uplink = Fields::default().interface(name);
    let uplink = Element::new(Family::Inet, "hc_uplink", uplink);
    change("add", name, batch::add, &[uplink]).map(drop)
}

/// The links that [`admit_uplink`] was told of.
pub(crate) fn uplinks() -> Result<BTreeSet<String>> {
    let listed = batch::list(Family::Inet, "hc_uplink").map_err(|source| Error::Filter {
        action: "list",
        what: "the host's own links".into(),
        source,
    })?;
    let name = |value: &element::Value| {
        let name = value.key.split(|byte| *byte == 0).next().unwrap_or_default();
        String::from_utf8_lossy(name).into_owned()
    };
    Ok(listed.iter().map(name).collect())
}

/// Lets machines send and be reached.
pub(crate) fn admit_machines(machines: &[(Place<'_>, &Name)]) -> Result<Lingering> {
    of_machines("add", batch::add, machines)
}

/// Keeps machines from both, from when this returns.
pub(crate) fn forget_machines(machines: &[(Place<'_>, &Name)]) -> Result<Lingering> {
    of_machines("remove", batch::remove, machines)
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
    Element::new(Family::Inet, "hc_same", rules::same(place))
}

fn own(place: &Place<'_>, machine: &Name) -> [Element; 6] {
    let (v6, v4) = (place.v6(machine).into(), place.v4(machine).into());
    let link = Fields::default().interface(&place.link(machine));
    let port = |set, fields| Element::new(Family::Bridge, set, fields);
    [
        port("hc_mac", link.clone().mac(place.mac(machine))),
        port("hc_v6", link.clone().address(v6)),
        port("hc_target", link.clone().address(v6)),
        port("hc_v4", link.address(v4)),
        Element::new(Family::Inet, "hc_live6", Fields::default().address(v6)),
        Element::new(Family::Inet, "hc_live4", Fields::default().address(v4)),
    ]
}

fn nft(text: &str) -> Result<()> {
    program::feed("nft", "nftables", &["-f", "-"], text)
}
