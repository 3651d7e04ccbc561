//! Trees as tar streams: `hc cp` from and to a machine. Files, directories, symlinks, hard links and
//! named pipes, with permissions, owners and the second of their last change.

mod header;
mod pack;
mod unpack;

use crate::sys::{self, File, at};
use alloc::format;
use alloc::string::String;

const STANDARD_INPUT: i32 = 0;
const STANDARD_OUTPUT: i32 = 1;

/// Writes the file or tree at `path` to standard output. A symlink at the path itself is followed.
///
/// # Errors
/// A sentence on what could not be read; the stream is cut short then.
pub fn pack(path: &str) -> Result<(), String> {
    let top = sys::open(path, at::PATH).map_err(|error| format!("cannot open {path}: {error}"))?;
    let mut out = File::inherited(STANDARD_OUTPUT);
    pack::tree(&top, path, &mut out)
}

/// Unpacks standard input below the directory at `path`, which is made if it lacks. Nothing is written
/// outside of it, whatever the stream or symlinks below it say.
///
/// # Errors
/// A sentence on what could not be written, or what in the stream makes no sense.
pub fn unpack(path: &str) -> Result<(), String> {
    let wrong = |error: sys::Errno| format!("cannot open {path}: {error}");
    for (end, _) in path.match_indices('/').skip(1).chain([(path.len(), "")]) {
        sys::mkdir(&path[..end]).map_err(wrong)?;
    }
    let top = sys::open(path, at::DIRECTORY).map_err(wrong)?;
    unpack::tree(&top, &mut File::inherited(STANDARD_INPUT))
}

#[cfg(test)]
mod tests;
