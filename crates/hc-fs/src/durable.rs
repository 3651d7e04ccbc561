//! Writes that are on disk when the call returns, or were never made.

use crate::error::{Context, Result};
use crate::plain;
use std::ffi::OsString;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Flushes a directory's entries to disk.
///
/// # Errors
/// When it cannot be opened or flushed.
pub fn sync_dir(dir: &Path) -> Result<()> {
    File::open(dir).and_then(|d| d.sync_all()).on("flush", dir)
}

/// Replaces the file at `path` in one step: afterwards it has the old or the new contents,
/// whole, whatever happens in between.
///
/// # Errors
/// When the directory is missing, full, or not writable; the old file is then untouched.
pub fn write(path: &Path, contents: &[u8], mode: u32) -> Result<()> {
    let temporary = beside(path);
    let written = (|| {
        let mut file = create_new(&temporary, mode)?;
        file.write_all(contents).on("write", &temporary)?;
        file.sync_all().on("flush", &temporary)?;
        rename(&temporary, path)
    })();
    if written.is_err() {
        let _ = plain::remove_file(&temporary);
    }
    written
}

/// Points the symlink at `path` to `target` in one step.
///
/// # Errors
/// When the directory is missing, full, or not writable; the old link is then untouched.
pub fn symlink(target: &Path, path: &Path) -> Result<()> {
    let temporary = beside(path);
    plain::symlink(target, &temporary)?;
    let renamed = rename(&temporary, path);
    if renamed.is_err() {
        let _ = plain::remove_file(&temporary);
    }
    renamed
}

/// Renames over `to` in one step and flushes both directories.
///
/// # Errors
/// When the system refuses the rename.
pub fn rename(from: &Path, to: &Path) -> Result<()> {
    plain::rename(from, to)?;
    sync_dir(parent(to))?;
    if parent(from) != parent(to) {
        sync_dir(parent(from))?;
    }
    Ok(())
}

/// Removes a file or symlink, if it is there, and flushes its directory.
///
/// # Errors
/// When the system refuses.
pub fn remove_file(path: &Path) -> Result<()> {
    if plain::remove_file(path)? { sync_dir(parent(path)) } else { Ok(()) }
}

/// Makes a directory and its parents, and flushes them.
///
/// # Errors
/// When the system refuses, or something else than a directory is in the way.
pub fn create_dir_all(path: &Path, mode: u32) -> Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(up) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
        create_dir_all(up, mode)?;
    }
    plain::create_dir(path, mode)?;
    sync_dir(parent(path))
}

fn create_new(path: &Path, mode: u32) -> Result<File> {
    let file = plain::create_new(path, mode)?;
    // The umask has no say in what was asked for.
    rustix::fs::fchmod(&file, rustix::fs::Mode::from_raw_mode(mode)).on("set the mode of", path)?;
    Ok(file)
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A name in the same directory that nobody else uses.
fn beside(path: &Path) -> PathBuf {
    use std::sync::atomic::{AtomicU64, Ordering};
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}-{count}.tmp", std::process::id()));
    let temporary = path.with_file_name(name);
    // A process of the same number that was killed may have left one.
    let _ = plain::remove_file(&temporary);
    temporary
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn replaces_whole_and_sets_the_mode() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("f");
        write(&file, b"one", 0o640).unwrap();
        write(&file, b"two", 0o666).unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), b"two");
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o666);
        symlink(Path::new("f"), &dir.path().join("l")).unwrap();
        symlink(Path::new("g"), &dir.path().join("l")).unwrap();
        assert_eq!(std::fs::read_link(dir.path().join("l")).unwrap(), Path::new("g"));
        remove_file(&file).unwrap();
        remove_file(&file).unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "no temporary is left");
    }

    #[test]
    fn a_failed_write_leaves_the_old_and_no_rubbish() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("d");
        create_dir_all(&target.join("sub"), 0o755).unwrap();
        let message = write(&target, b"x", 0o644).unwrap_err().to_string();
        assert!(message.contains("cannot rename"), "{message}");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
