//! The memory of an arena, made ready by another thread just before it is used.
//!
//! The kernel clears memory when it is first touched, which is a tenth of the time of an evaluation.

use std::cell::{Cell, OnceCell};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

use crate::arena::HUGE_PAGE;

/// What the thread is told when there is nothing to do any more.
const STOP: usize = 0;

/// Keeps one huge page ready below what is in use.
pub(crate) struct Ahead {
    /// Where memory begins to be used, downwards.
    top: usize,
    /// Where the huge pages are.
    pages: Range<usize>,
    /// How many bytes may be in use before the next page is wanted.
    enough: Cell<usize>,
    /// The address down to which memory is wanted.
    wanted: Arc<AtomicUsize>,
    thread: OnceCell<Option<JoinHandle<()>>>,
}

impl Ahead {
    /// Of memory that is used from `top` downwards, the pages in this range, which stay mapped until
    /// [`Ahead::stop`] was called.
    pub(crate) fn of(top: usize, pages: Range<usize>) -> Self {
        Ahead {
            wanted: Arc::new(AtomicUsize::new(pages.end)),
            enough: Cell::new(top - pages.end + 1),
            top,
            thread: OnceCell::new(),
            pages,
        }
    }

    /// So many bytes are in use.
    #[inline]
    pub(crate) fn is_used(&self, bytes: usize) {
        if bytes >= self.enough.get() {
            self.want(bytes);
        }
    }

    #[cold]
    fn want(&self, bytes: usize) {
        // The page that is being used, and the next one.
        let page = self.top.saturating_sub(bytes) / HUGE_PAGE * HUGE_PAGE;
        let wanted = page.saturating_sub(HUGE_PAGE);
        if wanted < self.pages.start {
            self.enough.set(usize::MAX);
            return;
        }
        self.enough.set(self.top - page + 1);
        self.wanted.store(wanted, Ordering::Release);
        // Where there is no thread, memory is made ready when it is touched.
        let thread = self.thread.get_or_init(|| {
            let (end, wanted) = (self.pages.end, self.wanted.clone());
            let thread = std::thread::Builder::new().name("nix-memory".to_owned());
            thread.stack_size(64 << 10).spawn(move || make_ready(end, &wanted)).ok()
        });
        if let Some(thread) = thread {
            thread.thread().unpark();
        }
    }

    /// Ends the thread.
    pub(crate) fn stop(&mut self) {
        if let Some(Some(thread)) = self.thread.take() {
            self.wanted.store(STOP, Ordering::Release);
            thread.thread().unpark();
            // It has nothing to say.
            let _ = thread.join();
        }
    }
}

/// Has pages below `ready` cleared, down to what is wanted, until there is nothing to do any more.
fn make_ready(mut ready: usize, wanted: &AtomicUsize) {
    loop {
        match wanted.load(Ordering::Acquire) {
            STOP => return,
            wanted if wanted < ready => {
                ready -= HUGE_PAGE;
                let page = ready as *mut libc::c_void;
                // SAFETY: the page lies in the range that `Ahead::of` was given; it stays mapped until
                // this thread has ended. The advice leaves its contents as they are.
                let done = unsafe { libc::madvise(page, HUGE_PAGE, libc::MADV_POPULATE_WRITE) };
                // A kernel that does not know of this, or has no memory.
                if done != 0 {
                    return;
                }
            }
            _ => std::thread::park(),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::Arena;

    #[test]
    fn contents_stay_as_they_are() {
        let arena = Arena::new();
        let mut all = Vec::new();
        for number in 0..40u8 {
            all.push(arena.bump.alloc_slice_fill_copy(1 << 20, number));
            arena.ahead.is_used(arena.size());
        }
        drop(Arena::new());
        for (number, part) in all.iter().enumerate() {
            assert!(part.iter().all(|byte| usize::from(*byte) == number));
        }
    }
}
