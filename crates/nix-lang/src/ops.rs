//! Operators: arithmetic, `//`, `++` and `+`.

use nix_syntax::ast::{Binary, BinaryOp, Expr, ExprKind, StrPart};

use crate::Evaluator;
use crate::coerce::Coercion;
use crate::context::Gathered;
use crate::error::{Error, Result};
use crate::paths;
use crate::slot::Slot;
use crate::source::Pos;
use crate::value::{Attrs, Env, List, Value};

impl<'a> Evaluator<'a> {
    #[inline(never)]
    pub(crate) fn eval_binary(
        &self,
        node: &'a Binary<'a>,
        env: &'a Env<'a>,
        pos: &Pos,
    ) -> Result<Slot<'a>> {
        let answer = match node.op {
            BinaryOp::And => self.eval_bool(node.left, env)? && self.eval_bool(node.right, env)?,
            BinaryOp::Or => self.eval_bool(node.left, env)? || self.eval_bool(node.right, env)?,
            BinaryOp::Implies => {
                !self.eval_bool(node.left, env)? || self.eval_bool(node.right, env)?
            }
            BinaryOp::Equal => self.eval_equal(node, env, pos)?,
            BinaryOp::NotEqual => !self.eval_equal(node, env, pos)?,
            _ => return self.eval_operator(node, env, *pos).map(|value| self.slot(value)),
        };
        Ok(Slot::bool(answer))
    }

    #[inline]
    fn eval_equal(&self, node: &'a Binary<'a>, env: &'a Env<'a>, pos: &Pos) -> Result<bool> {
        let left = self.eval_slot(node.left, env)?;
        let right = self.eval_slot(node.right, env)?;
        if left.is_whole() && right.is_whole() {
            return Ok(left.bits() == right.bits());
        }
        self.equal(left.get(), right.get(), *pos)
    }

    #[inline(never)]
    fn eval_operator(&self, node: &'a Binary<'a>, env: &'a Env<'a>, pos: Pos) -> Result<Value<'a>> {
        let (left, right) = match node.op {
            // As C++ Nix does it, the right side first: of two errors that one is reported.
            BinaryOp::Update => return self.eval_updates(node, env),
            BinaryOp::Concat => return self.eval_concats(node, env),
            // The left side is looked at before the right one is evaluated.
            BinaryOp::Add => return self.eval_add(node, env),
            // In C++ Nix these are calls of `lessThan` with the operands the other way round.
            BinaryOp::Greater | BinaryOp::LessOrEqual => {
                let right = self.eval(node.right, env)?;
                (self.eval(node.left, env)?, right)
            }
            _ => (self.eval(node.left, env)?, self.eval(node.right, env)?),
        };
        match node.op {
            BinaryOp::Less => Ok(Value::Bool(self.less(left, right, pos)?)),
            BinaryOp::Greater => Ok(Value::Bool(self.less(right, left, pos)?)),
            BinaryOp::LessOrEqual => Ok(Value::Bool(!self.less(right, left, pos)?)),
            BinaryOp::GreaterOrEqual => Ok(Value::Bool(!self.less(left, right, pos)?)),
            BinaryOp::Subtract => self.arithmetic(Arithmetic::Sub, left, right, pos),
            BinaryOp::Multiply => self.arithmetic(Arithmetic::Mul, left, right, pos),
            BinaryOp::Divide => self.arithmetic(Arithmetic::Div, left, right, pos),
            _ => Ok(Value::Null),
        }
    }

    /// `a // b // c`: from the right, as C++ Nix does, and made into one set at once.
    #[inline(never)]
    fn eval_updates(&self, node: &'a Binary<'a>, env: &'a Env<'a>) -> Result<Value<'a>> {
        if !is_chain(node.right, BinaryOp::Update) {
            let right = self.eval_operand(node.right, env)?;
            let left = self.eval_operand(node.left, env)?;
            return Ok(Value::Attrs(self.update(left, right)));
        }
        let operands = operands(node, BinaryOp::Update);
        let mut sets = Vec::with_capacity(operands.len());
        for operand in operands.iter().rev() {
            sets.push(self.eval_operand(operand, env)?);
        }
        sets.reverse();
        Ok(Value::Attrs(self.update_all(&sets)))
    }

    fn eval_operand(&self, expr: &'a Expr<'a>, env: &'a Env<'a>) -> Result<&'a Attrs<'a>> {
        match self.eval(expr, env)? {
            Value::Attrs(attrs) => Ok(attrs),
            other => Err(self.wrong_type("a set", other, expr.span)),
        }
    }

    /// `a ++ b ++ c`: from the left, made into one list at once.
    #[inline(never)]
    fn eval_concats(&self, node: &'a Binary<'a>, env: &'a Env<'a>) -> Result<Value<'a>> {
        let wrong = |value, expr: &Expr<'a>| self.wrong_type("a list", value, expr.span);
        if !is_chain(node.right, BinaryOp::Concat) {
            let (left, right) = (self.eval(node.left, env)?, self.eval(node.right, env)?);
            return match (left, right) {
                (Value::List(left), Value::List(right)) => Ok(self.concat_lists(&[left, right])),
                (Value::List(_), other) => Err(wrong(other, node.right)),
                (other, _) => Err(wrong(other, node.left)),
            };
        }
        let operands = operands(node, BinaryOp::Concat);
        let mut values = Vec::with_capacity(operands.len());
        for operand in &operands {
            values.push(self.eval(operand, env)?);
        }
        // What is not a list is complained of where C++ Nix does: in the innermost pair first.
        let last = values.len() - 1;
        for at in [last - 1, last].into_iter().chain((0..last - 1).rev()) {
            if !matches!(values[at], Value::List(_)) {
                return Err(wrong(values[at], operands[at]));
            }
        }
        let lists: Vec<&'a List<'a>> = values
            .iter()
            .filter_map(|value| if let Value::List(list) = value { Some(*list) } else { None })
            .collect();
        Ok(self.concat_lists(&lists))
    }

    pub(crate) fn eval_negate(
        &self,
        inner: &'a Expr<'a>,
        env: &'a Env<'a>,
        pos: Pos,
    ) -> Result<Value<'a>> {
        let value = self.eval(inner, env)?;
        self.arithmetic(Arithmetic::Sub, Value::Int(0), value, pos)
    }

    pub(crate) fn arithmetic(
        &self,
        op: Arithmetic,
        left: Value<'a>,
        right: Value<'a>,
        pos: Pos,
    ) -> Result<Value<'a>> {
        // Division looks at its right side first.
        if op == Arithmetic::Div && self.number(right, pos)? == 0.0 {
            return Err(division_by_zero(pos));
        }
        if let (Value::Int(left), Value::Int(right)) = (left, right) {
            return int_arithmetic(op, left, right, pos);
        }
        if !matches!(left, Value::Float(_)) && !matches!(right, Value::Float(_)) {
            self.force_int(left, pos)?;
            self.force_int(right, pos)?;
        }
        let (left, right) = (self.number(left, pos)?, self.number(right, pos)?);
        Ok(Value::Float(match op {
            Arithmetic::Add => left + right,
            Arithmetic::Sub => left - right,
            Arithmetic::Mul => left * right,
            Arithmetic::Div => left / right,
        }))
    }

    fn number(&self, value: Value<'a>, pos: Pos) -> Result<f64> {
        match value {
            Value::Int(number) => Ok(number as f64),
            Value::Float(number) => Ok(number),
            other => Err(self.wrong_type("a float", other, pos)),
        }
    }

    fn eval_add(&self, node: &'a Binary<'a>, env: &'a Env<'a>) -> Result<Value<'a>> {
        if let ExprKind::Binary(inner) = node.left.kind
            && inner.op == BinaryOp::Add
        {
            return self.eval_sum(node, inner, env);
        }
        let left = self.eval(node.left, env)?;
        self.add_to(left, node, env)
    }

    /// `a + b + c …`: where `a` is a string, one string is made and none on the way.
    #[inline(never)]
    fn eval_sum(
        &self,
        node: &'a Binary<'a>,
        mut inner: &'a Binary<'a>,
        env: &'a Env<'a>,
    ) -> Result<Value<'a>> {
        let mut terms = vec![node, inner];
        while let ExprKind::Binary(next) = inner.left.kind
            && next.op == BinaryOp::Add
        {
            terms.push(next);
            inner = next;
        }
        let mut left = self.eval(inner.left, env)?;
        let Value::String(first) = left else {
            for term in terms.into_iter().rev() {
                left = self.add_to(left, term, env)?;
            }
            return Ok(left);
        };
        let mut bytes = self.buffer();
        let mut ctx = Gathered::new();
        bytes.extend_from_slice(first.bytes);
        ctx.add(first.ctx);
        let mode = Coercion { more: false, copy: true };
        for term in terms.into_iter().rev() {
            let right = self.eval(term.right, env)?;
            self.coerce_into(right, &mut bytes, &mut ctx, mode, term.right.span)?;
        }
        let value = self.string_with(&bytes, self.contexts.sum(&ctx));
        self.give_buffer(bytes);
        Ok(value)
    }

    /// A value, and what the right side of an addition adds to it.
    fn add_to(&self, left: Value<'a>, node: &'a Binary<'a>, env: &'a Env<'a>) -> Result<Value<'a>> {
        if let Value::Int(_) | Value::Float(_) = left {
            let right = self.eval(node.right, env)?;
            return match right {
                Value::Int(_) | Value::Float(_) => {
                    self.arithmetic(Arithmetic::Add, left, right, node.op_span)
                }
                other => {
                    let (added, to) = (other.described(), left.described());
                    Err(Error::ty(format!("cannot add {added} to {to}"), node.op_span))
                }
            };
        }
        // A string makes store paths of paths; a path, or a set that stands for text, does not.
        let copy = matches!(left, Value::String(_));
        let mode = Coercion { more: false, copy };
        let first = match left {
            Value::String(_) | Value::Path(_) => None,
            left => Some(self.coerce_bytes(left, mode, node.left.span)?),
        };
        let right = self.eval(node.right, env)?;
        let mut bytes = self.buffer();
        let mut ctx = Gathered::new();
        match (&first, left) {
            (Some((text, context)), _) => {
                bytes.extend_from_slice(text);
                ctx.add(*context);
            }
            (None, Value::String(text)) => {
                bytes.extend_from_slice(text.bytes);
                ctx.add(text.ctx);
            }
            (None, Value::Path(path)) => bytes.extend_from_slice(path.bytes),
            (None, _) => {}
        }
        self.coerce_into(right, &mut bytes, &mut ctx, mode, node.right.span)?;
        let value = match left {
            Value::Path(_) if !ctx.is_empty() => return Err(path_with_context(node.right.span)),
            Value::Path(_) => self.path_value(&paths::canonical(&bytes)),
            _ => self.string_with(&bytes, self.contexts.sum(&ctx)),
        };
        self.give_buffer(bytes);
        Ok(value)
    }

    #[inline(never)]
    pub(crate) fn eval_interpolated(
        &self,
        parts: &'a [StrPart<'a>],
        env: &'a Env<'a>,
    ) -> Result<Slot<'a>> {
        if let [StrPart::Expr(expr)] = parts {
            let value = self.eval(expr, env)?;
            return Ok(self.slot(self.coerce(value, Coercion::INTERPOLATE, expr.span)?));
        }
        let mut bytes = self.buffer();
        let mut ctx = Gathered::new();
        for part in parts {
            match part {
                StrPart::Text(text) => bytes.extend_from_slice(text),
                StrPart::Expr(expr) => {
                    let value = self.eval(expr, env)?;
                    self.coerce_into(
                        value,
                        &mut bytes,
                        &mut ctx,
                        Coercion::INTERPOLATE,
                        expr.span,
                    )?;
                }
            }
        }
        let value = self.string_with(&bytes, self.contexts.sum(&ctx));
        self.give_buffer(bytes);
        Ok(self.slot(value))
    }

    pub(crate) fn eval_interpolated_path(
        &self,
        parts: &'a [StrPart<'a>],
        env: &'a Env<'a>,
        pos: Pos,
    ) -> Result<Value<'a>> {
        let mut bytes = Vec::new();
        let mut ctx = Gathered::new();
        for part in parts {
            match part {
                StrPart::Text(text) => bytes.extend_from_slice(text),
                StrPart::Expr(expr) => {
                    let value = self.eval(expr, env)?;
                    self.coerce_into(value, &mut bytes, &mut ctx, Coercion::APPEND, expr.span)?;
                }
            }
        }
        if !ctx.is_empty() {
            return Err(path_with_context(pos));
        }
        Ok(self.path_value(&paths::canonical(&bytes)))
    }

    pub(crate) fn concat_lists(&self, lists: &[&'a List<'a>]) -> Value<'a> {
        let mut filled = lists.iter().filter(|list| !list.slots().is_empty());
        match (filled.next(), filled.next()) {
            (None, _) => return self.list_from(&[]),
            (Some(one), None) => return Value::List(one),
            _ => {}
        }
        let count = lists.iter().map(|list| list.slots().len()).sum();
        let mut items = bumpalo::collections::Vec::with_capacity_in(count, self.arena);
        for list in lists {
            items.extend_from_slice_copy(list.slots());
        }
        Value::List(self.arena.alloc(List::new(self.arena, items.into_bump_slice())))
    }
}

fn is_chain(expr: &Expr<'_>, op: BinaryOp) -> bool {
    matches!(expr.kind, ExprKind::Binary(node) if node.op == op)
}

/// The operands of a chain of one operator that binds to the right.
fn operands<'a>(mut node: &'a Binary<'a>, op: BinaryOp) -> Vec<&'a Expr<'a>> {
    let mut operands = vec![node.left];
    while let ExprKind::Binary(next) = node.right.kind
        && next.op == op
    {
        operands.push(next.left);
        node = next;
    }
    operands.push(node.right);
    operands
}

/// An arithmetic operator.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arithmetic {
    Add,
    Sub,
    Mul,
    Div,
}

fn int_arithmetic<'a>(op: Arithmetic, left: i64, right: i64, pos: Pos) -> Result<Value<'a>> {
    let (value, verb, sign) = match op {
        Arithmetic::Add => (left.checked_add(right), "adding", '+'),
        Arithmetic::Sub => (left.checked_sub(right), "subtracting", '-'),
        Arithmetic::Mul => (left.checked_mul(right), "multiplying", '*'),
        Arithmetic::Div => (left.checked_div(right), "dividing", '/'),
    };
    value.map(Value::Int).ok_or_else(|| {
        Error::eval(format!("integer overflow in {verb} {left} {sign} {right}"), pos)
    })
}

#[cold]
fn division_by_zero(pos: Pos) -> Error {
    Error::eval("division by zero", pos)
}

#[cold]
fn path_with_context(pos: Pos) -> Error {
    Error::eval("a string that refers to a store path cannot be appended to a path", pos)
}
