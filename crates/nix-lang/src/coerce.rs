//! Values as text, and the checks that a value has the type that is wanted.

use nix_syntax::Symbol;

use crate::Evaluator;
use crate::context::{Ctx, Gathered};
use crate::error::{Error, ErrorKind, Result};
use crate::print::float_six;
use crate::source::Pos;
use crate::suggest;
use crate::sym;
use crate::value::{Attr, Attrs, List, Str, Value};

/// What becomes text, and how.
#[derive(Clone, Copy)]
pub(crate) struct Coercion {
    /// Numbers, booleans, null and lists too, as `toString` does.
    pub(crate) more: bool,
    /// Paths become store paths.
    pub(crate) copy: bool,
}

impl Coercion {
    pub(crate) const INTERPOLATE: Coercion = Coercion { more: false, copy: true };
    pub(crate) const APPEND: Coercion = Coercion { more: false, copy: false };
    pub(crate) const TO_STRING: Coercion = Coercion { more: true, copy: false };
    pub(crate) const ENVIRONMENT: Coercion = Coercion { more: true, copy: true };
}

impl<'a> Evaluator<'a> {
    /// Append the text of `value` to `out` and its context to `ctx`.
    pub(crate) fn coerce_into(
        &self,
        value: Value<'a>,
        out: &mut Vec<u8>,
        ctx: &mut Gathered,
        mode: Coercion,
        pos: Pos,
    ) -> Result<()> {
        let value = self.force(value, pos)?;
        match value {
            Value::String(string) => {
                out.extend_from_slice(string.bytes);
                ctx.add(string.ctx);
            }
            Value::Path(path) if mode.copy => {
                let (text, added) = self.copy_to_store(path.bytes, pos)?;
                out.extend_from_slice(text.as_bytes());
                ctx.add(added);
            }
            Value::Path(path) => {
                let (text, added) = self.path_text_for(path.bytes, pos)?;
                out.extend_from_slice(&text);
                ctx.add(added);
            }
            Value::Attrs(attrs) => {
                self.check_stack(pos)?;
                if let Some(to_string) = attrs.value(sym::TO_STRING) {
                    let text = self.call(to_string, &[value], pos)?;
                    return self.nested(pos, || self.coerce_into(text, out, ctx, mode, pos));
                }
                if attrs.has(sym::OUT_PATH) {
                    let path = self.select(attrs, sym::OUT_PATH, pos)?;
                    return self.nested(pos, || self.coerce_into(path, out, ctx, mode, pos));
                }
                return Err(self.cannot_coerce(value, pos));
            }
            Value::Bool(true) if mode.more => out.push(b'1'),
            Value::Bool(false) | Value::Null if mode.more => {}
            Value::Int(number) if mode.more => {
                out.extend_from_slice(number.to_string().as_bytes());
            }
            Value::Float(number) if mode.more => {
                out.extend_from_slice(float_six(number).as_bytes());
            }
            Value::List(list) if mode.more => {
                self.check_stack(pos)?;
                for (index, item) in list.items().enumerate() {
                    let item = self.force(item, pos)?;
                    let inside = self.nested(pos, || self.coerce_into(item, out, ctx, mode, pos));
                    inside.map_err(|error| {
                        error.frame(pos, "while coercing an element of a list to a string")
                    })?;
                    let empty = matches!(item, Value::List(list) if list.slots().is_empty());
                    if index + 1 < list.slots().len() && !empty {
                        out.push(b' ');
                    }
                }
            }
            other => return Err(self.cannot_coerce(other, pos)),
        }
        Ok(())
    }

    #[cold]
    fn cannot_coerce(&self, value: Value<'a>, pos: Pos) -> Error {
        let text = self.brief(value);
        Error::ty(format!("cannot coerce {} to a string: {text}", value.described()), pos)
    }

    pub(crate) fn coerce(&self, value: Value<'a>, mode: Coercion, pos: Pos) -> Result<Value<'a>> {
        let value = self.force(value, pos)?;
        match value {
            Value::String(_) => return Ok(value),
            // The text of a derivation is the one that it has.
            Value::Attrs(attrs) if !attrs.has(sym::TO_STRING) && attrs.has(sym::OUT_PATH) => {
                self.check_stack(pos)?;
                let path = self.select(attrs, sym::OUT_PATH, pos)?;
                return self.nested(pos, || self.coerce(path, mode, pos));
            }
            _ => {}
        }
        let (bytes, ctx) = self.coerce_bytes(value, mode, pos)?;
        Ok(self.string_with(&bytes, ctx))
    }

    pub(crate) fn coerce_bytes(
        &self,
        value: Value<'a>,
        mode: Coercion,
        pos: Pos,
    ) -> Result<(Vec<u8>, Ctx)> {
        let mut bytes = Vec::new();
        let mut ctx = Gathered::new();
        self.coerce_into(value, &mut bytes, &mut ctx, mode, pos)?;
        Ok((bytes, self.contexts.sum(&ctx)))
    }

    #[cold]
    pub(crate) fn wrong_type(&self, wanted: &str, value: Value<'a>, pos: Pos) -> Error {
        let text = self.brief(value);
        Error::ty(format!("expected {wanted} but found {}: {text}", value.described()), pos)
    }

    /// The attribute that a builtin needs its argument to have.
    pub(crate) fn need(&self, attrs: &'a Attrs<'a>, name: Symbol, pos: Pos) -> Result<Attr<'a>> {
        attrs.get(name).ok_or_else(|| {
            Error::new(
                ErrorKind::MissingAttr,
                format!("attribute '{}' missing", self.written_name(name)),
                pos,
            )
        })
    }

    #[cold]
    pub(crate) fn missing_attr(&self, attrs: &'a Attrs<'a>, name: Symbol, pos: Pos) -> Error {
        let wanted = self.name(name);
        let message = format!("attribute '{}' missing", self.written_name(name));
        let error = Error::new(ErrorKind::MissingAttr, message, pos);
        let names: Vec<String> =
            self.entries(attrs).iter().map(|attr| self.name(attr.name)).collect();
        let near = suggest::near(&wanted, names.iter().map(String::as_str));
        if near.is_empty() { error } else { error.hint(suggest::did_you_mean(&near)) }
    }

    pub(crate) fn force_attrs(&self, value: Value<'a>, pos: Pos) -> Result<&'a Attrs<'a>> {
        match self.force(value, pos)? {
            Value::Attrs(attrs) => Ok(attrs),
            other => Err(self.wrong_type("a set", other, pos)),
        }
    }

    pub(crate) fn force_list(&self, value: Value<'a>, pos: Pos) -> Result<&'a List<'a>> {
        match self.force(value, pos)? {
            Value::List(list) => Ok(list),
            other => Err(self.wrong_type("a list", other, pos)),
        }
    }

    pub(crate) fn force_string(&self, value: Value<'a>, pos: Pos) -> Result<&'a Str<'a>> {
        match self.force(value, pos)? {
            Value::String(string) => Ok(string),
            other => Err(self.wrong_type("a string", other, pos)),
        }
    }

    /// A string that may not have a context.
    pub(crate) fn force_plain(&self, value: Value<'a>, pos: Pos) -> Result<&'a [u8]> {
        let string = self.force_string(value, pos)?;
        if string.ctx.is_empty() { Ok(string.bytes) } else { Err(self.has_context(string, pos)) }
    }

    #[cold]
    fn has_context(&self, string: &Str<'a>, pos: Pos) -> Error {
        let elems = self.contexts.elems(string.ctx);
        let first = elems.first().map(|elem| elem.encode(&self.store_dir)).unwrap_or_default();
        let text = string.text();
        let message = format!(
            "the string '{text}' is not allowed to refer to a store path (such as '{first}')"
        );
        Error::eval(message, pos)
    }

    /// A string without context that is text.
    pub(crate) fn force_text(&self, value: Value<'a>, pos: Pos) -> Result<&'a str> {
        let bytes = self.force_plain(value, pos)?;
        std::str::from_utf8(bytes).map_err(|_| {
            let text = String::from_utf8_lossy(bytes);
            Error::eval(format!("the string '{text}' is not valid UTF-8"), pos)
        })
    }

    pub(crate) fn force_name(&self, value: Value<'a>, pos: Pos) -> Result<Symbol> {
        let string = self.force_string(value, pos)?;
        if !string.ctx.is_empty() {
            return Err(self.has_context(string, pos));
        }
        Ok(match string.symbol.get() {
            0 => {
                let symbol = self.symbols.intern(string.bytes);
                string.symbol.set(symbol.0 + 1);
                symbol
            }
            number => Symbol(number - 1),
        })
    }

    /// As [`Self::force_name`]; nothing where it is the name of no attribute at all.
    pub(crate) fn force_known_name(&self, value: Value<'a>, pos: Pos) -> Result<Option<Symbol>> {
        let string = self.force_string(value, pos)?;
        match string.symbol.get() {
            0 => Ok(self.symbols.lookup(self.force_plain(value, pos)?)),
            _ => self.force_name(value, pos).map(Some),
        }
    }

    pub(crate) fn force_int(&self, value: Value<'a>, pos: Pos) -> Result<i64> {
        match self.force(value, pos)? {
            Value::Int(number) => Ok(number),
            other => Err(self.wrong_type("an integer", other, pos)),
        }
    }

    pub(crate) fn force_bool(&self, value: Value<'a>, pos: Pos) -> Result<bool> {
        match self.force(value, pos)? {
            Value::Bool(value) => Ok(value),
            other => Err(self.wrong_type("a Boolean", other, pos)),
        }
    }

    /// Something that can be called.
    pub(crate) fn force_function(&self, value: Value<'a>, pos: Pos) -> Result<Value<'a>> {
        match self.force(value, pos)? {
            value if value.is_function() => Ok(value),
            value @ Value::Attrs(attrs) if attrs.has(sym::FUNCTOR) => Ok(value),
            other => Err(self.wrong_type("a function", other, pos)),
        }
    }

    /// A buffer for building strings, used again and again.
    pub(crate) fn buffer(&self) -> Vec<u8> {
        let mut buffer = self.spare.take();
        buffer.clear();
        buffer
    }

    pub(crate) fn give_buffer(&self, buffer: Vec<u8>) {
        self.spare.set(buffer);
    }
}
