//! Removing what differs from run to run, and what an image must not share.

use super::configure::POLICY;
use crate::error::{Context, Result};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Directories that are kept and emptied, whole trees included.
const EMPTIED: [&str; 7] =
    ["dev", "run", "tmp", "var/tmp", "var/cache/apt", "var/lib/apt/lists", "var/cache/man"];
/// Files that are removed.
const REMOVED: [&str; 12] = [
    POLICY,
    "etc/.pwd.lock",
    "etc/hostname",
    "etc/resolv.conf",
    "etc/ssl/certs/ssl-cert-snakeoil.pem",
    "etc/ssl/private/ssl-cert-snakeoil.key",
    "var/cache/ldconfig/aux-cache",
    "var/lib/dbus/machine-id",
    "var/lib/dpkg/lock",
    "var/lib/dpkg/lock-frontend",
    "var/lib/dpkg/triggers/Lock",
    "var/lib/systemd/random-seed",
];
/// Copies of what was there before the last change: prefix directories and suffixes.
const BACKUPS: [(&str, &[u8]); 4] = [
    ("etc", b"-"),
    ("var/lib/dpkg", b"-old"),
    ("var/cache/debconf", b"-old"),
    ("var/lib/ucf", b".0"),
];

/// Cleans the system in `root`.
pub(super) fn clean(root: &Path) -> Result<()> {
    for name in EMPTIED {
        for path in entries(root, name)? {
            hc_fs::tree::remove(&path)?;
        }
    }
    for name in REMOVED {
        if let Some(path) = real(root, name) {
            remove_file(&path)?;
        }
    }
    for (dir, suffix) in BACKUPS {
        for path in entries(root, dir)? {
            let name = path.file_name().map_or(&b""[..], OsStr::as_bytes);
            if name.len() > suffix.len() && name.ends_with(suffix) {
                remove_file(&path)?;
            }
        }
    }
    for path in entries(root, "etc/ssh")? {
        let name = path.file_name().map_or(&b""[..], OsStr::as_bytes);
        if name.starts_with(b"ssh_host_") && name != b"ssh_host_config" {
            remove_file(&path)?;
        }
    }
    logs(root, Path::new("var/log"))?;
    // Empty, not missing: that is how a machine asks for one of its own.
    if let Some(id) = real(root, "etc/machine-id").filter(|id| id.symlink_metadata().is_ok()) {
        remove_file(&id)?;
        hc_fs::plain::write(&id, b"", 0o444)?;
    }
    Ok(())
}

/// Empties log files and keeps them with their owners: a service may not be able to make its own.
fn logs(root: &Path, dir: &Path) -> Result<()> {
    for path in entries(root, dir)? {
        let found = std::fs::symlink_metadata(&path).on("look at", &path)?;
        if found.is_dir() {
            logs(root, &dir.join(path.file_name().unwrap_or_default()))?;
        } else if found.is_file() {
            match path.file_name().and_then(OsStr::to_str) {
                Some("dpkg.log" | "alternatives.log" | "bootstrap.log") => remove_file(&path)?,
                _ => hc_fs::plain::write(&path, b"", 0o644)?,
            }
        }
    }
    Ok(())
}

fn entries(root: &Path, dir: impl AsRef<Path>) -> Result<Vec<PathBuf>> {
    let Some(dir) = real(root, dir).filter(|d| d.symlink_metadata().is_ok_and(|m| m.is_dir()))
    else {
        return Ok(Vec::new());
    };
    let mut all = Vec::new();
    for entry in std::fs::read_dir(&dir).on("read", &dir)? {
        all.push(entry.on("read", &dir)?.path());
    }
    Ok(all)
}

/// A path inside, if it is reached without a symlink: one that a package left may lead out.
fn real(root: &Path, inside: impl AsRef<Path>) -> Option<PathBuf> {
    let mut at = root.to_path_buf();
    for part in inside.as_ref() {
        if !at.symlink_metadata().is_ok_and(|found| found.is_dir()) {
            return None;
        }
        at.push(part);
    }
    Some(at)
}

fn remove_file(path: &Path) -> Result<()> {
    hc_fs::plain::remove_file(path)?;
    Ok(())
}
