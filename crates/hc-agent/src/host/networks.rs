use super::mend::Watch;
use crate::error::PartError;
use crate::networks::{Carrier, MachineName, Networks, OverlayView};
use futures_util::future::{BoxFuture, FutureExt};
use hc_net::dns::{MachineNames, Names, Server};
use hc_net::wireguard::{Keyring, Tunnel};
use hc_net::{links, resolv};
use hc_spec::addr::Place;
use hc_spec::host::OverlayMode;
use hc_spec::{HostSpec, Name};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Where the host itself asks: a loopback address of its own, so that port 53 of the others stays
/// with whoever has it.
const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 153));

/// Bridges, packet filter and name server of this host.
pub struct HostNetworks {
    resolv_conf: PathBuf,
    dns: Mutex<Dns>,
    /// Machines of which the packet filter was told by this agent that they run: rules may have
    /// been lost, or written by another version, while there was none.
    told: Mutex<BTreeSet<Name>>,
    keyring: Keyring,
    /// File with the links on which forwarding is on for hc alone, in the run directory.
    uplinks: PathBuf,
    /// What it was asked for last.
    host: Mutex<Option<HostSpec>>,
    /// Links of the host on whose wires machines are.
    wires: Mutex<BTreeSet<String>>,
    pub(super) watch: tokio::sync::Mutex<Watch>,
    tunnel: Mutex<Option<Tunnel>>,
}

#[derive(Default)]
struct Dns {
    /// Taken out while it changes where it listens.
    server: Option<Server>,
    names: Option<Names>,
    /// What the names follow from, with the machines.
    host: Option<HostSpec>,
    resolver: Option<resolv::Host>,
}

impl Dns {
    /// Says what machines are doing where that is all that changed, which is so whenever one becomes ready:
    /// with many machines their names would be most of the work.
    fn only_states(&mut self, host: &HostSpec, machines: &[MachineName]) -> bool {
        let Self { server: Some(server), names: Some(names), host: Some(known), .. } = self else {
            return false;
        };
        let same = |(known, new): ((&Name, &MachineNames), &MachineName)| {
            *known.0 == new.name
                && known.1.networks.len() == new.networks.len()
                && new.networks.iter().all(|network| known.1.networks.contains(network))
        };
        let alike = known == host
            && names.machines.len() == machines.len()
            && names.machines.iter().zip(machines).all(same);
        if !alike {
            return false;
        }
        let changed = machines.iter().filter(|m| names.machines[&m.name].state != m.state);
        let changed: Vec<_> = changed.map(|m| (&m.name, m.state)).collect();
        if !server.set_states(&changed) {
            return false;
        }
        for (machine, state) in changed {
            if let Some(about) = names.machines.get_mut(machine) {
                about.state = state;
            }
        }
        true
    }
}

impl HostNetworks {
    /// For a host whose resolver is configured in `resolv_conf`, with its keys for other hosts.
    #[must_use]
    pub fn new(resolv_conf: impl Into<PathBuf>, keyring: Keyring, run_dir: &Path) -> Self {
        Self {
            resolv_conf: resolv_conf.into(),
            dns: Mutex::default(),
            told: Mutex::default(),
            keyring,
            uplinks: run_dir.join("uplinks"),
            host: Mutex::default(),
            wires: Mutex::default(),
            watch: tokio::sync::Mutex::default(),
            tunnel: Mutex::default(),
        }
    }

    /// The device to other hosts, where it is one of this process.
    async fn connect(&self, host: &HostSpec) -> Result<(), PartError> {
        let tunnel = || self.tunnel.lock().unwrap_or_else(PoisonError::into_inner);
        let device = links::overlay_exists();
        if device && tunnel().as_ref().is_some_and(|tunnel| tunnel.update(host, &self.keyring)) {
            return Ok(());
        }
        // The name is free only when the old one is gone.
        let old = tunnel().take();
        drop(old);
        let asked = host.overlay.as_ref().map(|overlay| overlay.mode);
        if asked == Some(OverlayMode::Wireguard) {
            links::remove_overlay().await?;
            let new = Tunnel::start(host, &self.keyring)?;
            *tunnel() = new;
        }
        Ok(())
    }

    pub(super) fn host(&self) -> MutexGuard<'_, Option<HostSpec>> {
        self.host.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn wires(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.wires.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn told(&self) -> MutexGuard<'_, BTreeSet<Name>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn dns(&self) -> MutexGuard<'_, Dns> {
        self.dns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) async fn serve(&self, host: &HostSpec) -> Result<(), PartError> {
        let Some(first) = host.networks.keys().next() else {
            return self.silence().await;
        };
        let places = || host.networks.keys().map(|network| place(host, network));
        let mut addresses: BTreeSet<SocketAddr> = [SocketAddr::new(LOOPBACK, 53)].into();
        for place in places() {
            addresses.insert((place.gateway(), 53).into());
            addresses.insert((place.gateway_v4(), 53).into());
        }
        let own: Vec<IpAddr> = addresses.iter().map(SocketAddr::ip).collect();
        let upstreams = resolv::upstreams(&self.resolv_conf, &own)?;
        let (server, known) = {
            let mut dns = self.dns();
            (dns.server.take(), dns.names.clone())
        };
        let names = known.filter(|n| n.cloud == host.cloud && n.host == host.host);
        let names = names.unwrap_or_else(|| names_of(host, &[]));
        let mut server = match server {
            Some(server) => {
                server.set_upstreams(&upstreams)?;
                server
            }
            None => Server::before_names(&names, &upstreams)?,
        };
        let listening = server.listen(&addresses).await;
        {
            let mut dns = self.dns();
            // Published while the server was out, or before it was made.
            if let Some(names) = &dns.names {
                server.set_names(names)?;
            }
            dns.server = Some(server);
        }
        listening?;
        self.integrate(host, &place(host, first))
    }

    /// Makes the host itself ask this name server about the cloud.
    fn integrate(&self, host: &HostSpec, first: &Place<'_>) -> Result<(), PartError> {
        let resolver = resolv::Host::detect("/run".as_ref(), &self.resolv_conf, &first.bridge());
        let server = match &resolver {
            // systemd-resolved asks over the link it is told, which the loopback is not.
            resolv::Host::Resolved { .. } => first.gateway().into(),
            resolv::Host::File { .. } => LOOPBACK,
        };
        resolver.enable(&format!("{}.internal", host.cloud), server)?;
        self.dns().resolver = Some(resolver);
        Ok(())
    }

    /// The host stays no router for others, whatever became of the rules that see to it.
    fn keep_uplinks(&self) -> Result<(), PartError> {
        let text = std::fs::read_to_string(&self.uplinks).unwrap_or_default();
        let before: BTreeSet<String> = text.lines().map(str::to_owned).collect();
        let now = links::uplinks()?;
        links::readmit_uplinks(before.difference(&now))?;
        if !now.is_subset(&before) {
            let all = before.union(&now).map(|name| format!("{name}\n")).collect::<String>();
            hc_fs::plain::write(&self.uplinks, all.as_bytes(), 0o644)?;
        }
        Ok(())
    }

    pub(super) fn tell(&self, host: &HostSpec, machines: &[MachineName]) {
        let mut told = self.told();
        let running = || machines.iter().filter(|machine| machine.runs);
        let new: Vec<_> = running().filter(|machine| !told.contains(&machine.name)).collect();
        if new.is_empty() && running().count() == told.len() {
            return;
        }
        let places: Vec<_> = new
            .iter()
            .flat_map(|m| m.networks.iter().map(|network| (host.place(network), &m.name)))
            .collect();
        match links::readmit(&places) {
            Ok(()) => {
                *told = running().map(|machine| machine.name.clone()).collect();
            }
            Err(error) => tracing::warn!("cannot tell the packet filter who runs: {error}"),
        }
    }

    async fn silence(&self) -> Result<(), PartError> {
        let (server, resolver) = {
            let mut dns = self.dns();
            (dns.server.take(), dns.resolver.take())
        };
        // First the host stops asking, then nobody answers.
        let restored = resolver.map_or(Ok(()), |resolver| resolver.disable());
        if let Some(server) = server {
            server.stop().await;
        }
        Ok(restored?)
    }
}

fn place<'a>(host: &'a HostSpec, network: &'a Name) -> Place<'a> {
    Place { cloud: &host.cloud, host: &host.host, network }
}

fn names_of(host: &HostSpec, machines: &[MachineName]) -> Names {
    let machines = machines.iter().map(|m| {
        let networks = m.networks.iter().cloned().collect();
        let service = host.machines.get(&m.name);
        let aliases = service.map(|s| s.aliases.clone()).unwrap_or_default();
        let services = service.map(|s| s.services.clone()).unwrap_or_default();
        (m.name.clone(), MachineNames { networks, state: m.state, aliases, services })
    });
    let peers = host.overlay.iter().flat_map(|overlay| &overlay.peers);
    Names {
        cloud: host.cloud.clone(),
        host: host.host.clone(),
        networks: host.networks.keys().cloned().collect(),
        machines: machines.collect::<BTreeMap<_, _>>(),
        allow: host.allow.clone(),
        far_allow: host.overlay.as_ref().map(|overlay| overlay.allow.clone()).unwrap_or_default(),
        peers: peers.map(|(name, peer)| (name.clone(), peer.networks.clone())).collect(),
    }
}

impl Networks for HostNetworks {
    fn ensure<'a>(&'a self, host: &'a HostSpec) -> BoxFuture<'a, Result<(), PartError>> {
        async move {
            *self.host() = Some(host.clone());
            self.connect(host).await?;
            links::ensure_networks(host).await?;
            if host.networks.is_empty() {
                return Ok(());
            }
            self.keep_uplinks()?;
            Ok(links::ensure_roads(host, &self.keyring.known()?).await?)
        }
        .boxed()
    }

    fn overlay(&self) -> Result<Option<OverlayView>, PartError> {
        let mode = self.host().as_ref().and_then(|host| Some(host.overlay.as_ref()?.mode));
        let tunnel = self.tunnel.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(match (mode, &*tunnel) {
            (Some(OverlayMode::Plain), _) => {
                Some(OverlayView { carrier: Carrier::Plain, ends: BTreeMap::new() })
            }
            (Some(OverlayMode::Wireguard), Some(tunnel)) => {
                let carrier = if tunnel.outlives() { Carrier::Kernel } else { Carrier::Agent };
                Some(OverlayView { carrier, ends: tunnel.reports()? })
            }
            _ => None,
        })
    }

    fn loss(&self) -> BoxFuture<'_, Result<String, PartError>> {
        self.wait_for_loss().boxed()
    }

    fn mend<'a>(
        &'a self,
        host: &'a HostSpec,
        machines: &'a [MachineName],
    ) -> BoxFuture<'a, Result<(), PartError>> {
        self.put_back(host, machines).boxed()
    }

    fn remove<'a>(
        &'a self,
        host: &'a HostSpec,
        networks: &'a [Name],
    ) -> BoxFuture<'a, Result<(), PartError>> {
        async move {
            if let Some(known) = &mut *self.host() {
                known.networks.retain(|network, _| !networks.contains(network));
            }
            Ok(links::remove_networks(&host.cloud, &host.host, networks).await?)
        }
        .boxed()
    }

    fn forget<'a>(
        &'a self,
        host: &'a HostSpec,
        gone: &'a [(Name, Vec<Name>)],
    ) -> BoxFuture<'a, Result<(), PartError>> {
        async move {
            let (host, gone) = (host.clone(), gone.to_vec());
            // It waits for grace periods of the kernel.
            let detach = move || {
                let mut pairs = Vec::new();
                for (machine, networks) in &gone {
                    pairs.extend(networks.iter().map(|network| (host.place(network), machine)));
                }
                links::detach(&pairs)
            };
            let detached = tokio::task::spawn_blocking(detach).await;
            Ok(detached??)
        }
        .boxed()
    }

    fn start_dns<'a>(&'a self, host: &'a HostSpec) -> BoxFuture<'a, Result<(), PartError>> {
        self.serve(host).boxed()
    }

    fn publish(&self, host: &HostSpec, machines: &[MachineName]) {
        self.tell(host, machines);
        *self.wires() = machines.iter().flat_map(|m| m.lan.keys().cloned()).collect();
        let mut dns = self.dns();
        if dns.only_states(host, machines) {
            return;
        }
        let names = names_of(host, machines);
        if let Some(server) = &dns.server
            && let Err(error) = server.set_names(&names)
        {
            tracing::warn!("names are as they were: {error}");
        }
        dns.names = Some(names);
        dns.host = Some(host.clone());
    }

    fn stop_dns(&self) -> BoxFuture<'_, Result<(), PartError>> {
        self.silence().boxed()
    }

    fn stop_all<'a>(&'a self, host: &'a HostSpec) -> BoxFuture<'a, Result<(), PartError>> {
        async move {
            self.silence().await?;
            *self.host() = None;
            let networks: Vec<Name> = host.networks.keys().cloned().collect();
            drop(self.tunnel.lock().unwrap_or_else(PoisonError::into_inner).take());
            self.remove(host, &networks).await
        }
        .boxed()
    }
}
