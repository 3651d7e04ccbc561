//! Kernel settings of the calling thread's network namespace.

use crate::error::{Error, Result};
use hc_fs::Lingering;
use rustix::fs::{Mode, OFlags};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

/// A `/proc` of one's own, for settings that a machine's start waits for.
///
/// `/proc/sys/net` shows every network namespace that somebody looked at under the same names, and
/// finding one of them compares it with all: with a thousand machines that takes a third of a millisecond,
/// for each setting. Nobody looked here before.
pub(crate) struct Settings(Option<OwnedFd>);

impl Settings {
    /// Makes it; where the kernel refuses, settings are written by `/proc`.
    pub(crate) fn fresh() -> Self {
        let make = || {
            let context = fsopen("proc", FsOpenFlags::FSOPEN_CLOEXEC)?;
            fsconfig_create(context.as_fd())?;
            fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())
        };
        Self(make().ok())
    }

    /// Writes `net/NAME` of the network namespace of the calling thread, where it cannot have the value yet.
    pub(crate) fn put(&self, name: &str, value: &str) -> Result<()> {
        let Some(root) = &self.0 else { return put(name, value) };
        let flags = OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let opened = rustix::fs::openat(root, format!("sys/net/{name}"), flags, Mode::empty());
        let written = opened.and_then(|file| rustix::io::write(&file, value.as_bytes()));
        written.map(drop).map_err(|source| {
            let (path, source) = (path(name), source.into());
            refused(name, value, hc_fs::Error::Io { action: "write", path, source })
        })
    }
}

impl From<Settings> for Lingering {
    fn from(settings: Settings) -> Self {
        settings.0.map(Self::from).unwrap_or_default()
    }
}

/// Writes `/proc/sys/net/NAME`, unless it has the value already.
pub(crate) fn set(name: &str, value: &str) -> Result<()> {
    if get(name).is_some_and(|now| now == value) {
        return Ok(());
    }
    put(name, value)
}

/// Writes `/proc/sys/net/NAME`, where it cannot have the value yet.
pub(crate) fn put(name: &str, value: &str) -> Result<()> {
    hc_fs::plain::write(&path(name), value.as_bytes(), 0o644)
        .map_err(|source| refused(name, value, source))
}

fn refused(name: &str, value: &str, source: hc_fs::Error) -> Error {
    Error::Sysctl { name: format!("net/{name}"), value: value.into(), source }
}

/// Reads `/proc/sys/net/NAME`.
pub(crate) fn get(name: &str) -> Option<String> {
    Some(std::fs::read_to_string(path(name)).ok()?.trim().to_owned())
}

fn path(name: &str) -> PathBuf {
    // Interface names may contain dots, so the names here are paths, not dotted.
    PathBuf::from("/proc/sys/net").join(name)
}
