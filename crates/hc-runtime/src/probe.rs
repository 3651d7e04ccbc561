//! What this host's kernel can do, for `hc doctor`.

use crate::cgroup::{CgroupMode, Hierarchies};
use crate::sys::{mount, process};
use rustix::fs::OFlags;
use rustix::mount::MountAttrFlags;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

/// What machines need of a host; each found out by trying, without leaving anything behind.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Features {
    /// This process has the privileges to find out, and to run machines.
    pub root: bool,
    /// The kernel knows EROFS.
    pub erofs: bool,
    /// It mounts EROFS straight from files (6.12), without loop devices.
    pub erofs_files: bool,
    /// Loop devices, needed where it does not.
    pub loop_devices: bool,
    /// Overlays.
    pub overlay: bool,
    /// User namespaces.
    pub user_namespaces: bool,
    /// Mounts with mapped ids, needed for machines in user namespaces.
    pub idmapped_mounts: bool,
    /// How control groups are mounted.
    pub cgroups: CgroupMode,
    /// System call filters.
    pub seccomp: bool,
    /// Processes can be cloned straight into a control group.
    pub clone_into_cgroup: bool,
}

impl Features {
    /// Whether machines with the default isolation can run.
    #[must_use]
    pub fn suffice(&self) -> bool {
        self.root
            && self.erofs
            && (self.erofs_files || self.loop_devices)
            && self.overlay
            && self.user_namespaces
            && self.idmapped_mounts
            && self.cgroups != CgroupMode::None
            && self.seccomp
    }
}

/// Finds out what this host can do. Tried in a forked process, so the caller needs one thread for
/// an exact answer.
#[must_use]
pub fn probe() -> Features {
    let known = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
    let knows = |name: &str| known.lines().any(|line| line.split_whitespace().last() == Some(name));
    let hierarchies = Hierarchies::detect().unwrap_or_default();
    let actions = "/proc/sys/kernel/seccomp/actions_avail";
    Features {
        root: rustix::process::geteuid().is_root(),
        erofs: knows("erofs") || erofs_error("/dev/null") != Some(libc::ENODEV),
        erofs_files: mounts_files(),
        loop_devices: Path::new("/dev/loop-control").exists(),
        overlay: knows("overlay") || makes("overlay"),
        user_namespaces: Path::new("/proc/self/ns/user").exists()
            && in_child(libc::CLONE_NEWUSER, || true),
        idmapped_mounts: maps_ids(),
        cgroups: hierarchies.mode(),
        seccomp: std::fs::read_to_string(actions).is_ok_and(|text| text.contains("errno")),
        clone_into_cgroup: hierarchies.v2.is_some_and(|root| clones_into(&root)),
    }
}

/// What virtual machines need of a host.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Virtualisation {
    /// QEMU's program.
    pub qemu: Option<PathBuf>,
    /// `/dev/kvm` opens. Whether guests run with it is found out when one is started.
    pub kvm: bool,
    /// What was found out since this host booted, for each kernel.
    pub tried: Vec<crate::vm::Accelerator>,
}

/// Finds out what there is for virtual machines; `qemu` is its program, where one is named.
#[must_use]
pub fn probe_virtualisation(run_dir: &Path, qemu: Option<&Path>) -> Virtualisation {
    let device = OFlags::RDWR | OFlags::CLOEXEC;
    Virtualisation {
        qemu: crate::vm::qemu(qemu).ok(),
        kvm: rustix::fs::open("/dev/kvm", device, rustix::fs::Mode::empty()).is_ok(),
        tried: crate::vm::accelerators(run_dir),
    }
}

/// What roots of the machines of a state directory are.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Roots {
    /// How.
    pub method: RootMethod,
    /// Better ways, and why they do not work here.
    pub passed_over: Vec<String>,
}

/// How the root of a container keeps what is written to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RootMethod {
    /// An overlay over the image, where it lies in the store.
    Overlay,
    /// The same, with what is written kept in memory and lost when the machine stops.
    Memory,
}

/// Finds out how the roots of machines are forked, by mounting one.
#[must_use]
pub fn probe_roots(state_dir: &Path) -> Roots {
    let machines = state_dir.join("machines");
    let there = machines.ancestors().find(|dir| dir.is_dir()).unwrap_or(Path::new("/"));
    let (kind, place) = (crate::disk::kind(there), there.display());
    let snapshots = if crate::sys::btrfs::is_btrfs(there) {
        "snapshots: only of images that `hc image base` has copied here".to_owned()
    } else {
        format!("snapshots: {kind} has none ({place}); btrfs has")
    };
    match crate::fork::carries(there) {
        Ok(()) => Roots { method: RootMethod::Overlay, passed_over: vec![snapshots] },
        Err(problem) => {
            let overlay = format!("overlays on {kind} ({place}): {problem}");
            Roots { method: RootMethod::Memory, passed_over: vec![snapshots, overlay] }
        }
    }
}

fn makes(kind: &str) -> bool {
    rustix::mount::fsopen(kind, rustix::mount::FsOpenFlags::FSOPEN_CLOEXEC).is_ok()
}

fn erofs_error(file: &str) -> Option<i32> {
    crate::fork::mounts_files(Path::new(file)).err().and_then(|error| error.raw_os_error())
}

/// A kernel that takes files reads this one and finds no EROFS in it; another asks for a device.
fn mounts_files() -> bool {
    std::env::current_exe()
        .ok()
        .and_then(|file| erofs_error(&file.to_string_lossy()))
        .is_some_and(|error| ![libc::ENOTBLK, libc::ENODEV, libc::EPERM].contains(&error))
}

fn maps_ids() -> bool {
    let flags = u64::from(libc::CLONE_NEWUSER.cast_unsigned());
    // SAFETY: the child makes one system call and ends.
    let Ok(child) = (unsafe { process::clone(flags, None, libc::SIGCHLD) }) else { return false };
    let Some(child) = child else {
        loop {
            // SAFETY: waits for the signal that ends it.
            unsafe { libc::pause() };
        }
    };
    let tried = || -> std::io::Result<()> {
        let mapped = |file: &str| -> std::io::Result<()> {
            let flags = rustix::fs::OFlags::WRONLY | rustix::fs::OFlags::CLOEXEC;
            let path = format!("/proc/{}/{file}", child.pid);
            let file = rustix::fs::open(path, flags, rustix::fs::Mode::empty())?;
            std::io::Write::write_all(&mut std::fs::File::from(file), b"0 100000 65536")
        };
        mapped("uid_map")?;
        mapped("gid_map")?;
        let userns = std::fs::File::open(format!("/proc/{}/ns/user", child.pid))?;
        let layer = mount::make("tmpfs", &[], MountAttrFlags::empty())?;
        mount::map_ids(layer.as_fd(), userns.as_fd())
    };
    let worked = tried().is_ok();
    let _ = crate::sys::signals::kill_fd(child.pidfd.as_fd(), libc::SIGKILL);
    let _ = process::wait(child.pid);
    worked
}

fn clones_into(root: &Path) -> bool {
    let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::CLOEXEC;
    let Ok(group) = rustix::fs::open(root, flags, rustix::fs::Mode::empty()) else { return false };
    // SAFETY: the child ends at once.
    match unsafe { process::clone(0, Some(group.as_fd()), libc::SIGCHLD) } {
        Ok(None) => process::exit_now(0),
        Ok(Some(child)) => process::wait(child.pid).is_ok(),
        Err(_) => false,
    }
}

fn in_child(flags: i32, test: impl Fn() -> bool) -> bool {
    // SAFETY: the child runs a test that allocates nothing, and ends.
    match unsafe { process::clone(u64::from(flags.cast_unsigned()), None, libc::SIGCHLD) } {
        Ok(None) => process::exit_now(i32::from(!test())),
        Ok(Some(child)) => process::wait(child.pid).is_ok_and(|e| e == process::Ended::Code(0)),
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_host_runs_machines() {
        let features = probe();
        assert!(features.suffice(), "{features:?}");
    }
}
