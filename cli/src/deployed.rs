//! What is in effect on this host, read from its generation: no agent is needed.

use crate::context::Globals;
use crate::error::{Code, Failure};
use hc_agent::Generations;
use hc_spec::addr::Place;
use hc_spec::{HostSpec, MachineSpec, Name};
use std::collections::BTreeMap;

/// A host with the machines of its current generation.
pub struct Deployed {
    pub host: HostSpec,
    pub machines: BTreeMap<Name, MachineSpec>,
}

impl Deployed {
    pub fn read(globals: &Globals) -> anyhow::Result<Self> {
        let generations = Generations::new(&globals.state_dir);
        let Some(current) = generations.current()? else {
            return Err(Failure::new(Code::Host, "nothing was deployed on this host")
                .hint("`hc deploy FLAKE` deploys a cloud")
                .into());
        };
        let set = hc_agent::read_set(globals.store.as_deref(), &generations.set(current)?)?;
        let read = |(name, closure): (Name, std::path::PathBuf)| {
            let text = std::fs::read(globals.physical(&closure))?;
            anyhow::Ok((name, MachineSpec::from_json(&text)?))
        };
        let machines = set.machines.into_iter().map(read).collect::<anyhow::Result<_>>()?;
        Ok(Self { host: set.host, machines })
    }

    /// The machine of that name.
    pub fn machine(&self, name: &str) -> anyhow::Result<&MachineSpec> {
        self.machines.get(name).ok_or_else(|| {
            let all = self.machines.keys().map(Name::as_str).collect::<Vec<_>>().join(", ");
            let hint = match &*all {
                "" => "the current generation has no machines".to_owned(),
                all => format!("there are: {all}"),
            };
            Failure::new(Code::Failed, format!("there is no machine '{name}' on this host"))
                .hint(hint)
                .into()
        })
    }

    /// The machines of a network.
    pub fn on<'a>(&'a self, network: &'a Name) -> impl Iterator<Item = &'a MachineSpec> {
        self.machines.values().filter(|machine| machine.networks.contains(network))
    }

    /// A network of this host as addresses are made of it.
    pub fn place<'a>(&'a self, network: &'a Name) -> Place<'a> {
        self.host.place(network)
    }
}
