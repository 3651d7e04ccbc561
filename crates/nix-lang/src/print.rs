//! Values as Nix text.

use rustc_hash::FxHashSet;

use crate::Evaluator;
use crate::error::Result;
use crate::source::NO_POS;
use crate::sym;
use crate::value::{ThunkState, Value};

/// A float as `toString` gives it: six decimals.
pub(crate) fn float_six(number: f64) -> String {
    if number.is_nan() {
        return if number.is_sign_negative() { "-nan" } else { "nan" }.to_owned();
    }
    format!("{number:.6}")
}

/// A float as C's `%g`: six significant digits, no trailing zeros.
pub(crate) fn float_general(number: f64) -> String {
    if !number.is_finite() {
        return float_six(number);
    }
    if number == 0.0 {
        return if number.is_sign_negative() { "-0" } else { "0" }.to_owned();
    }
    let scientific = format!("{number:.5e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let trim = |text: &str| {
        if text.contains('.') {
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        } else {
            text.to_owned()
        }
    };
    if (-4..6).contains(&exponent) {
        trim(&format!("{number:.*}", (5 - exponent).max(0) as usize))
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        format!("{}e{sign}{:02}", trim(digits), exponent.abs())
    }
}

const KEYWORDS: &[&[u8]] =
    &[b"if", b"then", b"else", b"assert", b"with", b"let", b"in", b"rec", b"inherit"];

fn is_identifier(name: &[u8]) -> bool {
    let first = |byte: &u8| byte.is_ascii_alphabetic() || *byte == b'_';
    name.first().is_some_and(first)
        && name
            .iter()
            .all(|byte| first(byte) || byte.is_ascii_digit() || matches!(byte, b'\'' | b'-'))
        && !KEYWORDS.contains(&name)
}

fn push_string(out: &mut String, bytes: &[u8]) {
    out.push('"');
    let text = String::from_utf8_lossy(bytes);
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '$' if chars.peek() == Some(&'{') => out.push_str("\\$"),
            char => out.push(char),
        }
    }
    out.push('"');
}

struct Printer<'p, 'a> {
    nix: &'p Evaluator<'a>,
    out: String,
    /// Evaluate on the way, rather than print what is not evaluated as such.
    strict: bool,
    /// How deep, how many elements in all and how much of a string to show.
    depth: usize,
    items: usize,
    text: usize,
    seen: FxHashSet<usize>,
}

impl<'a> Evaluator<'a> {
    /// The value as `nix eval` shows it, evaluated as a whole.
    ///
    /// # Errors
    ///
    /// When evaluating a part of the value fails.
    pub fn print(&self, value: Value<'a>) -> Result<String> {
        let mut printer = Printer {
            nix: self,
            out: String::new(),
            strict: true,
            depth: usize::MAX,
            items: usize::MAX,
            text: usize::MAX,
            seen: FxHashSet::default(),
        };
        printer.value(value).map_err(|error| self.finish(error))?;
        Ok(printer.out)
    }

    /// A few words about a value, for messages; nothing is evaluated for it.
    #[cold]
    pub(crate) fn brief(&self, value: Value<'a>) -> String {
        let mut printer = Printer {
            nix: self,
            out: String::new(),
            strict: false,
            depth: 2,
            items: 10,
            text: 200,
            seen: FxHashSet::default(),
        };
        match printer.value(value) {
            Ok(()) => printer.out,
            Err(_) => "…".to_owned(),
        }
    }
}

impl<'a> Printer<'_, 'a> {
    fn value(&mut self, value: Value<'a>) -> Result<()> {
        let nix = self.nix;
        let value = match value {
            Value::Thunk(thunk) => match thunk.state.get() {
                ThunkState::Done(0, value) => value,
                _ if self.strict => nix.force_thunk(thunk, NO_POS)?,
                ThunkState::Done(_, value) => value,
                _ => {
                    self.out.push_str("«thunk»");
                    return Ok(());
                }
            },
            value => value,
        };
        match value {
            Value::Null => self.out.push_str("null"),
            Value::Bool(value) => self.out.push_str(if value { "true" } else { "false" }),
            Value::Int(number) => self.out.push_str(&number.to_string()),
            Value::Float(number) => self.out.push_str(&float_general(number)),
            Value::String(string) => {
                let shown = string.bytes.len().min(self.text);
                push_string(&mut self.out, &string.bytes[..shown]);
                if shown < string.bytes.len() {
                    self.out.push_str(" «…»");
                }
            }
            Value::Path(path) => self.out.push_str(&String::from_utf8_lossy(path.bytes)),
            Value::List(list) => {
                if list.items.is_empty() {
                    self.out.push_str("[ ]");
                } else if self.enter(list.items.as_ptr() as usize) {
                    nix.check_stack(NO_POS)?;
                    self.depth -= 1;
                    self.out.push_str("[ ");
                    for item in list.items {
                        if !self.room() {
                            break;
                        }
                        self.value(*item)?;
                        self.out.push(' ');
                    }
                    self.out.push(']');
                    self.depth += 1;
                }
            }
            Value::Attrs(attrs) => {
                if attrs.is_empty() {
                    self.out.push_str("{ }");
                    return Ok(());
                }
                if self.strict && nix.is_derivation(attrs)? {
                    self.out.push_str("«derivation");
                    if let Some(path) = attrs.value(sym::DRV_PATH) {
                        let path =
                            nix.coerce_bytes(path, crate::coerce::Coercion::APPEND, NO_POS)?;
                        self.out.push(' ');
                        self.out.push_str(&String::from_utf8_lossy(&path.0));
                    }
                    self.out.push('»');
                    return Ok(());
                }
                if self.enter(attrs.entries.as_ptr() as usize) {
                    nix.check_stack(NO_POS)?;
                    self.depth -= 1;
                    self.out.push_str("{ ");
                    for attr in nix.sorted(attrs) {
                        if !self.room() {
                            break;
                        }
                        let name = nix.symbols.name(attr.name);
                        if is_identifier(name) {
                            self.out.push_str(&String::from_utf8_lossy(name));
                        } else {
                            push_string(&mut self.out, name);
                        }
                        self.out.push_str(" = ");
                        self.value(attr.value)?;
                        self.out.push_str("; ");
                    }
                    self.out.push('}');
                    self.depth += 1;
                }
            }
            Value::Lambda(closure) => {
                self.out.push_str("«lambda");
                if let Some(name) = closure.lambda.name {
                    self.out.push(' ');
                    self.out.push_str(&nix.name(name));
                }
                if let Some(at) = nix.location(closure.lambda.head) {
                    self.out.push_str(&format!(" @ {}:{}:{}", at.file, at.line, at.column));
                }
                self.out.push('»');
            }
            Value::PrimOp(op) => self.out.push_str(&format!("«primop {}»", op.name)),
            Value::PrimOpApp(app) => {
                self.out.push_str(&format!("«partially applied primop {}»", app.op.name));
            }
            Value::Thunk(_) | Value::Hole => self.out.push_str("«thunk»"),
        }
        Ok(())
    }

    fn room(&mut self) -> bool {
        if self.items == 0 {
            self.out.push_str("… ");
            return false;
        }
        self.items -= 1;
        true
    }

    fn enter(&mut self, address: usize) -> bool {
        if self.depth == 0 {
            self.out.push('…');
            return false;
        }
        if self.seen.insert(address) {
            return true;
        }
        self.out.push_str("«repeated»");
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_as_c_prints_them() {
        for (number, wanted) in [
            (0.1, "0.1"),
            (1.0, "1"),
            (1.414_213_9, "1.41421"),
            (1e10, "1e+10"),
            (123_456.0, "123456"),
            (1_234_567.0, "1.23457e+06"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (-2.5, "-2.5"),
        ] {
            assert_eq!(float_general(number), wanted);
        }
        assert_eq!(float_six(0.5), "0.500000");
    }
}
