//! Running the new system's own `dpkg` inside it.

use super::unpack::{Owner, write_in};
use super::{Package, chmod, slim};
use crate::error::{Context, Error, Result};
use rustix::mount::{MountFlags, MountPropagationFlags};
use rustix::thread::UnshareFlags;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// Where packages lie inside while they are installed: on a file system that goes away.
const INSIDE: &str = "run/debs";
/// Devices that scripts may use.
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];
/// Tells maintainer scripts to start no service.
pub(super) const POLICY: &str = "usr/sbin/policy-rc.d";

/// Makes what `dpkg` takes for granted.
pub(super) fn prepare(root: &Path) -> Result<()> {
    let directories = [
        ("dev", 0o755),
        ("proc", 0o555),
        ("sys", 0o555),
        ("run", 0o755),
        ("tmp", 0o1777),
        ("root", 0o700),
    ];
    for (name, mode) in directories {
        let path = root.join(name);
        match std::fs::symlink_metadata(&path) {
            Ok(found) if found.is_dir() => {}
            Ok(_) => {
                // Something would be mounted on what it points to.
                let why = "a package put something else than a directory here".into();
                return Err(Error::Tree { path: format!("/{name}"), why });
            }
            Err(_) => {
                hc_fs::plain::create_dir(&path, mode)?;
                chmod(&path, mode)?;
            }
        }
    }
    let wrong = |why| Error::Tree { path: "/var/lib/dpkg".into(), why };
    let put = |path: &str, text: &str, mode| {
        let owner = Owner { uid: 0, gid: 0, mode };
        write_in(root, Path::new(path), &mut text.as_bytes(), owner).map_err(wrong)
    };
    for path in ["status", "available", "info/format", "updates/.keep"] {
        let text = if path == "info/format" { "1\n" } else { "" };
        put(&format!("var/lib/dpkg/{path}"), text, 0o644)?;
    }
    hc_fs::plain::remove_file(&root.join("var/lib/dpkg/updates/.keep"))?;
    put(POLICY, "#!/bin/sh\nexit 101\n", 0o755)
}

/// Installs all packages: first those that `dpkg` itself needs, then the rest together.
pub(super) fn install(
    root: &Path,
    packages: &[Package],
    first: &[usize],
    epoch: i64,
) -> Result<()> {
    let dpkg = |arguments: &[&str], packages: &[String]| dpkg(root, arguments, packages, epoch);
    // Mounts are made in a thread with a mount namespace of its own: the walk that makes the image,
    // and the deletion of the tree, never see them, and they are gone when the thread is.
    let thread = std::thread::scope(|scope| {
        scope
            .spawn(|| {
                mount_inside(root, packages)?;
                let name = |at: usize| format!("/{INSIDE}/{at}-{}.deb", packages[at].info.name);
                let essential: Vec<String> = first.iter().map(|at| name(*at)).collect();
                let rest: Vec<String> =
                    (0..packages.len()).filter(|at| !first.contains(at)).map(name).collect();
                dpkg(&["--force-depends", "--install"], &essential)?;
                if !rest.is_empty() {
                    dpkg(&["--force-depends", "--unpack"], &rest)?;
                }
                // Without force: what is still missing is told.
                dpkg(&["--configure", "--pending"], &[])
            })
            .join()
    });
    let lost = || Error::Tree { path: "/".into(), why: "the installing thread died".into() };
    thread.map_err(|_| lost())?
}

fn mount_inside(root: &Path, packages: &[Package]) -> Result<()> {
    // SAFETY: unsharing the mount namespace and the working directory concerns this thread only;
    // no memory or descriptor table is unshared.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS | UnshareFlags::FS) }
        .on("make a mount namespace for", root)?;
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", private).on("make private the mounts of", root)?;
    let empty = |name: &str, options: &std::ffi::CStr| {
        let at = root.join(name);
        rustix::mount::mount("tmpfs", &at, "tmpfs", MountFlags::NOSUID, options)
            .on("mount an empty file system on", &at)
    };
    let bind = |from: &Path, to: &Path| {
        rustix::mount::mount_bind_recursive(from, to).on("show inside the new system", from)
    };
    bind(Path::new("/proc"), &root.join("proc"))?;
    empty("dev", c"mode=755")?;
    let host = Path::new("/dev");
    for device in DEVICES.map(|name| host.join(name)).iter().filter(|d| d.exists()) {
        let at = root.join("dev").join(device.file_name().unwrap_or_default());
        hc_fs::plain::write(&at, b"", 0o666)?;
        bind(device, &at)?;
    }
    let fds = [("fd", "/proc/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")];
    for (name, target) in fds {
        hc_fs::plain::symlink(Path::new(target), &root.join("dev").join(name))?;
    }
    empty("run", c"mode=755")?;
    empty("tmp", c"mode=1777")?;
    let inside = root.join(INSIDE);
    hc_fs::plain::create_dir(&inside, 0o755)?;
    hc_fs::plain::create_dir(&root.join("run/lock"), 0o755)?;
    for (at, Package { info, path, .. }) in packages.iter().enumerate() {
        let to = inside.join(format!("{at}-{}.deb", info.name));
        hc_fs::plain::write(&to, b"", 0o644)?;
        bind(&std::fs::canonicalize(path).on("find", path)?, &to)?;
    }
    Ok(())
}

fn dpkg(root: &Path, arguments: &[&str], packages: &[String], epoch: i64) -> Result<()> {
    let mut command = Command::new("/usr/bin/dpkg");
    command.env_clear().env("SOURCE_DATE_EPOCH", epoch.to_string()).args(slim::options());
    command.args(["--force-unsafe-io", "--force-confnew"]).args(arguments).args(packages);
    run(root, command, &format!("dpkg {}", arguments.join(" ")))
}

fn run(root: &Path, mut command: Command, shown: &str) -> Result<()> {
    command.envs([
        ("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),
        ("HOME", "/root"),
        ("TERM", "dumb"),
        ("TZ", "UTC"),
        ("LC_ALL", "C.UTF-8"),
        ("DEBIAN_FRONTEND", "noninteractive"),
        ("DEBCONF_NONINTERACTIVE_SEEN", "true"),
    ]);
    let (mut reader, writer) = std::io::pipe().on("make a pipe for", root)?;
    let again = writer.try_clone().on("make a pipe for", root)?;
    command.stdin(Stdio::null()).stdout(writer).stderr(again);
    let inside = root.to_path_buf();
    // SAFETY: between fork and exec only chroot, chdir and umask are called: system calls that
    // neither allocate nor take a lock (the path is converted on the stack when it is short, and
    // on the heap of a process with one running thread otherwise).
    unsafe {
        command.pre_exec(move || {
            rustix::process::chroot(&inside)?;
            rustix::process::chdir(c"/")?;
            rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
            Ok(())
        });
    }
    let mut child = command.spawn().on("run dpkg in", root)?;
    drop(command);
    let output = last_of(&mut reader);
    let status = child.wait().on("wait for dpkg in", root)?;
    if status.success() {
        return Ok(());
    }
    let output = String::from_utf8_lossy(&output).into_owned();
    Err(Error::Command { command: shown.into(), status: status.to_string(), output })
}

/// Reads to the end and keeps what an error message can hold.
fn last_of(reader: &mut impl std::io::Read) -> Vec<u8> {
    const KEEP: usize = 8 << 10;
    let (mut kept, mut buffer) = (Vec::new(), [0; 4096]);
    while let Ok(count @ 1..) = reader.read(&mut buffer) {
        kept.extend(&buffer[..count]);
        if kept.len() > 2 * KEEP {
            kept.drain(..kept.len() - KEEP);
        }
    }
    kept
}
