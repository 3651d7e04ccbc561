//! Loop devices that go away with their last user.

use super::check;
use rustix::fs::{Mode, OFlags};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

/// A loop device; it stays while this or a mount of it is there.
#[derive(Debug)]
pub struct LoopDevice {
    pub path: PathBuf,
    _device: OwnedFd,
}

const LOOP_CTL_GET_FREE: libc::Ioctl = 0x4c82;
const LOOP_CONFIGURE: libc::Ioctl = 0x4c0a;
const READ_ONLY_AND_AUTOCLEAR: u32 = 1 | 4;

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

/// Shows a file as a read-only block device.
pub fn attach(file: &Path) -> io::Result<LoopDevice> {
    let open = |path: &Path| {
        rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
            .map_err(io::Error::from)
    };
    let (file, control) = (open(file)?, open(Path::new("/dev/loop-control"))?);
    loop {
        // SAFETY: takes no argument, gives a number.
        let number = check(unsafe { libc::ioctl(control.as_raw_fd(), LOOP_CTL_GET_FREE) }.into())?;
        let path = PathBuf::from(format!("/dev/loop{number}"));
        let device = open(&path)?;
        // SAFETY: plain numbers, for which zero is a value.
        let mut config: LoopConfig = unsafe { std::mem::zeroed() };
        config.fd = u32::try_from(file.as_raw_fd()).unwrap_or(u32::MAX);
        config.info.flags = READ_ONLY_AND_AUTOCLEAR;
        // SAFETY: the structure is what LOOP_CONFIGURE reads.
        let done = check(
            unsafe { libc::ioctl(device.as_raw_fd(), LOOP_CONFIGURE, &raw const config) }.into(),
        );
        match done {
            Ok(_) => return Ok(LoopDevice { path, _device: device }),
            // Somebody else was faster.
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {}
            Err(error) => return Err(error),
        }
    }
}
