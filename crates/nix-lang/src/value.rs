//! Values: 16 bytes, `Copy`, everything behind them in the arena of the evaluator; where they are kept,
//! they are packed into [`Slot`]s.

use std::cell::Cell;

use bumpalo::Bump;

use crate::Evaluator;
use crate::context::Ctx;
use crate::error::Result;
use crate::run::Run;
use crate::slot::Slot;
use crate::source::Pos;

pub use crate::attrs::{Attr, Attrs};
pub use crate::scope::Env;
pub use crate::thunk::Thunk;
pub(crate) use crate::thunk::{Delayed, Native, NodeId, ThunkState};

use nix_syntax::ast::{Lambda, Literal};

/// A Nix value. List elements and attributes may be [`Value::Thunk`]: not evaluated yet.
// Two whole words: a tag of one byte would be copied apart from the seven bytes behind it.
#[derive(Clone, Copy)]
#[repr(u64)]
pub enum Value<'a> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A floating point number.
    Float(f64),
    /// A string with its context.
    String(&'a Str<'a>),
    /// An absolute path.
    Path(&'a PathValue<'a>),
    /// A list.
    List(&'a List<'a>),
    /// An attribute set.
    Attrs(&'a Attrs<'a>),
    /// A function written in Nix.
    Lambda(&'a Closure<'a>),
    /// A builtin function.
    PrimOp(&'static PrimOp),
    /// A builtin function with some of its arguments.
    PrimOpApp(&'a PrimOpApp<'a>),
    /// Something not evaluated yet.
    Thunk(&'a Thunk<'a>),
    /// A variable that is being bound; never seen outside of the binding code.
    #[doc(hidden)]
    Hole,
}

/// A string: bytes and the id of its context.
#[repr(C)]
pub struct Str<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) ctx: Ctx,
    /// The number of the symbol of this name and one more, where it was asked for.
    pub(crate) symbol: Cell<u32>,
}

const _: () = assert!(
    size_of::<Str<'_>>() == size_of::<Literal<'_>>()
        && std::mem::offset_of!(Str<'_>, bytes) == std::mem::offset_of!(Literal<'_>, bytes)
        && std::mem::offset_of!(Str<'_>, ctx) == std::mem::offset_of!(Literal<'_>, context)
        && std::mem::offset_of!(Str<'_>, symbol) == std::mem::offset_of!(Literal<'_>, symbol)
);

impl<'a> Str<'a> {
    /// The string that the source says, which has no context.
    #[inline]
    pub(crate) fn of_literal(literal: &'a Literal<'a>) -> &'a Self {
        // SAFETY: both are laid out by the rules of C and have the same fields in the same places:
        // a slice, a number that `Ctx` is nothing but, and one that may change.
        unsafe { &*std::ptr::from_ref(literal).cast() }
    }

    pub(crate) fn new(bytes: &'a [u8], ctx: Ctx) -> Self {
        Str { bytes, ctx, symbol: Cell::new(0) }
    }

    /// The bytes of the string.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The text, with bytes that are not UTF-8 replaced.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(self.bytes).into_owned()
    }

    /// The id of the context.
    #[must_use]
    pub fn context(&self) -> Ctx {
        self.ctx
    }
}

/// A path value: absolute and canonical bytes.
#[repr(transparent)]
pub struct PathValue<'a> {
    pub(crate) bytes: &'a [u8],
}

impl<'a> PathValue<'a> {
    /// The path that the source says.
    #[inline]
    pub(crate) fn of_literal(literal: &'a Literal<'a>) -> &'a Self {
        // SAFETY: a path is nothing but a slice of bytes.
        unsafe { &*std::ptr::from_ref(&literal.bytes).cast() }
    }

    /// The bytes of the path.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }
}

/// A list.
pub struct List<'a> {
    run: Run<'a, Slot<'a>>,
}

impl<'a> List<'a> {
    pub(crate) fn new(arena: &'a Bump, items: &'a [Slot<'a>]) -> Self {
        List { run: Run::new(arena, items) }
    }

    /// The elements as they are kept.
    #[inline]
    pub(crate) fn slots(&self) -> &'a [Slot<'a>] {
        self.run.get()
    }

    /// The elements, perhaps not evaluated.
    #[must_use]
    pub fn items(&self) -> impl ExactSizeIterator<Item = Value<'a>> + use<'a> {
        self.slots().iter().map(|item| item.get())
    }
}

/// A function written in Nix with the variables it closes over.
pub struct Closure<'a> {
    pub(crate) lambda: &'a Lambda<'a>,
    pub(crate) env: &'a Env<'a>,
}

/// The implementation of a builtin.
pub(crate) type PrimFn = for<'a> fn(&Evaluator<'a>, &[Value<'a>], Pos) -> Result<Value<'a>>;

/// A builtin function.
pub struct PrimOp {
    pub(crate) name: &'static str,
    pub(crate) arity: usize,
    pub(crate) run: PrimFn,
    /// Which arguments it evaluates and does not keep as they were given; the lowest bit is the first.
    pub(crate) lends: u8,
}

/// A builtin applied to fewer arguments than it takes.
pub struct PrimOpApp<'a> {
    pub(crate) op: &'static PrimOp,
    args: Run<'a, Slot<'a>>,
}

impl<'a> PrimOpApp<'a> {
    pub(crate) fn new(arena: &'a Bump, op: &'static PrimOp, args: &'a [Slot<'a>]) -> Self {
        PrimOpApp { op, args: Run::new(arena, args) }
    }

    pub(crate) fn args(&self) -> &'a [Slot<'a>] {
        self.args.get()
    }
}

impl<'a> Value<'a> {
    /// The name of the type as `builtins.typeOf` says it.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Bool(_) => "bool",
            Value::Int(_) => "int",
            Value::Float(_) => "float",
            Value::String(_) => "string",
            Value::Path(_) => "path",
            Value::List(_) => "list",
            Value::Attrs(_) => "set",
            Value::Lambda(_) | Value::PrimOp(_) | Value::PrimOpApp(_) => "lambda",
            Value::Thunk(_) | Value::Hole => "thunk",
        }
    }

    /// The type with its article, for messages.
    pub(crate) fn described(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Bool(_) => "a Boolean",
            Value::Int(_) => "an integer",
            Value::Float(_) => "a float",
            Value::String(string) if !string.ctx.is_empty() => "a string with context",
            Value::String(_) => "a string",
            Value::Path(_) => "a path",
            Value::List(_) => "a list",
            Value::Attrs(_) => "a set",
            Value::Lambda(_) => "a function",
            Value::PrimOp(_) => "a built-in function",
            Value::PrimOpApp(_) => "a partially applied built-in function",
            Value::Thunk(_) | Value::Hole => "a thunk",
        }
    }

    /// Whether a copy of the value is not equal to it where lists and sets are compared: such a
    /// one stays the thunk that it is the value of.
    #[inline]
    pub(crate) fn has_identity(&self) -> bool {
        match self {
            Value::Lambda(_) | Value::PrimOp(_) | Value::PrimOpApp(_) => true,
            Value::Float(number) => number.is_nan(),
            _ => false,
        }
    }

    /// Whether the value can be called without looking for `__functor`.
    #[must_use]
    pub fn is_function(&self) -> bool {
        matches!(self, Value::Lambda(_) | Value::PrimOp(_) | Value::PrimOpApp(_))
    }
}

impl std::fmt::Debug for Value<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "«{}»", self.type_name())
    }
}
