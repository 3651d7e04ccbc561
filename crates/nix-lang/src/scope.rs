//! Scopes: what is around them in one word, and their variables right after it.

use std::alloc::Layout;
use std::cell::Cell;
use std::marker::PhantomData;

use bumpalo::Bump;

use crate::slot::{self, Slot};

/// From this many variables on, a scope says how many there are in a word of its own.
const MANY: usize = (1 << 15) - 1;

/// The bit that says that something refers to the scope which may still be there when what is being
/// evaluated in it has its value: a thunk, a function or a scope within.
const KEPT: u64 = 1 << 63;

/// Where the head says how many variables there are.
const COUNT: u64 = (MANY as u64) << 48;

const WORD: usize = size_of::<u64>();

/// The variables of one scope. Only made by [`Env::new`]: more lies behind it in memory.
#[repr(C)]
pub struct Env<'a> {
    /// The address of the scope around, above that how many variables there are, and [`KEPT`].
    head: Cell<u64>,
    // As variant as what it stands for.
    content: PhantomData<(&'a Env<'a>, Cell<Slot<'a>>)>,
}

const _: () = assert!(size_of::<Env<'_>>() == WORD && align_of::<Env<'_>>() == WORD);

impl<'a> Env<'a> {
    /// A scope with these variables.
    pub(crate) fn new(
        arena: &'a Bump,
        up: Option<&'a Env<'a>>,
        slots: impl ExactSizeIterator<Item = Slot<'a>>,
    ) -> &'a Env<'a> {
        let count = slots.len();
        let head = up.map_or(0, slot::address) | (count.min(MANY) as u64) << 48;
        let extra = usize::from(count >= MANY);
        let bytes = (1 + extra + count) * WORD;
        let layout = Layout::from_size_align(bytes, WORD).expect("a scope fits into memory");
        let first = arena.alloc_layout(layout).cast::<u64>();
        let address = first.as_ptr().expose_provenance();
        // SAFETY: the allocation has room for the head, for the count where it is there, and for
        // `count` slots, each of which is a word; the iterator is not trusted to end in time. What
        // an iterator leaves out is filled, so that all of it is initialised.
        unsafe {
            first.write(head);
            if extra == 1 {
                first.add(1).write(count as u64);
            }
            let mut slots = slots;
            for at in 0..count {
                let slot = slots.next().unwrap_or(Slot::HOLE);
                first.add(1 + extra + at).cast::<Slot<'a>>().write(slot);
            }
            &*std::ptr::with_exposed_provenance(address)
        }
    }

    /// A scope of one variable.
    #[inline]
    pub(crate) fn of_one(arena: &'a Bump, up: &'a Env<'a>, only: Slot<'a>) -> &'a Env<'a> {
        let words: &mut [u64; 2] = arena.alloc([slot::address(up) | 1 << 48, only.bits()]);
        let address = std::ptr::from_mut(words).expose_provenance();
        // SAFETY: a scope of one variable is these two words.
        unsafe { &*std::ptr::with_exposed_provenance(address) }
    }

    /// This scope of one variable once more, for another one within another scope: nothing refers
    /// to it.
    #[inline]
    pub(crate) fn renew(&'a self, up: &'a Env<'a>, only: Slot<'a>) -> &'a Env<'a> {
        self.head.set(slot::address(up) | 1 << 48);
        if let [slot] = self.slots() {
            slot.set(only);
        }
        self
    }

    /// A scope of several variables once more, none of which is bound yet.
    #[inline]
    pub(crate) fn renew_all(&'a self, up: &'a Env<'a>) -> &'a Env<'a> {
        self.head.set(slot::address(up) | self.head.get() & COUNT);
        for slot in self.slots() {
            slot.set(Slot::HOLE);
        }
        self
    }

    /// A scope that nothing refers to any more, in front of the next one with as many variables.
    #[inline]
    pub(crate) fn retire(&'a self, next: Option<&'a Env<'a>>) {
        self.head.set(next.map_or(0, slot::address) | self.head.get() & COUNT);
    }

    /// Something refers to this scope from now on.
    #[inline(always)]
    pub(crate) fn keep(&self) {
        self.head.set(self.head.get() | KEPT);
    }

    #[inline(always)]
    pub(crate) fn is_kept(&self) -> bool {
        self.head.get() & KEPT != 0
    }

    /// The scope around.
    #[inline]
    pub(crate) fn up(&self) -> Option<&'a Env<'a>> {
        match self.head.get() << 16 {
            0 => None,
            // SAFETY: `new` put the address of a scope for `'a` there.
            _ => Some(unsafe { slot::reference(self.head.get()) }),
        }
    }

    /// The variables.
    #[inline]
    pub(crate) fn slots(&'a self) -> &'a [Cell<Slot<'a>>] {
        let after = std::ptr::from_ref(self).addr() + WORD;
        let count = (self.head.get() << 1 >> 49) as usize;
        // SAFETY: `new` is the only maker of scopes; it exposed the allocation, which has this many
        // slots behind the head, or a count and that many.
        unsafe {
            let (count, after) = if count < MANY {
                (count, after)
            } else {
                (*std::ptr::with_exposed_provenance::<u64>(after) as usize, after + WORD)
            };
            std::slice::from_raw_parts(std::ptr::with_exposed_provenance(after), count)
        }
    }

    /// The variable of this number, so many levels further out.
    #[inline(always)]
    pub(crate) fn variable(&'a self, level: u32, index: u32) -> &'a Cell<Slot<'a>> {
        &self.at(level).slots()[index as usize]
    }

    /// The scope so many levels further out.
    #[inline(always)]
    pub(crate) fn at(&'a self, level: u32) -> &'a Env<'a> {
        let mut env = self;
        for _ in 0..level {
            match env.up() {
                Some(up) => env = up,
                None => return env,
            }
        }
        env
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Value;

    #[test]
    fn scopes_of_all_sizes() {
        let arena = Bump::new();
        let outer = Env::new(&arena, None, std::iter::empty());
        assert!(outer.up().is_none() && outer.slots().is_empty());
        for count in [1, 2, MANY - 1, MANY, MANY + 1, 2 * MANY] {
            let numbers = 0..count as i64;
            let slots: Vec<_> =
                numbers.map(|number| Slot::new(&arena, Value::Int(number))).collect();
            let env = Env::new(&arena, Some(outer), slots.into_iter());
            assert!(env.up().is_some_and(|up| std::ptr::eq(up, outer)));
            assert!(std::ptr::eq(env.at(1), outer));
            assert_eq!(env.slots().len(), count);
            for (number, slot) in env.slots().iter().enumerate() {
                assert!(matches!(slot.get().get(), Value::Int(value) if value == number as i64));
            }
        }
    }

    #[test]
    fn marks_are_apart_from_the_rest() {
        let arena = Bump::new();
        let outer = Env::new(&arena, None, std::iter::empty());
        let number = |number| Slot::new(&arena, Value::Int(number));
        let env = Env::of_one(&arena, outer, number(1));
        assert!(!env.is_kept());
        env.keep();
        assert!(env.is_kept() && env.slots().len() == 1);
        assert!(env.up().is_some_and(|up| std::ptr::eq(up, outer)));
        // The next one in the list of those that are free, and a new life.
        env.retire(None);
        assert!(env.up().is_none());
        let again = env.renew(outer, number(2));
        assert!(!again.is_kept());
        assert!(matches!(again.variable(0, 0).get().get(), Value::Int(2)));
        assert!(again.up().is_some_and(|up| std::ptr::eq(up, outer)));
        // One with several variables.
        let env = Env::new(&arena, Some(outer), [number(3), number(4)].into_iter());
        env.keep();
        env.retire(Some(again));
        assert!(env.up().is_some_and(|next| std::ptr::eq(next, again)));
        let again = env.renew_all(outer);
        assert!(!again.is_kept() && again.slots().len() == 2);
        assert!(again.slots().iter().all(|slot| slot.get().is_hole()));
    }
}
