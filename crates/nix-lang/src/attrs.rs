//! Attribute sets as they lie in memory.

use std::alloc::Layout;
use std::cell::Cell;
use std::marker::PhantomData;

use bumpalo::Bump;
use nix_syntax::ast::{self, AttrSet};
use nix_syntax::{Place, Symbol};

use crate::run::Run;
use crate::slot::{self, Slot};
use crate::source::{self, Pos};
use crate::value::Value;

/// One attribute of a set.
#[derive(Clone, Copy)]
pub struct Attr<'a> {
    pub(crate) name: Symbol,
    pub(crate) place: Place,
    pub(crate) slot: Slot<'a>,
}

const _: () = assert!(size_of::<Attr<'_>>() == 16);

impl<'a> Attr<'a> {
    #[inline]
    pub(crate) fn value(&self) -> Value<'a> {
        self.slot.get()
    }

    #[inline]
    pub(crate) fn pos(&self) -> Pos {
        source::at(self.place)
    }
}

/// An attribute set, whose attributes are sorted by symbol.
///
/// One that is as the source says it has its values behind it, and names and places in the syntax tree.
/// A small update of a large set is a layer, as long as attributes are only looked up. Whoever wants all
/// attributes gets them from `Evaluator::entries`, which makes one run of them, once.
#[repr(C)]
pub struct Attrs<'a> {
    /// A run of attributes; with [`WRITTEN`], the address of an `AttrSet`, whose values follow; with
    /// [`LAYER`], the address of another set, and that of the one below it follows.
    head: Cell<u64>,
    // As variant as what it stands for.
    content: PhantomData<(Run<'a, Attr<'a>>, Cell<&'a Attr<'a>>)>,
}

const WORD: usize = size_of::<u64>();

const _: () = assert!(size_of::<Attrs<'_>>() == WORD && align_of::<Attrs<'_>>() == WORD);
const _: () = assert!(size_of::<Slot<'_>>() == WORD);
// So that the lowest bits of addresses are free.
const _: () = assert!(align_of::<Attr<'_>>() == 8 && align_of::<AttrSet<'_>>() == 8);

const LAYER: u64 = 1;
const WRITTEN: u64 = 2;

/// What a set is made of.
#[derive(Clone, Copy)]
pub(crate) enum Parts<'a> {
    Run(&'a [Attr<'a>]),
    /// Names and places, and as many values.
    Written(&'a [ast::Attr<'a>], &'a [Slot<'a>]),
    /// The attributes of the first set, and those of the second one that the first one has not.
    Layer(&'a Attrs<'a>, &'a Attrs<'a>),
}

impl<'a> Attrs<'a> {
    pub(crate) fn new(arena: &'a Bump, entries: &'a [Attr<'a>]) -> &'a Self {
        let head = Cell::new(Run::new(arena, entries).bits());
        arena.alloc(Attrs { head, content: PhantomData })
    }

    /// A set with the names of `set` and these values.
    #[inline]
    pub(crate) fn written(
        arena: &'a Bump,
        set: &'a AttrSet<'a>,
        values: impl Iterator<Item = Slot<'a>>,
    ) -> &'a Self {
        let count = set.attrs.len();
        let layout =
            Layout::from_size_align((1 + count) * WORD, WORD).expect("a set fits into memory");
        let first = arena.alloc_layout(layout).cast::<u64>();
        let address = first.as_ptr().expose_provenance();
        let mut values = values;
        // SAFETY: the allocation has room for the head and for `count` slots, each of which is a word;
        // what the iterator leaves out is filled, so that all of it is initialised.
        unsafe {
            first.write(slot::address(set) | WRITTEN);
            for at in 0..count {
                first.add(1 + at).cast::<Slot<'a>>().write(values.next().unwrap_or(Slot::HOLE));
            }
            &*std::ptr::with_exposed_provenance(address)
        }
    }

    /// `below // over`.
    pub(crate) fn layer(arena: &'a Bump, over: &'a Attrs<'a>, below: &'a Attrs<'a>) -> &'a Self {
        let words = [slot::address(over) | LAYER, slot::address(below)];
        let words: &'a mut [u64; 2] = arena.alloc(words);
        let address = std::ptr::from_mut(words).expose_provenance();
        // SAFETY: a set is its first word, and more where that says so; both are initialised, live
        // for `'a`, and are reached through the set only.
        unsafe { &*std::ptr::with_exposed_provenance(address) }
    }

    /// What the set is made of.
    #[inline(always)]
    pub(crate) fn parts(&self) -> Parts<'a> {
        let head = self.head.get();
        let behind = std::ptr::from_ref(self).addr() + WORD;
        // SAFETY: a head without the lowest bits is that of a run for `'a`. With them, the set was made by
        // `written` or `layer`, which exposed what is behind it: addresses and slots for `'a`.
        unsafe {
            if head & (LAYER | WRITTEN) == 0 {
                Parts::Run(Run::from_bits(head).get())
            } else if head & WRITTEN != 0 {
                let set: &'a AttrSet<'a> = slot::reference(head & !WRITTEN);
                let values = std::ptr::with_exposed_provenance(behind);
                Parts::Written(set.attrs, std::slice::from_raw_parts(values, set.attrs.len()))
            } else {
                let below = *std::ptr::with_exposed_provenance::<u64>(behind);
                Parts::Layer(slot::reference(head & !LAYER), slot::reference(below))
            }
        }
    }

    /// From now on all attributes are in one run.
    pub(crate) fn flattened(&self, arena: &'a Bump, entries: &'a [Attr<'a>]) {
        self.head.set(Run::new(arena, entries).bits());
    }

    /// The attribute of this name.
    #[inline]
    pub(crate) fn get(&self, name: Symbol) -> Option<Attr<'a>> {
        match self.parts() {
            Parts::Run(entries) => find(entries, name, |attr| attr.name).map(|at| entries[at]),
            Parts::Written(attrs, slots) => {
                let at = find(attrs, name, |attr| attr.name)?;
                Some(Attr { name, place: attrs[at].place, slot: slots[at] })
            }
            Parts::Layer(over, below) => over.get(name).or_else(|| below.get(name)),
        }
    }

    /// What is kept under this name; [`Slot::HOLE`] where there is nothing.
    #[inline]
    pub(crate) fn slot(&self, name: Symbol) -> Slot<'a> {
        let mut set = self;
        // What lies over something is no layer itself.
        while let Parts::Layer(over, below) = set.parts() {
            let slot = over.own_slot(name);
            if !slot.is_hole() {
                return slot;
            }
            set = below;
        }
        set.own_slot(name)
    }

    /// As [`Attrs::slot`], of a set that is no layer.
    #[inline(always)]
    fn own_slot(&self, name: Symbol) -> Slot<'a> {
        match self.parts() {
            Parts::Run(entries) => {
                find(entries, name, |attr| attr.name).map_or(Slot::HOLE, |at| entries[at].slot)
            }
            Parts::Written(attrs, slots) => {
                find(attrs, name, |attr| attr.name).map_or(Slot::HOLE, |at| slots[at])
            }
            Parts::Layer(..) => Slot::HOLE,
        }
    }

    /// Whether there is an attribute of this name.
    #[inline]
    pub(crate) fn has(&self, name: Symbol) -> bool {
        !self.slot(name).is_hole()
    }

    pub(crate) fn value(&self, name: Symbol) -> Option<Value<'a>> {
        let slot = self.slot(name);
        (!slot.is_hole()).then(|| slot.get())
    }

    /// Whether the set has no attributes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match self.parts() {
            Parts::Run(entries) => entries.is_empty(),
            Parts::Written(attrs, _) => attrs.is_empty(),
            Parts::Layer(over, below) => over.is_empty() && below.is_empty(),
        }
    }
}

/// Where a name is among sorted ones.
#[inline(always)]
fn find<T>(items: &[T], name: Symbol, name_of: impl Fn(&T) -> Symbol) -> Option<usize> {
    if items.len() <= 8 {
        items.iter().position(|item| name_of(item) == name)
    } else {
        items.binary_search_by_key(&name, name_of).ok()
    }
}
