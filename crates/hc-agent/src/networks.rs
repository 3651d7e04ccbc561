//! What the agent asks of the network.

use crate::error::PartError;
use futures_util::future::{BoxFuture, FutureExt};
pub use hc_net::dns::State;
pub use hc_net::wireguard::{Report, Reports};
use hc_spec::lan::Lan;
use hc_spec::{HostSpec, Name};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A machine as the name server sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineName {
    /// Its name.
    pub name: Name,
    /// Networks it has a name in.
    pub networks: Vec<Name>,
    /// Links of the host on whose wires it is.
    pub lan: BTreeMap<String, Lan>,
    /// Whether it answers; only then it has address records.
    pub state: State,
    /// Whether it may be on its networks by now.
    pub runs: bool,
    /// Process whose network namespace is the machine's, of a container that runs.
    pub inside: Option<i32>,
    /// Process that is the machine, of a virtual one that runs.
    pub emulator: Option<i32>,
}

/// What carries the overlay of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Carrier {
    /// VXLAN, which says nothing of other hosts.
    Plain,
    /// The kernel's WireGuard.
    Kernel,
    /// WireGuard in the agent.
    Agent,
}

/// The overlay of a host, and how it stands with the other ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OverlayView {
    /// What carries it.
    pub carrier: Carrier,
    /// The other hosts, and computers that are none, whose keys are known; nobody with VXLAN.
    pub ends: Reports,
}

/// Links, tables and names of a host. Everything is idempotent: it is repeated after a crash.
pub trait Networks: Send + Sync {
    /// Makes the networks of `host`, or mends what differs. Takes nothing away.
    fn ensure<'a>(&'a self, host: &'a HostSpec) -> BoxFuture<'a, Result<(), PartError>>;

    /// Takes away the named networks of `host`; no machine is on them any more.
    fn remove<'a>(
        &'a self,
        host: &'a HostSpec,
        networks: &'a [Name],
    ) -> BoxFuture<'a, Result<(), PartError>>;

    /// Takes away what is left on the host of machines that are gone from these networks. What a
    /// restart finds again is not worth its time, so stopping alone does not do this.
    fn forget<'a>(
        &'a self,
        host: &'a HostSpec,
        gone: &'a [(Name, Vec<Name>)],
    ) -> BoxFuture<'a, Result<(), PartError>>;

    /// Answers for the zones of `host`; again with another host or networks, for those.
    fn start_dns<'a>(&'a self, host: &'a HostSpec) -> BoxFuture<'a, Result<(), PartError>>;

    /// Replaces all names at once. Called whenever readiness changes, so it must be cheap.
    fn publish(&self, host: &HostSpec, machines: &[MachineName]);

    /// The overlay there is.
    fn overlay(&self) -> Result<Option<OverlayView>, PartError> {
        Ok(None)
    }

    /// Waits until somebody else takes part of it away, and says what.
    fn loss(&self) -> BoxFuture<'_, Result<String, PartError>> {
        std::future::pending().boxed()
    }

    /// Puts back what is missing of the networks of `host` and of the links of `machines` on them.
    fn mend<'a>(
        &'a self,
        host: &'a HostSpec,
        _: &'a [MachineName],
    ) -> BoxFuture<'a, Result<(), PartError>> {
        self.ensure(host)
    }

    /// Stops answering and puts the host's resolver back: the agent ends, machines stay.
    fn stop_dns(&self) -> BoxFuture<'_, Result<(), PartError>>;

    /// Takes away everything this agent made.
    fn stop_all<'a>(&'a self, host: &'a HostSpec) -> BoxFuture<'a, Result<(), PartError>>;
}

/// A host whose machines have no network.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoNetworks;

fn done<'a>() -> BoxFuture<'a, Result<(), PartError>> {
    std::future::ready(Ok(())).boxed()
}

impl Networks for NoNetworks {
    fn ensure<'a>(&'a self, _: &'a HostSpec) -> BoxFuture<'a, Result<(), PartError>> {
        done()
    }
    fn remove<'a>(
        &'a self,
        _: &'a HostSpec,
        _: &'a [Name],
    ) -> BoxFuture<'a, Result<(), PartError>> {
        done()
    }
    fn forget<'a>(
        &'a self,
        _: &'a HostSpec,
        _: &'a [(Name, Vec<Name>)],
    ) -> BoxFuture<'a, Result<(), PartError>> {
        done()
    }
    fn start_dns<'a>(&'a self, _: &'a HostSpec) -> BoxFuture<'a, Result<(), PartError>> {
        done()
    }
    fn publish(&self, _: &HostSpec, _: &[MachineName]) {}
    fn stop_dns(&self) -> BoxFuture<'_, Result<(), PartError>> {
        done()
    }
    fn stop_all<'a>(&'a self, _: &'a HostSpec) -> BoxFuture<'a, Result<(), PartError>> {
        done()
    }
}
