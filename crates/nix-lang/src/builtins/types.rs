//! What a value is, and evaluating it.

use super::Out;
use crate::Evaluator;
use crate::error::{Error, ErrorKind};
use crate::source::Pos;
use crate::sym;
use crate::value::{PrimOp, Value};

pub(super) static OPS: &[PrimOp] = &[
    PrimOp { name: "abort", arity: 1, run: abort, lends: 0b1 },
    PrimOp { name: "addErrorContext", arity: 2, run: add_error_context, lends: 0b11 },
    PrimOp { name: "break", arity: 1, run: second_of_none, lends: 0 },
    PrimOp { name: "deepSeq", arity: 2, run: deep_seq, lends: 0b11 },
    PrimOp { name: "isAttrs", arity: 1, run: is_attrs, lends: 0b1 },
    PrimOp { name: "isBool", arity: 1, run: is_bool, lends: 0b1 },
    PrimOp { name: "isFloat", arity: 1, run: is_float, lends: 0b1 },
    PrimOp { name: "isFunction", arity: 1, run: is_function, lends: 0b1 },
    PrimOp { name: "isInt", arity: 1, run: is_int, lends: 0b1 },
    PrimOp { name: "isList", arity: 1, run: is_list, lends: 0b1 },
    PrimOp { name: "isNull", arity: 1, run: is_null, lends: 0b1 },
    PrimOp { name: "isPath", arity: 1, run: is_path, lends: 0b1 },
    PrimOp { name: "isString", arity: 1, run: is_string, lends: 0b1 },
    PrimOp { name: "seq", arity: 2, run: seq, lends: 0b11 },
    PrimOp { name: "throw", arity: 1, run: throw, lends: 0b1 },
    PrimOp { name: "trace", arity: 2, run: trace, lends: 0 },
    PrimOp { name: "traceVerbose", arity: 2, run: trace_verbose, lends: 0 },
    PrimOp { name: "tryEval", arity: 1, run: try_eval, lends: 0 },
    PrimOp { name: "typeOf", arity: 1, run: type_of, lends: 0b1 },
    PrimOp { name: "warn", arity: 2, run: warn, lends: 0 },
];

fn message<'a>(nix: &Evaluator<'a>, value: Value<'a>, pos: Pos) -> crate::Result<String> {
    let (bytes, _) = nix.coerce_bytes(value, crate::coerce::Coercion::INTERPOLATE, pos)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn abort<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    let text = message(nix, args[0], pos)?;
    let text = format!("evaluation aborted with the following error message: '{text}'");
    Err(Error::new(ErrorKind::Abort, text, pos))
}

fn throw<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    Err(Error::new(ErrorKind::Throw, message(nix, args[0], pos)?, pos))
}

fn add_error_context<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    nix.force(args[1], pos).map_err(|error| {
        match nix.coerce_bytes(args[0], crate::coerce::Coercion::APPEND, pos) {
            Ok((text, _)) => error.frame(pos, String::from_utf8_lossy(&text).into_owned()),
            Err(error) => error,
        }
    })
}

fn second_of_none<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    nix.force(args[0], pos)
}

fn deep_seq<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    nix.deep(args[0], pos)?;
    nix.force(args[1], pos)
}

fn seq<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    nix.force(args[0], pos)?;
    nix.force(args[1], pos)
}

fn trace<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    let text = match nix.force(args[0], pos)? {
        Value::String(string) => string.text(),
        other => nix.print_lazily(other)?,
    };
    nix.io.message(&format!("trace: {text}"));
    nix.force(args[1], pos)
}

fn trace_verbose<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    if nix.settings.trace_verbose {
        return trace(nix, args, pos);
    }
    nix.force(args[1], pos)
}

fn warn<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    let text = nix.force_string(args[0], pos)?.text();
    nix.io.message(&format!("evaluation warning: {text}"));
    if nix.settings.abort_on_warn {
        let message = "aborting to reveal stack trace of warning, as abort-on-warn is set";
        return Err(Error::new(ErrorKind::Abort, message, pos));
    }
    nix.force(args[1], pos)
}

fn try_eval<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    let depth = nix.depth.get();
    // The value stays what it was, so that it is one and the same to comparisons.
    match nix.force(args[0], pos).map(|_| args[0]) {
        Ok(value) => Ok(nix.attrs_of([(sym::SUCCESS, Value::Bool(true)), (sym::VALUE, value)])),
        Err(error) if error.is_catchable() => {
            nix.depth.set(depth);
            let no = Value::Bool(false);
            Ok(nix.attrs_of([(sym::SUCCESS, no), (sym::VALUE, no)]))
        }
        Err(error) => Err(error),
    }
}

fn type_of<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    Ok(nix.static_str(nix.force(args[0], pos)?.type_name().as_bytes()))
}

macro_rules! checks {
    ($($name:ident: $pattern:pat),* $(,)?) => {$(
        fn $name<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
            Ok(Value::Bool(matches!(nix.force(args[0], pos)?, $pattern)))
        }
    )*};
}

checks! {
    is_attrs: Value::Attrs(_),
    is_bool: Value::Bool(_),
    is_float: Value::Float(_),
    is_function: Value::Lambda(_) | Value::PrimOp(_) | Value::PrimOpApp(_),
    is_int: Value::Int(_),
    is_list: Value::List(_),
    is_null: Value::Null,
    is_path: Value::Path(_),
    is_string: Value::String(_),
}
