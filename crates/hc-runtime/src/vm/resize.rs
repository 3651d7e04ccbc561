//! A disk that becomes larger while its machine runs.
//!
//! Whoever comes in by `disk.sock` says the disk's name and its bytes. QEMU makes its file larger and tells the
//! computer; partitions and file systems on it are the machine's own to grow.

use super::qmp::Qmp;
use super::{Machine, desk, layer, q35};
use crate::config::Places;
use crate::error::RunError;
use hc_spec::machine::Kind;
use hc_spec::{MachineSpec, Name};
use serde_json::json;
use std::path::Path;

/// Name of the socket for those who want a disk to be larger.
pub(super) const DISK: &str = "disk.sock";

/// What QEMU calls the machine's disk of that name, where it has one that outlives its description.
fn node(spec: &MachineSpec, disk: &str) -> Option<&'static str> {
    match spec.kind {
        Kind::Q35 => (disk == q35::DISK).then_some("disk"),
        Kind::Microvm => (disk == layer::ROOT && spec.image.disk.is_some()).then_some("layer"),
        Kind::Container => None,
    }
}

/// Makes a disk of a machine that runs as large as somebody says.
pub(super) fn asked(machine: &mut Machine, spec: &MachineSpec, line: &str) -> Result<(), String> {
    let (disk, bytes) = line.split_once(' ').ok_or("that is no disk and its size")?;
    let bytes = bytes.parse::<u64>().map_err(|error| error.to_string())?;
    let node = node(spec, disk).ok_or_else(|| format!("it has no disk '{disk}'"))?;
    if machine.forking.is_some() {
        // A fork's disks are as large as they were when it was begun.
        return Err("the machine is being forked; try again".into());
    }
    let now = size(&mut machine.qmp, node)?;
    if bytes < now {
        return Err(format!("disk '{disk}' has {now} bytes, and does not shrink"));
    }
    machine.qmp.ask("block_resize", &json!({"node-name": node, "size": bytes}))?;
    if let Some(origin) = &mut machine.origin {
        origin.layer.size = bytes;
    }
    Ok(())
}

/// Bytes that the computer sees of a disk.
fn size(qmp: &mut Qmp, node: &str) -> Result<u64, String> {
    let nodes = qmp.ask("query-named-block-nodes", &json!({"flat": true}))?;
    let mut nodes = nodes.as_array().into_iter().flatten();
    let found = nodes.find(|found| found["node-name"] == node);
    found
        .and_then(|found| found["image"]["virtual-size"].as_u64())
        .ok_or_else(|| format!("QEMU does not know its disk '{node}'"))
}

/// Makes a disk of a virtual machine that runs larger: `bytes`, whole sectors.
///
/// # Errors
/// When it does not run or has no such disk, has more already, or QEMU refuses.
pub fn grow_disk(run_dir: &Path, name: &Name, disk: &Name, bytes: u64) -> Result<(), RunError> {
    let path = Places::new(run_dir, Path::new(""), name.as_str()).run.join(DISK);
    desk::ask(&path, &format!("{disk} {bytes}")).map_err(|problem| problem.of(name.as_str()))
}
