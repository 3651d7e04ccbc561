//! Numbers.

use super::Out;
use crate::Evaluator;
use crate::error::Error;
use crate::ops::Arithmetic;
use crate::source::Pos;
use crate::value::{PrimOp, Value};

pub(super) static OPS: &[PrimOp] = &[
    PrimOp { name: "add", arity: 2, run: add, lends: 0 },
    PrimOp { name: "bitAnd", arity: 2, run: bit_and, lends: 0 },
    PrimOp { name: "bitOr", arity: 2, run: bit_or, lends: 0 },
    PrimOp { name: "bitXor", arity: 2, run: bit_xor, lends: 0 },
    PrimOp { name: "ceil", arity: 1, run: ceil, lends: 0 },
    PrimOp { name: "div", arity: 2, run: div, lends: 0 },
    PrimOp { name: "floor", arity: 1, run: floor, lends: 0 },
    PrimOp { name: "lessThan", arity: 2, run: less_than, lends: 0 },
    PrimOp { name: "mul", arity: 2, run: mul, lends: 0 },
    PrimOp { name: "sub", arity: 2, run: sub, lends: 0 },
];

fn arithmetic<'a>(op: Arithmetic, nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    let left = nix.force(args[0], pos)?;
    let right = nix.force(args[1], pos)?;
    nix.arithmetic(op, left, right, pos)
}

fn add<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    arithmetic(Arithmetic::Add, nix, args, pos)
}

fn sub<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    arithmetic(Arithmetic::Sub, nix, args, pos)
}

fn mul<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    arithmetic(Arithmetic::Mul, nix, args, pos)
}

fn div<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    arithmetic(Arithmetic::Div, nix, args, pos)
}

fn bit_and<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    Ok(Value::Int(nix.force_int(args[0], pos)? & nix.force_int(args[1], pos)?))
}

fn bit_or<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    Ok(Value::Int(nix.force_int(args[0], pos)? | nix.force_int(args[1], pos)?))
}

fn bit_xor<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    Ok(Value::Int(nix.force_int(args[0], pos)? ^ nix.force_int(args[1], pos)?))
}

fn round<'a>(round: fn(f64) -> f64, nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    let value = nix.force(args[0], pos)?;
    let rounded = match value {
        // Integers go through floats, and those that do not fit are refused.
        Value::Int(number) => number as f64,
        Value::Float(number) => round(number),
        other => return Err(nix.wrong_type("a float", other, pos)),
    };
    // Both bounds are exact as floats.
    let fits = (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&rounded);
    let result = rounded as i64;
    let bug = "Due to a bug (see https://github.com/NixOS/nix/issues/12899)";
    let future = "Future Nix versions might implement the correct behavior.";
    let message = match value {
        Value::Int(number) if !fits => format!(
            "{bug} the NixInt argument {number} caused undefined behavior in previous Nix versions.\n\t{future}"
        ),
        Value::Int(number) if number != result => format!(
            "{bug} a loss of precision occurred in previous Nix versions because the NixInt argument {number} was rounded to {result}.\n\t{future}"
        ),
        Value::Float(number) if !fits => {
            let number = nix_syntax::float(number);
            format!("NixFloat argument {number} is not in the range of NixInt")
        }
        _ => return Ok(Value::Int(result)),
    };
    Err(Error::eval(message, pos))
}

fn ceil<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    round(f64::ceil, nix, args, pos)
}

fn floor<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    round(f64::floor, nix, args, pos)
}

fn less_than<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    let left = nix.force(args[0], pos)?;
    let right = nix.force(args[1], pos)?;
    Ok(Value::Bool(nix.less(left, right, pos)?))
}
