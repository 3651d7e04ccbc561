//! Where values live: one large reservation, in huge pages once an evaluation is more than small.

use std::ops::Range;

use bumpalo::Bump;

use crate::ahead::Ahead;

/// Address space of the first chunk. Pages are used only when touched, from the top down.
const RESERVED: usize = 1 << 30;

/// So much is in ordinary pages: clearing a huge page takes longer than a small evaluation.
const SMALL: usize = 2 << 20;

pub(crate) const HUGE_PAGE: usize = 2 << 20;

/// The memory that values live in. Dropped as a whole.
pub struct Arena {
    pub(crate) bump: Bump,
    pub(crate) ahead: Ahead,
}

impl Default for Arena {
    fn default() -> Self {
        Self::new()
    }
}

impl Arena {
    /// An empty arena.
    #[must_use]
    pub fn new() -> Self {
        let bump = Bump::try_with_capacity(RESERVED).unwrap_or_default();
        let top = std::ptr::from_ref(bump.alloc(0u8)) as usize;
        let huge = huge_pages(&bump, top);
        want_huge_pages(&huge);
        Arena { bump, ahead: Ahead::of(top, huge) }
    }

    /// How many bytes values take.
    #[must_use]
    pub fn size(&self) -> usize {
        used(&self.bump)
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        self.ahead.stop();
    }
}

/// How many bytes are in use.
pub(crate) fn used(bump: &Bump) -> usize {
    bump.allocated_bytes() - bump.chunk_capacity()
}

/// The part of the first chunk that is to be in huge pages, on their boundaries.
fn huge_pages(bump: &Bump, top: usize) -> Range<usize> {
    let low = (top - bump.chunk_capacity().min(top)).next_multiple_of(HUGE_PAGE);
    let high = top.saturating_sub(SMALL) / HUGE_PAGE * HUGE_PAGE;
    low.min(high)..high
}

/// A page fault for each 4 KiB is a tenth of the time of a cold evaluation of a whole system.
fn want_huge_pages(huge: &Range<usize>) {
    // SAFETY: the range lies in the first chunk of an arena, below what is in use; the advice changes
    // neither contents nor protection. Whether it is taken is no matter.
    unsafe { libc::madvise(huge.start as *mut libc::c_void, huge.len(), libc::MADV_HUGEPAGE) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_reserved_is_not_used() {
        let arena = Arena::new();
        assert!(arena.size() < 1 << 10);
        arena.bump.alloc_slice_fill_copy(3 << 20, 1u8);
        assert!((3 << 20..4 << 20).contains(&arena.size()));
    }
}
