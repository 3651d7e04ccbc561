//! Files and directories of the host, unless they would give it away.

use crate::error::{Doing, Hint, Problem, Res};
use crate::sys::mount;
use hc_spec::storage::Bind;
use rustix::fs::{FileType, Mode, OFlags, StatVfsMountFlags};
use rustix::mount::MountAttrFlags as Attr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// Never shown: these, what is in them, and what they are in.
const SECRET: [(&str, &str); 27] = [
    ("/proc", "the host's processes"),
    ("/sys", "the host's devices and kernel"),
    ("/dev", "the host's devices; `devices` names single ones"),
    ("/boot", "what the host boots"),
    ("/etc/shadow", "the host's passwords"),
    ("/etc/gshadow", "the host's passwords"),
    ("/etc/ssh", "the host's keys"),
    ("/etc/sudoers", "who becomes root on the host"),
    ("/etc/sudoers.d", "who becomes root on the host"),
    ("/etc/NetworkManager", "the host's keys"),
    ("/etc/wireguard", "the host's keys"),
    ("/etc/ssl/private", "the host's keys"),
    ("/root/.ssh", "root's keys"),
    ("/run/systemd", "the sockets that command the host's systemd"),
    ("/run/dbus", "the sockets that command the host's services"),
    ("/run/udev", "the host's devices"),
    ("/run/docker.sock", "a socket that makes its user root on the host"),
    ("/run/containerd", "sockets that make their user root on the host"),
    ("/run/podman", "sockets that make their user root on the host"),
    ("/run/crio", "sockets that make their user root on the host"),
    ("/run/libvirt", "sockets that make their user root on the host"),
    ("/run/credentials", "the secrets of the host's services"),
    ("/var/lib/docker", "the files of other containers"),
    ("/var/lib/containers", "the files of other containers"),
    ("/var/lib/libvirt", "the files of other machines"),
    ("/var/lib/systemd", "what the host's systemd keeps"),
    ("/nix/var", "what Nix keeps of all users"),
];

/// Not to be written: what the host executes, or believes.
const EXECUTED: [&str; 12] = [
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib64",
    "/etc",
    "/nix",
    "/opt",
    "/var/spool/cron",
    "/var/lib/dpkg",
    "/root",
    "/run/current-system",
];

/// Directories of keys, wherever they are.
const KEYS: [&str; 2] = [".ssh", ".gnupg"];

/// The file or directory as a mount: without devices, without set-id bits, with the machine's ids.
pub(super) fn mount(
    at: &Path,
    bind: &Bind,
    own: &[&Path],
    userns: Option<BorrowedFd<'_>>,
) -> Res<OwnedFd> {
    let shown = bind.source.display();
    let binds = format!("binds.\"{}\"", at.display());
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let opened = rustix::fs::open(&bind.source, flags, Mode::empty())
        .doing_with(|| format!("open {shown}, the source of {binds}"))?;
    // What is shown is what was opened, wherever links led.
    let real = std::fs::read_link(format!("/proc/self/fd/{}", opened.as_raw_fd()))
        .doing_with(|| format!("find {shown}"))?;
    if let Some(why) = refusal(&real, bind.read_only, own) {
        return Err(Problem::plain(format!("{binds}: {why}")));
    }
    if !bind.read_only {
        keeps_set_id(&opened, &real).map_err(|why| Problem::plain(format!("{binds}: {why}")))?;
    }
    let copied =
        mount::copy(opened.as_fd(), Path::new("")).doing_with(|| format!("show {shown}"))?;
    let mut attributes = Attr::MOUNT_ATTR_NOSUID | Attr::MOUNT_ATTR_NODEV;
    if bind.read_only {
        attributes |= Attr::MOUNT_ATTR_RDONLY;
    }
    mount::restrict(copied.as_fd(), attributes).doing_with(|| format!("show {shown}"))?;
    if let Some(userns) = userns {
        mount::map_ids(copied.as_fd(), userns)
            .doing_with(|| format!("show {shown} with the machine's owners"))
            .hint("; its file system does not map ids: copy the files, or use a volume")?;
    }
    Ok(copied)
}

fn contains(outer: &Path, inner: &Path) -> bool {
    inner.starts_with(outer)
}

/// Why this path is not shown.
fn refusal(real: &Path, read_only: bool, own: &[&Path]) -> Option<String> {
    let shown = real.display();
    if real == Path::new("/") {
        return Some("the host's root is the whole host; name a directory in it".into());
    }
    let own = own.iter().map(|path| (*path, "what hc keeps of all machines; use volumes"));
    let secret = SECRET.iter().map(|(path, what)| (Path::new(*path), *what));
    for (path, what) in secret.chain(own) {
        if contains(path, real) {
            return Some(format!(
                "{shown} would give the host away: {} holds {what}",
                path.display()
            ));
        }
        if contains(real, path) {
            return Some(format!(
                "{shown} would give the host away: in it lies {}, which holds {what}; name what is \
                 needed in it",
                path.display()
            ));
        }
    }
    if let Some(key) = KEYS.iter().find(|key| real.iter().any(|part| part == **key)) {
        return Some(format!("{shown} would give the host away: {key} holds somebody's keys"));
    }
    if read_only {
        return None;
    }
    let executed =
        |path: &&&str| contains(Path::new(path), real) || contains(real, Path::new(path));
    EXECUTED.iter().find(executed).map(|path| {
        format!(
            "{shown} would give the host away when written to: the host runs and believes what is \
             in {path}; leave readOnly on, or keep the machine's files elsewhere"
        )
    })
}

/// A machine's root writes files that are root's on the host, too. Nobody there may be able to
/// execute what it gives a set-id bit.
fn keeps_set_id(opened: &OwnedFd, real: &Path) -> Result<(), String> {
    let flags = rustix::fs::fstatvfs(opened).map(|stat| stat.f_flag);
    if flags.is_ok_and(|flags| flags.contains(StatVfsMountFlags::NOSUID)) {
        return Ok(());
    }
    let closed = |path: &Path| {
        let stat = rustix::fs::stat(path);
        stat.is_ok_and(|stat| {
            FileType::from_raw_mode(stat.st_mode).is_dir() && stat.st_mode & 0o001 == 0
        })
    };
    if real.ancestors().any(closed) {
        return Ok(());
    }
    let parent = real.parent().unwrap_or(Path::new("/"));
    let parent: PathBuf = if parent == Path::new("/") { real.into() } else { parent.into() };
    Err(format!(
        "what the machine writes to {} as root would be root's on the host, set-id bits included, \
         and every user there can reach it; close a directory above it (chmod o-x {}), mount its \
         file system with nosuid, or use a volume",
        real.display(),
        parent.display()
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods)]
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn what_gives_the_host_away_is_refused() {
        let own = [Path::new("/var/lib/hc"), Path::new("/run/hc")];
        let why = |path: &str, read_only| refusal(Path::new(path), read_only, &own);
        for path in [
            "/",
            "/etc",
            "/etc/shadow",
            "/etc/ssh/ssh_host_ed25519_key",
            "/proc/1/root",
            "/sys",
            "/dev",
            "/dev/sda",
            "/boot",
            "/root",
            "/root/.ssh",
            "/home/u/.ssh/id",
            "/run",
            "/run/docker.sock",
            "/run/systemd/private",
            "/var",
            "/var/lib",
            "/var/lib/hc",
            "/var/lib/hc/machines/x",
            "/run/hc/agent.sock",
            "/nix",
            "/nix/var/nix",
            "/run/dbus/system_bus_socket",
        ] {
            assert!(why(path, true).is_some_and(|why| why.contains("host")), "{path}");
        }
        for path in
            ["/usr", "/usr/local/bin", "/bin", "/etc/nginx", "/opt/x", "/nix/store", "/root/x"]
        {
            let said = why(path, false).unwrap();
            assert!(said.contains("when written to"), "{path}: {said}");
            assert_eq!(why(path, true), None, "{path}");
        }
        for path in ["/srv/photos", "/home/u/music", "/var/lib/mysql", "/mnt/data", "/etcetera"] {
            assert_eq!(why(path, false), None, "{path}");
        }
    }

    #[test]
    fn nobody_reaches_what_root_in_a_machine_writes() {
        let dir = tempfile::tempdir().unwrap();
        let (outer, inner) = (dir.path().join("outer"), dir.path().join("outer/inner"));
        std::fs::create_dir_all(&inner).unwrap();
        let mode = |path: &Path, mode| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        let check = || {
            let opened: OwnedFd = std::fs::File::open(&inner).unwrap().into();
            keeps_set_id(&opened, &inner)
        };
        mode(dir.path(), 0o755);
        mode(&outer, 0o755);
        let error = check().unwrap_err();
        assert!(error.contains(&format!("chmod o-x {}", outer.display())), "{error}");
        mode(&outer, 0o750);
        assert_eq!(check(), Ok(()));
    }
}
