//! What a machine that runs should be on and is not: somebody took a link of its away, or the host's
//! link onto a wire went.

use super::attach::inside;
use super::{exists, tap};
use crate::error::{Error, Result};
use hc_spec::MachineSpec;
use hc_spec::addr::Place;
use hc_spec::machine::Kind;
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};
use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::linux::fs::MetadataExt;
use std::os::unix::fs::FileTypeExt;
use std::path::PathBuf;

/// The networks and links of the host that a machine is cut off from. `pid` is its first process: one in
/// its network namespace, or QEMU.
///
/// # Errors
/// When it cannot be looked into, as when it has just ended.
pub fn lost(spec: &MachineSpec, pid: i32) -> Result<Vec<String>> {
    let network = |network| Place { cloud: &spec.cloud, host: &spec.host, network };
    let gone = spec.networks.iter().filter(|name| !exists(&network(name).link(&spec.name)));
    let mut lost: Vec<String> = gone.map(ToString::to_string).collect();
    if spec.lan.is_empty() {
        return Ok(lost);
    }
    let failed = |source| Error::System { action: "look for the links of a machine", source };
    let there: BTreeSet<String> = match spec.kind {
        Kind::Container => {
            let netns = File::open(format!("/proc/{pid}/ns/net")).map_err(failed)?;
            let names = || spec.feet().map(|foot| foot.ifname()).filter(|name| exists(name));
            inside(netns.as_fd(), || Ok(names().collect()))?
        }
        Kind::Microvm | Kind::Q35 => macvtaps(pid).map_err(failed)?,
    };
    let cut = spec.feet().filter(|foot| !there.contains(&foot.ifname()));
    lost.extend(cut.map(|foot| foot.parent.to_owned()));
    Ok(lost)
}

/// Names of the macvtaps that a process has descriptors of and that are still there: such a link lies in a
/// namespace that nobody else can find, and only its descriptor says whether it is.
///
/// # Errors
/// When the process has ended, or is not this one's to look into.
pub fn macvtaps(pid: i32) -> io::Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    let Some(kind) = major()? else { return Ok(found) };
    let pid = Pid::from_raw(pid).ok_or(io::ErrorKind::InvalidInput)?;
    let process = pidfd_open(pid, PidfdFlags::empty())?;
    for entry in std::fs::read_dir(format!("/proc/{}/fd", pid.as_raw_nonzero()))? {
        let path: PathBuf = entry?.path();
        // It may be closed by now.
        let Ok(file) = std::fs::metadata(&path) else { continue };
        let ours = file.file_type().is_char_device() && rustix::fs::major(file.st_rdev()) == kind;
        let number = path.file_name().and_then(|name| name.to_str()?.parse().ok());
        let (true, Some(number)) = (ours, number) else { continue };
        if let Ok(copy) = pidfd_getfd(&process, number, PidfdGetfdFlags::empty()) {
            found.extend(tap::name(&copy));
        }
    }
    Ok(found)
}

/// The number of the kernel's driver of macvtaps; none while there never was one.
fn major() -> io::Result<Option<u32>> {
    let devices = std::fs::read_to_string("/proc/devices")?;
    let number = |line: &str| line.trim().strip_suffix(" macvtap")?.parse().ok();
    Ok(devices.lines().find_map(number))
}
