//! The file a volume is in.

use super::{Doing, Result};
use crate::sys::loopdev::{self, LoopDevice};
use crate::sys::{mount, xfs};
use rustix::mount::MountAttrFlags;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Where systems keep programs for administrators.
const PROGRAMS: [&str; 5] =
    ["/usr/sbin", "/sbin", "/usr/bin", "/run/current-system/sw/bin", "/run/wrappers/bin"];

/// Makes an image of `size` bytes with an empty file system in it. It is there whole, or not.
pub(super) fn make(path: &Path, size: u64) -> Result<()> {
    let Some(program) =
        PROGRAMS.iter().map(|dir| Path::new(dir).join("mkfs.xfs")).find(|file| file.exists())
    else {
        let missing = io::Error::other(
            "mkfs.xfs is not installed on this host (Debian: xfsprogs; NixOS: \
             environment.systemPackages)",
        );
        return Err(missing).doing("make a file system", path);
    };
    let new = path.with_extension("new");
    hc_fs::plain::remove_file(&new)?;
    let file = hc_fs::plain::create_new(&new, 0o600)?;
    file.set_len(size).doing("make it that large", &new)?;
    // A device may have sectors of 4096 bytes on one host and of 512 on another; these fit both.
    let arguments = ["-q", "-f", "-s", "size=4096"];
    let made = Command::new(program).args(arguments).arg(&new).stdin(Stdio::null()).output();
    let made = made.doing("run mkfs.xfs", &new)?;
    if !made.status.success() {
        let said = String::from_utf8_lossy(&made.stderr).trim().to_owned();
        return Err(io::Error::other(said)).doing("make a file system", &new);
    }
    file.sync_all().doing("write it out", &new)?;
    Ok(hc_fs::durable::rename(&new, path)?)
}

/// Shows it as a device. Its last user may be a machine that has just ended, whose mounts the
/// kernel takes away a moment later: that is waited for.
pub(crate) fn attach(path: &Path) -> Result<LoopDevice> {
    let file = File::open(path).doing("open it", path)?;
    if !released(&file).doing("look at the loop devices", path)? {
        return Err(io::Error::from(io::ErrorKind::ResourceBusy))
            .doing("use it: a loop device still shows it", path);
    }
    loopdev::attach_writable(path).doing("show it as a loop device", path)
}

/// Waits until no loop device shows the file; whether there is none.
pub(super) fn released(file: &File) -> io::Result<bool> {
    const PATIENCE: Duration = Duration::from_secs(10);
    let deadline = Instant::now() + PATIENCE;
    let mut pause = Duration::from_micros(500);
    while loopdev::find(file)?.is_some() {
        if Instant::now() > deadline {
            return Ok(false);
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
    Ok(true)
}

/// A detached mount of the device. A device that is mounted already gives the same file system.
pub(super) fn mount_device(device: &LoopDevice) -> io::Result<OwnedFd> {
    let source = device.path.to_string_lossy().into_owned();
    let attributes = MountAttrFlags::MOUNT_ATTR_NODEV;
    // What is deleted inside is room on the host again.
    let options = [("source", Some(&*source)), ("discard", None)];
    mount::make("xfs", &options, attributes)
}

/// Makes the file system as large as its image.
pub(super) fn fill(mounted: &OwnedFd, image: &Path) -> Result<()> {
    let bytes = std::fs::metadata(image).doing("look at it", image)?.len();
    let root = rustix::fs::openat(
        mounted,
        ".",
        rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::CLOEXEC,
        rustix::fs::Mode::empty(),
    );
    let root = root.doing("open its root", image)?;
    xfs::grow(root.as_fd(), bytes).doing("grow its file system", image)
}

/// Makes it larger, and its file system if something uses it now. One that is not in use grows when
/// it is mounted next.
pub(super) fn grow(path: &Path, size: u64) -> Result<()> {
    let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::CLOEXEC;
    let opened = rustix::fs::open(path, flags, rustix::fs::Mode::empty());
    let file = File::from(opened.doing("open it", path)?);
    file.set_len(size).doing("make it that large", path)?;
    file.sync_all().doing("write it out", path)?;
    if let Some(device) = loopdev::find(&file).doing("look at the loop devices", path)? {
        device.resize().doing("tell its loop device", path)?;
        let mounted = mount_device(&device).doing("mount it", path)?;
        fill(&mounted, path)?;
    }
    Ok(())
}

/// Writes out what its file system still has in memory, when it is mounted.
pub(super) fn sync(path: &Path) -> Result<()> {
    let file = File::open(path).doing("open it", path)?;
    if let Some(device) = loopdev::find(&file).doing("look at the loop devices", path)? {
        let mounted = mount_device(&device).doing("mount it", path)?;
        let root = rustix::fs::openat(
            &mounted,
            ".",
            rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::CLOEXEC,
            rustix::fs::Mode::empty(),
        );
        rustix::fs::syncfs(root.doing("open its root", path)?).doing("write it out", path)?;
    }
    file.sync_all().doing("write it out", path)
}
