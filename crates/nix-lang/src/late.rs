//! Variables of a `let` that have no thunk until something refers to them.
//!
//! Most are only ever evaluated where their name stands, or not at all. Their scope knows the expression
//! (it is in the syntax tree) and is the scope to evaluate it in, so a thunk would say nothing more.

use std::cell::Cell;

use nix_syntax::ast::{Expr, ExprKind};

use crate::Evaluator;
use crate::error::Result;
use crate::eval::infinite_recursion;
use crate::slot::Slot;
use crate::source::Pos;
use crate::value::{Delayed, Env, Thunk};

impl<'a> Evaluator<'a> {
    /// What is in the scope for a variable at first: its value, where that costs nothing.
    #[inline]
    pub(crate) fn unmade(&self, expr: &'a Expr<'a>, env: &'a Env<'a>) -> Slot<'a> {
        match expr.kind {
            ExprKind::Lambda(_) | ExprKind::Select(_) => Slot::unmade(expr),
            // Another name of a variable is that variable, also where they are compared.
            ExprKind::Local { .. } => self.delayed(expr, env),
            _ => self.at_hand(expr, env).unwrap_or(Slot::unmade(expr)),
        }
    }

    /// The value of a variable of `scope` that is not made.
    #[inline(never)]
    pub(crate) fn eval_unmade(&self, scope: &'a Env<'a>, index: u32, pos: Pos) -> Result<Slot<'a>> {
        let variable = scope.variable(0, index);
        let Some(expr) = variable.get().as_unmade() else { return Err(infinite_recursion(pos)) };
        if let ExprKind::Lambda(lambda) = expr.kind {
            variable.set(self.closure(lambda, scope));
            return Ok(variable.get());
        }
        variable.set(Slot::RUNNING);
        let result = self.eval_node(expr, scope);
        // Something may have come to refer to it in the meantime.
        match (result, variable.get().as_thunk()) {
            (Ok(value), None) if !value.has_identity() => {
                variable.set(value);
                Ok(value)
            }
            (Ok(value), thunk) => {
                let thunk = thunk.unwrap_or_else(|| self.referred_to(variable, expr, scope));
                thunk.set_done(0, value);
                Ok(value)
            }
            (Err(error), thunk) => {
                let thunk = thunk.unwrap_or_else(|| self.referred_to(variable, expr, scope));
                Err(self.failed(thunk, Delayed::Expr(expr, scope), error))
            }
        }
    }

    /// A variable of `scope` that is not made, for later; nothing where it is still being bound.
    #[inline(never)]
    pub(crate) fn refer_to(&self, scope: &'a Env<'a>, index: u32) -> Option<Slot<'a>> {
        let variable = scope.variable(0, index);
        let slot = variable.get();
        if slot.is_hole() {
            return None;
        }
        match slot.as_unmade() {
            Some(expr) => variable.set(self.delayed(expr, scope)),
            // Its value is being computed: whoever does that sees that there is a thunk now.
            None => {
                scope.keep();
                let thunk = self.arena.alloc(Thunk::running());
                variable.set(Slot::thunk(thunk));
            }
        }
        Some(variable.get())
    }

    /// The thunk that stands for a variable from now on.
    fn referred_to(
        &self,
        variable: &Cell<Slot<'a>>,
        expr: &'a Expr<'a>,
        scope: &'a Env<'a>,
    ) -> &'a Thunk<'a> {
        scope.keep();
        let thunk: &'a Thunk<'a> = self.arena.alloc(Thunk::new(0, Delayed::Expr(expr, scope)));
        variable.set(Slot::thunk(thunk));
        thunk
    }
}
