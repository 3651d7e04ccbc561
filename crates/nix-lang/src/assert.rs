//! What a failed `assert` says: for an equation, where its sides differ.

use nix_syntax::ast::{Binary, BinaryOp, Expr, ExprKind};

use crate::Evaluator;
use crate::error::{Error, ErrorKind, Result};
use crate::source::Pos;
use crate::sym;
use crate::value::{Attrs, Env, Value};

fn different(message: String, pos: Pos) -> Error {
    Error::new(ErrorKind::Assert, message, pos)
}

impl<'a> Evaluator<'a> {
    /// The error of an `assert` whose condition is false.
    #[cold]
    pub(crate) fn assertion_failed(
        &self,
        condition: &'a Expr<'a>,
        env: &'a Env<'a>,
        pos: Pos,
    ) -> Error {
        if let ExprKind::Binary(node) = condition.kind
            && node.op == BinaryOp::Equal
            && let Err(error) = self.sides_differ(node, env, condition.span)
        {
            return error.frame(pos, "while evaluating the condition of the assertion");
        }
        let shown = self.sources.part(condition.span).map(|part| {
            let source = self.sources.get(part.file);
            nix_syntax::show_part(condition, &self.symbols, &self.globals.names, &source)
        });
        let shown = shown.unwrap_or_default();
        let text = String::from_utf8_lossy(&shown);
        Error::new(ErrorKind::Assert, format!("assertion '{text}' failed"), pos)
    }

    fn sides_differ(&self, node: &'a Binary<'a>, env: &'a Env<'a>, pos: Pos) -> Result<()> {
        let left = self.eval(node.left, env)?;
        let right = self.eval(node.right, env)?;
        self.difference(left, right, pos)
    }

    /// An error that says where two values differ; nothing where they do not.
    fn difference(&self, left: Value<'a>, right: Value<'a>, pos: Pos) -> Result<()> {
        self.check_stack(pos)?;
        if let (Value::Thunk(left), Value::Thunk(right)) = (left, right)
            && std::ptr::eq(left, right)
        {
            return Ok(());
        }
        let (left, right) = (self.force(left, pos)?, self.force(right, pos)?);
        let show = |value| self.brief(value);
        match (left, right) {
            (Value::Int(_) | Value::Float(_), Value::Int(_) | Value::Float(_)) => {
                if self.equal(left, right, pos)? {
                    return Ok(());
                }
                let (a, b) = (left.described(), right.described());
                Err(different(
                    format!(
                        "{a} with value '{}' is not equal to {b} with value '{}'",
                        show(left),
                        show(right)
                    ),
                    pos,
                ))
            }
            (Value::List(a), Value::List(b)) => {
                if a.slots().len() != b.slots().len() {
                    let message = format!(
                        "list of size '{}' is not equal to list of size '{}', left hand side is '{}', right hand side is '{}'",
                        a.slots().len(),
                        b.slots().len(),
                        show(left),
                        show(right)
                    );
                    return Err(different(message, pos));
                }
                for (index, (a, b)) in a.slots().iter().zip(b.slots()).enumerate() {
                    self.difference(a.get(), b.get(), pos).map_err(|error| {
                        error.frame(pos, format!("while comparing list element {index}"))
                    })?;
                }
                Ok(())
            }
            (Value::Attrs(a), Value::Attrs(b)) => self.sets_differ(a, b, pos),
            (a, b) if a.is_function() && b.is_function() => {
                let message = "distinct functions and immediate comparisons of identical functions compare as unequal";
                Err(different(message.to_owned(), pos))
            }
            (a, b) if a.type_name() != b.type_name() => {
                let message = format!(
                    "{} of value '{}' is not equal to {} of value '{}'",
                    a.described(),
                    show(a),
                    b.described(),
                    show(b)
                );
                Err(different(message, pos))
            }
            (a, b) if self.equal(a, b, pos)? => Ok(()),
            (a, b) => {
                let what = match a {
                    Value::Bool(_) => "boolean",
                    other => other.type_name(),
                };
                let message = format!("{what} '{}' is not equal to {what} '{}'", show(a), show(b));
                Err(different(message, pos))
            }
        }
    }

    fn sets_differ(&self, left: &'a Attrs<'a>, right: &'a Attrs<'a>, pos: Pos) -> Result<()> {
        if self.is_derivation(left)?
            && self.is_derivation(right)?
            && let (Some(a), Some(b)) = (left.value(sym::OUT_PATH), right.value(sym::OUT_PATH))
        {
            return self.difference(a, b, pos).map_err(|error| {
                error.frame(pos, "while comparing a derivation by its 'outPath' attribute")
            });
        }
        let show = |attrs: &'a Attrs<'a>| self.brief(Value::Attrs(attrs));
        if self.entries(left).len() != self.entries(right).len() {
            let message = format!(
                "attribute names of attribute set '{}' differs from attribute set '{}'",
                show(left),
                show(right)
            );
            return Err(different(message, pos));
        }
        for (a, b) in self.entries(left).iter().zip(self.entries(right)) {
            if a.name != b.name {
                let message = if right.get(a.name).is_none() {
                    format!(
                        "attribute name '{}' is contained in '{}', but not in '{}'",
                        self.written_name(a.name),
                        show(left),
                        show(right)
                    )
                } else {
                    format!(
                        "attribute name '{}' is missing in '{}', but is contained in '{}'",
                        self.written_name(b.name),
                        show(left),
                        show(right)
                    )
                };
                return Err(different(message, pos));
            }
            self.difference(a.value(), b.value(), pos).map_err(|error| {
                let name = self.name(a.name);
                error.frame(pos, format!("while comparing attribute '{name}'"))
            })?;
        }
        Ok(())
    }

    /// A position as messages have it.
    pub(crate) fn place(&self, pos: Pos) -> String {
        self.location(pos).map_or_else(
            || "«none»:0".to_owned(),
            |at| format!("{}:{}:{}", at.file, at.line, at.column),
        )
    }
}
