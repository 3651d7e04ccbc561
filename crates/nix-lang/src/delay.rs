//! What is not evaluated yet, and what need not wait.

use nix_syntax::Symbol;
use nix_syntax::ast::{self, AttrName, Expr, ExprKind, Lambda};

use crate::Evaluator;
use crate::slot::Slot;
use crate::value::{Closure, Delayed, Env, PathValue, Str, Thunk, Value};

impl<'a> Evaluator<'a> {
    /// The value of an expression for later: evaluated now only where that costs nothing.
    pub(crate) fn delay(&self, expr: &'a Expr<'a>, env: &'a Env<'a>) -> Value<'a> {
        self.delayed(expr, env).get()
    }

    /// The same, as it is kept.
    #[inline]
    pub(crate) fn delayed(&self, expr: &'a Expr<'a>, env: &'a Env<'a>) -> Slot<'a> {
        match self.at_hand(expr, env) {
            Some(slot) => slot,
            None => self.waiting(expr, env),
        }
    }

    /// The value of an expression where it costs nothing and cannot fail: perhaps a thunk that is
    /// there already.
    #[inline(always)]
    pub(crate) fn at_hand(&self, expr: &'a Expr<'a>, env: &'a Env<'a>) -> Option<Slot<'a>> {
        match expr.kind {
            ExprKind::Local { level, index } => {
                let slot = env.variable(level, index).get();
                match slot.as_thunk() {
                    None if slot.is_made() => Some(slot),
                    None => self.refer_to(env.at(level), index),
                    Some(thunk) => match thunk.plain_slot() {
                        Some(value) if !value.has_identity() => Some(value),
                        _ => Some(slot),
                    },
                }
            }
            // These wait.
            ExprKind::Call(_)
            | ExprKind::If(_)
            | ExprKind::Let(_)
            | ExprKind::With(_)
            | ExprKind::Binary(_)
            | ExprKind::Interpolated(_)
            | ExprKind::HasAttr(_) => None,
            _ => {
                let slot = self.at_hand_rarely(expr, env);
                (!slot.is_hole()).then_some(slot)
            }
        }
    }

    /// The same, of what is no variable; [`Slot::HOLE`] where it has to wait.
    #[inline(never)]
    fn at_hand_rarely(&self, expr: &'a Expr<'a>, env: &'a Env<'a>) -> Slot<'a> {
        match expr.kind {
            ExprKind::Str(text) => Slot::string(Str::of_literal(text)),
            ExprKind::Lambda(lambda) if self.graph.is_none() => self.closure(lambda, env),
            ExprKind::Select(select) if self.graph.is_none() => {
                let ExprKind::Local { level, index } = select.subject.kind else {
                    return Slot::HOLE;
                };
                let mut slot = env.variable(level, index).get();
                for name in select.path {
                    let AttrName::Static(name) = name else { return Slot::HOLE };
                    slot = self.attr_at_hand(slot, *name);
                }
                slot
            }
            ExprKind::Global(index) => self.globals.slot(index),
            ExprKind::Path(path) => Slot::path(PathValue::of_literal(path)),
            ExprKind::Int(value) => self.slot(Value::Int(value)),
            ExprKind::Float(value) => self.slot(Value::Float(value)),
            ExprKind::List([]) => Slot::list(self.empty_list),
            ExprKind::Attrs(set) if set.is_empty() => Slot::attrs(self.empty_set),
            _ => Slot::HOLE,
        }
    }

    /// An attribute of a set, where both are evaluated already; [`Slot::HOLE`] where not.
    #[inline]
    fn attr_at_hand(&self, set: Slot<'a>, name: Symbol) -> Slot<'a> {
        let found = set.evaluated().and_then(Slot::as_attrs).map(|attrs| attrs.slot(name));
        match found.and_then(Slot::evaluated) {
            Some(slot) if !slot.has_identity() => slot,
            _ => Slot::HOLE,
        }
    }

    /// An attribute of a set that several names inherit from.
    #[inline]
    pub(crate) fn inherited(&self, from: &'a Slot<'a>, attr: &'a ast::Attr<'a>) -> Slot<'a> {
        if self.graph.is_none() {
            let slot = self.attr_at_hand(*from, attr.name);
            if !slot.is_hole() {
                return slot;
            }
        }
        self.thunk(Delayed::Select(from, attr))
    }

    /// The value of a binding for later. Where evaluation is warm this is a thunk for literals too:
    /// a literal that is edited then changes the thunk, and the set or scope around it stays.
    #[inline]
    pub(crate) fn delayed_bound(&self, expr: &'a Expr<'a>, env: &'a Env<'a>) -> Slot<'a> {
        let literal = matches!(
            expr.kind,
            ExprKind::Int(_) | ExprKind::Float(_) | ExprKind::Str(_) | ExprKind::Path(_)
        );
        if self.graph.is_some() && literal {
            return self.waiting(expr, env);
        }
        self.delayed(expr, env)
    }

    /// A function and the scope that it keeps.
    #[inline]
    pub(crate) fn closure(&self, lambda: &'a Lambda<'a>, env: &'a Env<'a>) -> Slot<'a> {
        env.keep();
        Slot::lambda(self.arena.alloc(Closure { lambda, env }))
    }

    /// A thunk of an expression, which keeps the scope.
    #[inline(always)]
    pub(crate) fn waiting(&self, expr: &'a Expr<'a>, env: &'a Env<'a>) -> Slot<'a> {
        env.keep();
        match &self.graph {
            Some(_) => self.thunk(Delayed::Expr(expr, env)),
            None => Slot::thunk(self.arena.alloc(Thunk::new(0, Delayed::Expr(expr, env)))),
        }
    }

    #[inline]
    pub(crate) fn thunk(&self, delayed: Delayed<'a>) -> Slot<'a> {
        match &self.graph {
            Some(graph) => self.slot(graph.thunk(self, delayed)),
            None => Slot::thunk(self.arena.alloc(Thunk::new(0, delayed))),
        }
    }

    #[inline]
    pub(crate) fn unrecorded_thunk(&self, delayed: Delayed<'a>) -> Value<'a> {
        Value::Thunk(self.arena.alloc(Thunk::new(0, delayed)))
    }
}
