//! The resolved syntax tree: what the evaluator walks.
//!
//! Nodes live in the arena of their owner and are plain shared references, so a thunk is `(&Expr, environment)`.
//!
//! # Environments
//!
//! Names are resolved while parsing. At run time an environment is a chain of frames; these make a frame, and nothing else:
//!
//! * [`ExprKind::Let`]: one slot per [`AttrSet::attrs`], in that order;
//! * [`ExprKind::Attrs`] with [`AttrSet::recursive`] set: the same;
//! * the body and the defaults of a [`Lambda`]: the whole argument first when [`Lambda::arg`] is there, then one slot per formal in order;
//! * the body of [`With`]: one slot, the (unforced) namespace.
//!
//! `level` counts frames outwards from the innermost (0). A file is evaluated in an empty chain, or in one frame when
//! [`crate::Options::outer`] names variables (`scopedImport`, a prompt).

use std::cell::Cell;

use crate::source::{Place, Span};
use crate::symbol::Symbol;

/// An expression and its place.
#[derive(Clone, Copy, Debug)]
pub struct Expr<'a> {
    /// What it is.
    pub kind: ExprKind<'a>,
    /// Where it stands.
    pub span: Span,
}

// There are more of these than of all else in a tree: what is wider than a word is behind a reference.
const _: () = assert!(size_of::<Expr<'_>>() == 24);

/// The kinds of expressions.
#[derive(Clone, Copy, Debug)]
pub enum ExprKind<'a> {
    /// `1`
    Int(i64),
    /// `1.5`
    Float(f64),
    /// A string without interpolation (also a URI literal), escapes and indentation resolved.
    Str(&'a Literal<'a>),
    /// A string with interpolation; the result is a string also when there is one part only.
    Interpolated(&'a &'a [StrPart<'a>]),
    /// A path literal: absolute and canonical.
    Path(&'a Literal<'a>),
    /// A path with interpolation: join the parts, then canonicalise. The first part is text: absolute, its trailing `/` kept.
    /// Text in parts may not carry context.
    InterpolatedPath(&'a &'a [StrPart<'a>]),
    /// `<nixpkgs/lib>`
    SearchPath(&'a SearchPath<'a>),
    /// A variable bound in the file: `level` frames outwards, slot `index`.
    Local {
        /// Frames outwards from the innermost.
        level: u32,
        /// Slot in that frame.
        index: u32,
    },
    /// A variable of [`crate::Globals`], by its index there.
    Global(u32),
    /// A variable that only an enclosing `with` can give.
    WithVar(&'a WithVar<'a>),
    /// `[ a b ]`
    List(&'a &'a [&'a Expr<'a>]),
    /// `{ … }` and `rec { … }`
    Attrs(&'a AttrSet<'a>),
    /// `let … in body`
    Let(&'a Let<'a>),
    /// `x: …`, `{ a, b ? 1, ... } @ args: …`
    Lambda(&'a Lambda<'a>),
    /// `f a b`
    Call(&'a Call<'a>),
    /// `e.a.b or d`
    Select(&'a Select<'a>),
    /// `e ? a.b`
    HasAttr(&'a HasAttr<'a>),
    /// `if c then a else b`
    If(&'a If<'a>),
    /// `with e; body`
    With(&'a With<'a>),
    /// `assert c; body`
    Assert(&'a Assert<'a>),
    /// `!e`
    Not(&'a Expr<'a>),
    /// `-e` (that is `0 - e`)
    Negate(&'a Expr<'a>),
    /// `a OP b`
    Binary(&'a Binary<'a>),
    /// `__curPos`: the place of this expression as a set.
    CurPos,
}

/// A text of the source: laid out so that the evaluator can use it as the value that it stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Literal<'a> {
    /// What it says.
    pub bytes: &'a [u8],
    /// The number of its context: none.
    pub context: u32,
    /// For the evaluator, which notes here the symbol of this name; 0 at first.
    pub symbol: Cell<u32>,
}

/// A variable that an enclosing `with` may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WithVar<'a> {
    /// The name to look for.
    pub name: Symbol,
    /// Levels of the frames of the enclosing `with`s, innermost first; never empty.
    pub withs: &'a [u32],
}

/// A part of a string or path.
#[derive(Clone, Copy, Debug)]
pub enum StrPart<'a> {
    /// Text.
    Text(&'a [u8]),
    /// `${e}`
    Expr(&'a Expr<'a>),
}

/// `<path>`: the same as `find_file nix_path "path"`.
#[derive(Clone, Copy, Debug)]
pub struct SearchPath<'a> {
    /// The variable `__findFile` (mostly the global one).
    pub find_file: &'a Expr<'a>,
    /// The variable `__nixPath` (mostly the global one).
    pub nix_path: &'a Expr<'a>,
    /// The text between the angle brackets.
    pub path: &'a [u8],
}

/// The bindings of a set or a `let`.
#[derive(Clone, Copy, Debug)]
pub struct AttrSet<'a> {
    /// Whether a frame is made and values see each other (always true in a `let`).
    pub recursive: bool,
    /// Attributes with known names, merged, without duplicates, ascending by symbol.
    pub attrs: &'a [Attr<'a>],
    /// The `e` of each `inherit (e) …`; each is to be evaluated at most once. In the inner environment when recursive.
    pub sources: &'a [&'a Expr<'a>],
    /// Attributes whose names are computed, in source order; name and value in the inner environment when recursive.
    pub dynamic: &'a [DynamicAttr<'a>],
}

impl AttrSet<'_> {
    /// Whether this is `{ }`, or `rec { }`.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.attrs.is_empty() && self.dynamic.is_empty()
    }
}

/// An attribute with a known name.
#[derive(Clone, Copy, Debug)]
pub struct Attr<'a> {
    /// The name.
    pub name: Symbol,
    /// The value.
    pub value: AttrValue<'a>,
    /// Place of the name (of the whole attribute path): what `unsafeGetAttrPos` reports.
    pub place: Place,
}

/// How an attribute gets its value.
#[derive(Clone, Copy, Debug)]
pub enum AttrValue<'a> {
    /// `a = e;` in the inner environment when recursive.
    Plain(&'a Expr<'a>),
    /// `inherit a;` a variable of the OUTER environment, also when recursive.
    Inherited(&'a Expr<'a>),
    /// `inherit (e) a;` attribute `a` of [`AttrSet::sources`] at this index.
    From(u32),
}

/// `${name} = value;`
#[derive(Clone, Copy, Debug)]
pub struct DynamicAttr<'a> {
    /// The expression of the name; a null name leaves the attribute out.
    pub name: &'a Expr<'a>,
    /// The value.
    pub value: &'a Expr<'a>,
    /// Place of the attribute path.
    pub place: Place,
}

/// `let bindings in body`
#[derive(Clone, Copy, Debug)]
pub struct Let<'a> {
    /// Recursive and without dynamic attributes.
    pub bindings: AttrSet<'a>,
    /// The body, inside the frame.
    pub body: &'a Expr<'a>,
}

/// A function.
#[derive(Clone, Copy, Debug)]
pub struct Lambda<'a> {
    /// The name of the attribute that it was bound to, for messages.
    pub name: Option<Symbol>,
    /// The name of the whole argument.
    pub arg: Option<Symbol>,
    /// The set pattern.
    pub formals: Option<Formals<'a>>,
    /// The body, inside the frame.
    pub body: &'a Expr<'a>,
    /// Place of the head, without the body.
    pub head: Span,
    /// How many functions there are, each the whole body of the one before, this one included.
    pub chain: u8,
    /// Which arguments of a call with `chain` arguments are looked at but not kept: nothing refers to
    /// them as they were given once there is a result. The lowest bit stands for the first.
    pub lends: u8,
    /// Levels, seen from the innermost body of the chain, whose variables it hands on.
    pub hands_on: u32,
}

impl Lambda<'_> {
    /// How many slots its frame has.
    pub fn slots(&self) -> usize {
        usize::from(self.arg.is_some()) + self.formals.map_or(0, |f| f.list.len())
    }
}

/// `{ a, b ? 1, ... }`
#[derive(Clone, Copy, Debug)]
pub struct Formals<'a> {
    /// The formals, ascending by symbol.
    pub list: &'a [Formal<'a>],
    /// Whether further attributes are allowed.
    pub ellipsis: bool,
}

/// One formal.
#[derive(Clone, Copy, Debug)]
pub struct Formal<'a> {
    /// The name.
    pub name: Symbol,
    /// The default, inside the frame.
    pub default: Option<&'a Expr<'a>>,
    /// Place of the name.
    pub place: Place,
}

/// A call with all arguments that were written after each other.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// The function.
    pub function: &'a Expr<'a>,
    /// One or more arguments.
    pub args: &'a [&'a Expr<'a>],
}

/// One name of an attribute path.
#[derive(Clone, Copy, Debug)]
pub enum AttrName<'a> {
    /// Known.
    Static(Symbol),
    /// Computed.
    Dynamic(&'a Expr<'a>),
}

/// `subject.path or default`
#[derive(Clone, Copy, Debug)]
pub struct Select<'a> {
    /// The set.
    pub subject: &'a Expr<'a>,
    /// One or more names.
    pub path: &'a [AttrName<'a>],
    /// Used when an attribute is missing or something on the way is not a set.
    pub default: Option<&'a Expr<'a>>,
}

/// `subject ? path`
#[derive(Clone, Copy, Debug)]
pub struct HasAttr<'a> {
    /// The set.
    pub subject: &'a Expr<'a>,
    /// One or more names.
    pub path: &'a [AttrName<'a>],
}

/// `if condition then yes else no`
#[derive(Clone, Copy, Debug)]
pub struct If<'a> {
    /// The condition.
    pub condition: &'a Expr<'a>,
    /// When true.
    pub yes: &'a Expr<'a>,
    /// When false.
    pub no: &'a Expr<'a>,
}

/// `with namespace; body`
#[derive(Clone, Copy, Debug)]
pub struct With<'a> {
    /// The set, outside the frame.
    pub namespace: &'a Expr<'a>,
    /// The body, inside the frame.
    pub body: &'a Expr<'a>,
}

/// `assert condition; body`
#[derive(Clone, Copy, Debug)]
pub struct Assert<'a> {
    /// The condition; its place gives the text for messages.
    pub condition: &'a Expr<'a>,
    /// The body.
    pub body: &'a Expr<'a>,
}

/// `left OP right`
#[derive(Clone, Copy, Debug)]
pub struct Binary<'a> {
    /// The operator.
    pub op: BinaryOp,
    /// Left operand.
    pub left: &'a Expr<'a>,
    /// Right operand.
    pub right: &'a Expr<'a>,
    /// Place of the operator.
    pub op_span: Span,
}

/// Operators with two operands. `>` and `>=`, `<=` are kept as written: `a > b` is `b < a`, `a <= b` is `!(b < a)`.
///
/// Where a file binds `__sub`, `__mul`, `__div` or `__lessThan` itself, the tree has a [`Call`] of that variable instead, as in C++ Nix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BinaryOp {
    /// `->`
    Implies,
    /// `||`
    Or,
    /// `&&`
    And,
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `//`
    Update,
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`
    Divide,
    /// `++`
    Concat,
}
