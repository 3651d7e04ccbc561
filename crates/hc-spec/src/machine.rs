//! One fully resolved machine, as `modules/` writes it and `hc machine run` reads it.

use crate::health::Health;
use crate::lan::Lan;
use crate::name::Name;
use crate::q35::Q35;
use crate::storage::{Bind, Device, IoLimit, Placed, Tmpfs, Volume, placed};
use crate::vm::Vm;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

mod check;
mod lifecycle;

pub use lifecycle::{Ready, ReadyWhen, Restart, RestartPolicy, Stop};

/// The schema this code reads and writes.
pub const SCHEMA: u32 = 1;

/// One fully resolved machine. Its JSON text, at a store path, is the machine closure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MachineSpec {
    /// Always [`SCHEMA`].
    pub schema: u32,
    /// Name of the machine, unique on its host.
    pub name: Name,
    /// Host it runs on.
    pub host: Name,
    /// Cloud it belongs to.
    pub cloud: Name,
    /// What kind of machine it is.
    pub kind: Kind,
    /// What it runs from.
    #[serde(default)]
    pub image: Image,
    /// Program and arguments; the program is looked up in the image's `PATH` when it has no `/`.
    /// Empty for the image's own, when it has a manifest.
    #[serde(default)]
    pub command: Vec<String>,
    /// Environment of the command, besides `PATH`, `HOME`, `container` and `NOTIFY_SOCKET`.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// User name or number in the image that runs the command; absent for the image's own, or root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Working directory in the image; absent for the image's own, or `/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workdir: Option<PathBuf>,
    /// Whether the command is process 1 of the machine; absent for the image's own, or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init: Option<bool>,
    /// Files laid over the image, by absolute path in it.
    #[serde(default)]
    pub files: BTreeMap<PathBuf, File>,
    /// Networks it is connected to; the first one carries the default route and `search` domain.
    #[serde(default)]
    pub networks: Vec<Name>,
    /// Links of the host on whose wires it has a place of its own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub lan: BTreeMap<String, Lan>,
    /// Resource limits.
    #[serde(default)]
    pub limits: Limits,
    /// Directories that outlive it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub volumes: BTreeMap<Name, Volume>,
    /// Files and directories of the host, by their path in the machine.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub binds: BTreeMap<PathBuf, Bind>,
    /// Directories in memory, by path.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tmpfs: BTreeMap<PathBuf, Tmpfs>,
    /// Devices of the host, by path.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub devices: BTreeMap<PathBuf, Device>,
    /// When it counts as ready.
    #[serde(default)]
    pub ready: Ready,
    /// How it is found out that it works no longer; absent for not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
    /// What happens when the command ends.
    #[serde(default)]
    pub restart: Restart,
    /// How it is asked to stop.
    #[serde(default)]
    pub stop: Stop,
    /// How it is kept away from the host.
    #[serde(default)]
    pub isolation: Isolation,
    /// The virtual computer it is, for a microVM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vm: Option<Vm>,
    /// The PC it is, for a q35.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub q35: Option<Q35>,
}

/// What kind of machine it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Namespaces on the host's kernel.
    Container,
    /// A small virtual machine with a Linux kernel, which QEMU starts without firmware.
    Microvm,
    /// A whole PC with UEFI firmware, for any system that runs on one.
    Q35,
}

/// What a machine runs from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Image {
    /// EROFS file in the store, the lower layer of the root of a container or microVM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rootfs: Option<PathBuf>,
    /// Raw disk in the store, of which a q35's is a fork.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<PathBuf>,
    /// The image's [`Manifest`](crate::image::Manifest) in the store: says what this machine does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<PathBuf>,
}

/// A file laid over the image: exactly one of `source` and `text`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct File {
    /// Regular file in the store to copy from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<PathBuf>,
    /// The contents themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Permission bits as octal text, `0644` when absent.
    #[serde(default = "mode_0644")]
    pub mode: String,
}

/// Resource limits; absent means unlimited.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Limits {
    /// Bytes of memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
    /// Number of CPUs, fractions allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpus: Option<f64>,
    /// Number of processes and threads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pids: Option<u64>,
    /// Bytes of swap besides the memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub swap: Option<u64>,
    /// Share of the processors where there are not enough, 1 to 10000; others have 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_weight: Option<u64>,
    /// Share of the disks where they are busy, 1 to 10000; others have 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub io_weight: Option<u64>,
    /// Limits of disks: by their device, or any path on a file system on them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub io: BTreeMap<PathBuf, IoLimit>,
    /// Bytes of the file system that keeps what a container writes over its image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root_size: Option<u64>,
}

/// How a machine is kept away from the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Isolation {
    /// Run as mapped ids in a user namespace of its own.
    #[serde(default = "yes")]
    pub user_namespace: bool,
    /// Capabilities added to the default set, such as `NET_ADMIN`.
    #[serde(default)]
    pub add_capabilities: Vec<String>,
    /// Capabilities taken from the default set.
    #[serde(default)]
    pub drop_capabilities: Vec<String>,
    /// Nothing in the root can be written.
    #[serde(default)]
    pub read_only_root: bool,
}

fn mode_0644() -> String {
    "0644".into()
}
fn yes() -> bool {
    true
}
impl Default for Isolation {
    fn default() -> Self {
        Self {
            user_namespace: true,
            add_capabilities: Vec::new(),
            drop_capabilities: Vec::new(),
            read_only_root: false,
        }
    }
}

/// Why a specification cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SpecError {
    /// Not JSON of this schema.
    #[error("the machine description does not fit the schema: {0}")]
    Json(#[from] serde_json::Error),
    /// A field is well-typed but makes no sense.
    #[error("machine '{machine}': {field}: {problem}")]
    Field {
        /// Machine it is about.
        machine: Name,
        /// Option path.
        field: &'static str,
        /// What is wrong and what would be right.
        problem: String,
    },
}

impl MachineSpec {
    /// Reads and checks one machine closure's text.
    ///
    /// # Errors
    /// When the text is not of this schema, or a value in it makes no sense.
    pub fn from_json(text: &[u8]) -> Result<Self, SpecError> {
        let spec: Self = serde_json::from_slice(text)?;
        spec.check()?;
        Ok(spec)
    }

    /// The canonical text: compact JSON, fields in schema order, maps sorted.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a spec has string keys and finite numbers only")
    }

    /// Fills in from the image's manifest what the machine does not say, as a container engine does:
    /// its own command replaces the image's, its variables are added to the image's.
    ///
    /// # Errors
    /// When neither names a command.
    pub fn adopt(&mut self, manifest: &crate::image::Manifest) -> Result<(), SpecError> {
        let image = &manifest.config;
        if self.command.is_empty() {
            self.command.clone_from(&image.command);
        }
        for (key, value) in &image.env {
            self.env.entry(key.clone()).or_insert_with(|| value.clone());
        }
        self.user = self.user.take().or_else(|| image.user.clone());
        self.workdir = self.workdir.take().or_else(|| image.workdir.clone());
        self.stop.signal = self.stop.signal.take().or_else(|| image.stop_signal.clone());
        self.init = self.init.or(Some(image.init));
        if self.command.is_empty() {
            return Err(SpecError::Field {
                machine: self.name.clone(),
                field: "command",
                problem: "is not given, and the image has none either: name a program".into(),
            });
        }
        self.check()
    }

    /// What is put into its tree, whatever contains something else first.
    ///
    /// # Errors
    /// The field, and what is wrong with it. A description that was read has no such.
    pub fn placed(&self) -> Result<Vec<(&std::path::Path, Placed<'_>)>, (&'static str, String)> {
        placed(&self.volumes, &self.binds, &self.tmpfs, &self.devices)
    }

    /// Who runs the command.
    #[must_use]
    pub fn user(&self) -> &str {
        self.user.as_deref().unwrap_or("root")
    }

    /// Whether the command is process 1. Without a command it is the init of the disk that it runs from.
    #[must_use]
    pub fn is_init(&self) -> bool {
        self.init.unwrap_or(self.image.disk.is_some() && self.command.is_empty())
    }

    /// Where the command starts.
    #[must_use]
    pub fn workdir(&self) -> &std::path::Path {
        self.workdir.as_deref().unwrap_or(std::path::Path::new("/"))
    }
}

impl Limits {
    /// Whether disks are limited.
    #[must_use]
    pub fn limit_io(&self) -> bool {
        self.io_weight.is_some() || !self.io.is_empty()
    }
}

impl Image {
    /// The file that the machine's fork begins as: its root file system, or its disk. None for a
    /// disk that begins empty.
    #[must_use]
    pub fn file(&self) -> Option<&std::path::Path> {
        self.rootfs.as_deref().or(self.disk.as_deref())
    }

    /// The root file system; empty for a q35, which has none.
    #[must_use]
    pub fn rootfs(&self) -> &std::path::Path {
        self.rootfs.as_deref().unwrap_or(std::path::Path::new(""))
    }
}

impl File {
    /// Permission bits, `None` when the text is not octal or has more than twelve bits.
    #[must_use]
    pub fn mode_bits(&self) -> Option<u32> {
        u32::from_str_radix(&self.mode, 8).ok().filter(|m| *m <= 0o7777)
    }
}

#[cfg(test)]
mod tests;
