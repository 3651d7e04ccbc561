//! Becoming who the host says.

use crate::network;
use crate::sys::{self, Errno, File, at, io, process};
use crate::wire::{Identity, LaidFile};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// A clock that is off by more is set.
const TOLERANCE_NS: u64 = 1_000_000_000;
/// What a file is called until it is whole.
const NEW: &[u8] = b".hc-laid";
const SSH: &str = "/etc/ssh";
const KEYGEN: &str = "/usr/bin/ssh-keygen";
/// What one machine must not have of another, beside SSH's host keys: what the random numbers are seeded
/// with at boot, and the key of systemd's credentials.
const SECRETS: [&str; 2] = ["/var/lib/systemd/random-seed", "/var/lib/systemd/credential.secret"];

/// Makes the machine the one that `identity` describes. `read_only`: its root cannot be written but
/// for this. `again`: it was one before.
///
/// # Errors
/// A sentence on what could not be done.
pub fn apply(identity: &Identity, read_only: bool, again: bool) -> Result<(), String> {
    if read_only {
        remount(0)?;
    }
    let applied = lay_all(identity);
    if read_only {
        remount(sys::MS_RDONLY)?;
    }
    applied?;
    network::set_up(identity, again)
}

/// What every machine is given.
const EVERYBODYS: [(&str, u32); 4] =
    [(HOSTNAME, 0o644), (MACHINE_ID, 0o444), (HOSTS, 0o644), (RESOLVER, 0o644)];
const HOSTNAME: &str = "/etc/hostname";
const MACHINE_ID: &str = "/etc/machine-id";
const HOSTS: &str = "/etc/hosts";
const RESOLVER: &str = "/etc/resolv.conf";

/// Lays the files that [`apply`] lays for every machine, empty: to fill them takes a fraction of making them.
///
/// # Errors
/// A sentence on what could not be done.
pub fn begin() -> Result<(), String> {
    EVERYBODYS.into_iter().try_for_each(|(path, mode)| lay(&LaidFile { mode, ..text(path, "") }))
}

fn remount(flags: usize) -> Result<(), String> {
    sys::mount("", "/", "", sys::MS_REMOUNT | flags, "")
        .map_err(|error| format!("cannot change what may be written: {error}"))
}

fn lay_all(identity: &Identity) -> Result<(), String> {
    io::set_hostname(&identity.hostname)
        .map_err(|error| format!("cannot set the name '{}': {error}", identity.hostname))?;
    let machine_id: String = identity.machine_id.iter().map(|byte| format!("{byte:02x}")).collect();
    let machine_id = format!("{machine_id}\n");
    // A machine that was this one before keeps its keys.
    let another = sys::read(MACHINE_ID).map_or(true, |old| old != machine_id.as_bytes());
    let hostname = format!("{}\n", identity.hostname);
    lay(&text(HOSTNAME, &hostname))?;
    lay(&LaidFile { mode: 0o444, ..text(MACHINE_ID, &machine_id) })?;
    for (path, contents) in [(HOSTS, &identity.hosts), (RESOLVER, &identity.resolver)] {
        if let Some(contents) = contents {
            lay(&text(path, contents))?;
        }
    }
    if another {
        forget_secrets();
    }
    identity.files.iter().try_for_each(lay)?;
    if another {
        new_host_key();
    }
    Ok(())
}

fn text(path: &str, contents: &str) -> LaidFile {
    let contents = contents.as_bytes().to_vec();
    LaidFile { path: path.into(), mode: 0o644, uid: 0, gid: 0, contents }
}

/// Puts a file where it belongs, in place of what is there, unless that is the same. By renaming it: over an
/// image, to delete what is there takes several times as long, and to make it again once more.
///
/// # Errors
/// A sentence.
pub fn lay(file: &LaidFile) -> Result<(), String> {
    let path = &file.path;
    let wrong = |error: Errno| format!("cannot write {path}: {error}");
    let (parent, name) = path
        .rsplit_once('/')
        .filter(|(parent, name)| (parent.is_empty() || parent.starts_with('/')) && !name.is_empty())
        .ok_or_else(|| format!("'{path}' is no absolute path of a file"))?;
    for (end, _) in parent.match_indices('/').skip(1).chain([(parent.len(), "")]) {
        if end > 0 {
            sys::mkdir(&parent[..end]).map_err(wrong)?;
        }
    }
    let dir = sys::open(&format!("{parent}/"), at::DIRECTORY).map_err(wrong)?;
    if is_laid(file, &dir, name, &file.contents) {
        return Ok(());
    }
    // Nobody reads an empty one.
    if is_laid(file, &dir, name, b"") {
        let there = at::open(&dir, name.as_bytes(), at::WRITE | at::NOFOLLOW, 0);
        return there.and_then(|there| sys::write(&there, &file.contents)).map_err(wrong);
    }
    at::unlink(&dir, NEW).map_err(wrong)?;
    let made = at::open(&dir, NEW, at::WRITE | at::NEW, 0o600).map_err(wrong)?;
    sys::write(&made, &file.contents)
        .and_then(|()| at::chown(&made, b"", file.uid, file.gid))
        .and_then(|()| at::chmod(&made, file.mode))
        .and_then(|()| at::rename(&dir, NEW, name.as_bytes()))
        .map_err(|error| {
            let _ = at::unlink(&dir, NEW);
            wrong(error)
        })
}

/// Whether a file is there just as it would be laid with these contents.
fn is_laid(file: &LaidFile, dir: &File, name: &str, contents: &[u8]) -> bool {
    let flags = sys::READ | at::NOFOLLOW | at::NONBLOCK;
    let Ok(there) = at::open(dir, name.as_bytes(), flags, 0) else { return false };
    at::stat(&there).is_ok_and(|found| {
        found.mode == at::TYPE_FILE | file.mode & 0o7777
            && (found.uid, found.gid, found.links) == (file.uid, file.gid, 1)
            && found.size == contents.len() as u64
    }) && sys::read_all(&there).is_ok_and(|there| there == contents)
}

/// Keys of SSH's host among the names in its directory.
fn host_keys() -> Vec<String> {
    let mut names = sys::list(SSH).unwrap_or_default();
    names.retain(|name| name.starts_with("ssh_host_") && name.contains("_key"));
    names
}

fn forget_secrets() {
    for name in host_keys() {
        let _ = sys::unlink(&format!("{SSH}/{name}"));
    }
    for path in SECRETS {
        let _ = sys::unlink(path);
    }
}

/// A server that was installed with the image makes no key of its own later; nor does it start
/// without one. The kind that is made quickest has to do.
fn new_host_key() {
    let key = format!("{SSH}/ssh_host_ed25519_key");
    if !sys::exists(SSH) || !sys::exists(KEYGEN) || !host_keys().is_empty() {
        return;
    }
    let arguments = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", &key];
    match process::fork() {
        Ok(None) => {
            process::unmask();
            let arguments: Vec<String> = arguments.map(String::from).to_vec();
            let error = process::exec(KEYGEN, &arguments, &[]);
            sys::say(&format!("hc: cannot run {KEYGEN}: {error}\n"));
            sys::exit(127)
        }
        Ok(Some(child)) => process::wait_for(child),
        Err(error) => sys::say(&format!("hc: cannot make a host key: {error}\n")),
    }
    // A server that runs reads its keys again.
    let server = sys::read("/run/sshd.pid").unwrap_or_default();
    if let Ok(server) = String::from_utf8_lossy(server.trim_ascii()).parse::<i32>()
        && server > 1
    {
        let _ = process::kill(server, process::SIGHUP);
    }
}

/// Gives the kernel random numbers to begin with, and has it begin anew with them.
///
/// # Errors
/// What the kernel said.
pub fn seed(entropy: &[u8]) -> sys::Result<()> {
    const ADD: usize = 0x4008_5203; // RNDADDENTROPY
    const RESEED: usize = 0x5207; // RNDRESEEDCRNG
    // struct rand_pool_info: bits of entropy, bytes, and those.
    let mut pool = [0u8; 8 + 512];
    let file = sys::open("/dev/urandom", at::WRITE)?;
    for part in entropy.chunks(512) {
        let length = part.len() as u32;
        pool[..4].copy_from_slice(&(length * 8).to_le_bytes());
        pool[4..8].copy_from_slice(&length.to_le_bytes());
        pool[8..8 + part.len()].copy_from_slice(part);
        io::control(&file, ADD, &pool)?;
    }
    io::control(&file, RESEED, &0u64).map(drop)
}

/// Sets the wall clock when it is off.
///
/// # Errors
/// What the kernel said.
pub fn set_clock(now: u64) -> sys::Result<()> {
    if io::clock().abs_diff(now) > TOLERANCE_NS { io::set_clock(now) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods)]
    use super::*;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    #[test]
    fn files_are_laid_over_what_is_there() {
        let dir = std::env::temp_dir().join(format!("hc-guest-lay-{}", std::process::id()));
        std::fs::create_dir_all(dir.join("etc")).unwrap();
        std::fs::write(dir.join("kept"), "old").unwrap();
        symlink("../kept", dir.join("etc/resolv.conf")).unwrap();
        symlink("etc", dir.join("alias")).unwrap();
        // SAFETY: both only ask.
        let (uid, gid) = (unsafe { geteuid() }, unsafe { getegid() });
        let root = dir.to_str().unwrap();
        let file = |path: &str| LaidFile {
            path: format!("{root}{path}"),
            mode: 0o640,
            uid,
            gid,
            contents: b"new".to_vec(),
        };
        for path in ["/etc/resolv.conf", "/alias/hosts", "/a/b/c", "/a/b/c"] {
            lay(&file(path)).unwrap();
        }
        let read = |path: &str| std::fs::read_to_string(dir.join(path)).unwrap();
        let empty = LaidFile { contents: Vec::new(), ..file("/etc/empty") };
        lay(&empty).unwrap();
        let made = std::fs::metadata(dir.join("etc/empty")).unwrap().ino();
        lay(&file("/etc/empty")).unwrap();
        assert_eq!(read("etc/empty"), "new");
        assert_eq!(std::fs::metadata(dir.join("etc/empty")).unwrap().ino(), made);
        assert_eq!((read("kept").as_str(), read("etc/resolv.conf").as_str()), ("old", "new"));
        assert_eq!((read("etc/hosts").as_str(), read("a/b/c").as_str()), ("new", "new"));
        let mode = dir.join("a/b/c").metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o640);
        assert!(lay(&file("/etc")).unwrap_err().contains("is a directory"));
        assert!(lay(&file("/kept/x")).unwrap_err().contains("not a directory"));
        for path in ["relative", "", "/", "a/b"] {
            let file = LaidFile { path: path.into(), ..LaidFile::default() };
            assert!(lay(&file).unwrap_err().contains("no absolute path"), "{path}");
        }
        std::fs::remove_dir_all(dir).unwrap();
    }

    unsafe extern "C" {
        fn geteuid() -> u32;
        fn getegid() -> u32;
    }
}
