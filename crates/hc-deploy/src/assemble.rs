//! Paths of machine closures and of the set, computed before anything is built.

use crate::store_io::StoreIo;
use crate::{Error, Result};
use hc_spec::check;
use hc_spec::set::HOST_FILE;
use hc_spec::{HostSpec, MachineSet, MachineSpec, Name};
use nix_compat::nar::{NamedNode, Node, hash_tree};
use nix_compat::{StoreDir, StorePath};
use nix_lang::ContextElem;
use nix_store::HostStore;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::rc::Rc;

/// One machine as evaluated.
pub(crate) struct Machine {
    /// Its text: what the closure will hold.
    pub text: String,
    /// What has to be built or added before the closure can be.
    pub context: Vec<ContextElem>,
    /// Store paths the text refers to.
    pub references: BTreeSet<StorePath>,
    /// Its closure.
    pub closure: StorePath,
}

/// The door that a cloud was evaluated through: it knows what has to be written.
pub(crate) enum Door<'i> {
    Own(Box<StoreIo>),
    /// That of an evaluation that goes on.
    Lent(&'i StoreIo),
}

impl std::ops::Deref for Door<'_> {
    type Target = StoreIo;

    fn deref(&self) -> &StoreIo {
        match self {
            Door::Own(io) => io,
            Door::Lent(io) => io,
        }
    }
}

/// A cloud, evaluated for one host: every path is known, nothing is built.
pub struct Prepared<'i> {
    pub(crate) io: Door<'i>,
    pub(crate) machines: BTreeMap<Name, Machine>,
    pub(crate) host_text: String,
    pub(crate) set: StorePath,
    machine_set: MachineSet,
    warnings: Vec<String>,
    /// Who evaluated it and can write what it needs, if that is another process.
    pub(crate) far: Option<Box<dyn Far>>,
    /// Held until the end: see [`crate::far::Service::later`].
    pub(crate) service: Option<Rc<dyn crate::far::Service>>,
}

/// An evaluation in another process.
pub(crate) trait Far {
    /// Has what these name written to the store.
    fn write(&self, store: &HostStore, elements: &BTreeSet<&ContextElem>) -> Result<()>;
}

fn render(path: &StorePath) -> PathBuf {
    StoreDir::default().render_path(path).into()
}

impl<'i> Prepared<'i> {
    pub(crate) fn assemble(
        io: Door<'i>,
        mut host: HostSpec,
        specs: Vec<(MachineSpec, Vec<ContextElem>)>,
        warnings: Vec<String>,
    ) -> Result<Self> {
        let machines = specs.iter().map(|(spec, _)| (&spec.name, &spec.networks[..])).collect();
        check::resolve(&mut host, &machines)?;
        let mut all = Vec::with_capacity(specs.len());
        for (spec, context) in specs {
            let references =
                context.iter().map(|e| output(&io, e)).collect::<Result<BTreeSet<_>>>()?;
            all.push((spec, context, references));
        }
        Self::from_parts(io, host, all, warnings)
    }

    /// From machines with what they need and the store paths that they refer to.
    pub(crate) fn from_parts(
        io: Door<'i>,
        host: HostSpec,
        specs: Vec<(MachineSpec, Vec<ContextElem>, BTreeSet<StorePath>)>,
        warnings: Vec<String>,
    ) -> Result<Self> {
        let mut machines = BTreeMap::new();
        for (spec, context, references) in specs {
            let (text, name) = (spec.to_json(), closure_name(&spec.name));
            let closure = nix_compat::path::text(&name, text.as_bytes(), &references)
                .map_err(|source| Error::Name { machine: spec.name.to_string(), source })?;
            machines.insert(spec.name, Machine { text, context, references, closure });
        }
        let host_text = serde_json::to_string(&host)
            .map_err(|e| Error::Shape(format!("the host's description is no JSON: {e}")))?;
        let set = set_path(&host_text, &machines)?;
        let machine_set = MachineSet {
            host,
            machines: machines.iter().map(|(n, m)| (n.clone(), render(&m.closure))).collect(),
        };
        Ok(Self { io, machines, host_text, set, machine_set, warnings, far: None, service: None })
    }

    /// Store path of the machine set, as text.
    #[must_use]
    pub fn set_path(&self) -> PathBuf {
        render(&self.set)
    }

    /// The set as data.
    #[must_use]
    pub fn machine_set(&self) -> &MachineSet {
        &self.machine_set
    }

    /// What the modules warn about.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

pub(crate) fn closure_name(machine: &Name) -> String {
    format!("machine-{machine}.json")
}

/// Name of a machine set in the store.
pub(crate) const SET_NAME: &str = "machine-set";

/// The store path that a context element stands for once it is built.
fn output(io: &StoreIo, element: &ContextElem) -> Result<StorePath> {
    let (drv, output) = match element {
        ContextElem::Opaque(path) | ContextElem::DrvDeep(path) => return Ok(path.clone()),
        ContextElem::Built { drv, output } => (drv, output),
        ContextElem::Dynamic { .. } => {
            let text = element.to_installable(&StoreDir::default());
            let what = "is known only once it is built, and a machine cannot wait for that";
            return Err(Error::Shape(format!("the path of '{text}' {what}")));
        }
    };
    let missing = || Error::Missing { path: drv.clone() };
    let outputs = io
        .derivation(drv)
        .ok_or_else(missing)?
        .resolved_outputs()
        .map_err(|e| Error::Shape(format!("derivation {}: {e}", drv.to_basename())))?;
    outputs.get(output).and_then(|o| o.path.clone()).ok_or_else(|| {
        Error::Shape(format!(
            "derivation {} has no output '{output}' with a known path",
            drv.to_basename()
        ))
    })
}

fn set_path(host_text: &str, machines: &BTreeMap<Name, Machine>) -> Result<StorePath> {
    let targets: Vec<(&Name, String)> =
        machines.iter().map(|(n, m)| (n, StoreDir::default().render_path(&m.closure))).collect();
    let mut children: Vec<NamedNode<'_>> = targets
        .iter()
        .map(|(name, target)| NamedNode {
            name: name.as_str().as_bytes(),
            node: Node::Symlink { target: target.as_bytes() },
        })
        .collect();
    children.push(NamedNode {
        name: HOST_FILE.as_bytes(),
        node: Node::Regular { executable: false, contents: host_text.as_bytes() },
    });
    children.sort_by_key(|child| child.name);
    let hash = hash_tree(&Node::Directory(&children))
        .map_err(|e| Error::Shape(format!("the machine set is no archive: {e}")))?;
    let references = machines.values().map(|m| m.closure.clone()).collect();
    nix_compat::path::source(SET_NAME, hash.sha256, &references)
        .map_err(|source| Error::Name { machine: SET_NAME.into(), source })
}
