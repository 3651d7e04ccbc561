//! `fromTOML`.

use toml::Value as Toml;

use super::Out;
use crate::Evaluator;
use crate::error::Error;
use crate::source::{NO_POS, Pos};
use crate::value::{Attr, PrimOp, Value};

pub(super) static OPS: &[PrimOp] = &[PrimOp { name: "fromTOML", arity: 1, run: from_toml }];

fn from_toml<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    let text = nix.force_string(args[0], pos)?.text();
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        Error::eval(format!("while parsing TOML: {}", error.message()), pos)
    })?;
    convert(nix, Toml::Table(table), pos)
}

fn convert<'a>(nix: &Evaluator<'a>, value: Toml, pos: Pos) -> Out<'a> {
    Ok(match value {
        Toml::String(text) => nix.string(text),
        Toml::Integer(number) => Value::Int(number),
        Toml::Float(number) => Value::Float(number),
        Toml::Boolean(value) => Value::Bool(value),
        Toml::Datetime(_) => {
            return Err(Error::eval("while parsing TOML: dates and times are not supported", pos));
        }
        Toml::Array(items) => {
            let items = items
                .into_iter()
                .map(|item| convert(nix, item, pos))
                .collect::<crate::Result<Vec<_>>>()?;
            nix.list_from(&items)
        }
        Toml::Table(table) => {
            let mut entries = Vec::with_capacity(table.len());
            for (name, value) in table {
                let name = nix.symbols.intern(name.as_bytes());
                entries.push(Attr { name, pos: NO_POS, value: convert(nix, value, pos)? });
            }
            nix.attrs_from(entries)
        }
    })
}
