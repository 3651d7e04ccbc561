//! Copying a tree from outside into the store's directory, canonical as it is written.

use crate::add::Filter;
use crate::canonical::{has_attributes, set_time};
use crate::error::{Context, Result};
use hc_fs::plain;
use rustix::fs::{Mode, Timespec, Timestamps};
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Files up to this size are read and written in one go.
const SMALL: usize = 128 << 10;

/// What was copied.
pub(crate) struct Copied {
    /// Files, directories and symlinks.
    pub entries: usize,
    /// Whether modes and times are what they must be; a directory with default access lists gives
    /// them to what is made in it, which has to be undone.
    pub canonical: bool,
}

/// Copies files with their executable bit, directories and symlinks; nothing else. Directories
/// get their last modes when all is in them.
pub(crate) fn copy(from: &Path, to: &Path, filter: Option<&Filter<'_>>) -> Result<Copied> {
    let mut open = vec![(from.to_path_buf(), to.to_path_buf())];
    let mut directories: Vec<PathBuf> = Vec::new();
    let mut buffer = vec![0; SMALL];
    let mut entries = 0;
    while let Some((from, to)) = open.pop() {
        entries += 1;
        let metadata = from.symlink_metadata().on("read", &from)?;
        let kind = metadata.file_type();
        if kind.is_dir() {
            plain::create_dir(&to, 0o700)?;
            for entry in std::fs::read_dir(&from).on("read", &from)? {
                let entry = entry.on("read", &from)?;
                let child = entry.path();
                let kind = entry.file_type().on("read", &child)?;
                if filter.is_none_or(|wanted| wanted(&child, kind)) {
                    open.push((child, to.join(entry.file_name())));
                }
            }
            directories.push(to);
        } else if kind.is_symlink() {
            plain::symlink(&std::fs::read_link(&from).on("read", &from)?, &to)?;
            set_time(&to)?;
        } else if kind.is_file() {
            let executable = metadata.permissions().mode() & 0o100 != 0;
            copy_file(&from, &to, executable, &mut buffer)?;
        } else {
            let other = std::io::Error::other("it is no file, directory or symlink");
            return Err(crate::error::io("store", &from, other));
        }
    }
    let canonical = !has_attributes(to)?;
    for directory in directories.iter().rev().filter(|_| canonical) {
        crate::layout::chmod(directory, 0o555)?;
        set_time(directory)?;
    }
    Ok(Copied { entries, canonical })
}

/// Copies one file, with the mode and time of a file in the store.
pub(crate) fn copy_file(from: &Path, to: &Path, executable: bool, buffer: &mut [u8]) -> Result<()> {
    let mut source = File::open(from).on("open", from)?;
    let mode = if executable { 0o555 } else { 0o444 };
    let mut target = plain::create_new(to, mode)?;
    let mut filled = 0;
    while filled < buffer.len() {
        match source.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(crate::error::io("read", from, error)),
        }
    }
    target.write_all(&buffer[..filled]).on("write", to)?;
    if filled == buffer.len() {
        std::io::copy(&mut source, &mut target).on("write", to)?;
    }
    // The umask has no say in it.
    rustix::fs::fchmod(&target, Mode::from_raw_mode(mode)).on("set the mode of", to)?;
    let second = Timespec { tv_sec: 1, tv_nsec: 0 };
    let times = Timestamps { last_access: second, last_modification: second };
    rustix::fs::futimens(&target, &times).on("set the time of", to)
}
