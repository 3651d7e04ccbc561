//! What a machine sees besides its image: volumes, directories and devices of the host, memory.

use crate::name::Name;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

/// A directory of the machine's that outlives it: generations, rollbacks and its own removal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Volume {
    /// Where the machine sees it.
    pub path: PathBuf,
    /// Bytes it has room for at least. It grows when this does and never shrinks.
    pub size: u64,
    /// Whether the machine can only read it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub read_only: bool,
    /// Whether it is kept from `hc gc --state` and `hc volume rm`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub keep: bool,
    /// When snapshots are made of it; absent for never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshots: Option<Snapshots>,
}

/// A schedule of snapshots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Snapshots {
    /// Seconds between two.
    pub every_sec: u64,
    /// How many are kept; the oldest go first.
    pub keep: u32,
}

/// A file or directory of the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Bind {
    /// The path on the host.
    pub source: PathBuf,
    /// Whether the machine can only read it.
    #[serde(default = "yes")]
    pub read_only: bool,
}

fn yes() -> bool {
    true
}

/// A directory in memory, empty at every start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Tmpfs {
    /// Bytes it has room for; absent for half of the host's memory. What is in it counts as the
    /// machine's memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Permission bits as octal text.
    #[serde(default = "mode_1777")]
    pub mode: String,
}

fn mode_1777() -> String {
    "1777".into()
}

/// A device of the host, at the same path in the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Device {
    /// What the machine may do with it.
    #[serde(default)]
    pub access: Access,
    /// Number of the group in the machine that may; absent for everybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<u32>,
}

/// What may be done with a device.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
pub enum Access {
    /// Reading.
    #[serde(rename = "r")]
    Read,
    /// Writing.
    #[serde(rename = "w")]
    Write,
    /// Both.
    #[default]
    #[serde(rename = "rw")]
    ReadWrite,
}

/// Limits of one block device, per second; absent means unlimited.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IoLimit {
    /// Bytes read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_bytes: Option<u64>,
    /// Bytes written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub write_bytes: Option<u64>,
    /// Requests to read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_requests: Option<u64>,
    /// Requests to write.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub write_requests: Option<u64>,
}

/// Least bytes of a volume: its file system takes no less.
pub const SMALLEST_VOLUME: u64 = 300 << 20;

/// What lies at a path of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placed<'a> {
    /// A volume, by name.
    Volume(&'a Name, &'a Volume),
    /// Something of the host.
    Bind(&'a Bind),
    /// Memory.
    Tmpfs(&'a Tmpfs),
    /// A device.
    Device(&'a Device),
}

/// Directories that hc itself mounts in memory: a `tmpfs` of that path only says how large.
pub const MEMORY: [&str; 2] = ["/run", "/dev/shm"];

/// Everything of a machine that is put somewhere, whatever contains something else first. For
/// each field, its name and path are checked.
///
/// # Errors
/// The field, and what is wrong with it.
pub fn placed<'a>(
    volumes: &'a BTreeMap<Name, Volume>,
    binds: &'a BTreeMap<PathBuf, Bind>,
    tmpfs: &'a BTreeMap<PathBuf, Tmpfs>,
    devices: &'a BTreeMap<PathBuf, Device>,
) -> Result<Vec<(&'a Path, Placed<'a>)>, (&'static str, String)> {
    let mut all: Vec<(&Path, Placed<'a>)> = Vec::new();
    for (name, volume) in volumes {
        ordinary("volumes", &volume.path)?;
        if volume.size < SMALLEST_VOLUME {
            let least = SMALLEST_VOLUME >> 20;
            return Err((
                "volumes",
                format!(
                    "'{name}' needs a size of at least {least}M; what is not written takes no room"
                ),
            ));
        }
        if volume.snapshots.is_some_and(|s| s.every_sec < 60 || s.keep == 0) {
            return Err((
                "volumes",
                format!("'{name}': snapshots need a minute in between, and one to keep"),
            ));
        }
        all.push((&volume.path, Placed::Volume(name, volume)));
    }
    for (path, bind) in binds {
        ordinary("binds", path)?;
        // Why the root is no source is for whoever knows the host to say.
        if !is_plain(&bind.source) && bind.source != Path::new("/") {
            let source = bind.source.display();
            return Err(("binds", format!("source '{source}' is not a plain absolute path")));
        }
        all.push((path, Placed::Bind(bind)));
    }
    for (path, memory) in tmpfs {
        if !MEMORY.iter().any(|own| path == Path::new(own)) {
            ordinary("tmpfs", path)?;
            all.push((path, Placed::Tmpfs(memory)));
        }
        let octal = u32::from_str_radix(&memory.mode, 8).is_ok_and(|mode| mode <= 0o7777);
        if !octal {
            return Err((
                "tmpfs",
                format!("'{}': mode '{}' is not octal", path.display(), memory.mode),
            ));
        }
    }
    for (path, device) in devices {
        if !is_plain(path) || !path.starts_with("/dev") || path == Path::new("/dev") {
            return Err((
                "devices",
                format!("'{}' is not a plain path below /dev", path.display()),
            ));
        }
        if ["/dev/pts", "/dev/shm", "/dev/mqueue"].iter().any(|own| path.starts_with(own)) {
            return Err(("devices", format!("'{}' is the machine's own", path.display())));
        }
        all.push((path, Placed::Device(device)));
    }
    all.sort_by_key(|(path, _)| *path);
    if let Some(twice) = all.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        let path = twice[0].0.display();
        return Err((
            "volumes",
            format!("'{path}' has two things put on it (volumes, binds, tmpfs, devices)"),
        ));
    }
    Ok(all)
}

/// Absolute, not `/`, and without `.` and `..`.
#[must_use]
pub fn is_plain(path: &Path) -> bool {
    path.is_absolute()
        && path.components().count() > 1
        && path.components().skip(1).all(|part| matches!(part, Component::Normal(_)))
}

fn ordinary(field: &'static str, path: &Path) -> Result<(), (&'static str, String)> {
    let shown = path.display();
    if !is_plain(path) {
        return Err((field, format!("'{shown}' is not a plain absolute path")));
    }
    let kernels = ["/proc", "/sys", "/dev", "/run/host"];
    if let Some(own) = kernels.iter().find(|own| path.starts_with(own)) {
        return Err((field, format!("'{shown}': nothing can be put into {own} of a machine")));
    }
    if path == Path::new("/run") || path == Path::new("/nix") || path.starts_with("/nix/store") {
        return Err((
            field,
            format!("'{shown}' is the machine's own; name a directory beside or in it"),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(field: &str, value: serde_json::Value) -> String {
        let mut all = json!({"volumes": {}, "binds": {}, "tmpfs": {}, "devices": {}});
        all[field] = value;
        let volumes = serde_json::from_value(all["volumes"].clone()).unwrap();
        let binds = serde_json::from_value(all["binds"].clone()).unwrap();
        let tmpfs = serde_json::from_value(all["tmpfs"].clone()).unwrap();
        let devices = serde_json::from_value(all["devices"].clone()).unwrap();
        match placed(&volumes, &binds, &tmpfs, &devices) {
            Ok(all) => {
                all.iter().map(|(path, _)| path.display().to_string()).collect::<Vec<_>>().join(" ")
            }
            Err((field, problem)) => format!("{field}: {problem}"),
        }
    }

    #[test]
    fn what_contains_something_comes_first() {
        let size = SMALLEST_VOLUME;
        let said = check(
            "volumes",
            json!({
                "a": {"path": "/var/lib/x/deep", "size": size}, "b": {"path": "/var/lib/x", "size": size},
            }),
        );
        assert_eq!(said, "/var/lib/x /var/lib/x/deep");
        assert_eq!(
            check("tmpfs", json!({"/tmp": {}, "/run": {"size": 5}, "/dev/shm": {}})),
            "/tmp"
        );
        assert_eq!(
            check("devices", json!({"/dev/net/tun": {"access": "rw", "group": 5}})),
            "/dev/net/tun"
        );
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let size = SMALLEST_VOLUME;
        for (field, value, says) in [
            ("volumes", json!({"a": {"path": "/x", "size": 5}}), "at least 300M"),
            ("volumes", json!({"a": {"path": "/", "size": size}}), "plain absolute path"),
            (
                "volumes",
                json!({"a": {"path": "/proc/x", "size": size}}),
                "nothing can be put into /proc",
            ),
            (
                "volumes",
                json!({"a": {"path": "/x", "size": size}, "b": {"path": "/x", "size": size}}),
                "two things",
            ),
            (
                "volumes",
                json!({"a": {"path": "/x", "size": size, "snapshots": {"everySec": 5, "keep": 1}}}),
                "a minute",
            ),
            ("binds", json!({"/x": {"source": "relative"}}), "source 'relative'"),
            ("binds", json!({"/x": {"source": "/a/../b"}}), "source '/a/../b'"),
            ("binds", json!({"/dev/x": {"source": "/a"}}), "nothing can be put into /dev"),
            ("binds", json!({"/run": {"source": "/a"}}), "machine's own"),
            ("tmpfs", json!({"/x": {"mode": "99"}}), "not octal"),
            ("devices", json!({"/etc/x": {}}), "below /dev"),
            ("devices", json!({"/dev/pts/0": {}}), "machine's own"),
        ] {
            let said = check(field, value);
            assert!(said.contains(says), "{said}");
        }
    }
}
