//! `fromTOML`.

use toml::Value as Toml;

use super::Out;
use crate::Evaluator;
use crate::error::Error;
use crate::source::{Place, Pos};
use crate::sym;
use crate::value::{PrimOp, Value};

pub(super) static OPS: &[PrimOp] =
    &[PrimOp { name: "fromTOML", arity: 1, run: from_toml, lends: 0 }];

fn from_toml<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    let text = nix.force_string(args[0], pos)?.text();
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        Error::eval(format!("while parsing TOML: [error] {}", error.message()), pos)
    })?;
    convert(nix, Toml::Table(table), pos)
}

fn convert<'a>(nix: &Evaluator<'a>, value: Toml, pos: Pos) -> Out<'a> {
    Ok(match value {
        Toml::String(text) => {
            no_null(&text, pos)?;
            nix.string(text)
        }
        Toml::Integer(number) => Value::Int(number),
        Toml::Float(number) => Value::Float(number),
        Toml::Boolean(value) => Value::Bool(value),
        Toml::Datetime(when) => {
            if !nix.settings.features.iter().any(|name| name == "parse-toml-timestamps") {
                let message = "while parsing TOML: Dates and times are not supported";
                return Err(Error::eval(message, pos));
            }
            nix.attrs_of([
                (sym::UNDERSCORE_TYPE, nix.static_str(b"timestamp")),
                (sym::VALUE, nix.string(timestamp(&when))),
            ])
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
                no_null(&name, pos)?;
                let name = nix.symbols.intern(name.as_bytes());
                entries.push(nix.attr(name, Place::NONE, convert(nix, value, pos)?));
            }
            nix.attrs_from(entries)
        }
    })
}

fn no_null(text: &str, pos: Pos) -> crate::Result<()> {
    crate::json_read::no_null(text.as_bytes(), pos).map_err(|error| {
        Error::eval(format!("while parsing TOML: error: {}", error.message()), pos)
    })
}

/// A date, a time or both: fractions of seconds in groups of three digits.
fn timestamp(when: &toml::value::Datetime) -> String {
    let mut out = String::new();
    if let Some(date) = when.date {
        out += &format!("{:04}-{:02}-{:02}", date.year, date.month, date.day);
    }
    if let Some(time) = when.time {
        if when.date.is_some() {
            out.push('T');
        }
        out += &format!("{:02}:{:02}:{:02}", time.hour, time.minute, time.second);
        let nanos = time.nanosecond;
        if nanos % 1_000_000 == 0 && nanos > 0 {
            out += &format!(".{:03}", nanos / 1_000_000);
        } else if nanos % 1000 == 0 && nanos > 0 {
            out += &format!(".{:06}", nanos / 1000);
        } else if nanos > 0 {
            out += &format!(".{nanos:09}");
        }
    }
    match when.offset {
        None => {}
        Some(toml::value::Offset::Z) => out.push('Z'),
        Some(toml::value::Offset::Custom { minutes: 0 }) => out.push('Z'),
        Some(toml::value::Offset::Custom { minutes }) => {
            let sign = if minutes < 0 { '-' } else { '+' };
            let minutes = minutes.unsigned_abs();
            out += &format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60);
        }
    }
    out
}
