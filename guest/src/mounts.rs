//! What a machine sees besides its root: disks that outlive it, and directories in memory.

use crate::root;
use crate::sys::{self, Errno, File, at, io};
use crate::wire::{Mount, Mounted};
use crate::words::Disk;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// How long a disk that grew takes to be known as grown.
const PATIENCE_MS: u64 = 10_000;
const PAUSE_MS: u64 = 5;

/// Mounts all of it, in order; directories that lack are made.
///
/// # Errors
/// A sentence on what could not be mounted.
pub fn mount_all(mounts: &[Mount]) -> Result<(), String> {
    mounts.iter().try_for_each(mount)
}

fn mount(mount: &Mount) -> Result<(), String> {
    let path = &mount.path;
    let wrong = |error: Errno| format!("cannot mount {path}: {error}");
    for (end, _) in path.match_indices('/').skip(1).chain([(path.len(), "")]) {
        sys::mkdir(&path[..end]).map_err(wrong)?;
    }
    match &mount.what {
        Mounted::Memory { size, mode } => {
            let size = size.map_or_else(String::new, |size| format!(",size={size}"));
            let options = format!("mode={mode:o}{size}");
            let flags = sys::MS_NOSUID | sys::MS_NODEV;
            sys::mount("hc", path, "tmpfs", flags, &options).map_err(wrong)
        }
        Mounted::Disk { serial, read_only } => {
            let before = sys::open(path, at::PATH).and_then(|dir| at::stat(&dir)).map_err(wrong)?;
            let disk = Disk::Serial(serial.clone());
            let device = root::patiently(|| root::device(&disk))
                .ok_or_else(|| format!("cannot mount {path}: its disk {serial} is not there"))?;
            let kind = root::kind_of(&device)
                .ok_or_else(|| format!("cannot mount {path}: its disk has no file system"))?;
            let (flags, options) = match read_only {
                true => (sys::MS_NODEV | sys::MS_RDONLY, ""),
                // What is deleted is room on the host again.
                false => (sys::MS_NODEV, "discard"),
            };
            sys::mount(&device, path, &kind, flags, options).map_err(|error| match error {
                Errno::NODEV => format!(
                    "cannot mount {path}: this kernel has no {kind}; its module has to be in the \
                     initrd: images.initrd {{ modules = [ \"{kind}\" ]; … }}"
                ),
                Errno::ROFS => format!(
                    "cannot mount {path}: it was not closed when it was written to last; start once \
                     without `readOnly`"
                ),
                error => wrong(error),
            })?;
            if !read_only {
                begin(path, &before).map_err(wrong)?;
                fill(path, &device).map_err(|error| format!("cannot grow {path}: {error}"))?;
            }
            Ok(())
        }
    }
}

/// A volume that nothing was written to is owned by whom the image's directory was: programs that drop
/// their privileges count on theirs.
fn begin(path: &str, before: &at::Stat) -> sys::Result<()> {
    let top = sys::open(path, at::DIRECTORY)?;
    if !at::names(&top)?.is_empty() {
        return Ok(());
    }
    at::chown(&top, b"", before.uid, before.gid)?;
    at::chmod(&top, before.mode)
}

/// Makes the file system at `path` as large as its disk, which has at least `bytes` soon.
///
/// # Errors
/// A sentence.
pub fn grow(path: &str, serial: &str, bytes: u64) -> Result<(), String> {
    let wrong = |error: Errno| format!("cannot grow {path}: {error}");
    let disk = Disk::Serial(serial.into());
    let device = root::device(&disk).ok_or_else(|| format!("its disk {serial} is not there"))?;
    let mut waited = 0;
    while size(&device).map_err(wrong)? < bytes {
        if waited >= PATIENCE_MS {
            return Err(format!("cannot grow {path}: its disk {device} has not grown"));
        }
        sys::sleep_ms(PAUSE_MS);
        waited += PAUSE_MS;
    }
    fill(path, &device).map_err(wrong)
}

/// Bytes of a disk.
fn size(device: &str) -> sys::Result<u64> {
    const SECTOR: u64 = 512;
    let name = device.rsplit('/').next().unwrap_or(device);
    let text = sys::read(&format!("/sys/class/block/{name}/size"))?;
    let sectors: u64 = String::from_utf8_lossy(text.trim_ascii()).parse().unwrap_or(0);
    Ok(sectors * SECTOR)
}

/// `struct xfs_fsop_geom_v1` of Linux's `xfs_fs.h`: block size, extent size, blocks and length of a
/// group, count of groups, blocks of the log, sector size, inode size, percentage for inodes, and then
/// the blocks of data.
type Geometry = [u32; 28];
const BLOCK_SIZE: usize = 0;
const INODES: usize = 7;
const BLOCKS: usize = 8;

fn fill(path: &str, device: &str) -> sys::Result<()> {
    const GEOMETRY: usize = 0x8070_5864; // XFS_IOC_FSGEOMETRY_V1
    const GROW: usize = 0x4010_586e; // XFS_IOC_FSGROWFSDATA
    if root::kind_of(device).as_deref() != Some("xfs") {
        return Ok(());
    }
    let top: File = sys::open(path, at::DIRECTORY)?;
    let mut now: Geometry = [0; 28];
    io::ask(&top, GEOMETRY, &mut now)?;
    let (has, may) = growth(&now, size(device)?);
    if may > has {
        // struct xfs_growfs_data: blocks, percentage for inodes.
        io::control(&top, GROW, &[may, u64::from(now[INODES])])?;
    }
    Ok(())
}

/// The blocks that a file system has, and that a disk of so many bytes has room for.
fn growth(now: &Geometry, bytes: u64) -> (u64, u64) {
    let has = u64::from(now[BLOCKS]) | u64::from(now[BLOCKS + 1]) << 32;
    (has, bytes / u64::from(now[BLOCK_SIZE].max(512)))
}

/// Unmounts what is on disks, the last first, so that they are whole.
pub fn unmount_all() {
    let all = sys::read("/proc/mounts").unwrap_or_default();
    for path in on_disks(&String::from_utf8_lossy(&all)).iter().rev() {
        let _ = sys::unmount(path);
    }
}

fn on_disks(mounts: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in mounts.lines() {
        let mut words = line.split(' ');
        if let (Some(source), Some(path)) = (words.next(), words.next())
            && source.starts_with("/dev/")
        {
            found.push(path.replace("\\040", " "));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_on_disks_is_found() {
        let mounts = "hc / overlay rw 0 0\n/dev/vdc /srv/a\\040b xfs rw 0 0\nhc /run tmpfs rw 0 0\n\
                      /dev/vdd /srv xfs rw 0 0\n";
        assert_eq!(on_disks(mounts), ["/srv/a b", "/srv"]);
    }

    #[test]
    fn a_file_system_grows_to_whole_blocks() {
        let mut now: Geometry = [0; 28];
        (now[BLOCK_SIZE], now[BLOCKS]) = (4096, 100);
        assert_eq!(growth(&now, 4096 * 200 + 5), (100, 200));
        now[BLOCKS + 1] = 1;
        assert_eq!(growth(&now, 0).0, (1 << 32) + 100);
    }
}
