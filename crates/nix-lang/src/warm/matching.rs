//! Matching what a run makes with what its earlier run made.

use std::collections::VecDeque;
use std::hash::{Hash, Hasher};

use rustc_hash::{FxHashMap, FxHasher};

use super::graph::{Graph, Node};
use crate::sets::gathered;
use crate::slot::Slot;
use crate::source::at;
use crate::source::{Pos, direct};
use crate::value::{Delayed, Env, NodeId, Value};

/// A place in code that makes things: the address of a syntax node. After an edit, the node that
/// stands where another one stood before has that one's site.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Site(pub(super) usize);

impl Site {
    pub(crate) fn of<T>(node: &T) -> Self {
        Site(std::ptr::from_ref(node) as usize)
    }
}

/// What the earlier run of a frame made, in order.
pub(super) struct Old<'a> {
    pub(super) thunks: Box<[NodeId]>,
    pub(super) envs: Box<[Option<(Site, &'a Env<'a>)>]>,
    next_thunk: usize,
    next_env: usize,
    index: Option<Index>,
    env_index: Option<FxHashMap<(Site, usize), VecDeque<usize>>>,
}

struct Index {
    exact: FxHashMap<u64, VecDeque<usize>>,
    sites: FxHashMap<u64, VecDeque<usize>>,
}

/// Fewer than this are looked through one by one.
const FEW: usize = 12;

/// Values nested deeper than this, without a thunk between, are not compared.
const DEEP: usize = 64;

impl<'a> Old<'a> {
    pub(super) fn new(thunks: Box<[NodeId]>, envs: &[(Site, &'a Env<'a>)]) -> Self {
        Old {
            thunks,
            envs: envs.iter().map(|env| Some(*env)).collect(),
            next_thunk: 0,
            next_env: 0,
            index: None,
            env_index: None,
        }
    }

    /// A thunk of the earlier run that computes the same, or one that the same place made.
    pub(super) fn claim_thunk(
        &mut self,
        graph: &Graph<'a>,
        nodes: &[Node<'a>],
        serial: u32,
        origin: Delayed<'a>,
    ) -> Option<NodeId> {
        let free = |at: usize| {
            let node = *self.thunks.get(at)?;
            let one = &nodes[node as usize];
            if one.claimed == serial { None } else { Some((node, one.origin?)) }
        };
        let exact = |at: usize| free(at).is_some_and(|(_, known)| graph.same_origin(known, origin));
        if exact(self.next_thunk) {
            self.next_thunk += 1;
            return self.thunks.get(self.next_thunk - 1).copied();
        }
        let site = graph.origin_site(origin);
        let at = if self.thunks.len() <= FEW {
            let all = 0..self.thunks.len();
            let placed =
                |at: usize| free(at).is_some_and(|(_, known)| graph.origin_site(known) == site);
            all.clone()
                .find(|at| exact(*at))
                .or_else(|| Some(self.next_thunk).filter(|at| placed(*at)))
                .or_else(|| all.clone().find(|at| placed(*at)))
        } else {
            let index = self.index.get_or_insert_with(|| Index::new(graph, nodes, &self.thunks));
            let hash = graph.origin_hash(origin);
            let found =
                index.exact.get(&hash).and_then(|all| all.iter().copied().find(|at| exact(*at)));
            found.or_else(|| {
                let all = index.sites.get_mut(&site)?;
                while let Some(at) = all.pop_front() {
                    if free(at).is_some() {
                        return Some(at);
                    }
                }
                None
            })
        };
        let at = at?;
        self.next_thunk = at + 1;
        Some(self.thunks[at])
    }

    /// A scope of the earlier run, made at the same place inside the same scope.
    fn claim_env(
        &mut self,
        site: Site,
        up: &'a Env<'a>,
        mut fits: impl FnMut(&'a Env<'a>) -> bool,
    ) -> Option<&'a Env<'a>> {
        let mut good = |entry: &Option<(Site, &'a Env<'a>)>| {
            entry.is_some_and(|(known, env)| {
                known == site && env.up().is_some_and(|known| std::ptr::eq(known, up)) && fits(env)
            })
        };
        let at = if self.envs.get(self.next_env).is_some_and(&mut good) {
            self.next_env
        } else if self.envs.len() <= FEW {
            self.envs.iter().position(good)?
        } else {
            let index = self.env_index.get_or_insert_with(|| {
                let mut index: FxHashMap<_, VecDeque<usize>> = FxHashMap::default();
                for (at, entry) in self.envs.iter().enumerate() {
                    if let Some((site, env)) = entry {
                        let up = env.up().map_or(0, |up| std::ptr::from_ref(up) as usize);
                        index.entry((*site, up)).or_default().push_back(at);
                    }
                }
                index
            });
            let all = index.get_mut(&(site, std::ptr::from_ref(up) as usize))?;
            // Of many made at one place the next one is mostly the right one.
            let position = all.iter().take(4 * FEW).position(|at| good(&self.envs[*at]))?;
            all.remove(position)?
        };
        self.next_env = at + 1;
        self.envs[at].take().map(|(_, env)| env)
    }
}

impl Index {
    fn new<'a>(graph: &Graph<'a>, nodes: &[Node<'a>], thunks: &[NodeId]) -> Self {
        let mut index = Index { exact: FxHashMap::default(), sites: FxHashMap::default() };
        for (at, node) in thunks.iter().enumerate() {
            if let Some(origin) = nodes[*node as usize].origin {
                index.exact.entry(graph.origin_hash(origin)).or_default().push_back(at);
                index.sites.entry(graph.origin_site(origin)).or_default().push_back(at);
            }
        }
        index
    }
}

fn hash_of(value: impl Hash) -> u64 {
    let mut hasher = FxHasher::default();
    value.hash(&mut hasher);
    hasher.finish()
}

fn address<T>(value: &T) -> usize {
    std::ptr::from_ref(value) as usize
}

/// A hash that is equal for values that [`Graph::same`] finds the same.
fn value_hash(value: Value<'_>) -> u64 {
    match value {
        Value::Null => 1,
        Value::Bool(value) => hash_of((2, value)),
        Value::Int(value) => hash_of((3, value)),
        Value::Float(value) => hash_of((4, value.to_bits())),
        Value::String(value) => hash_of((5, value.bytes)),
        Value::Path(value) => hash_of((6, value.bytes)),
        Value::List(value) => hash_of((7, value.slots().len())),
        Value::Attrs(value) => hash_of((8, gathered(value).len())),
        Value::Lambda(value) => hash_of((9, address(value.lambda), address(value.env))),
        Value::PrimOp(value) => hash_of((10, address(value))),
        Value::PrimOpApp(value) => hash_of((11, address(value.op))),
        Value::Thunk(value) => hash_of((12, address(value))),
        Value::Hole => 13,
    }
}

impl<'a> Graph<'a> {
    /// A scope for the running frame from its earlier run, if one `fits`.
    pub(super) fn claim_env(
        &self,
        site: Site,
        up: &'a Env<'a>,
        fits: impl FnMut(&'a Env<'a>) -> bool,
    ) -> Option<&'a Env<'a>> {
        // `fits` may look at nodes, so the frame's past is taken out meanwhile.
        let mut old = self.inner.borrow_mut().frames.last_mut()?.old.take()?;
        let site = self.site(site);
        let env = old.claim_env(site, up, fits);
        let mut inner = self.inner.borrow_mut();
        if let Some(frame) = inner.frames.last_mut() {
            frame.old = Some(old);
        }
        if let Some(env) = env {
            inner.envs.push((site, env));
        }
        env
    }

    /// A scope with these values from the earlier run.
    pub(crate) fn known_env(
        &self,
        site: Site,
        up: &'a Env<'a>,
        mut fits: impl FnMut(&[std::cell::Cell<Slot<'a>>]) -> bool,
    ) -> Option<&'a Env<'a>> {
        self.claim_env(site, up, |env| fits(env.slots()))
    }

    pub(crate) fn same_slots(
        &self,
        slots: &[std::cell::Cell<Slot<'a>>],
        values: &[Value<'a>],
    ) -> bool {
        slots.len() == values.len()
            && slots.iter().zip(values).all(|(slot, value)| self.same(slot.get().get(), *value))
    }

    /// The site that a place has had since the first version of its file.
    pub(super) fn site(&self, site: Site) -> Site {
        self.parsed.borrow().site(site)
    }

    fn same_pos(&self, left: Pos, right: Pos) -> bool {
        if left == right {
            return true;
        }
        let Some(sources) = self.sources.get() else { return false };
        let (left, right) = (direct(sources, left), direct(sources, right));
        left == right || self.parsed.borrow().same_pos(sources, left, right)
    }

    /// Whether two evaluated values are the same as far as they are evaluated: the same data, the
    /// same thunks in it, and functions of the same code in the same scope.
    pub(crate) fn same(&self, left: Value<'a>, right: Value<'a>) -> bool {
        self.same_within(left, right, DEEP)
    }

    fn same_within(&self, left: Value<'a>, right: Value<'a>, depth: usize) -> bool {
        if depth == 0 {
            return false;
        }
        let all_same = |left: &[Slot<'a>], right: &[Slot<'a>]| {
            left.len() == right.len()
                && left
                    .iter()
                    .zip(right)
                    .all(|(l, r)| self.same_within(l.get(), r.get(), depth - 1))
        };
        match (left, right) {
            (Value::Null, Value::Null) | (Value::Hole, Value::Hole) => true,
            (Value::Bool(left), Value::Bool(right)) => left == right,
            (Value::Int(left), Value::Int(right)) => left == right,
            (Value::Float(left), Value::Float(right)) => left.to_bits() == right.to_bits(),
            (Value::String(left), Value::String(right)) => {
                std::ptr::eq(left, right) || (left.ctx == right.ctx && left.bytes == right.bytes)
            }
            (Value::Path(left), Value::Path(right)) => left.bytes == right.bytes,
            (Value::List(left), Value::List(right)) => {
                std::ptr::eq(left, right)
                    || left.slots().len() == right.slots().len()
                        && left
                            .items()
                            .zip(right.items())
                            .all(|(left, right)| self.same_within(left, right, depth - 1))
            }
            (Value::Attrs(left), Value::Attrs(right)) => {
                if std::ptr::eq(left, right) {
                    return true;
                }
                let (left, right) = (gathered(left), gathered(right));
                left.len() == right.len()
                    && left.iter().zip(&*right).all(|(left, right)| {
                        left.name == right.name
                            && self.same_within(left.value(), right.value(), depth - 1)
                            && self.same_pos(left.pos(), right.pos())
                    })
            }
            (Value::Lambda(left), Value::Lambda(right)) => {
                std::ptr::eq(left, right)
                    || std::ptr::eq(left.lambda, right.lambda) && std::ptr::eq(left.env, right.env)
            }
            (Value::PrimOp(left), Value::PrimOp(right)) => std::ptr::eq(left, right),
            (Value::PrimOpApp(left), Value::PrimOpApp(right)) => {
                std::ptr::eq(left.op, right.op) && all_same(left.args(), right.args())
            }
            (Value::Thunk(left), Value::Thunk(right)) => std::ptr::eq(left, right),
            _ => false,
        }
    }

    /// Whether two thunks compute the same.
    pub(super) fn same_origin(&self, left: Delayed<'a>, right: Delayed<'a>) -> bool {
        match (left, right) {
            (Delayed::Expr(left, within), Delayed::Expr(right, env)) => {
                std::ptr::eq(left, right) && std::ptr::eq(within, env)
            }
            (Delayed::Select(left, left_attr), Delayed::Select(right, right_attr)) => {
                left_attr.name == right_attr.name
                    && self.same(left.get(), right.get())
                    && self.same_pos(at(left_attr.place), at(right_attr.place))
            }
            (Delayed::Apply(left, left_arg), Delayed::Apply(right, right_arg)) => {
                self.same(left.get(), right.get()) && self.same(left_arg.get(), right_arg.get())
            }
            (Delayed::ApplyAttr(left, left_attr), Delayed::ApplyAttr(right, right_attr)) => {
                left_attr.name == right_attr.name
                    && self.same(left.get(), right.get())
                    && self.same(left_attr.value(), right_attr.value())
            }
            (Delayed::Native(left), Delayed::Native(right)) => {
                left.run as usize == right.run as usize
                    && left.args.len() == right.args.len()
                    && left.args.iter().zip(right.args).all(|(l, r)| self.same(*l, *r))
            }
            _ => false,
        }
    }

    fn origin_hash(&self, origin: Delayed<'a>) -> u64 {
        match origin {
            Delayed::Expr(expr, env) => hash_of((1, address(expr), address(env))),
            Delayed::Select(from, attr) => hash_of((2, attr.name, value_hash(from.get()))),
            Delayed::Apply(fun, arg) => hash_of((3, value_hash(fun.get()), value_hash(arg.get()))),
            Delayed::ApplyAttr(fun, attr) => {
                hash_of((5, value_hash(fun.get()), attr.name, value_hash(attr.value())))
            }
            Delayed::Native(native) => {
                let args: Vec<u64> = native.args.iter().map(|arg| value_hash(*arg)).collect();
                hash_of((4, native.run as usize, args))
            }
        }
    }

    /// Which thunk of a run this is, whatever it computes: the place that made it, and the name or
    /// number that a builtin made it for.
    fn origin_site(&self, origin: Delayed<'a>) -> u64 {
        match origin {
            Delayed::Expr(expr, _) => hash_of((1, self.site(Site::of(expr)))),
            Delayed::Select(_, attr) => hash_of((2, attr.name)),
            Delayed::Apply(fun, arg) => {
                let key = match arg.get() {
                    key @ (Value::String(_) | Value::Int(_)) => value_hash(key),
                    _ => 0,
                };
                hash_of((3, self.function_site(fun.get()), key))
            }
            Delayed::ApplyAttr(fun, attr) => hash_of((5, self.function_site(fun.get()), attr.name)),
            Delayed::Native(native) => {
                let key = native.args.iter().find(|arg| matches!(arg, Value::Int(_)));
                hash_of((4, native.run as usize, key.map(|key| value_hash(*key))))
            }
        }
    }
    fn function_site(&self, fun: Value<'a>) -> usize {
        match fun {
            Value::Lambda(closure) => self.site(Site::of(closure.lambda)).0,
            Value::PrimOp(op) => address(op),
            Value::PrimOpApp(app) => address(app.op),
            _ => 0,
        }
    }
}
