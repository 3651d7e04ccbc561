//! Strings.

use super::Out;
use crate::Evaluator;
use crate::coerce::Coercion;
use crate::context::{Ctx, Gathered};
use crate::error::Error;
use crate::source::Pos;
use crate::value::{PrimOp, Value};

pub(super) static OPS: &[PrimOp] = &[
    PrimOp { name: "concatStringsSep", arity: 2, run: concat_strings_sep, lends: 0b11 },
    PrimOp { name: "replaceStrings", arity: 3, run: replace_strings, lends: 0b111 },
    PrimOp { name: "stringLength", arity: 1, run: string_length, lends: 0b1 },
    PrimOp { name: "substring", arity: 3, run: substring, lends: 0b111 },
    PrimOp { name: "toString", arity: 1, run: to_string, lends: 0 },
];

fn concat_strings_sep<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    let separator = nix.force_string(args[0], pos)?;
    let list = nix.force_list(args[1], pos)?;
    let mut bytes = nix.buffer();
    let mut ctx = Gathered::new();
    ctx.add(separator.ctx);
    for (index, item) in list.items().enumerate() {
        if index > 0 {
            bytes.extend_from_slice(separator.bytes);
        }
        nix.coerce_into(item, &mut bytes, &mut ctx, Coercion::INTERPOLATE, pos)?;
    }
    let value = nix.string_with(&bytes, nix.contexts.sum(&ctx));
    nix.give_buffer(bytes);
    Ok(value)
}

fn replace_strings<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    let from = nix.force_list(args[0], pos)?;
    let to = nix.force_list(args[1], pos)?;
    if from.slots().len() != to.slots().len() {
        let message =
            "'from' and 'to' arguments passed to builtins.replaceStrings have different lengths";
        return Err(Error::eval(message, pos));
    }
    let mut wanted: Vec<&'a [u8]> = Vec::with_capacity(from.slots().len());
    for item in from.items() {
        wanted.push(nix.force_string(item, pos)?.bytes);
    }
    let subject = nix.force_string(args[2], pos)?;
    let text = subject.bytes;
    let mut firsts = [false; 256];
    for wanted in &wanted {
        match wanted.first() {
            Some(byte) => firsts[*byte as usize] = true,
            None => firsts = [true; 256],
        }
    }
    let mut bytes = nix.buffer();
    let mut ctx = Gathered::new();
    ctx.add(subject.ctx);
    let mut at = 0;
    while at <= text.len() {
        let rest = &text[at..];
        let may_match = match rest.first() {
            Some(byte) => firsts[*byte as usize],
            None => true,
        };
        let found = if may_match {
            wanted.iter().position(|wanted| rest.starts_with(wanted))
        } else {
            None
        };
        match found {
            Some(index) => {
                let replacement = nix.force_string(to.slots()[index].get(), pos)?;
                ctx.add(replacement.ctx);
                bytes.extend_from_slice(replacement.bytes);
                if wanted[index].is_empty() {
                    bytes.extend(rest.first());
                    at += 1;
                } else {
                    at += wanted[index].len();
                }
            }
            None => {
                bytes.extend(rest.first());
                at += 1;
            }
        }
    }
    let value = nix.string_with(&bytes, nix.contexts.sum(&ctx));
    nix.give_buffer(bytes);
    Ok(value)
}

fn string_length<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    let text = nix.coerce(args[0], Coercion::INTERPOLATE, pos)?;
    Ok(Value::Int(nix.force_string(text, pos)?.bytes.len() as i64))
}

fn substring<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    let Ok(start) = usize::try_from(nix.force_int(args[0], pos)?) else {
        return Err(Error::eval("negative start position in 'substring'", pos));
    };
    let length = nix.force_int(args[1], pos)?;
    let text = nix.coerce(args[2], Coercion::INTERPOLATE, pos)?;
    let text = nix.force_string(text, pos)?;
    let start = start.min(text.bytes.len());
    let end = usize::try_from(length)
        .map_or(text.bytes.len(), |length| start.saturating_add(length).min(text.bytes.len()));
    Ok(part(nix, text.bytes, start, end, text.ctx))
}

/// Part of a string, in the same memory.
pub(super) fn part<'a>(
    nix: &Evaluator<'a>,
    bytes: &'a [u8],
    start: usize,
    end: usize,
    ctx: Ctx,
) -> Value<'a> {
    Value::String(nix.arena.alloc(crate::value::Str::new(&bytes[start..end], ctx)))
}

fn to_string<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    nix.coerce(args[0], Coercion::TO_STRING, pos)
}
