//! What `hc builder <what>` calls inside a build.

use crate::error::{Error, Result};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The environment of a build: the derivation's attributes as strings.
pub type Env = BTreeMap<String, String>;

/// Runs the builder `what`: `debian-rootfs`, `minimal-rootfs`, `nixos-rootfs`, `tar-rootfs`,
/// `oci-rootfs`, `disk`, `kernel` or `initrd`.
///
/// # Errors
/// When there is no such builder, an attribute is missing or wrong, or the build fails.
pub fn main(what: &str, env: &Env) -> Result<()> {
    match what {
        "debian-rootfs" => crate::rootfs::build(&crate::rootfs::Request::from_env(env)?),
        "minimal-rootfs" => {
            let exe = PathBuf::from("/proc/self/exe");
            crate::minimal::build(&exe, &path(env, "out")?, number(env, "epoch")?)
        }
        "nixos-rootfs" => crate::nixos::build(&crate::nixos::Request::from_env(env)?),
        "tar-rootfs" => crate::tarball::build(&crate::tarball::Request::from_env(env)?),
        "oci-rootfs" => crate::oci::build(&crate::oci::Request::from_env(env)?),
        "disk" => crate::disk::build(env),
        "kernel" => crate::kernel::build(env),
        "initrd" => crate::initrd::build(env),
        other => Err(Error::Attribute {
            name: "args".into(),
            why: format!(
                "names the builder `{other}`; there are `debian-rootfs`, `minimal-rootfs`, \
                 `nixos-rootfs`, `tar-rootfs`, `oci-rootfs`, `disk`, `kernel` and `initrd`"
            ),
        }),
    }
}

pub(crate) fn text<'a>(env: &'a Env, name: &str) -> Result<&'a str> {
    let value = env.get(name).map(String::as_str).filter(|v| !v.is_empty());
    value.ok_or_else(|| Error::Attribute { name: name.into(), why: "is missing".into() })
}

pub(crate) fn path(env: &Env, name: &str) -> Result<PathBuf> {
    let value = PathBuf::from(text(env, name)?);
    if value.is_absolute() {
        return Ok(value);
    }
    Err(Error::Attribute { name: name.into(), why: "is not an absolute path".into() })
}

/// A time in seconds since 1970; 1 where none is given, as everywhere in the store.
pub(crate) fn number(env: &Env, name: &str) -> Result<i64> {
    match env.get(name) {
        None => Ok(1),
        Some(value) => value.parse().map_err(|_| Error::Attribute {
            name: name.into(),
            why: format!("is `{value}`, not a number of seconds"),
        }),
    }
}

/// The directory that a build works in.
pub(crate) fn work(env: &Env) -> Result<PathBuf> {
    path(env, if env.contains_key("NIX_BUILD_TOP") { "NIX_BUILD_TOP" } else { "TMPDIR" })
}

/// A number that is a limit.
pub(crate) fn size(env: &Env, name: &str) -> Result<Option<u64>> {
    let Some(value) = env.get(name).filter(|value| !value.is_empty()) else { return Ok(None) };
    value.parse().map(Some).map_err(|_| Error::Attribute {
        name: name.into(),
        why: format!("is `{value}`, not a number"),
    })
}
