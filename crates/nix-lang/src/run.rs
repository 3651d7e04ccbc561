//! Slices in one word: what lists and sets hold.

use std::marker::PhantomData;

use bumpalo::Bump;

use crate::slot::{address, reference};

/// From this length on, the slice is told by another one that lies in the arena.
const MANY: usize = u16::MAX as usize;

/// A slice in the arena: 48 bits say where it is, 16 how long.
pub(crate) struct Run<'a, T> {
    bits: u64,
    // As variant as what it stands for.
    content: PhantomData<&'a [T]>,
}

impl<T> Clone for Run<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Run<'_, T> {}

impl<'a, T> Run<'a, T> {
    #[inline]
    pub(crate) fn new(arena: &'a Bump, items: &'a [T]) -> Self {
        let bits = match items {
            [] => 0,
            [first, ..] if items.len() < MANY => address(first) | (items.len() as u64) << 48,
            _ => address(arena.alloc(items)) | (MANY as u64) << 48,
        };
        Run { bits, content: PhantomData }
    }

    /// The word itself: an address of 8 bytes, so that the lowest bit is free.
    #[inline]
    pub(crate) fn bits(self) -> u64 {
        self.bits
    }

    /// The run that a word was.
    ///
    /// # Safety
    ///
    /// The word came from [`Run::bits`] of such a run for `'a`.
    #[inline]
    pub(crate) unsafe fn from_bits(bits: u64) -> Self {
        Run { bits, content: PhantomData }
    }

    #[inline]
    pub(crate) fn get(self) -> &'a [T] {
        let len = (self.bits >> 48) as usize;
        // SAFETY: `new` put there the first of so many items for `'a`, or for `MANY` the address of
        // a slice for `'a`; `reference` leaves the length out. A slice's first item carries the
        // provenance of the whole allocation, as `address` exposes it.
        unsafe {
            match len {
                0 => &[],
                MANY => reference::<&'a [T]>(self.bits),
                _ => std::slice::from_raw_parts(reference::<T>(self.bits), len),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_of_all_lengths() {
        let arena = Bump::new();
        for len in [0, 1, 2, MANY - 1, MANY, MANY + 1, 3 * MANY] {
            let items: &[usize] = arena.alloc_slice_fill_iter(0..len);
            let run = Run::new(&arena, items);
            assert_eq!(run.get(), items);
            assert_eq!(run.get().get(1..).map(|rest| Run::new(&arena, rest).get()), items.get(1..));
        }
        assert_eq!(size_of::<Run<'_, usize>>(), 8);
    }
}
