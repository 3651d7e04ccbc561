//! The allocator. Small blocks are of sizes that are powers of two and come back to a list of their
//! size; larger ones are the kernel's.

use crate::sys::memory::{PAGE, map, remap, unmap};
use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::ptr::null_mut;

const SMALLEST: usize = 16;
const SIZES: usize = 12;
const LARGEST: usize = SMALLEST << (SIZES - 1);
/// What is asked of the kernel for blocks of one size at a time.
const ARENA: usize = 64 << 10;

#[derive(Debug, Clone, Copy)]
struct Size {
    /// The first free block; each holds the address of the next one.
    free: *mut usize,
    /// Where blocks begin that nobody had yet, and how many bytes of them there are.
    fresh: usize,
    left: usize,
}

/// The heap of a program with one thread.
#[derive(Debug)]
pub struct Heap(UnsafeCell<[Size; SIZES]>);

// SAFETY: there is one thread.
unsafe impl Sync for Heap {}

impl Default for Heap {
    fn default() -> Self {
        Self::new()
    }
}

impl Heap {
    /// One that holds nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self(UnsafeCell::new([Size { free: null_mut(), fresh: 0, left: 0 }; SIZES]))
    }
}

/// Which size a block has; nothing when it is the kernel's.
fn size_of(layout: Layout) -> Option<usize> {
    let length = layout.size().max(layout.align()).max(SMALLEST);
    (length <= LARGEST).then(|| (length.next_power_of_two() / SMALLEST).ilog2() as usize)
}

fn pages(length: usize) -> usize {
    length.next_multiple_of(PAGE)
}

// SAFETY: a block is handed out once until it comes back, and is as long and as aligned as asked for:
// blocks of a size lie one after the other from the beginning of a page, and no alignment is above a page's.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Some(index) = size_of(layout) else {
            return map(pages(layout.size())).map_or(null_mut(), |address| address as *mut u8);
        };
        // SAFETY: there is one thread, and no other reference while this one lives.
        let size = unsafe { &mut (*self.0.get())[index] };
        if !size.free.is_null() {
            let block = size.free;
            // SAFETY: a free block holds the address of the next one.
            size.free = unsafe { *block } as *mut usize;
            return block.cast();
        }
        if size.left == 0 {
            let Some(address) = map(ARENA) else { return null_mut() };
            (size.fresh, size.left) = (address, ARENA);
        }
        let (block, length) = (size.fresh, SMALLEST << index);
        size.fresh += length;
        size.left -= length;
        block as *mut u8
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let Some(index) = size_of(layout) else {
            return unmap(block as usize, pages(layout.size()));
        };
        // SAFETY: as above; the block is this heap's again, and has room for an address.
        unsafe {
            let size = &mut (*self.0.get())[index];
            *block.cast::<usize>() = size.free as usize;
            size.free = block.cast();
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, length: usize) -> *mut u8 {
        // SAFETY: the caller's promise: it is no overflow with this alignment.
        let new = unsafe { Layout::from_size_align_unchecked(length, layout.align()) };
        match (size_of(layout), size_of(new)) {
            (Some(before), Some(after)) if before == after => block,
            (None, None) => remap(block as usize, pages(layout.size()), pages(length))
                .map_or(null_mut(), |address| address as *mut u8),
            // SAFETY: two blocks, each at least as long as what is copied.
            _ => unsafe {
                let other = self.alloc(new);
                if !other.is_null() {
                    core::ptr::copy_nonoverlapping(block, other, layout.size().min(length));
                    self.dealloc(block, layout);
                }
                other
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Debug, Clone)]
    enum Step {
        Take(usize, usize),
        Give(usize),
        Change(usize, usize),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let length = || prop_oneof![1..300usize, 1..200_000usize];
        let step = prop_oneof![
            (length(), 0..6u32).prop_map(|(length, align)| Step::Take(length, 1 << align)),
            any::<usize>().prop_map(Step::Give),
            (any::<usize>(), length()).prop_map(|(which, length)| Step::Change(which, length)),
        ];
        proptest::collection::vec(step, 0..60)
    }

    proptest! {
        #[test]
        fn blocks_keep_what_is_written_to_them(steps in steps()) {
            let heap = Heap::new();
            let mut blocks: Vec<(*mut u8, Layout, u8)> = Vec::new();
            for (number, step) in steps.into_iter().enumerate() {
                let mark = number as u8;
                match step {
                    Step::Take(length, align) => {
                        let layout = Layout::from_size_align(length, align).unwrap();
                        // SAFETY: not of size zero, and as long as what is written.
                        let block = unsafe { heap.alloc(layout) };
                        prop_assert!(!block.is_null() && (block as usize).is_multiple_of(align));
                        // SAFETY: as above.
                        unsafe { block.write_bytes(mark, length) };
                        blocks.push((block, layout, mark));
                    }
                    Step::Give(which) if !blocks.is_empty() => {
                        let (block, layout, _) = blocks.swap_remove(which % blocks.len());
                        // SAFETY: it is one of this heap's.
                        unsafe { heap.dealloc(block, layout) };
                    }
                    Step::Change(which, length) if !blocks.is_empty() => {
                        let which = which % blocks.len();
                        let (block, layout, mark) = blocks[which];
                        // SAFETY: it is one of this heap's.
                        let block = unsafe { heap.realloc(block, layout, length) };
                        let kept = layout.size().min(length);
                        // SAFETY: as long as it is now.
                        unsafe { block.add(kept).write_bytes(mark, length - kept) };
                        let layout = Layout::from_size_align(length, layout.align()).unwrap();
                        blocks[which] = (block, layout, mark);
                    }
                    _ => {}
                }
                for (block, layout, mark) in &blocks {
                    // SAFETY: as long as its layout says.
                    let bytes = unsafe { core::slice::from_raw_parts(*block, layout.size()) };
                    prop_assert!(bytes.iter().all(|byte| byte == mark));
                }
            }
            for (block, layout, _) in blocks {
                // SAFETY: it is one of this heap's.
                unsafe { heap.dealloc(block, layout) };
            }
        }
    }

    #[test]
    fn what_came_back_is_handed_out_again() {
        let heap = Heap::new();
        for length in [1, 16, 17, 4096, LARGEST] {
            let layout = Layout::from_size_align(length, 8).unwrap();
            // SAFETY: not of size zero; each goes back before the next.
            let mut blocks = (0..1000).map(|_| unsafe {
                let block = heap.alloc(layout);
                heap.dealloc(block, layout);
                block
            });
            let first = blocks.next();
            assert!(blocks.all(|block| Some(block) == first), "{length}");
        }
    }
}
