//! `getFlake`, `parseFlakeRef`, `flakeRefToString`.

use nix_compat::flake_ref::{Attr as RefAttr, Attrs as RefAttrs, FlakeRef};

use super::source::ref_error;
use super::{FlakeOptions, LockMode};
use crate::Evaluator;
use crate::error::{Error, ErrorKind, Result};
use crate::source::Pos;
use crate::value::{PrimOp, Value};

pub(crate) static OPS: &[PrimOp] = &[
    PrimOp { name: "flakeRefToString", arity: 1, run: flake_ref_to_string, lends: 0 },
    PrimOp { name: "getFlake", arity: 1, run: get_flake, lends: 0 },
    PrimOp { name: "parseFlakeRef", arity: 1, run: parse_flake_ref, lends: 0 },
];

impl<'a> Evaluator<'a> {
    /// Attributes of an input as a value.
    pub(crate) fn ref_value(&self, attrs: &RefAttrs) -> Value<'a> {
        self.set(attrs.iter().map(|(name, attr)| {
            let value = match attr {
                RefAttr::Text(text) => self.string(text),
                RefAttr::Int(number) => Value::Int(*number as i64),
                RefAttr::Bool(value) => Value::Bool(*value),
            };
            (name, value)
        }))
    }
}

fn parse_flake_ref<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Result<Value<'a>> {
    let text = nix.force_text(args[0], pos)?;
    let found = FlakeRef::parse(text, true, false).map_err(|error| ref_error(error, pos))?;
    Ok(nix.ref_value(&found.to_attrs()))
}

fn flake_ref_to_string<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Result<Value<'a>> {
    let mut found = RefAttrs::new();
    // In the order in which names were first seen, as C++ Nix goes through a set.
    for attr in nix.entries(nix.force_attrs(args[0], pos)?) {
        let name = nix.name(attr.name);
        let value = match nix.force(attr.value(), attr.pos())? {
            Value::Int(number) => RefAttr::Int(u64::try_from(number).map_err(|_| {
                let message = format!("negative value given for flake ref attr {name}: {number}");
                Error::eval(message, pos)
            })?),
            Value::Bool(value) => RefAttr::Bool(value),
            Value::String(text) => RefAttr::Text(text.text()),
            other => {
                let kind = other.described();
                let message = format!(
                    "flake reference attribute sets may only contain integers, Booleans, and \
                     strings, but attribute '{name}' is {kind}"
                );
                return Err(Error::ty(message, pos));
            }
        };
        found.insert(name, value);
    }
    let text = FlakeRef::from_attrs(found).and_then(|found| found.to_text());
    Ok(nix.string(text.map_err(|error| ref_error(error, pos))?))
}

fn get_flake<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Result<Value<'a>> {
    let pure = nix.settings.pure;
    let text = nix.force_text(args[0], pos)?;
    let found = FlakeRef::parse(text, true, false).map_err(|error| ref_error(error, pos))?;
    if pure && !found.input.is_locked() {
        let message = format!(
            "cannot call 'getFlake' on unlocked flake reference '{text}' (use --impure to override)"
        );
        return Err(Error::new(ErrorKind::Impure, message, pos));
    }
    let options = FlakeOptions {
        lock: LockMode::Memory,
        registries: !pure,
        allow_unlocked: !pure,
        ..FlakeOptions::default()
    };
    let value = nix.load_flake(&found, &options).map_err(|error| error.at(pos))?;
    nix.force(value, pos)
}
