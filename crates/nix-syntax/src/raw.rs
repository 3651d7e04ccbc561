//! The tree as parsed, before names are resolved: attribute sets can still be merged into.

use std::collections::HashMap;

use rustc_hash::FxBuildHasher;

use crate::ast::BinaryOp;

/// A node, by its place in [`Raw::nodes`].
pub(crate) type NodeId = u32;
/// A set, by its place in [`Raw::sets`].
pub(crate) type SetId = u32;
/// A name, numbered within the file.
pub(crate) type Name = u32;

/// A run in one of the pools.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    pub(crate) start: u32,
    pub(crate) len: u32,
}

impl Run {
    pub(crate) fn of<T>(self, pool: &[T]) -> &[T] {
        &pool[self.start as usize..][..self.len as usize]
    }
}

/// Moves `stack[from..]` to the end of `pool`.
pub(crate) fn pool_run<T>(pool: &mut Vec<T>, stack: &mut Vec<T>, from: usize) -> Run {
    let run = Run { start: pool.len() as u32, len: (stack.len() - from) as u32 };
    pool.extend(stack.drain(from..));
    run
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Node<'a> {
    pub(crate) kind: Kind<'a>,
    pub(crate) start: u32,
    pub(crate) end: u32,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind<'a> {
    Int(i64),
    Float(f64),
    Str(&'a [u8]),
    Interpolated(Run),
    Path(&'a [u8]),
    InterpolatedPath(Run),
    SearchPath(&'a [u8]),
    Var(Name),
    CurPos,
    List(Run),
    Set(SetId),
    Let(SetId, NodeId),
    Lambda(u32),
    Call(NodeId, Run),
    Select(NodeId, Run, Option<NodeId>),
    HasAttr(NodeId, Run),
    If(NodeId, NodeId, NodeId),
    With(NodeId, NodeId),
    Assert(NodeId, NodeId),
    Not(NodeId),
    Negate(NodeId),
    Binary { op: BinaryOp, left: NodeId, right: NodeId, at: u32 },
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Part<'a> {
    Text(&'a [u8]),
    Expr(NodeId),
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum PathName {
    Static(Name),
    Dynamic(NodeId),
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Value {
    Plain(NodeId),
    Inherited,
    From(u32),
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct RawAttr {
    pub(crate) name: Name,
    pub(crate) value: Value,
    pub(crate) start: u32,
    pub(crate) end: u32,
}

/// A set that grows while its braces are open, and after that when another definition is merged in.
#[derive(Default, Debug)]
pub(crate) struct RawSet {
    pub(crate) recursive: bool,
    pub(crate) attrs: Vec<RawAttr>,
    pub(crate) sources: Vec<NodeId>,
    pub(crate) dynamic: Vec<(NodeId, NodeId, u32, u32)>,
    /// Kept for large sets only.
    index: HashMap<Name, u32, FxBuildHasher>,
}

const SMALL: usize = 12;

impl RawSet {
    pub(crate) fn new(recursive: bool) -> Self {
        Self { recursive, ..Self::default() }
    }

    pub(crate) fn find(&self, name: Name) -> Option<RawAttr> {
        if self.attrs.len() <= SMALL {
            return self.attrs.iter().find(|a| a.name == name).copied();
        }
        self.index.get(&name).map(|i| self.attrs[*i as usize])
    }

    pub(crate) fn push(&mut self, attr: RawAttr) {
        self.attrs.push(attr);
        let len = self.attrs.len();
        if len == SMALL + 1 {
            self.index = self.attrs.iter().enumerate().map(|(i, a)| (a.name, i as u32)).collect();
        } else if len > SMALL {
            self.index.insert(attr.name, len as u32 - 1);
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct RawFormal {
    pub(crate) name: Name,
    pub(crate) default: Option<NodeId>,
    pub(crate) start: u32,
    pub(crate) end: u32,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct RawLambda {
    pub(crate) arg: Option<Name>,
    /// Formals and whether there is an ellipsis.
    pub(crate) formals: Option<(Run, bool)>,
    pub(crate) body: NodeId,
    pub(crate) head_end: u32,
}

/// Names with a meaning of their own, interned first so that their numbers are known.
pub(crate) const KNOWN: [&[u8]; 8] =
    [b"__sub", b"__mul", b"__div", b"__lessThan", b"__findFile", b"__nixPath", b"or", b"body"];
pub(crate) const SUB: Name = 0;
pub(crate) const MUL: Name = 1;
pub(crate) const DIV: Name = 2;
pub(crate) const LESS_THAN: Name = 3;
pub(crate) const FIND_FILE: Name = 4;
pub(crate) const NIX_PATH: Name = 5;
pub(crate) const OR: Name = 6;
pub(crate) const BODY: Name = 7;

/// A parsed file.
pub(crate) struct Raw<'s, 'a> {
    pub(crate) nodes: Vec<Node<'a>>,
    pub(crate) lists: Vec<NodeId>,
    pub(crate) parts: Vec<Part<'a>>,
    pub(crate) paths: Vec<PathName>,
    pub(crate) sets: Vec<RawSet>,
    pub(crate) lambdas: Vec<RawLambda>,
    pub(crate) formals: Vec<RawFormal>,
    pub(crate) names: Vec<&'s [u8]>,
    ids: HashMap<&'s [u8], Name, FxBuildHasher>,
}

impl<'s, 'a> Raw<'s, 'a> {
    pub(crate) fn new(text_len: usize) -> Self {
        let mut raw = Self {
            nodes: Vec::with_capacity(text_len / 12 + 8),
            lists: Vec::new(),
            parts: Vec::new(),
            paths: Vec::new(),
            sets: Vec::new(),
            lambdas: Vec::new(),
            formals: Vec::new(),
            names: Vec::new(),
            ids: HashMap::default(),
        };
        for name in KNOWN {
            raw.name(name);
        }
        raw
    }

    pub(crate) fn name(&mut self, text: &'s [u8]) -> Name {
        *self.ids.entry(text).or_insert_with(|| {
            self.names.push(text);
            self.names.len() as u32 - 1
        })
    }
}
