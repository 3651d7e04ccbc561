//! What is not evaluated yet, and what need not wait.

use nix_syntax::Symbol;
use nix_syntax::ast::{self, AttrName, Expr, ExprKind};

use crate::Evaluator;
use crate::slot::Slot;
use crate::value::{Closure, Delayed, Env, PathValue, Str, Thunk, Value};

impl<'a> Evaluator<'a> {
    /// The value of an expression for later: evaluated now only where that costs nothing.
    pub(crate) fn delay(&self, expr: &'a Expr<'a>, env: &'a Env<'a>) -> Value<'a> {
        self.at_hand(expr, env).unwrap_or_else(|| self.thunk(Delayed::Expr(expr, env)))
    }

    /// The value of an expression where it costs nothing and cannot fail: perhaps a thunk that is
    /// there already.
    pub(crate) fn at_hand(&self, expr: &'a Expr<'a>, env: &'a Env<'a>) -> Option<Value<'a>> {
        Some(match expr.kind {
            ExprKind::Int(value) => Value::Int(value),
            ExprKind::Float(value) => Value::Float(value),
            ExprKind::Str(text) => Value::String(Str::of_literal(text)),
            ExprKind::Path(path) => Value::Path(PathValue::of_literal(path)),
            ExprKind::Lambda(lambda) if self.graph.is_none() => {
                Value::Lambda(self.arena.alloc(Closure { lambda, env }))
            }
            ExprKind::Global(index) => self.globals.value(index),
            ExprKind::Local { level, index } => {
                match env.at(level).slots()[index as usize].get().get() {
                    Value::Hole => return None,
                    Value::Thunk(thunk) => match thunk.plain_value() {
                        Some(value) if !value.has_identity() => value,
                        _ => Value::Thunk(thunk),
                    },
                    value => value,
                }
            }
            ExprKind::List([]) => self.list_from(&[]),
            ExprKind::Attrs(set) if set.is_empty() => Value::Attrs(self.empty_set),
            ExprKind::Select(select) if self.graph.is_none() => {
                let ExprKind::Local { level, index } = select.subject.kind else { return None };
                let mut value = env.at(level).slots()[index as usize].get();
                for name in select.path {
                    let AttrName::Static(name) = name else { return None };
                    value = self.attr_at_hand(value, *name)?;
                }
                value.get()
            }
            _ => return None,
        })
    }

    /// An attribute of a set, where both are evaluated already.
    #[inline]
    fn attr_at_hand(&self, set: Slot<'a>, name: Symbol) -> Option<Slot<'a>> {
        let attrs = match set.get() {
            Value::Attrs(attrs) => attrs,
            Value::Thunk(thunk) => match thunk.plain_value() {
                Some(Value::Attrs(attrs)) => attrs,
                _ => return None,
            },
            _ => return None,
        };
        let slot = attrs.get(name)?.slot;
        match slot.get() {
            Value::Thunk(thunk) => {
                let value = thunk.plain_value()?;
                if value.has_identity() { None } else { thunk.plain_slot() }
            }
            Value::Hole => None,
            value if value.has_identity() => None,
            _ => Some(slot),
        }
    }

    /// An attribute of a set that several names inherit from.
    #[inline]
    pub(crate) fn inherited(&self, from: &'a Slot<'a>, attr: &'a ast::Attr<'a>) -> Value<'a> {
        if self.graph.is_none()
            && let Some(slot) = self.attr_at_hand(*from, attr.name)
        {
            return slot.get();
        }
        self.thunk(Delayed::Select(from, attr))
    }

    /// The value of a binding for later. Where evaluation is warm this is a thunk for literals too:
    /// a literal that is edited then changes the thunk, and the set or scope around it stays.
    #[inline]
    pub(crate) fn delay_bound(&self, expr: &'a Expr<'a>, env: &'a Env<'a>) -> Value<'a> {
        let literal = matches!(
            expr.kind,
            ExprKind::Int(_) | ExprKind::Float(_) | ExprKind::Str(_) | ExprKind::Path(_)
        );
        if literal && self.graph.is_some() {
            return self.thunk(Delayed::Expr(expr, env));
        }
        self.delay(expr, env)
    }

    #[inline]
    pub(crate) fn thunk(&self, delayed: Delayed<'a>) -> Value<'a> {
        match &self.graph {
            Some(graph) => graph.thunk(self, delayed),
            None => self.unrecorded_thunk(delayed),
        }
    }

    #[inline]
    pub(crate) fn unrecorded_thunk(&self, delayed: Delayed<'a>) -> Value<'a> {
        Value::Thunk(self.arena.alloc(Thunk::new(0, delayed)))
    }
}
