//! Making trees alike, whoever made them: modes, times, owners; and flushing them.

use crate::error::{Context, Result, io};
use rustix::fs::{AtFlags, Timespec, Timestamps};
use std::fs::{File, Metadata};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// More files than this are flushed with their whole file system, which is then quicker.
const FLUSH_ONE_BY_ONE: usize = 64;

/// Gives the tree at `path` canonical metadata (modes 444 or 555, time 1, owner root, no extended
/// attributes) and flushes it. `owners` are those that its files may have besides our own.
pub(crate) fn canonicalise(path: &Path, owners: Option<&std::ops::Range<u32>>) -> Result<()> {
    let files = make_canonical(path, owners)?;
    flush(path, files)
}

/// The same without flushing; gives the number of files, directories and symlinks.
pub(crate) fn make_canonical(path: &Path, owners: Option<&std::ops::Range<u32>>) -> Result<usize> {
    let mut files = 0;
    visit(path, owners, &mut files)?;
    Ok(files)
}

/// Flushes trees in one directory, each of so many files.
pub(crate) fn flush_all(directory: &Path, trees: &[(&Path, usize)]) -> Result<()> {
    if trees.iter().map(|(_, files)| files).sum::<usize>() > FLUSH_ONE_BY_ONE {
        let directory_file = File::open(directory).on("open", directory)?;
        return rustix::fs::syncfs(&directory_file).on("flush", directory);
    }
    trees.iter().try_for_each(|(tree, _)| flush_each(tree))
}

/// Flushes a tree of so many files.
pub(crate) fn flush(path: &Path, files: usize) -> Result<()> {
    if files > FLUSH_ONE_BY_ONE {
        let parent = path.parent().unwrap_or(path);
        let directory = File::open(parent).on("open", parent)?;
        rustix::fs::syncfs(&directory).on("flush", path)
    } else {
        flush_each(path)
    }
}

fn visit(path: &Path, owners: Option<&std::ops::Range<u32>>, files: &mut usize) -> Result<()> {
    // Depth first by hand: a builder may have nested directories deeper than our stack.
    let mut open = vec![(path.to_path_buf(), false)];
    while let Some((path, done)) = open.pop() {
        let metadata = path.symlink_metadata().on("read", &path)?;
        let is_directory = metadata.is_dir();
        if is_directory && !done {
            own(&path, &metadata, owners)?;
            crate::layout::chmod(&path, 0o700)?;
            open.push((path.clone(), true));
            for entry in std::fs::read_dir(&path).on("read", &path)? {
                open.push((entry.on("read", &path)?.path(), false));
            }
            continue;
        }
        *files += 1;
        if !is_directory {
            own(&path, &metadata, owners)?;
        }
        if !metadata.is_symlink() {
            strip_attributes(&path)?;
            let executable = is_directory || metadata.mode() & 0o100 != 0;
            crate::layout::chmod(&path, if executable { 0o555 } else { 0o444 })?;
        }
        set_time(&path)?;
    }
    Ok(())
}

/// The one time that everything in a store has: a second after the epoch.
pub(crate) fn set_time(path: &Path) -> Result<()> {
    let second = Timespec { tv_sec: 1, tv_nsec: 0 };
    let times = Timestamps { last_access: second, last_modification: second };
    rustix::fs::utimensat(rustix::fs::CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)
        .on("set the time of", path)
}

/// Makes the file ours, and refuses what cannot be in a store.
fn own(path: &Path, metadata: &Metadata, owners: Option<&std::ops::Range<u32>>) -> Result<()> {
    let kind = metadata.file_type();
    let refuse =
        |what: &str| Err(io("store", path, std::io::Error::other(format!("it is {what}"))));
    if kind.is_socket() || kind.is_fifo() || kind.is_block_device() || kind.is_char_device() {
        return refuse("no file, directory or symlink");
    }
    let (me, group) = (rustix::process::geteuid(), rustix::process::getegid());
    if metadata.uid() == me.as_raw() && metadata.gid() == group.as_raw() {
        return Ok(());
    }
    if metadata.uid() != me.as_raw() && !owners.is_some_and(|o| o.contains(&metadata.uid())) {
        return refuse("owned by somebody else");
    }
    rustix::fs::chownat(rustix::fs::CWD, path, Some(me), Some(group), AtFlags::SYMLINK_NOFOLLOW)
        .on("set the owner of", path)
}

/// Whether it has extended attributes that do not belong into a store.
pub(crate) fn has_attributes(path: &Path) -> Result<bool> {
    let mut names = Vec::with_capacity(4096);
    match rustix::fs::llistxattr(path, rustix::buffer::spare_capacity(&mut names)) {
        Ok(0) | Err(rustix::io::Errno::NOTSUP) => return Ok(false),
        listed => listed.on("read the attributes of", path)?,
    };
    Ok(names.split(|byte| *byte == 0).any(|n| !n.is_empty() && n != b"security.selinux"))
}

/// Whether the directory it was made in gave it another group than ours.
pub(crate) fn is_of_other_group(path: &Path) -> Result<bool> {
    let group = path.symlink_metadata().on("read", path)?.gid();
    Ok(group != rustix::process::getegid().as_raw())
}

fn strip_attributes(path: &Path) -> Result<()> {
    let mut names = Vec::with_capacity(4096);
    match rustix::fs::llistxattr(path, rustix::buffer::spare_capacity(&mut names)) {
        Ok(0) | Err(rustix::io::Errno::NOTSUP) => return Ok(()),
        listed => listed.on("read the attributes of", path)?,
    };
    for name in names.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        // What the system keeps for itself stays.
        if name != b"security.selinux" {
            rustix::fs::lremovexattr(path, name).on("strip the attributes of", path)?;
        }
    }
    Ok(())
}

/// Flushes files and directories one by one.
fn flush_each(path: &Path) -> Result<()> {
    let metadata = path.symlink_metadata().on("read", path)?;
    if metadata.is_symlink() {
        return Ok(()); // Its directory holds it.
    }
    if metadata.is_dir() {
        for entry in std::fs::read_dir(path).on("read", path)? {
            flush_each(&entry.on("read", path)?.path())?;
        }
    }
    File::open(path).and_then(|file| file.sync_all()).on("flush", path)
}

/// Deletes a tree that may be canonical: without root, a directory must be writable for that.
pub(crate) fn remove_tree(path: &Path) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        let mut open = vec![path.to_path_buf()];
        while let Some(path) = open.pop() {
            if path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir()) {
                crate::layout::chmod(&path, 0o700)?;
                let entries = std::fs::read_dir(&path).on("read", &path)?;
                open.extend(entries.flatten().map(|entry| entry.path()));
            }
        }
    }
    Ok(hc_fs::tree::remove(path)?)
}

/// Moves a canonical tree.
pub(crate) fn rename_tree(from: &Path, to: &Path) -> Result<()> {
    rename_trees(to.parent().unwrap_or(to), &[(from, to.into())])
}

/// Moves canonical trees into one directory, which is flushed once for all: without root, a
/// directory must be writable to change its parent. Should the power go, a name that a tree had
/// before may come back: whatever is left under it is cleared away when the store is opened.
pub(crate) fn rename_trees(directory: &Path, moves: &[(&Path, PathBuf)]) -> Result<()> {
    for (from, to) in moves {
        let is_directory = from.symlink_metadata().on("read", from)?.is_dir();
        let unlock = is_directory && !rustix::process::geteuid().is_root();
        if unlock {
            crate::layout::chmod(from, 0o700)?;
        }
        hc_fs::plain::rename(from, to)?;
        if unlock {
            crate::layout::chmod(to, 0o555)?;
            File::open(to).and_then(|tree| tree.sync_all()).on("flush", to)?;
        }
    }
    Ok(hc_fs::durable::sync_dir(directory)?)
}
