//! Ways around: through /proc, mounts, descriptors, sockets, and one's own executable.

use super::{Check, Outcome};
use std::fs;
use std::path::Path;

fn closed(path: &'static str) -> impl Fn() -> Outcome {
    move || match fs::File::open(path) {
        Ok(_) => Err(format!("{path} opens")),
        Err(_) => Ok(()),
    }
}

fn no_link(path: &'static str) -> impl Fn() -> Outcome {
    move || match fs::read_link(path) {
        Ok(target) => Err(format!("{path} leads to {}", target.display())),
        Err(_) => Ok(()),
    }
}

/// File systems that a machine has reason to see.
const KINDS: [&str; 9] =
    ["overlay", "proc", "sysfs", "tmpfs", "devpts", "mqueue", "cgroup2", "devtmpfs", "erofs"];

fn mounts() -> Outcome {
    let table = fs::read_to_string("/proc/self/mountinfo").map_err(|e| e.to_string())?;
    for line in table.lines() {
        let kind = line.split(" - ").nth(1).and_then(|right| right.split(' ').next());
        let at = line.split(' ').nth(4).unwrap_or("");
        if kind.is_none_or(|kind| !KINDS.contains(&kind)) {
            return Err(format!("{} is mounted at {at}", kind.unwrap_or("something")));
        }
    }
    Ok(())
}

/// What the mount table says of the host's paths.
fn no_paths_of_the_host() -> Outcome {
    let table = fs::read_to_string("/proc/self/mountinfo").map_err(|e| e.to_string())?;
    match ["/var/lib/hc", "/nix/store", "/machines/", "/images/"]
        .iter()
        .find(|p| table.contains(**p))
    {
        Some(path) => Err(format!("it shows {path}")),
        None => Ok(()),
    }
}

fn nothing_propagates() -> Outcome {
    let table = fs::read_to_string("/proc/self/mountinfo").map_err(|e| e.to_string())?;
    match table.lines().find(|line| line.contains(" shared:") || line.contains(" master:")) {
        Some(line) => Err(format!("a mount is shared: {line}")),
        None => Ok(()),
    }
}

/// Standard streams, and the directory that is listed.
fn descriptors() -> Outcome {
    let mut open: Vec<String> = Vec::new();
    for entry in fs::read_dir("/proc/self/fd").map_err(|e| e.to_string())?.flatten() {
        let number = entry.file_name().to_string_lossy().into_owned();
        let target = fs::read_link(entry.path()).unwrap_or_default();
        let listing = target.starts_with("/proc");
        if !listing && !["0", "1", "2"].contains(&number.as_str()) {
            open.push(format!("{number} is {}", target.display()));
        }
    }
    if open.is_empty() { Ok(()) } else { Err(open.join(", ")) }
}

/// Sockets of others, abstract ones among them, that could be connected to.
fn sockets() -> Outcome {
    let table = fs::read_to_string("/proc/net/unix").map_err(|e| e.to_string())?;
    let named = table.lines().skip(1).filter_map(|line| line.split_whitespace().nth(7));
    match named.into_iter().find(|name| !name.starts_with("/run/host/")) {
        Some(name) => Err(format!("{name} is there")),
        None => Ok(()),
    }
}

fn no_sockets_of_the_host() -> Outcome {
    const KNOWN: [&str; 6] = [
        "/run/hc/agent.sock",
        "/run/docker.sock",
        "/run/dbus/system_bus_socket",
        "/run/systemd/private",
        "/run/containerd/containerd.sock",
        "/nix/var/nix/daemon-socket/socket",
    ];
    match KNOWN.iter().find(|path| Path::new(path).exists()) {
        Some(path) => Err(format!("{path} is there")),
        None => Ok(()),
    }
}

/// The way into every process leads through /proc: none of those there is of the host.
fn processes() -> Outcome {
    for entry in fs::read_dir("/proc").map_err(|e| e.to_string())?.flatten() {
        let pid = entry.file_name().to_string_lossy().into_owned();
        if pid.bytes().all(|b| b.is_ascii_digit()) && pid != "self" {
            let Ok(root) = fs::read_link(entry.path().join("root")) else { continue };
            let own = fs::read_link("/proc/self/root").unwrap_or_default();
            if root != own {
                return Err(format!("process {pid} has another root"));
            }
        }
    }
    Ok(())
}

/// The executable that started this one must not be reachable to be replaced (CVE-2019-5736).
fn executables() -> Outcome {
    let exe = fs::read_link("/proc/1/exe");
    if let Ok(exe) = exe {
        return Err(format!("the first process shows its executable, {}", exe.display()));
    }
    let flags = rustix::fs::OFlags::WRONLY | rustix::fs::OFlags::CLOEXEC;
    match rustix::fs::open("/proc/1/exe", flags, rustix::fs::Mode::empty()) {
        Ok(_) => Err("the first process's executable can be written to".into()),
        Err(_) => Ok(()),
    }
}

/// Twice chroot(2), and up: still the machine's root.
fn chroot() -> Outcome {
    use std::os::unix::fs::MetadataExt;
    let identity =
        || fs::metadata("/").map(|meta| (meta.dev(), meta.ino())).map_err(|e| e.to_string());
    let before = identity()?;
    let dir = std::env::temp_dir().join(format!("hc-escape-dir-{}", std::process::id()));
    hc_fs::plain::create_dir(&dir, 0o700).map_err(|e| e.to_string())?;
    // SAFETY: the child makes system calls and ends.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        let out = || -> rustix::io::Result<()> {
            let slash = rustix::fs::open("/", rustix::fs::OFlags::PATH, rustix::fs::Mode::empty())?;
            rustix::process::chroot(&dir)?;
            rustix::process::fchdir(&slash)?;
            for _ in 0..64 {
                rustix::process::chdir("..")?;
            }
            rustix::process::chroot(".")
        };
        let same = out().is_err() || identity().is_ok_and(|after| after == before);
        // SAFETY: always sound.
        unsafe { libc::_exit(i32::from(!same)) }
    }
    let mut status = 0;
    // SAFETY: writes to a local.
    unsafe { libc::waitpid(pid, &raw mut status, 0) };
    let _ = hc_fs::plain::remove_dir(&dir);
    if libc::WEXITSTATUS(status) == 0 { Ok(()) } else { Err("it leads out of the root".into()) }
}

fn map_users() -> Outcome {
    let flags = rustix::fs::OFlags::WRONLY | rustix::fs::OFlags::CLOEXEC;
    match rustix::fs::open("/proc/self/uid_map", flags, rustix::fs::Mode::empty()) {
        Ok(file) => match rustix::io::write(&file, b"0 0 4294967295") {
            Ok(_) => Err("it works".into()),
            Err(_) => Ok(()),
        },
        Err(_) => Ok(()),
    }
}

pub fn checks() -> Vec<Check> {
    vec![
        Check::new("first process: its root", closed("/proc/1/root/.")),
        Check::new("first process: its directory", no_link("/proc/1/cwd")),
        Check::new("first process: its environment", || match fs::read("/proc/1/environ") {
            Ok(text) if !text.is_empty() => Err("it can be read".into()),
            _ => Ok(()),
        }),
        Check::new("first process: its memory", closed("/proc/1/mem")),
        Check::new("first process: its maps", || match fs::read("/proc/1/maps") {
            Ok(text) if !text.is_empty() => Err("it can be read".into()),
            _ => Ok(()),
        }),
        Check::new("first process: its descriptors", || match fs::read_dir("/proc/1/fd") {
            Ok(_) => Err("they can be listed".into()),
            Err(_) => Ok(()),
        }),
        Check::new("first process: its namespaces", no_link("/proc/1/ns/mnt")),
        Check::new("first process: its executable", executables),
        Check::new("mounts: none of a disk's file system", mounts),
        Check::new("mounts: no path of the host in the table", no_paths_of_the_host),
        Check::anywhere("mounts: none comes from outside", nothing_propagates),
        Check::new("descriptors: none but the standard streams", descriptors),
        Check::new("sockets: none of others in sight", sockets),
        Check::new("sockets: none of the host's daemons", no_sockets_of_the_host),
        Check::anywhere("processes: none with another root", processes),
        Check::anywhere("chroot: twice, and up", chroot),
        Check::anywhere("users: no new map", map_users),
    ]
}
