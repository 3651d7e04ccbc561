//! Where values live: one large reservation, in huge pages once an evaluation is more than small.

use bumpalo::Bump;

/// Address space of the first chunk. Pages are used only when touched, from the top down.
const RESERVED: usize = 1 << 30;

/// So much is in ordinary pages: clearing a huge page takes longer than a small evaluation.
const SMALL: usize = 2 << 20;

const HUGE_PAGE: usize = 2 << 20;

/// The memory that values live in. Dropped as a whole.
pub struct Arena(pub(crate) Bump);

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
        want_huge_pages(&bump);
        Arena(bump)
    }

    /// How many bytes values take.
    #[must_use]
    pub fn size(&self) -> usize {
        used(&self.0)
    }
}

/// How many bytes are in use.
pub(crate) fn used(bump: &Bump) -> usize {
    bump.allocated_bytes() - bump.chunk_capacity()
}

/// A page fault for each 4 KiB is a tenth of the time of a cold evaluation of a whole system.
fn want_huge_pages(bump: &Bump) {
    let top = std::ptr::from_ref(bump.alloc(0u8)) as usize;
    let low = (top - bump.chunk_capacity().min(top)).next_multiple_of(HUGE_PAGE);
    let high = top.saturating_sub(SMALL) / HUGE_PAGE * HUGE_PAGE;
    if low < high {
        // SAFETY: the range lies in the chunk that `bump` has just allocated, below what is in
        // use; the advice changes neither contents nor protection. Whether it is taken is no matter.
        unsafe { libc::madvise(low as *mut libc::c_void, high - low, libc::MADV_HUGEPAGE) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_reserved_is_not_used() {
        let arena = Arena::new();
        assert!(arena.size() < 1 << 10);
        arena.0.alloc_slice_fill_copy(3 << 20, 1u8);
        assert!((3 << 20..4 << 20).contains(&arena.size()));
    }
}
