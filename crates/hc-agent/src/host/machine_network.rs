use hc_net::blocking;
use hc_runtime::{Attached, Network, NetworkError, Tap};
use hc_spec::MachineSpec;
use hc_spec::addr::Place;
use std::os::fd::BorrowedFd;

/// Connects a machine to the bridges of its networks; used by its supervisor.
#[derive(Debug, Clone, Copy, Default)]
pub struct MachineNetwork;

fn places(spec: &MachineSpec) -> impl Iterator<Item = Place<'_>> {
    spec.networks.iter().map(|network| Place { cloud: &spec.cloud, host: &spec.host, network })
}

impl Network for MachineNetwork {
    fn attach(&self, netns: BorrowedFd<'_>, spec: &MachineSpec) -> Result<Attached, NetworkError> {
        let mut addresses = Vec::new();
        for (index, place) in (0..).zip(places(spec)) {
            let attach = || blocking::attach(netns, &place, &spec.name, index);
            let attached = with_network(place, attach)?;
            addresses.extend::<[std::net::IpAddr; 2]>([attached.v6.into(), attached.v4.into()]);
        }
        for foot in spec.feet() {
            blocking::attach_lan(netns, &foot, places(spec).next().as_ref())?;
        }
        Ok(Attached { addresses })
    }

    fn attach_taps(&self, spec: &MachineSpec) -> Result<(Attached, Vec<Tap>), NetworkError> {
        let (mut addresses, mut taps) = (Vec::new(), Vec::new());
        for place in places(spec) {
            let attach = || blocking::attach_tap(&place, &spec.name);
            let tap = with_network(place, attach)?;
            addresses.extend::<[std::net::IpAddr; 2]>([tap.v6.into(), tap.v4.into()]);
            taps.push(Tap { descriptor: tap.descriptor, mtu: tap.mtu });
        }
        for foot in spec.feet() {
            let tap = blocking::attach_lan_tap(&foot)?;
            taps.push(Tap { descriptor: tap.descriptor, mtu: tap.mtu });
        }
        Ok((Attached { addresses }, taps))
    }

    fn loose_taps(&self, count: usize) -> Result<Vec<Tap>, NetworkError> {
        let taps = hc_net::links::loose_taps(count)?;
        Ok(taps.into_iter().map(|descriptor| Tap { descriptor, mtu: 0 }).collect())
    }

    /// Only the packet filter is told: a link goes with its namespace, and the next attach takes
    /// over whatever is there. Waiting here for the kernel's grace periods would cost every restart
    /// 30 ms. A machine that leaves the set is forgotten by the agent
    /// ([`crate::Networks::forget`]).
    fn detach(&self, spec: &MachineSpec) -> Result<(), NetworkError> {
        for place in places(spec) {
            hc_net::links::retire(&place, &spec.name)?;
        }
        Ok(())
    }
}

/// A machine that was started without an agent makes its own network.
fn with_network<T>(place: Place<'_>, attach: impl Fn() -> hc_net::Result<T>) -> hc_net::Result<T> {
    match attach() {
        Err(hc_net::Error::NoNetwork { .. }) => {
            blocking::ensure_alone(place)?;
            attach()
        }
        attached => attached,
    }
}

/// The same for machines that do not come back: their links go with them.
#[derive(Debug, Clone, Copy, Default)]
pub struct ThrowawayNetwork;

impl Network for ThrowawayNetwork {
    fn attach(&self, netns: BorrowedFd<'_>, spec: &MachineSpec) -> Result<Attached, NetworkError> {
        MachineNetwork.attach(netns, spec)
    }

    fn attach_taps(&self, spec: &MachineSpec) -> Result<(Attached, Vec<Tap>), NetworkError> {
        MachineNetwork.attach_taps(spec)
    }

    fn loose_taps(&self, count: usize) -> Result<Vec<Tap>, NetworkError> {
        MachineNetwork.loose_taps(count)
    }

    fn detach(&self, spec: &MachineSpec) -> Result<(), NetworkError> {
        for place in places(spec) {
            blocking::detach(&place, &spec.name)?;
        }
        Ok(())
    }
}
