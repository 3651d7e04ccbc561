//! What a flake says before it is evaluated has to be written down, not computed: `flake.nix` is
//! read to learn what to fetch, and that must not take an evaluation.

use nix_syntax::ast::{Expr, ExprKind};

use crate::Evaluator;
use crate::error::{Error, Result};
use crate::source::Pos;
use crate::value::{Attrs, Delayed, Str, ThunkState, Value};

/// Whether evaluating this takes no more than looking at it, as C++ Nix sees it: `-1` is a
/// computation, a set with names that are computed as well.
fn is_written(expr: &Expr<'_>) -> bool {
    match expr.kind {
        ExprKind::Int(_)
        | ExprKind::Float(_)
        | ExprKind::Str(_)
        | ExprKind::Path(_)
        | ExprKind::List(_)
        | ExprKind::Lambda(_) => true,
        ExprKind::Attrs(set) => set.dynamic.is_empty(),
        _ => false,
    }
}

impl<'a> Evaluator<'a> {
    /// The value, where it is written down; a thunk otherwise.
    pub(super) fn written(&self, value: Value<'a>, pos: Pos) -> Result<Value<'a>> {
        let Value::Thunk(thunk) = value else { return Ok(value) };
        let delayed = match (thunk.get(), &self.graph) {
            (ThunkState::Done(0, value), _) => return Ok(value),
            (state, Some(graph)) if state.node() != 0 => graph.origin(state.node()),
            (ThunkState::Delayed(_, delayed), _) => Some(delayed),
            _ => None,
        };
        match delayed {
            Some(Delayed::Expr(expr, _)) if is_written(expr) => self.force(value, pos),
            _ => Ok(value),
        }
    }

    pub(super) fn written_attrs(&self, value: Value<'a>, pos: Pos) -> Result<&'a Attrs<'a>> {
        match self.written(value, pos)? {
            Value::Attrs(attrs) => Ok(attrs),
            other => Err(unexpected("a set", other, pos)),
        }
    }

    pub(super) fn written_string(&self, value: Value<'a>, pos: Pos) -> Result<&'a Str<'a>> {
        match self.written(value, pos)? {
            Value::String(text) => Ok(text),
            other => Err(unexpected("a string", other, pos)),
        }
    }

    pub(super) fn written_bool(&self, value: Value<'a>, pos: Pos) -> Result<bool> {
        match self.written(value, pos)? {
            Value::Bool(value) => Ok(value),
            other => Err(unexpected("a Boolean", other, pos)),
        }
    }

    pub(super) fn written_function(&self, value: Value<'a>, pos: Pos) -> Result<Value<'a>> {
        match self.written(value, pos)? {
            value @ (Value::Lambda(_) | Value::PrimOp(_) | Value::PrimOpApp(_)) => Ok(value),
            other => Err(unexpected("a function", other, pos)),
        }
    }
}

/// An error for what is another kind of value, or is computed.
pub(super) fn unexpected(wanted: &str, found: Value<'_>, pos: Pos) -> Error {
    let error = Error::ty(format!("expected {wanted} but got {}", found.described()), pos);
    computed(error, &found)
}

/// Says what is wrong with a thunk.
pub(super) fn computed(error: Error, found: &Value<'_>) -> Error {
    match found {
        Value::Thunk(_) => error.hint(
            "what a flake says outside of its outputs is not computed: write the value itself",
        ),
        _ => error,
    }
}
