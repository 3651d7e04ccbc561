//! Kernel settings of the calling thread's network namespace.

use crate::error::{Error, Result};
use std::path::PathBuf;

/// Writes `/proc/sys/net/NAME`, unless it has the value already.
pub(crate) fn set(name: &str, value: &str) -> Result<()> {
    if get(name).is_some_and(|now| now == value) {
        return Ok(());
    }
    put(name, value)
}

/// Writes `/proc/sys/net/NAME`, where it cannot have the value yet.
pub(crate) fn put(name: &str, value: &str) -> Result<()> {
    hc_fs::plain::write(&path(name), value.as_bytes(), 0o644).map_err(|source| Error::Sysctl {
        name: format!("net/{name}"),
        value: value.into(),
        source,
    })
}

/// Reads `/proc/sys/net/NAME`.
pub(crate) fn get(name: &str) -> Option<String> {
    Some(std::fs::read_to_string(path(name)).ok()?.trim().to_owned())
}

fn path(name: &str) -> PathBuf {
    // Interface names may contain dots, so the names here are paths, not dotted.
    PathBuf::from("/proc/sys/net").join(name)
}
