//! Writes without a promise of durability, for what can be made again.
#![allow(clippy::disallowed_methods)] // This module is what the ban points to.

use crate::error::{Context, Result};
use std::fs::{DirBuilder, File};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// Makes one directory; one that is there already is fine.
///
/// # Errors
/// When the system refuses, or something else is in the way.
pub fn create_dir(path: &Path, mode: u32) -> Result<()> {
    match DirBuilder::new().mode(mode).create(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        made => made.on("create the directory", path),
    }
}

/// Makes a directory and its parents.
///
/// # Errors
/// When the system refuses, or something else is in the way.
pub fn create_dir_all(path: &Path, mode: u32) -> Result<()> {
    DirBuilder::new().recursive(true).mode(mode).create(path).on("create the directory", path)
}

/// Writes a whole file in place, making or truncating it. Does not follow a symlink at `path`.
///
/// # Errors
/// When the system refuses.
pub fn write(path: &Path, contents: &[u8], mode: u32) -> Result<()> {
    create(path, mode)?.write_all(contents).on("write", path)
}

/// Puts a file in place whole: whoever reads it finds the old or the new one, or none.
///
/// # Errors
/// When the system refuses; the old file is then untouched.
pub fn replace(path: &Path, contents: &[u8], mode: u32) -> Result<()> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let number = now.map_or(0, |now| now.as_nanos());
    let temporary = path.with_extension(format!("{}-{number}.new", std::process::id()));
    let written = (|| {
        create_new(&temporary, mode)?.write_all(contents).on("write", &temporary)?;
        rename(&temporary, path)
    })();
    if written.is_err() {
        let _ = remove_file(&temporary);
    }
    written
}

/// Gives a file the time of now.
///
/// # Errors
/// When it is not there, or the system refuses.
pub fn touch(path: &Path) -> Result<()> {
    let file = File::open(path).on("open", path)?;
    file.set_modified(std::time::SystemTime::now()).on("set the time of", path)
}

/// Makes or truncates a file for writing. Does not follow a symlink at `path`.
///
/// # Errors
/// When the system refuses.
pub fn create(path: &Path, mode: u32) -> Result<File> {
    let mut options = File::options();
    options.write(true).create(true).truncate(true).mode(mode);
    options.custom_flags(libc_nofollow()).open(path).on("create", path)
}

/// Makes a file for writing that must not be there yet.
///
/// # Errors
/// When it is there, or the system refuses.
pub fn create_new(path: &Path, mode: u32) -> Result<File> {
    File::options().read(true).write(true).create_new(true).mode(mode).open(path).on("create", path)
}

/// Opens a file for appending, making it when it is missing. Does not follow a symlink.
///
/// # Errors
/// When the system refuses.
pub fn append(path: &Path, mode: u32) -> Result<File> {
    let mut options = File::options();
    options.append(true).create(true).mode(mode).custom_flags(libc_nofollow());
    options.open(path).on("open", path)
}

/// Makes a symlink at `path`, which must not be there yet.
///
/// # Errors
/// When it is there, or the system refuses.
pub fn symlink(target: &Path, path: &Path) -> Result<()> {
    std::os::unix::fs::symlink(target, path).on("make a symlink at", path)
}

/// Gives a file or symlink (not what it points to) a second name, which must not be there yet.
///
/// # Errors
/// When it is there, or the system refuses.
pub fn hard_link(file: &Path, name: &Path) -> Result<()> {
    std::fs::hard_link(file, name).on("make a hard link at", name)
}

/// Renames over `to`.
///
/// # Errors
/// When the system refuses.
pub fn rename(from: &Path, to: &Path) -> Result<()> {
    std::fs::rename(from, to).on("rename to", to)
}

/// Two files or directories, each under the other's name, in one step.
///
/// # Errors
/// When one is missing, or the system refuses.
pub fn exchange(one: &Path, other: &Path) -> Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).on("exchange", other)
}

/// Removes a file or symlink; says whether it was there.
///
/// # Errors
/// When the system refuses.
pub fn remove_file(path: &Path) -> Result<bool> {
    match std::fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).on("remove", path),
    }
}

/// Removes an empty directory; says whether it was there.
///
/// # Errors
/// When it is not empty, or the system refuses.
pub fn remove_dir(path: &Path) -> Result<bool> {
    match std::fs::remove_dir(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).on("remove the directory", path),
    }
}

fn libc_nofollow() -> i32 {
    i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).expect("an open(2) flag is an int")
}
