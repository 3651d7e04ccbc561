//! One machine as one foreground process: fork, connect, spawn, reap, clean up.
//!
//! [`run`] is a supervisor: it forks the image (an EROFS file under an overlay), makes namespaces
//! and control groups, lets a [`Network`] connect it, executes the payload, keeps its log and its
//! [`Status`], and takes everything away again. [`exec`] runs one more program in a machine that
//! runs.
//!
//! What keeps a machine from its host: namespaces of every kind, a user namespace among them unless
//! the description says otherwise; a root that is the only file system in sight; a bounding set of
//! eleven capabilities; no new privileges; a system call filter; masked kernel files. Its first
//! process is hc's own and not dumpable. Without a user namespace the machine's root is the host's:
//! then a script of the image that names `/proc/self/exe` as its interpreter executes hc inside.

pub mod base;
#[cfg(test)]
mod bench;
mod cgroup;
mod config;
pub mod copy;
mod description;
pub mod disk;
mod error;
mod exec;
mod fork;
mod ids;
mod inside;
pub mod logs;
mod network;
mod notify;
mod placed;
mod probe;
mod protocol;
pub mod seed;
mod signal;
pub mod snapshots;
mod status;
mod supervise;
mod sys;
mod timing;
mod usage;
mod vm;
pub mod volumes;

pub use cgroup::{CgroupMode, own_parent};
pub use config::{ExecConfig, Places, RunConfig, Streams};
pub use error::RunError;
pub use exec::{console, exec};
pub use network::{Attached, Network, NetworkError, NoNetwork, Tap};
pub use notify::tell;
pub use probe::{Features, RootMethod, Roots, Virtualisation};
pub use probe::{probe, probe_roots, probe_virtualisation};
pub use status::{Exit, Fault, Forked, ForkedDisk, Phase, Status, boot_id, start_time};
pub use supervise::{cleanup, run, sweep};
pub use timing::{Stage, Step, now_ns};
pub use usage::Usage;
pub use vm::client::screen;
pub use vm::layer::used as used_by_layer;
pub use vm::saved::{Collected, collect as collect_saved};
pub use vm::{Accelerator, Kind as AcceleratorKind, balloon, grow_disk, prepare};
