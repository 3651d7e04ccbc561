//! Which ways of sharing a file system has: found out by trying.

use super::plan::Findings;
use crate::base::{Doing, ForkError};
use crate::sys::clone::{Shared, share};
use rustix::io::Errno;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// What the disks of a state directory's machines would be, before there is one.
///
/// # Errors
/// When nothing can be written there.
pub fn probe(state_dir: &Path, store_dir: &Path) -> Result<Findings, ForkError> {
    let machines = existing(&state_dir.join("machines"));
    let bases = existing(&state_dir.join("bases"));
    let (source, from) = match sample(store_dir) {
        Some(file) => (File::open(&file).doing("open", &file)?, file),
        None => {
            let dir = existing(store_dir);
            (filled(&dir)?, dir)
        }
    };
    let target = scratch(&machines)?;
    let store = share(&source, &target).doing("share blocks with", &from)?;
    let store = answer(store, &machines);
    Ok(Findings { store, here: shares(&bases, &machines)?, copied: false, overlay: Ok(()) })
}

/// Whether files of `to` can share blocks with files of `from`.
pub(super) fn shares(from: &Path, to: &Path) -> Result<Result<(), String>, ForkError> {
    let (source, target) = (filled(from)?, scratch(to)?);
    Ok(answer(share(&source, &target).doing("share blocks in", to)?, to))
}

/// In words, why files of `dir` cannot.
pub(super) fn answer(shared: Shared, dir: &Path) -> Result<(), String> {
    match shared {
        Shared::Yes => Ok(()),
        Shared::No(Errno::XDEV) => Err(format!("{} is on another file system", dir.display())),
        Shared::No(Errno::INVAL) => Err(format!(
            "not between files that are copied on write and files that are not (chattr +C), as in {}",
            dir.display()
        )),
        Shared::No(_) => Err(match kind(dir).as_str() {
            "xfs" => format!(
                "the XFS of {} was made without reflinks: make it with `mkfs.xfs -m reflink=1`",
                dir.display()
            ),
            other => format!("{other} has no reflinks ({}); XFS and btrfs have", dir.display()),
        }),
    }
}

/// A file without a name that has a block.
fn filled(dir: &Path) -> Result<File, ForkError> {
    let file = scratch(dir)?;
    file.write_all_at(&[1; 4096], 0).doing("write in", dir)?;
    Ok(file)
}

/// An empty file without a name.
fn scratch(dir: &Path) -> Result<File, ForkError> {
    use rustix::fs::{Mode, OFlags};
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    match rustix::fs::open(dir, flags, Mode::RUSR | Mode::WUSR) {
        Ok(file) => return Ok(file.into()),
        Err(Errno::OPNOTSUPP | Errno::ISDIR) => {}
        Err(error) => return Err(error).doing("make a file in", dir),
    }
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let path = dir.join(format!(".hc-probe-{}-{count}", std::process::id()));
    hc_fs::plain::remove_file(&path)?;
    let file = hc_fs::plain::create_new(&path, 0o600)?;
    hc_fs::plain::remove_file(&path)?;
    Ok(file)
}

/// A file of the store that has something in it.
fn sample(store_dir: &Path) -> Option<PathBuf> {
    let is_file =
        |path: &PathBuf| path.symlink_metadata().is_ok_and(|m| m.is_file() && m.len() > 0);
    let below = |dir: &Path| {
        std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path())
    };
    below(store_dir).find(is_file).or_else(|| {
        let dirs = below(store_dir).filter(|path| path.is_dir() && !path.ends_with(".links"));
        dirs.take(64).find_map(|dir| below(&dir).find(is_file))
    })
}

/// The directory, or the one it would be made in.
fn existing(dir: &Path) -> PathBuf {
    dir.ancestors().find(|dir| dir.is_dir()).unwrap_or(Path::new("/")).into()
}

/// The name of a directory's file system, from the mount table; its magic number where that does
/// not help.
pub(crate) fn kind(dir: &Path) -> String {
    let named = || -> Option<String> {
        let found = rustix::fs::stat(dir).ok()?;
        let (major, minor) = (rustix::fs::major(found.st_dev), rustix::fs::minor(found.st_dev));
        let device = format!("{major}:{minor}");
        let table = std::fs::read_to_string("/proc/thread-self/mountinfo").ok()?;
        let line = table.lines().find(|line| line.split(' ').nth(2) == Some(&device))?;
        line.split(" - ").nth(1)?.split(' ').next().map(str::to_owned)
    };
    named().unwrap_or_else(|| match rustix::fs::statfs(dir) {
        Ok(found) => format!("file system {:#x}", found.f_type),
        Err(_) => "this file system".into(),
    })
}
