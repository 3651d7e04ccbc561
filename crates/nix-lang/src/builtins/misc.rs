//! The environment and the constants.

use super::Out;
use crate::Evaluator;
use crate::error::{Error, ErrorKind};
use crate::source::Pos;
use crate::value::{PrimOp, Value};

pub(super) static OPS: &[PrimOp] = &[PrimOp { name: "getEnv", arity: 1, run: get_env, lends: 0 }];

fn get_env<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    let name = nix.force_text(args[0], pos)?;
    if nix.settings.pure {
        return Ok(nix.static_str(b""));
    }
    Ok(nix.string(nix.io.env_var(name).unwrap_or_default()))
}

pub(super) fn store_dir<'a>(nix: &Evaluator<'a>, _: &[Value<'a>], _: Pos) -> Out<'a> {
    Ok(nix.string(nix.store_dir.as_str()))
}

/// The version whose language and builtins these are.
pub(super) fn nix_version<'a>(nix: &Evaluator<'a>, _: &[Value<'a>], _: Pos) -> Out<'a> {
    Ok(nix.static_str(b"2.34.8"))
}

pub(super) fn lang_version<'a>(_: &Evaluator<'a>, _: &[Value<'a>], _: Pos) -> Out<'a> {
    Ok(Value::Int(6))
}

fn impure(what: &str, pos: Pos) -> Error {
    let message = format!("'{what}' is not available in pure evaluation mode");
    Error::new(ErrorKind::Impure, message, pos)
}

pub(super) fn current_system<'a>(nix: &Evaluator<'a>, _: &[Value<'a>], pos: Pos) -> Out<'a> {
    if nix.settings.pure {
        return Err(impure("builtins.currentSystem", pos));
    }
    Ok(nix.string(nix.io.current_system()))
}

pub(super) fn current_time<'a>(nix: &Evaluator<'a>, _: &[Value<'a>], pos: Pos) -> Out<'a> {
    if nix.settings.pure {
        return Err(impure("builtins.currentTime", pos));
    }
    Ok(Value::Int(nix.io.current_time()))
}
