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

/// Unpacks standard input as cp(1) would: into `path` when that is a directory, else as `path`; one that
/// ends in `/` has to be a directory. Nothing is written outside of it, whatever the stream or symlinks
/// below it say. What is left out is said on standard error.
///
/// # Errors
/// A sentence on what could not be written, or what in the stream makes no sense.
pub fn unpack(path: &str) -> Result<(), String> {
    let to = Destination::find(path)?;
    unpack::tree(&to, &mut File::inherited(STANDARD_INPUT))
}

/// Where a stream goes.
#[derive(Debug)]
struct Destination {
    /// The directory that its topmost entries go to.
    dir: File,
    /// That directory's path, for messages.
    shown: String,
    /// What the topmost entry is called instead.
    rename: Option<String>,
}

impl Destination {
    fn find(path: &str) -> Result<Self, String> {
        let wrong = |path: &str, error: sys::Errno| format!("cannot open {path}: {error}");
        let missing = match sys::open(path, at::DIRECTORY) {
            Ok(dir) => return Ok(Self { dir, shown: path.into(), rename: None }),
            Err(error @ (sys::Errno::NOENT | sys::Errno::NOTDIR)) => error,
            Err(error) => return Err(wrong(path, error)),
        };
        let (parent, name) = path.rsplit_once('/').unwrap_or((".", path));
        let parent = if parent.is_empty() { "/" } else { parent };
        if matches!(name, "" | "." | "..") {
            return Err(format!("cannot copy into {path}: {missing}"));
        }
        let dir = sys::open(parent, at::DIRECTORY)
            .map_err(|error| format!("cannot copy to {path}: {}", wrong(parent, error)))?;
        Ok(Self { dir, shown: parent.into(), rename: Some(name.into()) })
    }

    /// A name below the directory, as a path for messages.
    fn path(&self, below: &[u8]) -> String {
        let (dir, below) = (self.shown.trim_end_matches('/'), String::from_utf8_lossy(below));
        format!("{dir}/{below}")
    }
}

#[cfg(test)]
mod tests;
