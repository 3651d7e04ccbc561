//! Thunks: two words, whether they wait, run, or have their value.

use std::cell::Cell;
use std::marker::PhantomData;

use nix_syntax::ast::{self, Expr};

use crate::scope::Env;
use crate::slot::{Slot, address, reference};
use crate::value::{Attr, PrimFn, Value};

/// The record that warm evaluation keeps of a thunk; 0 where nothing is recorded.
pub(crate) type NodeId = u32;

/// What a thunk computes.
#[derive(Clone, Copy)]
pub(crate) enum Delayed<'a> {
    Expr(&'a Expr<'a>, &'a Env<'a>),
    /// One attribute, by the name of the binding, out of a set that several names inherit from.
    Select(&'a Slot<'a>, &'a ast::Attr<'a>),
    /// A function applied to an argument.
    Apply(&'a Slot<'a>, &'a Slot<'a>),
    /// A function applied to the name and the value of an attribute.
    ApplyAttr(&'a Slot<'a>, &'a Attr<'a>),
    /// Something that Rust code computes when first asked.
    Native(&'a Native<'a>),
}

impl Delayed<'_> {
    /// Whether this is what builtins such as `map` put into lists and sets. As in C++ Nix, such a
    /// thunk does not notice that it needs itself: it is called until the calls are too many.
    #[inline(always)]
    pub(crate) fn is_application(self) -> bool {
        matches!(self, Delayed::Apply(..) | Delayed::ApplyAttr(..))
    }
}

pub(crate) struct Native<'a> {
    pub(crate) run: PrimFn,
    pub(crate) args: &'a [Value<'a>],
}

/// What a thunk holds, with the number of its record.
#[derive(Clone, Copy)]
pub(crate) enum ThunkState<'a> {
    Done(NodeId, Value<'a>),
    Delayed(NodeId, Delayed<'a>),
    Blackhole(NodeId),
    /// It failed with the error of this number; nothing is recorded of it.
    Failed(usize),
}

impl ThunkState<'_> {
    #[inline]
    pub(crate) fn node(self) -> NodeId {
        match self {
            ThunkState::Done(node, _)
            | ThunkState::Delayed(node, _)
            | ThunkState::Blackhole(node) => node,
            ThunkState::Failed(_) => 0,
        }
    }
}

/// A suspended computation.
///
/// The upper four bits of the first word say what the thunk is. While it waits, each word has one
/// address (of 8 bytes, so three bits less) in its lower 45 bits, and above them a part of the
/// number of the record. With a value, the second word is the value, and the first word the number:
/// a thunk of which nothing is recorded and that has its value begins with a zero.
pub struct Thunk<'a> {
    state: Cell<[u64; 2]>,
    // As variant as what it stands for.
    content: PhantomData<Cell<Value<'a>>>,
}

const _: () = assert!(size_of::<Thunk<'_>>() == 16);
const _: () = assert!(align_of::<Expr<'_>>() == 8 && align_of::<Env<'_>>() == 8);
const _: () = assert!(align_of::<ast::Attr<'_>>() == 8 && align_of::<Native<'_>>() == 8);
const _: () = assert!(align_of::<Slot<'_>>() == 8 && align_of::<Attr<'_>>() == 8);

const KIND: u32 = 60;
const DONE: u64 = 0;
const BLACKHOLE: u64 = 1;
const EXPR: u64 = 2;
const SELECT: u64 = 3;
const APPLY: u64 = 4;
const APPLY_ATTR: u64 = 5;
const NATIVE: u64 = 6;
const FAILED: u64 = 7;

/// Where in a word the number of the record begins, and how much of it is in the first one.
const NODE: u32 = 45;
const FIRST_BITS: u32 = 15;

#[inline(always)]
fn packed(kind: u64, node: NodeId, first: u64, second: u64) -> [u64; 2] {
    let node = u64::from(node);
    let low = node & ((1 << FIRST_BITS) - 1);
    [kind << KIND | low << NODE | first >> 3, node >> FIRST_BITS << NODE | second >> 3]
}

#[inline(always)]
fn delayed(node: NodeId, delayed: Delayed<'_>) -> [u64; 2] {
    match delayed {
        Delayed::Expr(expr, env) => packed(EXPR, node, address(expr), address(env)),
        Delayed::Select(from, attr) => packed(SELECT, node, address(from), address(attr)),
        Delayed::Apply(fun, arg) => packed(APPLY, node, address(fun), address(arg)),
        Delayed::ApplyAttr(fun, attr) => packed(APPLY_ATTR, node, address(fun), address(attr)),
        Delayed::Native(native) => packed(NATIVE, node, address(native), 0),
    }
}

impl<'a> Thunk<'a> {
    #[inline]
    pub(crate) fn new(node: NodeId, computes: Delayed<'a>) -> Self {
        Thunk { state: Cell::new(delayed(node, computes)), content: PhantomData }
    }

    /// A thunk that is being run already, of which nothing is recorded.
    pub(crate) fn running() -> Self {
        Thunk { state: Cell::new(packed(BLACKHOLE, 0, 0, 0)), content: PhantomData }
    }

    /// The expression that the thunk waits to evaluate and its scope, where nothing is recorded of it.
    #[inline(always)]
    pub(crate) fn plain_expr(&self) -> Option<(&'a Expr<'a>, &'a Env<'a>)> {
        let [first, second] = self.state.get();
        // SAFETY: `delayed` makes the words of this kind from such references for `'a`; of a thunk
        // that is not recorded there is nothing above them but the kind.
        (first >> NODE == EXPR << (KIND - NODE) && second >> NODE == 0)
            .then(|| unsafe { (reference(first << 3), reference(second << 3)) })
    }

    /// The value, where there is one and nothing is recorded of the thunk.
    #[inline(always)]
    pub(crate) fn plain_slot(&self) -> Option<Slot<'a>> {
        let [first, second] = self.state.get();
        // SAFETY: with such a first word, the second one is a slot for `'a`.
        (first == 0).then(|| unsafe { Slot::from_bits(second) })
    }

    #[inline]
    pub(crate) fn get(&self) -> ThunkState<'a> {
        let [first, second] = self.state.get();
        let kind = first >> KIND;
        if kind == DONE {
            // SAFETY: with such a first word, the second one is a slot for `'a`.
            return ThunkState::Done(first as NodeId, unsafe { Slot::from_bits(second) }.get());
        }
        if kind == FAILED {
            return ThunkState::Failed(second as usize);
        }
        let low = first >> NODE & ((1 << FIRST_BITS) - 1);
        let node = (low | second >> NODE << FIRST_BITS) as NodeId;
        if kind == BLACKHOLE {
            return ThunkState::Blackhole(node);
        }
        let mask = (1 << NODE) - 1;
        let (first, second) = ((first & mask) << 3, (second & mask) << 3);
        // SAFETY: `delayed` makes the words of each kind from references of these types for `'a`.
        let delayed = unsafe {
            match kind {
                EXPR => Delayed::Expr(reference(first), reference(second)),
                SELECT => Delayed::Select(reference(first), reference(second)),
                APPLY => Delayed::Apply(reference(first), reference(second)),
                APPLY_ATTR => Delayed::ApplyAttr(reference(first), reference(second)),
                _ => Delayed::Native(reference(first)),
            }
        };
        ThunkState::Delayed(node, delayed)
    }

    /// The thunk has its value.
    #[inline]
    pub(crate) fn set_done(&self, node: NodeId, value: Slot<'a>) {
        self.state.set([DONE << KIND | u64::from(node), value.bits()]);
    }

    /// The thunk is being run.
    #[inline]
    pub(crate) fn set_running(&self, node: NodeId) {
        self.state.set(packed(BLACKHOLE, node, 0, 0));
    }

    /// The thunk failed, of which nothing is recorded, with the error of this number.
    pub(crate) fn set_failed(&self, error: usize) {
        self.state.set([FAILED << KIND, error as u64]);
    }

    /// The thunk waits to be run.
    #[inline]
    pub(crate) fn set_delayed(&self, node: NodeId, computes: Delayed<'a>) {
        self.state.set(delayed(node, computes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bumpalo::Bump;

    #[test]
    fn what_is_set_comes_back() {
        let arena = Bump::new();
        let slot: &Slot<'_> = arena.alloc(Slot::new(&arena, Value::Int(1)));
        let other: &Slot<'_> = arena.alloc(Slot::new(&arena, Value::Int(2)));
        for node in [0, 1, 0x7fff, 0x8000, 0xffff_fffe, NodeId::MAX] {
            let thunk = Thunk::new(node, Delayed::Apply(slot, other));
            assert!(thunk.plain_slot().is_none());
            let ThunkState::Delayed(found, Delayed::Apply(fun, arg)) = thunk.get() else {
                panic!("another state");
            };
            assert!(found == node && std::ptr::eq(fun, slot) && std::ptr::eq(arg, other));
            thunk.set_running(node);
            assert!(matches!(thunk.get(), ThunkState::Blackhole(found) if found == node));
            thunk.set_done(node, *slot);
            assert!(matches!(thunk.get(), ThunkState::Done(found, Value::Int(1)) if found == node));
            assert_eq!(thunk.plain_slot().is_some(), node == 0);
            thunk.set_failed(7);
            assert!(matches!(thunk.get(), ThunkState::Failed(7)) && thunk.plain_slot().is_none());
        }
    }
}
