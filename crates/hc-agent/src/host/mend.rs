//! What somebody else takes away of the network is put back.

use super::networks::HostNetworks;
use crate::error::PartError;
use crate::networks::{MachineName, Networks};
use hc_net::links;
use hc_net::monitor::{Loss, Monitor};
use hc_spec::HostSpec;
use hc_spec::lan::{Foot, feet};
use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::AsFd;
use std::time::Duration;
use tokio::time::Instant;

/// What is heard, and links that are missed.
#[derive(Default)]
pub(super) struct Watch {
    /// Made when it is first waited for, in the network namespace of the agent.
    monitor: Option<Monitor>,
    /// Links that went, and when it is looked whether they are needed: most belonged to a machine that
    /// ended, or are just made anew.
    missed: BTreeMap<String, Instant>,
    /// Links of the host that machines were on, and that went.
    cut: BTreeSet<String>,
}

/// How long the link of a machine that ends is missed before the agent knows of its end.
const PATIENCE: Duration = Duration::from_millis(500);

impl HostNetworks {
    pub(super) async fn wait_for_loss(&self) -> Result<String, PartError> {
        let watch = &mut *self.watch.lock().await;
        let monitor = match &mut watch.monitor {
            Some(monitor) => monitor,
            None => watch.monitor.insert(Monitor::here()?),
        };
        loop {
            let next = watch.missed.values().min().copied();
            let due = async {
                match next {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                loss = monitor.loss() => match loss? {
                    Loss::Rules => return Ok("rules of the packet filter".into()),
                    Loss::Unknown => return Ok("something of the network, perhaps".into()),
                    Loss::Link(link) => {
                        let at = match self.needs_at_once(&link) {
                            true => Instant::now(),
                            false => Instant::now() + PATIENCE,
                        };
                        watch.missed.insert(link, at);
                    }
                    Loss::Wire(link) if !links::exists(&link) => {
                        if self.wires().contains(&link) {
                            watch.cut.insert(link);
                        }
                    }
                    // What machines had on it went with it, and does not come back by itself.
                    Loss::Wire(link) => {
                        if watch.cut.remove(&link) {
                            return Ok(format!("what was on the link {link}"));
                        }
                    }
                },
                () = due => {
                    let now = Instant::now();
                    let due: Vec<String> = watch
                        .missed
                        .extract_if(.., |_, at| *at <= now)
                        .map(|(link, _)| link)
                        .collect();
                    let gone = |link: &&String| !links::exists(link) && self.needs(link);
                    if let Some(link) = due.iter().find(gone) {
                        return Ok(format!("the link {link}"));
                    }
                }
            }
        }
    }

    /// Whether it is a bridge of this host, or its link to others.
    fn needs_at_once(&self, link: &str) -> bool {
        let host = self.host();
        let Some(host) = &*host else { return false };
        (host.overlay.is_some() && links::is_overlay(link))
            || host.networks.keys().any(|network| host.place(network).bridge() == link)
    }

    /// That, or of a machine that runs.
    fn needs(&self, link: &str) -> bool {
        let of_a_machine = || {
            let (host, told) = (self.host(), self.told());
            let Some(host) = &*host else { return false };
            let mut networks = host.networks.keys();
            networks.any(|network| told.iter().any(|m| host.place(network).link(m) == link))
        };
        self.needs_at_once(link) || of_a_machine()
    }

    pub(super) async fn put_back(
        &self,
        host: &HostSpec,
        machines: &[MachineName],
    ) -> Result<(), PartError> {
        self.ensure(host).await?;
        // What asks over a bridge that was gone is told anew.
        self.serve(host).await?;
        self.told().clear();
        self.tell(host, machines);
        let mut refused = None;
        for machine in machines.iter().filter(|machine| machine.runs) {
            let inside = machine.inside.map(|pid| format!("/proc/{pid}/ns/net"));
            let inside = inside.and_then(|path| std::fs::File::open(path).ok());
            for (index, network) in (0..).zip(&machine.networks) {
                let netns = inside.as_ref().map(AsFd::as_fd);
                let place = host.place(network);
                if !links::reattach(netns, &place, &machine.name, index)? {
                    let (name, link) = (&machine.name, place.link(&machine.name));
                    tracing::error!(machine = %name, %link, "its link is gone: restart it");
                }
            }
            let first = machine.networks.first().map(|network| host.place(network));
            // Of a virtual machine that is just ending nothing is missed.
            let taps = machine.emulator.map(|pid| links::macvtaps(pid).unwrap_or_default());
            let is_there =
                |foot: &Foot<'_>| taps.as_ref().is_some_and(|taps| taps.contains(&foot.ifname()));
            for foot in feet(&host.cloud, &host.host, &machine.name, &machine.lan) {
                if !links::exists(foot.parent) || is_there(&foot) {
                    continue;
                }
                let netns = inside.as_ref().map(AsFd::as_fd);
                let attached = links::reattach_lan(netns, &foot, first.as_ref()).await;
                // One that is not taken keeps no other machine from it.
                let attached = attached.unwrap_or_else(|error| {
                    refused = refused.take().or(Some(error));
                    true
                });
                if !attached {
                    let (name, link) = (&machine.name, foot.parent);
                    tracing::warn!(machine = %name, %link, "it is on that link again when it is restarted");
                }
            }
        }
        refused.map_or(Ok(()), |error| Err(error.into()))
    }
}
