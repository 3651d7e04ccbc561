//! Files of the kernel and devices: hidden, or not to be written to.

use super::{Check, Outcome};
use std::io::Read;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

/// Hidden files, and whether every host has something in them.
const HIDDEN: [(&str, bool); 16] = [
    ("/proc/interrupts", true),
    ("/proc/iomem", true),
    ("/proc/ioports", true),
    ("/proc/kallsyms", true),
    ("/proc/kcore", false),
    ("/proc/key-users", true),
    ("/proc/keys", false),
    ("/proc/kmsg", false),
    ("/proc/kpagecount", false),
    ("/proc/kpageflags", false),
    ("/proc/latency_stats", false),
    ("/proc/mtrr", false),
    ("/proc/sched_debug", false),
    ("/proc/slabinfo", false),
    ("/proc/timer_list", true),
    ("/proc/vmallocinfo", true),
];

const HIDDEN_DIRECTORIES: [&str; 8] = [
    "/proc/acpi",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
    "/sys/kernel/security",
    "/sys/kernel/debug",
    "/sys/kernel/tracing",
    "/sys/fs/pstore",
];

/// Files that change the host, and whether every host lets its root open them.
const WRITABLE: [(&str, bool); 14] = [
    ("/proc/sys/kernel/core_pattern", true),
    ("/proc/sys/kernel/modprobe", false),
    ("/proc/sys/kernel/hostname", true),
    ("/proc/sys/kernel/panic", true),
    ("/proc/sys/vm/overcommit_memory", true),
    ("/proc/sys/fs/binfmt_misc/register", false),
    ("/proc/sys/net/ipv4/ip_forward", true),
    ("/proc/sysrq-trigger", false),
    ("/proc/irq/default_smp_affinity", false),
    ("/proc/1/oom_score_adj", true),
    ("/sys/kernel/mm/ksm/run", false),
    ("/sys/kernel/uevent_helper", false),
    ("/sys/power/state", false),
    ("/sys/module/kernel/parameters/panic", false),
];

fn hidden(path: &'static str) -> Outcome {
    let Ok(mut file) = std::fs::File::open(path) else { return Ok(()) };
    // Reading there waits for what the kernel has yet to say; in its place lies /dev/null.
    let covered = file.metadata().is_ok_and(|meta| meta.file_type().is_char_device());
    if path == "/proc/kmsg" && !covered {
        return Err("it can be opened".into());
    }
    let mut bytes = [0; 64];
    match file.read(&mut bytes) {
        Ok(0) | Err(_) => Ok(()),
        Ok(_) => Err("something is in it".into()),
    }
}

fn empty(path: &'static str) -> Outcome {
    match std::fs::read_dir(path).map(Iterator::count) {
        Ok(0) | Err(_) => Ok(()),
        Ok(count) => Err(format!("{count} entries are in it")),
    }
}

/// Opened as it is: neither made nor changed.
fn no_writing(path: &Path) -> Outcome {
    use rustix::fs::{Mode, OFlags};
    let flags = OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(_) => Err(format!("{} can be written to", path.display())),
        Err(_) => Ok(()),
    }
}

/// Control groups outside of what is the machine's own.
fn control_groups() -> Outcome {
    let top = Path::new("/sys/fs/cgroup");
    let mut dirs = vec![top.to_path_buf()];
    dirs.extend(std::fs::read_dir(top).into_iter().flatten().flatten().map(|entry| entry.path()));
    for dir in dirs {
        for file in ["release_agent", "cgroup.procs", "tasks", "cgroup.subtree_control"] {
            no_writing(&dir.join(file))?;
        }
    }
    Ok(())
}

const DEVICES: [&str; 14] = [
    "core", "fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin",
    "stdout", "tty", "urandom",
];

fn devices() -> Outcome {
    for entry in std::fs::read_dir("/dev").map_err(|e| e.to_string())?.flatten() {
        let name = entry.file_name();
        let known = name.to_str().is_some_and(|name| name == "zero" || DEVICES.contains(&name));
        if !known {
            return Err(format!("/dev/{} is there", name.to_string_lossy()));
        }
    }
    Ok(())
}

fn disks() -> Outcome {
    for dir in ["/dev", "/dev/disk", "/dev/mapper", "/tmp", "/run"] {
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_block_device()) {
                return Err(format!("{} is a disk", entry.path().display()));
            }
        }
    }
    Ok(())
}

/// Makes the node of a device of the host and opens it.
fn node(mode: u32, major: u32, minor: u32) -> Outcome {
    use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags};
    let path = std::env::temp_dir().join(format!("hc-escape-{}", std::process::id()));
    let kind = FileType::from_raw_mode(mode);
    let number = rustix::fs::makedev(major, minor);
    let made = rustix::fs::mknodat(CWD, &path, kind, Mode::from_raw_mode(0o600), number);
    if made.is_err() {
        return Ok(());
    }
    let opened = rustix::fs::open(&path, OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty());
    let _ = rustix::fs::unlinkat(CWD, &path, AtFlags::empty());
    Err(if opened.is_ok() { "it can be made and opened" } else { "it can be made" }.into())
}

pub fn checks() -> Vec<Check> {
    let mut checks = Vec::new();
    for (path, everywhere) in HIDDEN {
        let check = Check::new(format!("hidden: {path}"), move || hidden(path));
        checks.push(Check { fails_outside: everywhere, ..check });
    }
    for path in HIDDEN_DIRECTORIES {
        checks.push(Check::anywhere(format!("hidden: {path}"), move || empty(path)));
    }
    for (path, everywhere) in WRITABLE {
        let check =
            Check::new(format!("not writable: {path}"), move || no_writing(Path::new(path)));
        checks.push(Check { fails_outside: everywhere, ..check });
    }
    checks.push(Check::new("not writable: control groups", control_groups));
    checks.push(Check::new("devices: only harmless ones", devices));
    checks.push(Check::anywhere("devices: no disk", disks));
    checks.push(Check::new("devices: no node of the host's memory", || node(libc::S_IFCHR, 1, 1)));
    checks.push(Check::new("devices: no node of a disk", || node(libc::S_IFBLK, 7, 0)));
    checks
}
