//! Loop devices that go away with their last user.

use super::check;
use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A loop device; it stays while this or a mount of it is there.
#[derive(Debug)]
pub struct LoopDevice {
    pub path: PathBuf,
    device: OwnedFd,
}

const LOOP_CTL_GET_FREE: libc::Ioctl = 0x4c82;
const LOOP_CONFIGURE: libc::Ioctl = 0x4c0a;
const LOOP_GET_STATUS64: libc::Ioctl = 0x4c05;
const LOOP_SET_CAPACITY: libc::Ioctl = 0x4c07;
const READ_ONLY: u32 = 1;
const AUTOCLEAR: u32 = 4;
const DIRECT_IO: u32 = 16;

#[repr(C)]
struct LoopInfo {
    device: u64,
    inode: u64,
    rdevice: u64,
    offset: u64,
    sizelimit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    file_name: [u8; 64],
    crypt_name: [u8; 64],
    encrypt_key: [u8; 32],
    init: [u64; 2],
}

#[repr(C)]
struct LoopConfig {
    fd: u32,
    block_size: u32,
    info: LoopInfo,
    reserved: [u64; 8],
}

fn open(path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(path, flags | OFlags::CLOEXEC, Mode::empty())?)
}

/// Shows a file as a read-only block device.
pub fn attach(file: &Path) -> io::Result<LoopDevice> {
    configure(&open(file, OFlags::RDONLY)?, OFlags::RDONLY, READ_ONLY | AUTOCLEAR)
}

/// Shows a file as a block device that writes straight to it, without a second cache, where its
/// file system can.
pub fn attach_writable(file: &Path) -> io::Result<LoopDevice> {
    let file = open(file, OFlags::RDWR)?;
    configure(&file, OFlags::RDWR, AUTOCLEAR | DIRECT_IO)
        .or_else(|_| configure(&file, OFlags::RDWR, AUTOCLEAR))
}

fn configure(file: &OwnedFd, mode: OFlags, flags: u32) -> io::Result<LoopDevice> {
    let control = open(Path::new("/dev/loop-control"), OFlags::RDONLY)?;
    loop {
        // SAFETY: takes no argument, gives a number.
        let number = check(unsafe { libc::ioctl(control.as_raw_fd(), LOOP_CTL_GET_FREE) }.into())?;
        let path = PathBuf::from(format!("/dev/loop{number}"));
        let device = open(&path, mode)?;
        // SAFETY: plain numbers, for which zero is a value.
        let mut config: LoopConfig = unsafe { std::mem::zeroed() };
        config.fd = u32::try_from(file.as_raw_fd()).unwrap_or(u32::MAX);
        config.info.flags = flags;
        // SAFETY: the structure is what LOOP_CONFIGURE reads.
        let done = check(
            unsafe { libc::ioctl(device.as_raw_fd(), LOOP_CONFIGURE, &raw const config) }.into(),
        );
        match done {
            Ok(_) => return Ok(LoopDevice { path, device }),
            // Somebody else was faster.
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {}
            Err(error) => return Err(error),
        }
    }
}

/// The loop device that shows `file` now, whoever attached it.
pub fn find(file: &File) -> io::Result<Option<LoopDevice>> {
    let wanted = file.metadata()?;
    for entry in std::fs::read_dir("/sys/block")? {
        let name = entry?.file_name();
        let Some(name) = name.to_str().filter(|name| name.starts_with("loop")) else { continue };
        if !Path::new("/sys/block").join(name).join("loop/backing_file").exists() {
            continue;
        }
        let path = Path::new("/dev").join(name);
        let Ok(device) = open(&path, OFlags::RDONLY) else { continue };
        // SAFETY: plain numbers, for which zero is a value.
        let mut info: LoopInfo = unsafe { std::mem::zeroed() };
        // SAFETY: the structure is what LOOP_GET_STATUS64 fills in.
        let status = unsafe { libc::ioctl(device.as_raw_fd(), LOOP_GET_STATUS64, &raw mut info) };
        if status == 0 && (info.device, info.inode) == (wanted.dev(), wanted.ino()) {
            return Ok(Some(LoopDevice { path, device }));
        }
    }
    Ok(None)
}

impl LoopDevice {
    /// Takes over a new length of the file.
    pub fn resize(&self) -> io::Result<()> {
        // SAFETY: takes no argument.
        check(unsafe { libc::ioctl(self.device.as_raw_fd(), LOOP_SET_CAPACITY) }.into()).map(drop)
    }
}
