//! What is kept of a failed build for a person to look at.

use super::sandbox;
use crate::error::{Context, Result};
use crate::layout::Layout;
use nix_compat::StorePath;
use rustix::fs::AtFlags;
use std::path::{Path, PathBuf};

/// Moves the build directory of a build that has ended to a name of its own, and gives it to the
/// caller: to `<state>/builds/nix-build-NAME-N`, which nobody else can enter.
pub(super) fn keep_build(
    layout: &Layout,
    drv: &StorePath,
    scratch: &Path,
) -> Result<Option<PathBuf>> {
    let from = sandbox::build_directory(scratch);
    if !from.is_dir() {
        return Ok(None);
    }
    own(&from)?;
    crate::layout::chmod(&from, 0o700)?;
    let builds = layout.state.join("builds");
    hc_fs::plain::create_dir_all(&builds, 0o755)?;
    for number in 0.. {
        let to = builds.join(format!("nix-build-{}-{number}", drv.name()));
        // Nobody but us may write here; two of us do not take the same name.
        if rustix::fs::renameat_with(
            rustix::fs::CWD,
            &from,
            rustix::fs::CWD,
            &to,
            rustix::fs::RenameFlags::NOREPLACE,
        )
        .is_ok()
        {
            return Ok(Some(to));
        }
        if to.symlink_metadata().is_err() {
            return hc_fs::plain::rename(&from, &to).map(|()| Some(to)).map_err(Into::into);
        }
    }
    Ok(None)
}

/// Makes the caller the owner of a tree that nobody else changes any more.
fn own(root: &Path) -> Result<()> {
    let (user, group) = (rustix::process::getuid(), rustix::process::getgid());
    let mut open = vec![root.to_path_buf()];
    while let Some(path) = open.pop() {
        let metadata = path.symlink_metadata().on("read", &path)?;
        // Takes set-id bits away with it.
        rustix::fs::chownat(
            rustix::fs::CWD,
            &path,
            Some(user),
            Some(group),
            AtFlags::SYMLINK_NOFOLLOW,
        )
        .on("set the owner of", &path)?;
        if metadata.is_dir() {
            for entry in std::fs::read_dir(&path).on("read", &path)? {
                open.push(entry.on("read", &path)?.path());
            }
        }
    }
    Ok(())
}
