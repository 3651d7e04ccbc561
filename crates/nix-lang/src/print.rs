//! Values as Nix text.

use rustc_hash::FxHashSet;

use crate::Evaluator;
use crate::error::{ErrorKind, Result};
use crate::source::NO_POS;
use crate::sym;
use crate::value::{Attrs, ThunkState, Value};

/// A float as `toString` gives it: six decimals.
pub(crate) fn float_six(number: f64) -> String {
    if number.is_nan() {
        return if number.is_sign_negative() { "-nan" } else { "nan" }.to_owned();
    }
    format!("{number:.6}")
}

pub(crate) use nix_syntax::float as float_general;

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

fn push_string(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    for (index, byte) in bytes.iter().enumerate() {
        match byte {
            b'"' | b'\\' => out.extend([b'\\', *byte]),
            b'\n' => out.extend(b"\\n"),
            b'\r' => out.extend(b"\\r"),
            b'\t' => out.extend(b"\\t"),
            b'$' if bytes.get(index + 1) == Some(&b'{') => out.extend(b"\\$"),
            byte => out.push(*byte),
        }
    }
    out.push(b'"');
}

/// How much of a value is shown, and how.
#[derive(Clone, Copy)]
struct Style {
    /// Evaluate on the way, rather than print what is not evaluated as such.
    strict: bool,
    /// The old form, of `nix-instantiate`: `<LAMBDA>` and the like.
    plain: bool,
    /// Errors below the top are shown in the place of the value.
    errors_inside: bool,
    /// How deep, how many attributes and list elements in all, how much of a string.
    depth: usize,
    attrs: usize,
    items: usize,
    text: usize,
}

const WHOLE: Style = Style {
    strict: false,
    plain: false,
    errors_inside: false,
    depth: usize::MAX,
    attrs: usize::MAX,
    items: usize::MAX,
    text: usize::MAX,
};

struct Printer<'p, 'a> {
    nix: &'p Evaluator<'a>,
    out: Vec<u8>,
    style: Style,
    attrs: usize,
    items: usize,
    seen: FxHashSet<usize>,
}

impl<'a> Evaluator<'a> {
    /// The value as `nix eval` shows it, evaluated as a whole; errors inside of it are shown in
    /// their places.
    ///
    /// # Errors
    ///
    /// When evaluating the value itself fails, or nesting is too deep.
    pub fn print(&self, value: Value<'a>) -> Result<String> {
        let style = Style { strict: true, errors_inside: true, ..WHOLE };
        self.print_as(value, style).map(text).map_err(|error| self.finish(error))
    }

    /// The value as `nix-instantiate --eval` shows it, evaluated no further than it is: see
    /// [`Evaluator::force_deep`].
    ///
    /// # Errors
    ///
    /// When nesting is too deep.
    pub fn print_plain(&self, value: Value<'a>) -> Result<String> {
        let style = Style { plain: true, ..WHOLE };
        self.print_as(value, style).map(text).map_err(|error| self.finish(error))
    }

    /// The value as `builtins.trace` shows it.
    pub(crate) fn print_lazily(&self, value: Value<'a>) -> Result<String> {
        self.print_as(value, WHOLE).map(text)
    }

    fn print_as(&self, value: Value<'a>, style: Style) -> Result<Vec<u8>> {
        let mut printer = Printer {
            nix: self,
            out: Vec::new(),
            style,
            attrs: 0,
            items: 0,
            seen: FxHashSet::default(),
        };
        printer.value(value, 0)?;
        Ok(printer.out)
    }

    /// A few words about a value, for messages; nothing is evaluated for it.
    #[cold]
    pub(crate) fn brief(&self, value: Value<'a>) -> String {
        let style = Style { depth: 10, attrs: 10, items: 10, text: 1024, ..WHOLE };
        self.print_as(value, style).map_or_else(|_| "…".to_owned(), text)
    }
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

fn elided(count: usize, what: &str) -> String {
    format!("«{count} {what}{} elided»", if count == 1 { "" } else { "s" })
}

impl<'a> Printer<'_, 'a> {
    fn put(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    fn value(&mut self, value: Value<'a>, depth: usize) -> Result<()> {
        match self.shape(value, depth) {
            Err(error)
                if self.style.errors_inside
                    && depth > 0
                    && error.kind() != ErrorKind::StackOverflow =>
            {
                self.put(&format!("«error: {}»", error.message()));
                Ok(())
            }
            result => result,
        }
    }

    fn shape(&mut self, value: Value<'a>, depth: usize) -> Result<()> {
        let nix = self.nix;
        nix.check_stack(NO_POS)?;
        if depth > nix.settings.max_call_depth as usize {
            return Err(crate::eval::stack_overflow(NO_POS));
        }
        let value = match value {
            Value::Thunk(thunk) => match thunk.state.get() {
                ThunkState::Done(0, value) => value,
                _ if self.style.strict => nix.force_thunk(thunk, NO_POS)?,
                ThunkState::Done(_, value) => value,
                ThunkState::Blackhole(_) => {
                    self.put("«potential infinite recursion»");
                    return Ok(());
                }
                _ => {
                    self.put(if self.style.plain { "<CODE>" } else { "«thunk»" });
                    return Ok(());
                }
            },
            value => value,
        };
        match value {
            Value::Null => self.put("null"),
            Value::Bool(value) => self.put(if value { "true" } else { "false" }),
            Value::Int(number) => self.put(&number.to_string()),
            Value::Float(number) => self.put(&float_general(number)),
            Value::String(string) => {
                let shown = string.bytes.len().min(self.style.text);
                push_string(&mut self.out, &string.bytes[..shown]);
                if shown < string.bytes.len() {
                    let rest = string.bytes.len() - shown;
                    self.put(&format!(" {}", elided(rest, "byte")));
                }
            }
            Value::Path(path) => self.out.extend_from_slice(path.bytes),
            Value::List(list) => {
                // What is printed as a whole is a copy: met again, it is shown once more.
                let inner = depth > 0 && !list.items.is_empty();
                if inner && !self.seen.insert(std::ptr::from_ref(list) as usize) {
                    self.put("«repeated»");
                    return Ok(());
                }
                self.list(list.items, depth)?;
            }
            Value::Attrs(attrs) => {
                // All empty sets are one to C++ Nix, and one form of printing shows that.
                let first = if attrs.is_empty() {
                    self.style.plain || self.seen.insert(0)
                } else {
                    self.seen.insert(attrs.entries.as_ptr() as usize)
                };
                if !first {
                    self.put("«repeated»");
                    return Ok(());
                }
                self.set(attrs, depth)?;
            }
            Value::Lambda(_) if self.style.plain => self.put("<LAMBDA>"),
            Value::PrimOp(_) if self.style.plain => self.put("<PRIMOP>"),
            Value::PrimOpApp(_) if self.style.plain => self.put("<PRIMOP-APP>"),
            Value::Lambda(closure) => {
                self.put("«lambda");
                if let Some(name) = closure.lambda.name {
                    self.put(" ");
                    self.put(&nix.name(name));
                }
                if let Some(at) = nix.location(closure.lambda.head) {
                    self.put(&format!(" @ {}:{}:{}", at.file, at.line, at.column));
                }
                self.put("»");
            }
            Value::PrimOp(op) => self.put(&format!("«primop {}»", op.name)),
            Value::PrimOpApp(app) => {
                self.put(&format!("«partially applied primop {}»", app.op.name));
            }
            Value::Thunk(_) | Value::Hole => self.put("«thunk»"),
        }
        Ok(())
    }

    fn list(&mut self, items: &'a [Value<'a>], depth: usize) -> Result<()> {
        if depth >= self.style.depth {
            self.put("[ ... ]");
            return Ok(());
        }
        self.put("[ ");
        for (index, item) in items.iter().enumerate() {
            if self.items >= self.style.items {
                self.put(&elided(items.len() - index, "item"));
                self.put(" ");
                break;
            }
            self.value(*item, depth + 1)?;
            self.items += 1;
            self.put(" ");
        }
        self.put("]");
        Ok(())
    }

    fn set(&mut self, attrs: &'a Attrs<'a>, depth: usize) -> Result<()> {
        let nix = self.nix;
        if self.style.strict && nix.is_derivation(attrs)? {
            self.put("«derivation");
            if let Some(path) = attrs.value(sym::DRV_PATH) {
                let path = nix.coerce_bytes(path, crate::coerce::Coercion::APPEND, NO_POS)?;
                self.put(" ");
                self.out.extend_from_slice(&path.0);
            }
            self.put("»");
            return Ok(());
        }
        if depth >= self.style.depth {
            self.put("{ ... }");
            return Ok(());
        }
        self.put("{ ");
        let mut sorted = nix.sorted(attrs);
        if self.style.attrs != usize::MAX {
            // What kind of set it is matters most where not all of it is shown.
            sorted.sort_by_key(|attr| !matches!(attr.name, sym::TYPE | sym::UNDERSCORE_TYPE));
        }
        for (index, attr) in sorted.iter().enumerate() {
            if self.attrs >= self.style.attrs {
                self.put(&elided(sorted.len() - index, "attribute"));
                self.put(" ");
                break;
            }
            let name = nix.symbols.name(attr.name);
            if is_identifier(name) {
                self.out.extend_from_slice(name);
            } else {
                push_string(&mut self.out, name);
            }
            self.put(" = ");
            self.value(attr.value, depth + 1)?;
            self.attrs += 1;
            self.put("; ");
        }
        self.put("}");
        Ok(())
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
