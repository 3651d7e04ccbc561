//! Values as JSON, with the contexts met on the way, and JSON as values.

use serde_json::Value as Json;

use crate::Evaluator;
use crate::coerce::Coercion;
use crate::context::Gathered;
use crate::error::{Error, Result};
use crate::source::{Place, Pos};
use crate::sym;
use crate::value::Value;

/// A float as the JSON writer of C++ Nix does it: few digits, `.0` for whole numbers.
pub(crate) fn float_json(number: f64) -> String {
    if !number.is_finite() {
        return "null".to_owned();
    }
    if number == 0.0 {
        return if number.is_sign_negative() { "-0.0" } else { "0.0" }.to_owned();
    }
    let (digits, last) = crate::grisu::digits(number.abs());
    let digits = String::from_utf8_lossy(&digits);
    let count = digits.len() as i32;
    let (point, exponent) = (count + last, count + last - 1);
    let text = if count <= point && point <= 15 {
        format!("{digits}{}.0", "0".repeat((point - count) as usize))
    } else if 0 < point && point <= 15 {
        format!("{}.{}", &digits[..point as usize], &digits[point as usize..])
    } else if -4 < point && point <= 0 {
        format!("0.{}{digits}", "0".repeat(-point as usize))
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        let (first, rest) = digits.split_at(1);
        let dot = if rest.is_empty() { "" } else { "." };
        format!("{first}{dot}{rest}e{sign}{:02}", exponent.abs())
    };
    if number < 0.0 { format!("-{text}") } else { text }
}

#[cold]
fn not_utf8(bytes: &[u8]) -> String {
    let Err(error) = std::str::from_utf8(bytes) else { return String::new() };
    // The byte that cannot follow is named, or the last one when the string ends too early.
    let at = error.valid_up_to() + error.error_len().map_or(0, |len| if len > 1 { len } else { 0 });
    match error.error_len() {
        Some(_) => format!(
            "JSON serialization error: [json.exception.type_error.316] invalid UTF-8 byte at index {at}: 0x{:02X}",
            bytes.get(at).copied().unwrap_or_default()
        ),
        None => format!(
            "JSON serialization error: [json.exception.type_error.316] incomplete UTF-8 string; last byte: 0x{:02X}",
            bytes.last().copied().unwrap_or_default()
        ),
    }
}

fn push_json_string(out: &mut Vec<u8>, bytes: &[u8], pos: Pos) -> Result<()> {
    if std::str::from_utf8(bytes).is_err() {
        return Err(Error::eval(not_utf8(bytes), pos));
    }
    out.push(b'"');
    for byte in bytes {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0c => out.extend_from_slice(b"\\f"),
            byte @ 0..0x20 => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            byte => out.push(*byte),
        }
    }
    out.push(b'"');
    Ok(())
}

/// What a set stands for in JSON when it is not written as one.
enum Stand<'a> {
    For(Value<'a>),
    Itself,
}

impl<'a> Evaluator<'a> {
    fn stands_for(&self, value: Value<'a>, pos: Pos) -> Result<Stand<'a>> {
        let Value::Attrs(attrs) = value else { return Ok(Stand::Itself) };
        if let Some(to_string) = attrs.value(sym::TO_STRING) {
            let text = self.call(to_string, &[value], pos)?;
            return Ok(Stand::For(self.coerce(text, Coercion::APPEND, pos)?));
        }
        if attrs.has(sym::OUT_PATH) {
            return Ok(Stand::For(self.select(attrs, sym::OUT_PATH, pos)?));
        }
        Ok(Stand::Itself)
    }

    /// The JSON of `value` as `builtins.toJSON` writes it; without `copy`, paths stay what they are.
    pub(crate) fn write_json(
        &self,
        value: Value<'a>,
        copy: bool,
        out: &mut Vec<u8>,
        ctx: &mut Gathered,
        pos: Pos,
    ) -> Result<()> {
        self.nested(pos, || self.write_json_value(value, copy, out, ctx, pos))
    }

    fn write_json_value(
        &self,
        value: Value<'a>,
        copy: bool,
        out: &mut Vec<u8>,
        ctx: &mut Gathered,
        pos: Pos,
    ) -> Result<()> {
        self.check_stack(pos)?;
        let value = self.force(value, pos)?;
        match value {
            Value::Null => out.extend_from_slice(b"null"),
            Value::Bool(true) => out.extend_from_slice(b"true"),
            Value::Bool(false) => out.extend_from_slice(b"false"),
            Value::Int(number) => out.extend_from_slice(number.to_string().as_bytes()),
            Value::Float(number) => out.extend_from_slice(float_json(number).as_bytes()),
            Value::String(string) => {
                ctx.add(string.ctx);
                push_json_string(out, string.bytes, pos)?;
            }
            Value::Path(path) if copy => {
                let (text, added) = self.copy_to_store(path.bytes, pos)?;
                ctx.add(added);
                push_json_string(out, text.as_bytes(), pos)?;
            }
            Value::Path(path) => {
                let (text, _) = self.path_text_for(path.bytes, pos)?;
                push_json_string(out, &text, pos)?;
            }
            Value::List(list) => {
                out.push(b'[');
                for (index, item) in list.items().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    self.write_json(item, copy, out, ctx, pos)?;
                }
                out.push(b']');
            }
            Value::Attrs(attrs) => {
                if let Stand::For(other) = self.stands_for(value, pos)? {
                    return self.write_json(other, copy, out, ctx, pos);
                }
                out.push(b'{');
                for (index, attr) in self.sorted(attrs).into_iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    push_json_string(out, self.symbols.name(attr.name), attr.pos())?;
                    out.push(b':');
                    self.write_json(attr.value(), copy, out, ctx, attr.pos()).map_err(|error| {
                        let name = self.name(attr.name);
                        error.frame(attr.pos(), format!("while evaluating the attribute '{name}'"))
                    })?;
                }
                out.push(b'}');
            }
            other => {
                let message = format!("cannot convert {} to JSON", other.described());
                return Err(Error::ty(message, pos));
            }
        }
        Ok(())
    }

    /// The same as a tree.
    pub(crate) fn json_tree(&self, value: Value<'a>, ctx: &mut Gathered, pos: Pos) -> Result<Json> {
        self.check_stack(pos)?;
        let value = self.force(value, pos)?;
        let text = |bytes: &[u8]| match std::str::from_utf8(bytes) {
            Ok(text) => Ok(text.to_owned()),
            Err(_) => Err(Error::eval(not_utf8(bytes), pos)),
        };
        Ok(match value {
            Value::Null => Json::Null,
            Value::Bool(value) => Json::Bool(value),
            Value::Int(number) => Json::from(number),
            Value::Float(number) => Json::from(number),
            Value::String(string) => {
                ctx.add(string.ctx);
                Json::String(text(string.bytes)?)
            }
            Value::Path(path) => {
                let (text, added) = self.copy_to_store(path.bytes, pos)?;
                ctx.add(added);
                Json::String(text.to_string())
            }
            Value::List(list) => Json::Array(
                list.slots()
                    .iter()
                    .map(|item| self.json_tree(item.get(), ctx, pos))
                    .collect::<Result<_>>()?,
            ),
            Value::Attrs(attrs) => {
                if let Stand::For(other) = self.stands_for(value, pos)? {
                    return self.json_tree(other, ctx, pos);
                }
                let mut map = serde_json::Map::with_capacity(self.entries(attrs).len());
                for attr in self.sorted(attrs) {
                    let name = text(self.symbols.name(attr.name))?;
                    let value = self.json_tree(attr.value(), ctx, attr.pos()).map_err(|error| {
                        let text = format!("while evaluating the attribute '{name}'");
                        error.frame(attr.pos(), text)
                    })?;
                    map.insert(name, value);
                }
                Json::Object(map)
            }
            other => {
                let message = format!("cannot convert {} to JSON", other.described());
                return Err(Error::ty(message, pos));
            }
        })
    }

    pub(crate) fn value_from_json(&self, json: &Json, pos: Pos) -> Result<Value<'a>> {
        Ok(match json {
            Json::Null => Value::Null,
            Json::Bool(value) => Value::Bool(*value),
            Json::Number(number) => match (number.as_i64(), number.as_f64()) {
                (Some(number), _) => Value::Int(number),
                (None, Some(_)) if number.is_u64() => {
                    let message =
                        format!("unsigned json number {number} outside of Nix integer range");
                    return Err(Error::eval(message, pos));
                }
                (None, Some(number)) => Value::Float(number),
                (None, None) => {
                    return Err(Error::eval(format!("the number {number} is too large"), pos));
                }
            },
            Json::String(text) => self.string(text),
            Json::Array(items) => {
                let items = items
                    .iter()
                    .map(|item| self.value_from_json(item, pos))
                    .collect::<Result<Vec<_>>>()?;
                self.list_from(&items)
            }
            Json::Object(map) => {
                let mut entries = Vec::with_capacity(map.len());
                for (name, value) in map {
                    let name = self.symbols.intern(name.as_bytes());
                    let value = self.value_from_json(value, pos)?;
                    entries.push(self.attr(name, Place::NONE, value));
                }
                self.attrs_from(entries)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_as_json() {
        for (number, wanted) in [
            (1.0, "1.0"),
            (0.1, "0.1"),
            (-2.5, "-2.5"),
            (1e15, "1e+15"),
            (1e14, "100000000000000.0"),
            (1e100, "1e+100"),
            (1.5e-7, "1.5e-07"),
            (0.001, "0.001"),
            // Not the shortest.
            (21_960_409_611_558_990.0, "2.1960409611558992e+16"),
        ] {
            assert_eq!(float_json(number), wanted);
        }
    }
}
