//! Allowances from one host to another: both sides say everything, for no host knows the machines of others.

use super::Machines;
use crate::HostSpec;
use crate::allow::{Allowance, Side};
use crate::host::Overlay;

pub(super) fn allowances(
    host: &HostSpec,
    overlay: &Overlay,
    machines: &Machines<'_>,
    problems: &mut Vec<String>,
) {
    for allowance in &overlay.allow {
        for problem in problems_of(allowance, host, overlay, machines) {
            problems.push(format!("overlay.allow: '{allowance}': {problem}"));
        }
    }
}

fn problems_of(
    allowance: &Allowance,
    host: &HostSpec,
    overlay: &Overlay,
    machines: &Machines<'_>,
) -> Vec<String> {
    let (from, to) = (&allowance.from, &allowance.to);
    let mut found: Vec<String> =
        [from, to].into_iter().filter_map(|side| wrong(side, host, overlay, machines)).collect();
    if let (Side::Far(_, from, at), Side::Far(_, to, there)) = (from, to) {
        if at == there {
            found.push(format!("both are on host '{at}': that belongs into hosts.{at}.allow"));
        } else if from == to {
            found.push(
                "both are on networks of one name, where everybody reaches everybody: take it out"
                    .into(),
            );
        }
    }
    found
}

/// What is wrong about one side, as far as this host can tell.
fn wrong(
    side: &Side,
    host: &HostSpec,
    overlay: &Overlay,
    machines: &Machines<'_>,
) -> Option<String> {
    let Side::Far(machine, network, at) = side else {
        return Some(format!(
            "'{side}' says no host: write MACHINE.NETWORK.HOST, or *.NETWORK.HOST for a network"
        ));
    };
    let no_network = || Some(format!("host '{at}' has no network '{network}'"));
    if *at != host.host {
        return match overlay.peers.get(at) {
            None => Some(format!("there is no host '{at}' that others reach")),
            Some(peer) if !peer.networks.contains(network) => no_network(),
            Some(_) => None,
        };
    }
    if !host.networks.contains_key(network) {
        return no_network();
    }
    let machine = machine.as_ref()?;
    match machines.get(machine) {
        Some(on) if on.contains(network) => None,
        Some(_) => Some(format!("machine '{machine}' is not on network '{network}'")),
        None => Some(format!("there is no machine '{machine}' on host '{at}'")),
    }
}
