//! Debian's package of a kernel: the kernel, and its modules with their dependencies worked out.

use super::{MAX, modules};
use crate::compress::all;
use crate::deb::Deb;
use crate::error::Result;
use std::path::{Path, PathBuf};

/// Unpacks modules to `out/lib/modules/VERSION`; gives the kernel and the version.
pub(super) fn unpack(package: &Path, out: &Path) -> Result<(Vec<u8>, String)> {
    let deb = Deb::open(package)?;
    let wrong = |e: std::io::Error| deb.refuse(format!("its files are damaged: {e}"));
    let mut archive = tar::Archive::new(deb.data()?);
    let mut kernel = None;
    for entry in archive.entries().map_err(wrong)? {
        let entry = entry.map_err(wrong)?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let path = name.trim_start_matches("./");
        let path = path.strip_prefix("usr/").unwrap_or(path);
        if let Some(version) = path.strip_prefix("boot/vmlinuz-") {
            let bytes = all(entry, MAX).map_err(|e| deb.refuse(format!("{name}: {e}")))?;
            kernel = Some((bytes, version.to_owned()));
        } else if path.starts_with("lib/modules/") {
            // Nothing but files and directories is ever made below `out`: no way leads out of it.
            let path = PathBuf::from(path);
            if path.components().any(|c| !matches!(c, std::path::Component::Normal(_))) {
                return Err(deb.refuse(format!("{name}: its path leads out")));
            }
            let target = out.join(&path);
            hc_fs::plain::create_dir_all(target.parent().unwrap_or(out), 0o755)?;
            let bytes = all(entry, MAX).map_err(|e| deb.refuse(format!("{name}: {e}")))?;
            hc_fs::plain::write(&target, &bytes, 0o644)?;
        }
    }
    let (kernel, version) =
        kernel.ok_or_else(|| deb.refuse("it has no /boot/vmlinuz-VERSION: no kernel".into()))?;
    let tree = out.join("lib/modules").join(&version);
    if tree.is_dir() {
        let found = modules::Modules::read(&tree)?;
        hc_fs::plain::write(&tree.join("modules.dep"), found.dep()?.as_bytes(), 0o644)?;
    }
    Ok((kernel, version))
}
