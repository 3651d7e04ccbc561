//! Values: 16 bytes, `Copy`, everything behind them in the arena of the evaluator.

use std::cell::Cell;

use crate::Evaluator;
use crate::context::Ctx;
use crate::error::Result;
use crate::source::{self, Pos};
use nix_syntax::ast::{Expr, Lambda};
use nix_syntax::{Place, Symbol as Sym};

/// A Nix value. List elements and attributes may be [`Value::Thunk`]: not evaluated yet.
#[derive(Clone, Copy)]
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
pub struct Str<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) ctx: Ctx,
}

impl<'a> Str<'a> {
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
pub struct PathValue<'a> {
    pub(crate) bytes: &'a [u8],
}

impl<'a> PathValue<'a> {
    /// The bytes of the path.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }
}

/// A list.
pub struct List<'a> {
    pub(crate) items: &'a [Value<'a>],
}

impl<'a> List<'a> {
    /// The elements, perhaps not evaluated.
    #[must_use]
    pub fn items(&self) -> &'a [Value<'a>] {
        self.items
    }
}

/// One attribute of a set.
#[derive(Clone, Copy)]
pub struct Attr<'a> {
    pub(crate) name: Sym,
    pub(crate) place: Place,
    pub(crate) value: Value<'a>,
}

const _: () = assert!(size_of::<Attr<'_>>() == 24);

impl Attr<'_> {
    #[inline]
    pub(crate) fn pos(&self) -> Pos {
        source::at(self.place)
    }
}

/// An attribute set: attributes sorted by symbol, over those of another set.
///
/// A small update of a large set is a layer, as long as attributes are only looked up; whoever
/// wants them all gets them from `Evaluator::entries`, which makes one run of them, once.
pub struct Attrs<'a> {
    own: Cell<&'a [Attr<'a>]>,
    /// Attributes that count where `own` has none of the name.
    below: Cell<Option<&'a Attrs<'a>>>,
}

impl<'a> Attrs<'a> {
    pub(crate) fn new(entries: &'a [Attr<'a>]) -> Self {
        Attrs { own: Cell::new(entries), below: Cell::new(None) }
    }

    /// `below // own`.
    pub(crate) fn layer(own: &'a [Attr<'a>], below: &'a Attrs<'a>) -> Self {
        Attrs { own: Cell::new(own), below: Cell::new(Some(below)) }
    }

    /// The attributes of this layer, and what is below.
    pub(crate) fn parts(&self) -> (&'a [Attr<'a>], Option<&'a Attrs<'a>>) {
        (self.own.get(), self.below.get())
    }

    /// From now on all attributes are in one run.
    pub(crate) fn flattened(&self, entries: &'a [Attr<'a>]) {
        self.own.set(entries);
        self.below.set(None);
    }

    #[inline]
    pub(crate) fn get(&self, name: Sym) -> Option<&'a Attr<'a>> {
        let entries = self.own.get();
        let found = if entries.len() <= 8 {
            entries.iter().find(|attr| attr.name == name)
        } else {
            entries.binary_search_by_key(&name, |attr| attr.name).ok().map(|at| &entries[at])
        };
        match (found, self.below.get()) {
            (None, Some(below)) => below.get(name),
            _ => found,
        }
    }

    pub(crate) fn value(&self, name: Sym) -> Option<Value<'a>> {
        self.get(name).map(|attr| attr.value)
    }

    /// Whether the set has no attributes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.own.get().is_empty() && self.below.get().is_none_or(Attrs::is_empty)
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
}

/// A builtin applied to fewer arguments than it takes.
pub struct PrimOpApp<'a> {
    pub(crate) op: &'static PrimOp,
    pub(crate) args: &'a [Value<'a>],
}

/// A suspended computation.
pub struct Thunk<'a> {
    pub(crate) state: Cell<ThunkState<'a>>,
}

/// What a thunk computes.
#[derive(Clone, Copy)]
pub(crate) enum Delayed<'a> {
    Expr(&'a Expr<'a>, &'a Env<'a>),
    /// One attribute out of a set that several names inherit from.
    Select(&'a InheritFrom<'a>),
    /// A function applied to an argument.
    Apply(&'a Value<'a>, &'a Value<'a>),
    /// A function applied to the name and the value of an attribute.
    ApplyAttr(&'a Value<'a>, &'a Attr<'a>),
    /// A function applied to a number.
    ApplyInt(&'a Value<'a>, i64),
    /// Something that Rust code computes when first asked.
    Native(&'a Native<'a>),
}

/// The record that warm evaluation keeps of a thunk; 0 where nothing is recorded.
pub(crate) type NodeId = u32;

/// What a thunk holds. The record's number is in each variant so that the whole stays three words.
#[derive(Clone, Copy)]
pub(crate) enum ThunkState<'a> {
    Done(NodeId, Value<'a>),
    Expr(NodeId, &'a Expr<'a>, &'a Env<'a>),
    Select(NodeId, &'a InheritFrom<'a>),
    Apply(NodeId, &'a Value<'a>, &'a Value<'a>),
    ApplyAttr(NodeId, &'a Value<'a>, &'a Attr<'a>),
    ApplyInt(NodeId, &'a Value<'a>, i64),
    Native(NodeId, &'a Native<'a>),
    Blackhole(NodeId),
}

const _: () = assert!(size_of::<ThunkState<'_>>() == 24);

impl<'a> ThunkState<'a> {
    #[inline]
    pub(crate) fn delayed(node: NodeId, delayed: Delayed<'a>) -> Self {
        match delayed {
            Delayed::Expr(expr, env) => ThunkState::Expr(node, expr, env),
            Delayed::Select(select) => ThunkState::Select(node, select),
            Delayed::Apply(fun, arg) => ThunkState::Apply(node, fun, arg),
            Delayed::ApplyAttr(fun, attr) => ThunkState::ApplyAttr(node, fun, attr),
            Delayed::ApplyInt(fun, number) => ThunkState::ApplyInt(node, fun, number),
            Delayed::Native(native) => ThunkState::Native(node, native),
        }
    }

    #[inline]
    pub(crate) fn node(self) -> NodeId {
        match self {
            ThunkState::Done(node, _)
            | ThunkState::Expr(node, ..)
            | ThunkState::Select(node, _)
            | ThunkState::Apply(node, ..)
            | ThunkState::ApplyAttr(node, ..)
            | ThunkState::ApplyInt(node, ..)
            | ThunkState::Native(node, _)
            | ThunkState::Blackhole(node) => node,
        }
    }
}

pub(crate) struct InheritFrom<'a> {
    pub(crate) from: Value<'a>,
    pub(crate) name: Sym,
    pub(crate) pos: Pos,
}

pub(crate) struct Native<'a> {
    pub(crate) run: PrimFn,
    pub(crate) args: &'a [Value<'a>],
}

/// The variables of one scope.
pub struct Env<'a> {
    pub(crate) up: Option<&'a Env<'a>>,
    pub(crate) slots: &'a [Cell<Value<'a>>],
}

impl<'a> Env<'a> {
    #[inline]
    pub(crate) fn at(&'a self, level: u32) -> &'a Env<'a> {
        let mut env = self;
        for _ in 0..level {
            match env.up {
                Some(up) => env = up,
                None => return env,
            }
        }
        env
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
