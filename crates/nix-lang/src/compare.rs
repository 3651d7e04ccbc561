//! Equality and order of values.

use std::cmp::Ordering;

use crate::Evaluator;
use crate::error::{Error, Result};
use crate::source::Pos;
use crate::sym;
use crate::value::{Attrs, Value};

impl<'a> Evaluator<'a> {
    /// `left == right`, both evaluated.
    pub(crate) fn equal(&self, left: Value<'a>, right: Value<'a>, pos: Pos) -> Result<bool> {
        Ok(match (left, right) {
            (Value::Int(left), Value::Int(right)) => left == right,
            (Value::Int(left), Value::Float(right)) => left as f64 == right,
            (Value::Float(left), Value::Int(right)) => left == right as f64,
            (Value::Float(left), Value::Float(right)) => left == right,
            (Value::Null, Value::Null) => true,
            (Value::Bool(left), Value::Bool(right)) => left == right,
            (Value::String(left), Value::String(right)) => left.bytes == right.bytes,
            (Value::Path(left), Value::Path(right)) => left.bytes == right.bytes,
            (Value::List(left), Value::List(right)) => {
                if std::ptr::eq(left, right) {
                    // Each element is the same as itself, once it is evaluated.
                    for item in left.items() {
                        self.force(item, pos)?;
                    }
                    return Ok(true);
                }
                if left.slots().len() != right.slots().len() {
                    return Ok(false);
                }
                for (left, right) in left.slots().iter().zip(right.slots()) {
                    if !self.equal_inside(left.get(), right.get(), pos)? {
                        return Ok(false);
                    }
                }
                true
            }
            (Value::Attrs(left), Value::Attrs(right)) => self.equal_attrs(left, right, pos)?,
            _ => false,
        })
    }

    fn equal_attrs(&self, left: &'a Attrs<'a>, right: &'a Attrs<'a>, pos: Pos) -> Result<bool> {
        if self.is_derivation(left)? && self.is_derivation(right)? {
            let paths = (left.value(sym::OUT_PATH), right.value(sym::OUT_PATH));
            if let (Some(left), Some(right)) = paths {
                return self.equal_inside(left, right, pos);
            }
        }
        if std::ptr::eq(left, right) {
            for attr in self.entries(left) {
                self.force(attr.value(), pos)?;
            }
            return Ok(true);
        }
        let (left, right) = (self.entries(left), self.entries(right));
        if left.len() != right.len() {
            return Ok(false);
        }
        for (left, right) in left.iter().zip(right) {
            if left.name != right.name || !self.equal_inside(left.value(), right.value(), pos)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Equality of elements: the same element is equal to itself, functions and NaN too, whatever is in it.
    pub(crate) fn equal_inside(&self, left: Value<'a>, right: Value<'a>, pos: Pos) -> Result<bool> {
        self.nested(pos, || self.equal_values(left, right, pos))
    }

    fn equal_values(&self, left: Value<'a>, right: Value<'a>, pos: Pos) -> Result<bool> {
        self.check_stack(pos)?;
        if let (Value::Thunk(left), Value::Thunk(right)) = (left, right)
            && std::ptr::eq(left, right)
        {
            self.force_thunk(left, pos)?;
            return Ok(true);
        }
        // What is evaluated on either side is a copy: of a function, another one.
        let copied = matches!(left, Value::Thunk(_)) || matches!(right, Value::Thunk(_));
        let (left, right) = (self.force(left, pos)?, self.force(right, pos)?);
        match (left, right) {
            // Two copies of one list would be looked into by C++ Nix, and a variable that is there twice not. That
            // these are copies is not known here.
            (Value::List(left), Value::List(right)) if std::ptr::eq(left, right) => Ok(true),
            (Value::Attrs(left), Value::Attrs(right)) if std::ptr::eq(left, right) => Ok(true),
            _ if copied => self.equal(left, right, pos),
            (Value::Lambda(left), Value::Lambda(right)) => Ok(std::ptr::eq(left, right)),
            (Value::PrimOp(left), Value::PrimOp(right)) => Ok(std::ptr::eq(left, right)),
            (Value::PrimOpApp(left), Value::PrimOpApp(right)) => Ok(std::ptr::eq(left, right)),
            _ => self.equal(left, right, pos),
        }
    }

    pub(crate) fn is_derivation(&self, attrs: &'a Attrs<'a>) -> Result<bool> {
        let Some(attr) = attrs.get(sym::TYPE) else { return Ok(false) };
        Ok(match self.force(attr.value(), attr.pos())? {
            Value::String(kind) => kind.bytes == b"derivation",
            _ => false,
        })
    }

    /// `left < right`, both evaluated.
    pub(crate) fn less(&self, left: Value<'a>, right: Value<'a>, pos: Pos) -> Result<bool> {
        Ok(match (left, right) {
            (Value::Int(left), Value::Int(right)) => left < right,
            (Value::Int(left), Value::Float(right)) => (left as f64) < right,
            (Value::Float(left), Value::Int(right)) => left < right as f64,
            (Value::Float(left), Value::Float(right)) => left < right,
            (Value::String(left), Value::String(right)) => {
                left.bytes.cmp(right.bytes) == Ordering::Less
            }
            (Value::Path(left), Value::Path(right)) => left.bytes < right.bytes,
            (Value::List(left), Value::List(right)) => {
                self.check_stack(pos)?;
                for (left, right) in left.slots().iter().zip(right.slots()) {
                    let (left, right) = (left.get(), right.get());
                    if !self.equal_inside(left, right, pos)? {
                        return self.less(self.force(left, pos)?, self.force(right, pos)?, pos);
                    }
                }
                left.slots().len() < right.slots().len()
            }
            (left, right) => return Err(self.incomparable(left, right, pos)),
        })
    }

    #[cold]
    fn incomparable(&self, left: Value<'a>, right: Value<'a>, pos: Pos) -> Error {
        let (what, with) = (left.described(), right.described());
        let (first, second) = (self.brief(left), self.brief(right));
        // Strings with and without context are of one type.
        Error::eval(
            if left.type_name() == right.type_name() {
                format!(
                    "cannot compare {what} with {with}; values of that type are incomparable (values are {first} and {second})"
                )
            } else {
                format!("cannot compare {what} with {with}; values are {first} and {second}")
            },
            pos,
        )
    }
}
