//! The machine's side: everything in its place, in its own root.

use crate::error::{Doing, Problem, Res};
use crate::inside::files;
use crate::sys::mount::{attach, make};
use hc_spec::storage::{Placed, Tmpfs};
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Uid};
use rustix::mount::MountAttrFlags as Attr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// Puts a mount, or for memory a new one, at `path` below `root`. What lacks on the way is made.
pub(crate) fn put(
    root: BorrowedFd<'_>,
    path: &Path,
    what: Placed<'_>,
    mount: Option<OwnedFd>,
) -> Res<()> {
    let shown = path.display();
    let mount = match (what, mount) {
        (Placed::Tmpfs(tmpfs), _) => memory(tmpfs).doing_with(|| format!("mount {shown}"))?,
        (_, Some(mount)) => mount,
        (_, None) => return Err(Problem::plain("the supervisor is of another version")),
    };
    let stat = rustix::fs::fstat(&mount).doing_with(|| format!("look at {shown}"))?;
    let place = place(root, path, FileType::from_raw_mode(stat.st_mode).is_dir())?;
    let action = || format!("mount {shown}");
    let image = rustix::fs::fstat(&place).doing_with(action)?;
    attach(mount.as_fd(), place.as_fd()).doing_with(action)?;
    if matches!(what, Placed::Volume(..)) {
        begin(&mount, &image).doing_with(action)?;
    }
    Ok(())
}

/// A volume that nothing was written to is owned by whom the image's directory was: programs that
/// drop their privileges count on theirs.
fn begin(volume: &OwnedFd, image: &rustix::fs::Stat) -> rustix::io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let top = rustix::fs::openat(volume, ".", flags, Mode::empty())?;
    let name = |entry: rustix::io::Result<rustix::fs::DirEntry>| -> rustix::io::Result<bool> {
        Ok(![c".", c".."].contains(&entry?.file_name()))
    };
    for entry in rustix::fs::Dir::read_from(&top)? {
        if name(entry)? {
            return Ok(());
        }
    }
    let (user, group) = (Uid::from_raw(image.st_uid), Gid::from_raw(image.st_gid));
    match rustix::fs::fchown(&top, Some(user), Some(group)) {
        Err(rustix::io::Errno::ROFS) => Ok(()),
        done => done
            .and_then(|()| rustix::fs::fchmod(&top, Mode::from_raw_mode(image.st_mode & 0o7777))),
    }
}

fn memory(tmpfs: &Tmpfs) -> std::io::Result<OwnedFd> {
    let size = tmpfs.size.map(|size| size.to_string());
    let mut options = vec![("mode", Some(tmpfs.mode.as_str()))];
    options.extend(size.as_deref().map(|size| ("size", Some(size))));
    make("tmpfs", &options, Attr::MOUNT_ATTR_NOSUID | Attr::MOUNT_ATTR_NODEV)
}

/// What the mount goes on: found as the machine would find it, made where it lacks.
fn place(root: BorrowedFd<'_>, path: &Path, directory: bool) -> Res<OwnedFd> {
    let action = || format!("make a place for {} in the machine", path.display());
    if directory {
        return files::directory(root, path).doing_with(action);
    }
    let parent =
        files::directory(root, path.parent().unwrap_or(Path::new("/"))).doing_with(action)?;
    let name = path.file_name().unwrap_or_default();
    let open = || {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::openat(&parent, name, flags, Mode::empty())
    };
    let found = match open() {
        Err(rustix::io::Errno::NOENT) => None,
        opened => Some(opened.doing_with(action)?),
    };
    let kind = match &found {
        Some(found) => {
            Some(FileType::from_raw_mode(rustix::fs::fstat(found).doing_with(action)?.st_mode))
        }
        None => None,
    };
    match (kind, found) {
        (Some(FileType::Directory), _) => {
            return Err(Problem::plain(format!(
                "{} is a directory in the machine, and a file is to be put there",
                path.display()
            )));
        }
        (Some(FileType::Symlink), _) => {
            // Nothing is mounted on a link.
            rustix::fs::unlinkat(&parent, name, AtFlags::empty()).doing_with(action)?;
        }
        (Some(_), Some(found)) => return Ok(found),
        _ => {}
    }
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    rustix::fs::openat(&parent, name, flags, Mode::from_raw_mode(0o644)).doing_with(action)?;
    open().doing_with(action)
}
