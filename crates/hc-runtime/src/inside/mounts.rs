//! The machine's own view of the file systems.

use crate::error::{Doing, Hint, Res};
use crate::sys::mount::{attach, attach_at, copy, make, restrict, target};
use hc_spec::storage::Tmpfs;
use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{
    MountAttrFlags as Attr, MountPropagationFlags, UnmountFlags, mount_change, unmount,
};
use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// Devices every program counts on, and no others.
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

/// Hidden: they tell about the host, or change it.
const MASKED: [&str; 30] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/driver",
    "/proc/interrupts",
    "/proc/iomem",
    "/proc/ioports",
    "/proc/kallsyms",
    "/proc/kcore",
    "/proc/key-users",
    "/proc/keys",
    "/proc/kmsg",
    "/proc/kpagecgroup",
    "/proc/kpagecount",
    "/proc/kpageflags",
    "/proc/latency_stats",
    "/proc/mtrr",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/slabinfo",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/vmallocinfo",
    "/sys/devices/virtual/dmi",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
    "/sys/fs/pstore",
    "/sys/kernel/debug",
    "/sys/kernel/security",
    "/sys/kernel/tracing",
    "/sys/power",
];

/// Shown, and not writable whoever asks.
const READ_ONLY: [&str; 6] = [
    "/proc/bus",
    "/proc/dynamic_debug",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
];

/// What a machine sees of control groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cgroups {
    /// Nothing.
    Hidden,
    /// Its own part of the version 2 tree.
    Shown,
    /// The same, to make groups in: an init system counts on it.
    Delegated,
}

/// Options of a file system in memory.
fn memory<'a>(mode: &'a str, size: Option<&'a str>) -> Vec<(&'a str, Option<&'a str>)> {
    let size = size.map(|size| ("size", Some(size)));
    std::iter::once(("mode", Some(mode))).chain(size).collect()
}

/// Kernel file systems, made while the host's are still in sight (a user namespace may mount only
/// what it can see in full), attached when the machine's root is there.
pub(super) struct System {
    mounts: Vec<(&'static str, OwnedFd)>,
    devices: Vec<(&'static str, OwnedFd)>,
}

impl System {
    /// `sizes` may say how large `/run` and `/dev/shm` are.
    pub fn make(cgroups: Cgroups, sizes: &BTreeMap<PathBuf, Tmpfs>) -> Res<Self> {
        mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
            .doing("keep mounts to the machine")?;
        let nosuid = Attr::MOUNT_ATTR_NOSUID;
        let plain = nosuid | Attr::MOUNT_ATTR_NODEV;
        let inert = plain | Attr::MOUNT_ATTR_NOEXEC;
        let read_only = inert | Attr::MOUNT_ATTR_RDONLY;
        let size = |at: &str| sizes.get(Path::new(at)).and_then(|tmpfs| tmpfs.size);
        let [run, shm] = ["/run", "/dev/shm"].map(|at| size(at).map(|size| size.to_string()));
        let mut mounts = Vec::with_capacity(8);
        let mut add = |at, kind, options: &[(&str, Option<&str>)], attributes| {
            let mounted = make(kind, options, attributes).doing_with(|| format!("mount /{at}"));
            mounted.map(|mount| mounts.push((at, mount)))
        };
        let visible = "; a host whose own /proc or /sys is covered in part (a container) cannot \
                       run machines in user namespaces";
        add("proc", "proc", &[], inert).hint(visible)?;
        add("sys", "sysfs", &[], read_only).hint(visible)?;
        match cgroups {
            Cgroups::Hidden => {}
            Cgroups::Shown => add("sys/fs/cgroup", "cgroup2", &[], read_only)?,
            Cgroups::Delegated => add("sys/fs/cgroup", "cgroup2", &[], inert)?,
        }
        add("dev", "tmpfs", &[("mode", Some("755")), ("size", Some("1m"))], inert)?;
        let terminals = [("mode", Some("620")), ("ptmxmode", Some("666")), ("gid", Some("5"))];
        add("dev/pts", "devpts", &terminals, nosuid | Attr::MOUNT_ATTR_NOEXEC)?;
        add("dev/shm", "tmpfs", &memory("1777", shm.as_deref()), inert)?;
        // A kernel may lack it.
        let _ = add("dev/mqueue", "mqueue", &[], inert);
        add("run", "tmpfs", &memory("755", run.as_deref()), plain)?;
        let mut devices = Vec::with_capacity(DEVICES.len());
        for name in DEVICES {
            let path = Path::new("/dev").join(name);
            let device = copy(CWD, &path).doing_with(|| format!("find {}", path.display()))?;
            devices.push((name, device));
        }
        Ok(Self { mounts, devices })
    }

    /// Puts everything in its place below the machine's root.
    pub fn attach(self, root: BorrowedFd<'_>) -> Res<()> {
        for (path, mount) in &self.mounts {
            let at = place(root, path)?;
            attach(mount.as_fd(), at.as_fd()).doing_with(|| format!("mount /{path}"))?;
            if *path == "dev" {
                self.fill_dev(mount.as_fd())?;
            }
        }
        Ok(())
    }

    fn fill_dev(&self, dev: BorrowedFd<'_>) -> Res<()> {
        let fill = || -> rustix::io::Result<()> {
            for name in ["pts", "shm", "mqueue"] {
                rustix::fs::mkdirat(dev, name, Mode::from_raw_mode(0o755))?;
            }
            for (name, to) in [
                ("fd", "/proc/self/fd"),
                ("stdin", "/proc/self/fd/0"),
                ("stdout", "/proc/self/fd/1"),
                ("stderr", "/proc/self/fd/2"),
                ("ptmx", "pts/ptmx"),
                ("core", "/proc/kcore"),
            ] {
                rustix::fs::symlinkat(to, dev, name)?;
            }
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
            for (name, _) in &self.devices {
                rustix::fs::openat(dev, *name, flags, Mode::from_raw_mode(0o666))?;
            }
            Ok(())
        };
        fill().doing("fill /dev")?;
        for (name, device) in &self.devices {
            let at = target(dev, Path::new(name), OFlags::empty()).doing("fill /dev")?;
            attach(device.as_fd(), at.as_fd()).doing_with(|| format!("show /dev/{name}"))?;
        }
        Ok(())
    }
}

/// The directory a mount goes on, made when the image lacks it; never through a symlink.
fn place(root: BorrowedFd<'_>, path: &str) -> Res<OwnedFd> {
    let found = match target(root, Path::new(path), OFlags::DIRECTORY) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let _ = rustix::fs::mkdirat(root, path, Mode::from_raw_mode(0o755));
            target(root, Path::new(path), OFlags::DIRECTORY)
        }
        found => found,
    };
    found
        .doing_with(|| format!("use /{path} of the image"))
        .hint("; the image needs directories, not symlinks, where the kernel's file systems go")
}

/// Makes a detached mount the root and lets go of everything else.
pub(super) fn enter_root(root: BorrowedFd<'_>) -> Res<()> {
    // Any directory of the host does as a foothold, if its file system is not one a user
    // namespace has to see; the host's own is not changed.
    let foothold = ["/run", "/tmp", "/mnt", "/var"].iter().find(|dir| Path::new(dir).is_dir());
    let foothold = Path::new(foothold.unwrap_or(&"/"));
    attach_at(root, foothold).doing("attach the machine's root")?;
    rustix::process::fchdir(root).doing("enter the machine's root")?;
    rustix::process::pivot_root(".", ".").doing("make the machine's root the root")?;
    // The old root now lies over the new one.
    unmount(".", UnmountFlags::DETACH).doing("let go of the host's file systems")?;
    rustix::process::chdir("/").doing("enter the machine's root")
}

/// Shows some paths of the store, as mounts below `/nix/store` of the machine. The mount of the whole
/// store is never where the payload could see it.
pub(super) fn show_store(
    store: BorrowedFd<'_>,
    root: BorrowedFd<'_>,
    paths: &[PathBuf],
) -> Res<()> {
    let action = "show the store to the machine";
    // A copy of a mount can only be made where that is attached (before Linux 6.15).
    let aside = Path::new("/run/store");
    rustix::fs::mkdir(aside, Mode::from_raw_mode(0o700)).doing(action)?;
    attach_at(store, aside).doing(action)?;
    let place = target(root, Path::new("nix/store"), OFlags::DIRECTORY)
        .doing("use /nix/store of the image")?;
    for path in paths {
        let missing = || format!("show {} to the machine", path.display());
        let name = Path::new(path.file_name().unwrap_or_default());
        let at = target(place.as_fd(), name, OFlags::empty()).doing_with(missing)?;
        // The image has the store's symlinks themselves: nothing is mounted on one.
        if FileType::from_raw_mode(rustix::fs::fstat(&at).doing_with(missing)?.st_mode).is_symlink()
        {
            continue;
        }
        copy(store, name)
            .and_then(|mount| attach(mount.as_fd(), at.as_fd()))
            .doing_with(missing)
            .hint("; the machine's closure is not complete in the store: deploy again")?;
    }
    unmount(aside, UnmountFlags::DETACH).doing(action)?;
    rustix::fs::rmdir(aside).doing(action)
}

/// Hides and locks what the kernel shows of the host.
pub(super) fn mask() -> Res<()> {
    let hidden = Attr::MOUNT_ATTR_RDONLY
        | Attr::MOUNT_ATTR_NOSUID
        | Attr::MOUNT_ATTR_NODEV
        | Attr::MOUNT_ATTR_NOEXEC;
    for path in READ_ONLY {
        let path = Path::new(path);
        match copy(CWD, path) {
            Ok(mount) => restrict(mount.as_fd(), hidden)
                .and_then(|()| attach_at(mount.as_fd(), path))
                .doing_with(|| format!("make {} read-only", path.display()))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            refused => drop(refused.doing_with(|| format!("find {}", path.display()))?),
        }
    }
    for path in MASKED {
        let path = Path::new(path);
        let action = || format!("hide {}", path.display());
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let at = match rustix::fs::open(path, flags, Mode::empty()) {
            Err(Errno::NOENT) => continue,
            opened => opened.doing_with(action)?,
        };
        let kind = rustix::fs::fstat(&at).doing_with(action)?.st_mode;
        let directory = rustix::fs::FileType::from_raw_mode(kind).is_dir();
        let cover = if directory {
            make("tmpfs", &[("mode", Some("755")), ("size", Some("0"))], hidden)
        } else {
            copy(CWD, Path::new("/dev/null"))
        };
        cover.and_then(|cover| attach(cover.as_fd(), at.as_fd())).doing_with(action)?;
    }
    Ok(())
}
