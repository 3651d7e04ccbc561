//! The same files once more, sharing their blocks.

use super::SnapshotError;
use crate::base::{Doing, copy_data};
use crate::sys::clone::{Shared, share};
use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Bytes on disk of a file that is copied where blocks cannot be shared, without being asked to.
const SMALL: u64 = 16 << 20;

/// Makes `to` the same as `from`, flushed: files, links and directories of them. Large files share
/// their blocks or, with `copy`, are copied.
pub(super) fn tree(from: &Path, to: &Path, copy: bool) -> Result<(), SnapshotError> {
    let found = from.symlink_metadata().doing("look at", from)?;
    if found.is_symlink() {
        let target = std::fs::read_link(from).doing("read", from)?;
        return Ok(hc_fs::plain::symlink(&target, to)?);
    }
    if found.is_dir() {
        hc_fs::plain::create_dir(to, 0o700)?;
        // What is not finished yet is nobody's.
        for entry in std::fs::read_dir(from).doing("read", from)? {
            let name = entry.doing("read", from)?.file_name();
            if !name.as_encoded_bytes().starts_with(b".") {
                tree(&from.join(&name), &to.join(&name), copy)?;
            }
        }
        return Ok(hc_fs::durable::sync_dir(to)?);
    }
    if !found.is_file() {
        return Ok(());
    }
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let source = File::from(rustix::fs::open(from, flags, Mode::empty()).doing("open", from)?);
    let target = hc_fs::plain::create_new(to, 0o600)?;
    if let Shared::No(error) = share(&source, &target).doing("share blocks of", from)? {
        if found.blocks() * 512 > SMALL && !copy {
            let why = format!("{} shares no blocks: {error}", crate::disk::kind(from));
            return Err(SnapshotError::Copy { file: from.into(), why });
        }
        copy_data(&source, &target, &mut |_| ()).doing("copy", from)?;
    }
    Ok(rustix::fs::fsync(&target).doing("flush", to)?)
}
