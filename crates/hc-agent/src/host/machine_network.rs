use hc_fs::Lingering;
use hc_net::{blocking, links};
use hc_runtime::{Attached, Network, NetworkError, Tap};
use hc_spec::addr::Place;
use hc_spec::{MachineSpec, Name};
use std::net::IpAddr;
use std::os::fd::BorrowedFd;

/// Connects a machine to the bridges of its networks; used by its supervisor.
#[derive(Debug, Clone, Copy, Default)]
pub struct MachineNetwork;

fn places(spec: &MachineSpec) -> impl Iterator<Item = Place<'_>> {
    spec.networks.iter().map(|network| Place { cloud: &spec.cloud, host: &spec.host, network })
}

impl Network for MachineNetwork {
    fn attach(&self, netns: BorrowedFd<'_>, spec: &MachineSpec) -> Result<Attached, NetworkError> {
        let mut all = Attached::default();
        for (index, place) in (0..).zip(places(spec)) {
            let attach = || links::attach(netns, &place, &spec.name, index);
            let (attached, lingering) = with_network(place, attach)?;
            all.addresses.extend::<[IpAddr; 2]>([attached.v6.into(), attached.v4.into()]);
            all.lingering.join(lingering);
        }
        for foot in spec.feet() {
            blocking::attach_lan(netns, &foot, places(spec).next().as_ref())?;
        }
        Ok(all)
    }

    fn attach_taps(&self, spec: &MachineSpec) -> Result<(Attached, Vec<Tap>), NetworkError> {
        let (mut all, mut taps) = (Attached::default(), Vec::new());
        for place in places(spec) {
            let attach = || links::attach_tap(&place, &spec.name);
            let (tap, lingering) = with_network(place, attach)?;
            all.addresses.extend::<[IpAddr; 2]>([tap.v6.into(), tap.v4.into()]);
            all.lingering.join(lingering);
            taps.push(Tap { descriptor: tap.descriptor, mtu: tap.mtu });
        }
        for foot in spec.feet() {
            let tap = blocking::attach_lan_tap(&foot)?;
            taps.push(Tap { descriptor: tap.descriptor, mtu: tap.mtu });
        }
        Ok((all, taps))
    }

    fn loose_taps(&self, count: usize) -> Result<Vec<Tap>, NetworkError> {
        let taps = links::loose_taps(count)?;
        Ok(taps.into_iter().map(|descriptor| Tap { descriptor, mtu: 0 }).collect())
    }

    /// Only the packet filter is told: a link goes with its namespace, and the next attach takes
    /// over whatever is there. Waiting here for the kernel's grace periods would cost every restart
    /// 30 ms. A machine that leaves the set is forgotten by the agent
    /// ([`crate::Networks::forget`]).
    fn detach(&self, spec: &MachineSpec) -> Result<Lingering, NetworkError> {
        Ok(links::retire(&of(spec))?)
    }
}

fn of(spec: &MachineSpec) -> Vec<(Place<'_>, &Name)> {
    places(spec).map(|place| (place, &spec.name)).collect()
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

/// The same for machines that do not come back: the host forgets its ways to them, too.
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

    fn detach(&self, spec: &MachineSpec) -> Result<Lingering, NetworkError> {
        Ok(links::dismiss(&of(spec))?)
    }
}
