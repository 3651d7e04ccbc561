//! Questions to XFS, and making it larger (`xfs_fs.h` of Linux).

use super::check;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// `struct xfs_fsop_geom_v1`, as far as it is of interest.
#[repr(C)]
struct Geometry {
    block_size: u32,
    more: [u32; 6],
    inode_percentage: u32,
    data_blocks: u64,
    rest: [u64; 9],
}

#[repr(C)]
struct Growth {
    blocks: u64,
    inode_percentage: u32,
}

const XFS_IOC_FSGEOMETRY_V1: libc::Ioctl = 0x8070_5864;
const XFS_IOC_FSGROWFSDATA: libc::Ioctl = 0x4010_586e;

/// Makes the mounted file system as large as its device, which has `bytes`; one that is as large
/// already, or larger, is left alone.
pub fn grow(mounted: BorrowedFd<'_>, bytes: u64) -> io::Result<()> {
    const { assert!(size_of::<Geometry>() == 112) }
    // SAFETY: plain numbers, for which zero is a value.
    let mut now: Geometry = unsafe { std::mem::zeroed() };
    // SAFETY: the structure is what the request fills in.
    let asked = unsafe { libc::ioctl(mounted.as_raw_fd(), XFS_IOC_FSGEOMETRY_V1, &raw mut now) };
    check(asked.into())?;
    let blocks = bytes / u64::from(now.block_size.max(512));
    if blocks <= now.data_blocks {
        return Ok(());
    }
    let growth = Growth { blocks, inode_percentage: now.inode_percentage };
    // SAFETY: the structure is what the request reads.
    let grown =
        unsafe { libc::ioctl(mounted.as_raw_fd(), XFS_IOC_FSGROWFSDATA, &raw const growth) };
    check(grown.into()).map(drop)
}
