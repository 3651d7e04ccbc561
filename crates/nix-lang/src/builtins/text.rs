//! Values as JSON and XML, and back.

use super::Out;
use crate::Evaluator;
use crate::context::Gathered;
use crate::source::Pos;
use crate::value::{PrimOp, Value};

pub(super) static OPS: &[PrimOp] = &[
    PrimOp { name: "fromJSON", arity: 1, run: from_json, lends: 0 },
    PrimOp { name: "toJSON", arity: 1, run: to_json, lends: 0 },
    PrimOp { name: "toXML", arity: 1, run: to_xml, lends: 0 },
];

fn from_json<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    let text = nix.force_plain(args[0], pos)?;
    nix.read_json(text, pos)
}

fn to_json<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    let mut out = Vec::new();
    let mut ctx = Gathered::new();
    nix.write_json(args[0], true, &mut out, &mut ctx, pos)?;
    Ok(nix.string_with(&out, nix.contexts.sum(&ctx)))
}

fn to_xml<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    let (text, ctx) = nix.to_xml(args[0], pos)?;
    Ok(nix.string_with(&text, ctx))
}
