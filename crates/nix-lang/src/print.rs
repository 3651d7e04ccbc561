//! Values as Nix text.

use rustc_hash::FxHashSet;

use nix_syntax::ast::{Expr, ExprKind};
use nix_syntax::{is_identifier, push_string, written_name};

use crate::Evaluator;
use crate::error::{ErrorKind, Result};
use crate::slot::Slot;
use crate::source::NO_POS;
use crate::sym;
use crate::value::{Attrs, Delayed, ThunkState, Value};

/// Whether an expression is a value as it stands.
fn is_literal(expr: &Expr<'_>) -> bool {
    matches!(
        expr.kind,
        ExprKind::Int(_)
            | ExprKind::Float(_)
            | ExprKind::Str(_)
            | ExprKind::Path(_)
            | ExprKind::Lambda(_)
    )
}

/// A float as `toString` gives it: six decimals.
pub(crate) fn float_six(number: f64) -> String {
    if number.is_nan() {
        return if number.is_sign_negative() { "-nan" } else { "nan" }.to_owned();
    }
    format!("{number:.6}")
}

pub(crate) use nix_syntax::float as float_general;

/// What to do when something in a value cannot be evaluated while it is printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum PrintErrors {
    /// Fail.
    #[default]
    Fail,
    /// Fail when it is the value itself; show `«error: …»` for a part of it.
    FailOutermost,
}

/// How a value is printed for a person: see [`Evaluator::print_with`].
#[derive(Clone, Debug)]
pub struct PrintOptions {
    /// How many columns each level is indented; 0 for everything in one line.
    pub indent: usize,
    /// How deep to show what is inside of lists and sets.
    pub depth: usize,
    /// Colour for a terminal.
    pub colour: bool,
    /// What to do about errors.
    pub errors: PrintErrors,
}

impl Default for PrintOptions {
    fn default() -> Self {
        PrintOptions { indent: 0, depth: usize::MAX, colour: false, errors: PrintErrors::Fail }
    }
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
    /// How many columns each level is indented; 0 for everything in one line.
    indent: usize,
    colour: bool,
    /// Functions that nobody has asked for are shown as thunks.
    unasked: bool,
}

const WHOLE: Style = Style {
    strict: false,
    plain: false,
    errors_inside: false,
    depth: usize::MAX,
    attrs: usize::MAX,
    items: usize::MAX,
    text: usize::MAX,
    indent: 0,
    colour: false,
    unasked: false,
};

const CYAN: &str = "\x1b[36;1m";
const MAGENTA: &str = "\x1b[35;1m";
const GREEN: &str = "\x1b[32;1m";
const BLUE: &str = "\x1b[34;1m";
const RED: &str = "\x1b[31;1m";

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

    /// As [`Evaluator::print_plain`], byte for byte.
    ///
    /// # Errors
    ///
    /// When nesting is too deep.
    pub fn print_plain_bytes(&self, value: Value<'a>) -> Result<Vec<u8>> {
        let style = Style { plain: true, ..WHOLE };
        self.print_as(value, style).map_err(|error| self.finish(error))
    }

    /// As [`Evaluator::print_plain`], for a value that [`Evaluator::force_deep`] has not seen.
    ///
    /// # Errors
    ///
    /// When nesting is too deep.
    pub fn print_plain_lazily(&self, value: Value<'a>) -> Result<Vec<u8>> {
        let style = Style { plain: true, unasked: true, ..WHOLE };
        self.print_as(value, style).map_err(|error| self.finish(error))
    }

    /// The value evaluated as a whole and printed in the way that `options` say, byte for byte.
    ///
    /// # Errors
    ///
    /// When evaluating it fails, and the options do not say to show that.
    pub fn print_with(&self, value: Value<'a>, options: &PrintOptions) -> Result<Vec<u8>> {
        let style = Style {
            strict: true,
            errors_inside: options.errors == PrintErrors::FailOutermost,
            depth: options.depth,
            indent: options.indent,
            colour: options.colour,
            ..WHOLE
        };
        self.print_as(value, style).map_err(|error| self.finish(error))
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

/// What uses up the machine or comes from outside stays an error wherever it happens.
fn is_fatal(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::StackOverflow | ErrorKind::Limit | ErrorKind::Interrupted)
}

fn elided(count: usize, what: &str) -> String {
    format!("«{count} {what}{} elided»", if count == 1 { "" } else { "s" })
}

impl<'a> Printer<'_, 'a> {
    fn put(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    fn coloured(&mut self, colour: &str, text: impl AsRef<[u8]>) {
        if self.style.colour {
            self.put(colour);
        }
        self.out.extend_from_slice(text.as_ref());
        if self.style.colour {
            self.put("\x1b[0m");
        }
    }

    fn value(&mut self, value: Value<'a>, depth: usize) -> Result<()> {
        match self.shape(value, depth) {
            Err(error) if self.style.errors_inside && depth > 0 && !is_fatal(error.kind()) => {
                let message = error.message().replace('\x1b', "␛");
                self.coloured(RED, format!("«error: {message}»"));
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
        let mut place = None;
        if let Value::Thunk(thunk) = value {
            // The same thunk is the same list; the same elements in another place are not.
            place = Some(std::ptr::from_ref(thunk) as usize);
        }
        let value = match value {
            Value::Thunk(thunk) => match thunk.get() {
                ThunkState::Done(0, value) => value,
                _ if self.style.strict => nix.force_thunk(thunk, NO_POS)?,
                ThunkState::Done(_, value) => value,
                ThunkState::Blackhole(node) if !nix.is_application(node) => {
                    self.coloured(RED, "«potential infinite recursion»");
                    return Ok(());
                }
                // Warm evaluation has thunks where there would be none, see `delay_bound`.
                ThunkState::Delayed(node, Delayed::Expr(expr, _))
                    if node != 0 && is_literal(expr) =>
                {
                    nix.force_thunk(thunk, NO_POS)?
                }
                _ => {
                    let text = if self.style.plain { "<CODE>" } else { "«thunk»" };
                    self.coloured(MAGENTA, text);
                    return Ok(());
                }
            },
            // A function that was written here is no thunk, as it is with C++ Nix: unasked for, it
            // is shown as if it were.
            Value::Lambda(_) if self.style.unasked && depth > 0 => {
                self.put("<CODE>");
                return Ok(());
            }
            value => value,
        };
        match value {
            Value::Null => self.coloured(CYAN, "null"),
            Value::Bool(value) => self.coloured(CYAN, if value { "true" } else { "false" }),
            Value::Int(number) => self.coloured(CYAN, number.to_string()),
            Value::Float(number) => self.coloured(CYAN, float_general(number)),
            Value::String(string) => {
                let shown = string.bytes.len().min(self.style.text);
                let mut quoted = Vec::with_capacity(shown + 2);
                push_string(&mut quoted, &string.bytes[..shown]);
                self.coloured(MAGENTA, quoted);
                if shown < string.bytes.len() {
                    let rest = string.bytes.len() - shown;
                    self.put(&format!(" {}", elided(rest, "byte")));
                }
            }
            Value::Path(path) => self.coloured(GREEN, path.bytes),
            Value::List(list) => {
                // What is printed as a whole is a copy: met again, it is shown once more.
                let inner = depth > 0 && !list.slots().is_empty();
                let at = place.unwrap_or(std::ptr::from_ref(list) as usize);
                if inner && !self.seen.insert(at) {
                    self.coloured(MAGENTA, "«repeated»");
                    return Ok(());
                }
                self.list(list.slots(), depth)?;
            }
            Value::Attrs(attrs) => {
                // All empty sets are one to C++ Nix, and one form of printing shows that.
                let first = if attrs.is_empty() {
                    self.style.plain || self.seen.insert(0)
                } else {
                    self.seen.insert(self.nix.entries(attrs).as_ptr() as usize)
                };
                if !first {
                    self.coloured(MAGENTA, "«repeated»");
                    return Ok(());
                }
                self.set(attrs, depth)?;
            }
            Value::Lambda(_) if self.style.plain => self.put("<LAMBDA>"),
            Value::PrimOp(_) if self.style.plain => self.put("<PRIMOP>"),
            Value::PrimOpApp(_) if self.style.plain => self.put("<PRIMOP-APP>"),
            Value::Lambda(closure) => {
                let mut text = "«lambda".to_owned();
                if let Some(name) = closure.lambda.name {
                    text.push(' ');
                    text.push_str(&written_name(nix.symbols.name(name)));
                }
                if let Some(at) = nix.location(closure.lambda.head) {
                    text.push_str(&format!(" @ {}:{}:{}", at.file, at.line, at.column));
                }
                text.push('»');
                self.coloured(BLUE, text);
            }
            Value::PrimOp(op) => self.coloured(BLUE, format!("«primop {}»", op.name)),
            Value::PrimOpApp(app) => {
                self.coloured(BLUE, format!("«partially applied primop {}»", app.op.name));
            }
            Value::Thunk(_) | Value::Hole => self.coloured(MAGENTA, "«thunk»"),
        }
        Ok(())
    }

    fn list(&mut self, items: &'a [Slot<'a>], depth: usize) -> Result<()> {
        if depth >= self.style.depth {
            self.put("[ ... ]");
            return Ok(());
        }
        self.put("[");
        let lines = self.lines(items.first().map(|item| item.get()), items.len())?;
        for (index, item) in items.iter().enumerate() {
            self.space(lines, depth + 1);
            if self.items >= self.style.items {
                self.put(&elided(items.len() - index, "item"));
                break;
            }
            self.value(item.get(), depth + 1)?;
            self.items += 1;
        }
        self.space(lines, depth);
        self.put("]");
        Ok(())
    }

    /// Whether what is in a list or set goes on lines of its own: all but a single plain value.
    fn lines(&self, first: Option<Value<'a>>, count: usize) -> Result<bool> {
        let Some(first) = first.filter(|_| self.style.indent > 0) else { return Ok(false) };
        if count > 1 {
            return Ok(true);
        }
        let only = self.nix.force(first, NO_POS)?;
        Ok(matches!(only, Value::List(_) | Value::Attrs(_)))
    }

    fn space(&mut self, lines: bool, depth: usize) {
        if lines {
            self.put("\n");
            self.out.extend(std::iter::repeat_n(b' ', depth * self.style.indent));
        } else {
            self.put(" ");
        }
    }

    fn set(&mut self, attrs: &'a Attrs<'a>, depth: usize) -> Result<()> {
        let nix = self.nix;
        if self.style.strict && nix.is_derivation(attrs)? {
            let mut text = "«derivation".as_bytes().to_vec();
            if let Some(path) = attrs.value(sym::DRV_PATH) {
                let path = nix.coerce_bytes(path, crate::coerce::Coercion::APPEND, NO_POS)?;
                text.push(b' ');
                text.extend_from_slice(&path.0);
            }
            text.extend_from_slice("»".as_bytes());
            self.coloured(GREEN, text);
            return Ok(());
        }
        if depth >= self.style.depth {
            self.put("{ ... }");
            return Ok(());
        }
        self.put("{");
        let mut sorted = nix.sorted(attrs);
        if self.style.attrs != usize::MAX {
            // What kind of set it is matters most where not all of it is shown.
            sorted.sort_by_key(|attr| !matches!(attr.name, sym::TYPE | sym::UNDERSCORE_TYPE));
        }
        let lines = self.lines(sorted.first().map(|attr| attr.value()), sorted.len())?;
        for (index, attr) in sorted.iter().enumerate() {
            self.space(lines, depth + 1);
            if self.attrs >= self.style.attrs {
                self.put(&elided(sorted.len() - index, "attribute"));
                break;
            }
            let name = nix.symbols.name(attr.name);
            if is_identifier(name) {
                self.out.extend_from_slice(name);
            } else {
                push_string(&mut self.out, name);
            }
            self.put(" = ");
            self.value(attr.value(), depth + 1)?;
            self.attrs += 1;
            self.put(";");
        }
        self.space(lines, depth);
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
