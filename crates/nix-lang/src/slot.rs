//! Values as they lie in memory: in one word, where [`Value`] takes two.
//!
//! Scopes, sets, lists and thunks are most of what an evaluation keeps, so what they hold is packed:
//! four bits say what it is, and 48 bits where. The few values that are wider than that have a box.

use std::marker::PhantomData;

use bumpalo::Bump;
use nix_syntax::ast::Expr;

use crate::value::{Attrs, Closure, List, PathValue, PrimOp, PrimOpApp, Str, Thunk, Value};

/// How far the kind of a value is to the left.
const KIND: u32 = 60;

/// The bits that an address takes: user space is below 2^47 on x86-64 and 2^48 on AArch64.
const ADDRESS: u64 = (1 << 48) - 1;

/// How large an integer is in place.
const INT_BITS: u32 = 60;

const CONSTANT: u64 = 0;
const INT: u64 = 1;
const BOXED_INT: u64 = 2;
const BOXED_FLOAT: u64 = 3;
const STRING: u64 = 4;
const PATH: u64 = 5;
const LIST: u64 = 6;
const ATTRS: u64 = 7;
const LAMBDA: u64 = 8;
const PRIM_OP: u64 = 9;
const PRIM_OP_APP: u64 = 10;
const THUNK: u64 = 11;
// From here on only in scopes: variables that have neither a value nor a thunk.
const UNMADE: u64 = 12;
const HOLE: u64 = 13;

const NULL: u64 = 1;
const FALSE: u64 = 2;
const TRUE: u64 = 3;

/// A packed value.
#[derive(Clone, Copy)]
pub struct Slot<'a> {
    bits: u64,
    // As variant as what it stands for.
    value: PhantomData<Value<'a>>,
}

const _: () = assert!(size_of::<Slot<'_>>() == 8);

/// The number that stands for a reference.
#[inline(always)]
pub(crate) fn address<T>(of: &T) -> u64 {
    let address = std::ptr::from_ref(of).expose_provenance() as u64;
    debug_assert!(address <= ADDRESS);
    address
}

/// The reference that a number stands for; what is above the address is left out.
///
/// # Safety
///
/// The low bits came from [`address`] of a `T` that lives for `'a`.
#[inline(always)]
pub(crate) unsafe fn reference<'a, T>(bits: u64) -> &'a T {
    // SAFETY: as the caller promises; `address` exposed the provenance.
    unsafe { &*std::ptr::with_exposed_provenance((bits & ADDRESS) as usize) }
}

impl<'a> Slot<'a> {
    /// A variable that is being bound.
    pub(crate) const HOLE: Self = Slot::of(HOLE, 0);

    /// A variable whose value is being computed, and to which nothing refers but its scope.
    pub(crate) const RUNNING: Self = Slot::of(UNMADE, 0);

    const fn of(kind: u64, rest: u64) -> Self {
        Slot { bits: kind << KIND | rest, value: PhantomData }
    }

    /// Packs a value; numbers that do not fit go to `arena`.
    #[inline]
    pub(crate) fn new(arena: &'a Bump, value: Value<'a>) -> Self {
        // The kinds of references are numbered as the variants are: this is arithmetic, no jump.
        let (kind, address) = match value {
            Value::String(value) => (STRING, address(value)),
            Value::Path(value) => (PATH, address(value)),
            Value::List(value) => (LIST, address(value)),
            Value::Attrs(value) => (ATTRS, address(value)),
            Value::Lambda(value) => (LAMBDA, address(value)),
            Value::PrimOp(value) => (PRIM_OP, address(value)),
            Value::PrimOpApp(value) => (PRIM_OP_APP, address(value)),
            Value::Thunk(value) => (THUNK, address(value)),
            other => return Slot::plain(arena, other),
        };
        Slot::of(kind, address)
    }

    /// Packs what is no reference.
    #[inline]
    fn plain(arena: &'a Bump, value: Value<'a>) -> Self {
        match value {
            Value::Null => Slot::of(CONSTANT, NULL),
            Value::Bool(false) => Slot::of(CONSTANT, FALSE),
            Value::Bool(true) => Slot::of(CONSTANT, TRUE),
            Value::Int(value) => {
                let short = (value as u64) << (64 - INT_BITS) >> (64 - INT_BITS);
                let slot = Slot::of(INT, short);
                if slot.int() == value { slot } else { boxed_int(arena, value) }
            }
            Value::Float(value) => Slot::of(BOXED_FLOAT, address(arena.alloc(value))),
            _ => Slot::HOLE,
        }
    }

    /// A reference of one kind.
    #[inline(always)]
    fn pointing<T>(kind: u64, to: &'a T) -> Self {
        Slot::of(kind, address(to))
    }

    #[inline(always)]
    pub(crate) fn bool(value: bool) -> Self {
        Slot::of(CONSTANT, FALSE | u64::from(value))
    }

    #[inline(always)]
    pub(crate) fn string(value: &'a Str<'a>) -> Self {
        Slot::pointing(STRING, value)
    }

    #[inline(always)]
    pub(crate) fn path(value: &'a PathValue<'a>) -> Self {
        Slot::pointing(PATH, value)
    }

    #[inline(always)]
    pub(crate) fn list(value: &'a List<'a>) -> Self {
        Slot::pointing(LIST, value)
    }

    #[inline(always)]
    pub(crate) fn attrs(value: &'a Attrs<'a>) -> Self {
        Slot::pointing(ATTRS, value)
    }

    #[inline(always)]
    pub(crate) fn lambda(value: &'a Closure<'a>) -> Self {
        Slot::pointing(LAMBDA, value)
    }

    #[inline(always)]
    pub(crate) fn thunk(value: &'a Thunk<'a>) -> Self {
        Slot::pointing(THUNK, value)
    }

    /// A variable that nobody has asked for yet: it is this expression, in the scope that it is of.
    #[inline(always)]
    pub(crate) fn unmade(expr: &'a Expr<'a>) -> Self {
        Slot::pointing(UNMADE, expr)
    }

    /// The expression of a variable that nobody has asked for yet.
    #[inline(always)]
    pub(crate) fn as_unmade(self) -> Option<&'a Expr<'a>> {
        let unmade = self.bits >> KIND == UNMADE && self.bits & ADDRESS != 0;
        // SAFETY: this kind is made from references to expressions for `'a`, or with no address.
        unmade.then(|| unsafe { reference(self.bits) })
    }

    #[inline(always)]
    pub(crate) fn is_hole(self) -> bool {
        self.bits >> KIND == HOLE
    }

    /// Whether this is a value or a thunk, and not a variable that has neither.
    #[inline(always)]
    pub(crate) fn is_made(self) -> bool {
        self.bits < UNMADE << KIND
    }

    /// Whether this is a constant or an integer, and all of it: two such are equal if their words are.
    #[inline(always)]
    pub(crate) fn is_whole(self) -> bool {
        self.bits < BOXED_INT << KIND
    }

    /// The boolean that this is.
    #[inline(always)]
    pub(crate) fn as_bool(self) -> Option<bool> {
        match self.bits {
            FALSE => Some(false),
            TRUE => Some(true),
            _ => None,
        }
    }

    /// The set that this is.
    #[inline(always)]
    pub(crate) fn as_attrs(self) -> Option<&'a Attrs<'a>> {
        // SAFETY: this kind is only made from references to sets for `'a`; so below.
        (self.bits >> KIND == ATTRS).then(|| unsafe { reference(self.bits) })
    }

    /// The function that this is.
    #[inline(always)]
    pub(crate) fn as_lambda(self) -> Option<&'a Closure<'a>> {
        // SAFETY: as above.
        (self.bits >> KIND == LAMBDA).then(|| unsafe { reference(self.bits) })
    }

    /// The builtin that this is.
    #[inline(always)]
    pub(crate) fn as_prim_op(self) -> Option<&'static PrimOp> {
        // SAFETY: as above; such references are for all time.
        (self.bits >> KIND == PRIM_OP).then(|| unsafe { reference(self.bits) })
    }

    /// The thunk that this is.
    #[inline(always)]
    pub(crate) fn as_thunk(self) -> Option<&'a Thunk<'a>> {
        // SAFETY: as above.
        (self.bits >> KIND == THUNK).then(|| unsafe { reference(self.bits) })
    }

    /// The same evaluated, where it is: a thunk that is done is its value.
    #[inline(always)]
    pub(crate) fn evaluated(self) -> Option<Self> {
        if self.bits < THUNK << KIND {
            return Some(self);
        }
        self.as_thunk().and_then(Thunk::plain_slot)
    }

    /// As [`Value::has_identity`].
    #[inline(always)]
    pub(crate) fn has_identity(self) -> bool {
        match self.bits >> KIND {
            LAMBDA | PRIM_OP | PRIM_OP_APP => true,
            BOXED_FLOAT => self.get().has_identity(),
            _ => false,
        }
    }

    #[inline]
    fn int(self) -> i64 {
        (self.bits << (64 - INT_BITS)) as i64 >> (64 - INT_BITS)
    }

    /// The value.
    #[inline]
    #[must_use]
    pub fn get(self) -> Value<'a> {
        let bits = self.bits;
        if bits < STRING << KIND {
            return self.get_plain();
        }
        // SAFETY: each kind is only made by `new`, from a reference of that type for `'a`.
        unsafe {
            match bits >> KIND {
                STRING => Value::String(reference::<Str<'a>>(bits)),
                PATH => Value::Path(reference::<PathValue<'a>>(bits)),
                LIST => Value::List(reference::<List<'a>>(bits)),
                ATTRS => Value::Attrs(reference::<Attrs<'a>>(bits)),
                LAMBDA => Value::Lambda(reference::<Closure<'a>>(bits)),
                PRIM_OP => Value::PrimOp(reference::<PrimOp>(bits)),
                PRIM_OP_APP => Value::PrimOpApp(reference::<PrimOpApp<'a>>(bits)),
                THUNK => Value::Thunk(reference::<Thunk<'a>>(bits)),
                _ => Value::Hole,
            }
        }
    }

    /// The value of what is no reference.
    #[inline]
    fn get_plain(self) -> Value<'a> {
        match self.bits >> KIND {
            INT => Value::Int(self.int()),
            // SAFETY: this kind is only made from references to such numbers for `'a`.
            BOXED_INT => Value::Int(unsafe { *reference(self.bits) }),
            // SAFETY: as above.
            BOXED_FLOAT => Value::Float(unsafe { *reference(self.bits) }),
            _ => match self.bits {
                NULL => Value::Null,
                FALSE => Value::Bool(false),
                TRUE => Value::Bool(true),
                _ => Value::Hole,
            },
        }
    }

    /// The word itself.
    #[inline]
    pub(crate) fn bits(self) -> u64 {
        self.bits
    }

    /// The slot that a word was.
    ///
    /// # Safety
    ///
    /// The word came from [`Slot::bits`] of a slot for `'a`.
    #[inline]
    pub(crate) unsafe fn from_bits(bits: u64) -> Self {
        Slot { bits, value: PhantomData }
    }
}

#[cold]
fn boxed_int(arena: &Bump, value: i64) -> Slot<'_> {
    Slot::of(BOXED_INT, address(arena.alloc(value)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn back<'a>(arena: &'a Bump, value: Value<'a>) -> String {
        match Slot::new(arena, value).get() {
            Value::Int(value) => value.to_string(),
            Value::Float(value) => value.to_bits().to_string(),
            Value::Bool(value) => value.to_string(),
            other => other.type_name().to_owned(),
        }
    }

    proptest! {
        #[test]
        fn numbers_come_back(int: i64, shift in 0u32..64, bits: u64) {
            prop_assert_eq!(back(&Bump::new(), Value::Int(int >> shift)), (int >> shift).to_string());
            prop_assert_eq!(back(&Bump::new(), Value::Float(f64::from_bits(bits))), bits.to_string());
        }
    }

    #[test]
    fn edges_come_back() {
        for int in
            [i64::MIN, i64::MAX, -1, 0, 1, 1 << 59, (1 << 59) - 1, -(1 << 59), -(1 << 59) - 1]
        {
            assert_eq!(back(&Bump::new(), Value::Int(int)), int.to_string());
        }
        assert_eq!(back(&Bump::new(), Value::Null), "null");
        assert_eq!(back(&Bump::new(), Value::Bool(true)), "true");
        assert_eq!(back(&Bump::new(), Value::Bool(false)), "false");
        assert!(matches!(Slot::HOLE.get(), Value::Hole));
    }
}
