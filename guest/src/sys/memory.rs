//! Memory from the kernel, for the allocator: nothing here may allocate.

use super::call;

/// The size of a page.
pub const PAGE: usize = 4096;

/// So many bytes of zeros, at the beginning of a page.
#[must_use]
pub fn map(length: usize) -> Option<usize> {
    const READ_WRITE: usize = 3;
    const PRIVATE_ANONYMOUS: usize = 0x22;
    call(9, [0, length, READ_WRITE, PRIVATE_ANONYMOUS, usize::MAX, 0]).ok()
}

/// Gives memory back.
pub fn unmap(address: usize, length: usize) {
    let _ = call(11, [address, length]);
}

/// Makes memory longer or shorter, and moves it if it must.
#[must_use]
pub fn remap(address: usize, length: usize, new: usize) -> Option<usize> {
    const MAY_MOVE: usize = 1;
    call(25, [address, length, new, MAY_MOVE]).ok()
}
