//! `builtins.toXML`.

use rustc_hash::FxHashSet;

use crate::Evaluator;
use crate::context::{Ctx, Gathered};
use crate::error::Result;
use crate::print::float_general;
use crate::source::{NO_POS, Pos, locate};
use crate::sym;
use crate::value::{ThunkState, Value};

/// Text between quotation marks or tags, after `before` and in front of `after`. What is no UTF-8 stays
/// as it is.
fn around(before: &str, text: &[u8], after: &str) -> Vec<u8> {
    let mut out = before.as_bytes().to_vec();
    for byte in text {
        match byte {
            b'"' => out.extend_from_slice(b"&quot;"),
            b'<' => out.extend_from_slice(b"&lt;"),
            b'>' => out.extend_from_slice(b"&gt;"),
            b'&' => out.extend_from_slice(b"&amp;"),
            b'\n' => out.extend_from_slice(b"&#xA;"),
            byte => out.push(*byte),
        }
    }
    out.extend_from_slice(after.as_bytes());
    out
}

struct Writer<'p, 'a> {
    nix: &'p Evaluator<'a>,
    out: Vec<u8>,
    ctx: Gathered,
    indent: usize,
    drvs: FxHashSet<Vec<u8>>,
    pos: Pos,
    /// Evaluate on the way, rather than write `<unevaluated />`.
    force: bool,
    /// Write where attributes and functions are.
    places: bool,
}

impl<'a> Evaluator<'a> {
    pub(crate) fn to_xml(&self, value: Value<'a>, pos: Pos) -> Result<(Vec<u8>, Ctx)> {
        self.write_xml(value, true, false, pos)
    }

    /// The value as XML: evaluated as a whole when `force` says so, and with the places of
    /// attributes and functions when `places` does.
    ///
    /// # Errors
    ///
    /// When evaluation fails.
    pub fn xml_text(&self, value: Value<'a>, force: bool, places: bool) -> Result<String> {
        let written = self.write_xml(value, force, places, NO_POS);
        written
            .map(|(text, _)| String::from_utf8_lossy(&text).into_owned())
            .map_err(|error| self.finish(error))
    }

    fn write_xml(
        &self,
        value: Value<'a>,
        force: bool,
        places: bool,
        pos: Pos,
    ) -> Result<(Vec<u8>, Ctx)> {
        let mut writer = Writer {
            nix: self,
            out: b"<?xml version='1.0' encoding='utf-8'?>\n".to_vec(),
            ctx: Gathered::new(),
            indent: 0,
            drvs: FxHashSet::default(),
            pos,
            force,
            places,
        };
        writer.open("<expr>");
        writer.value(value)?;
        writer.close("expr");
        let ctx = self.contexts.sum(&writer.ctx);
        Ok((writer.out, ctx))
    }
}

impl<'a> Writer<'_, 'a> {
    fn line(&mut self, text: impl AsRef<[u8]>) {
        self.out.extend_from_slice("  ".repeat(self.indent).as_bytes());
        self.out.extend_from_slice(text.as_ref());
        self.out.push(b'\n');
    }

    fn open(&mut self, tag: impl AsRef<[u8]>) {
        self.line(tag);
        self.indent += 1;
    }

    fn close(&mut self, name: &str) {
        self.indent -= 1;
        self.line(format!("</{name}>"));
    }

    fn attrs(&mut self, attrs: &'a crate::value::Attrs<'a>) -> Result<()> {
        for attr in self.nix.sorted(attrs) {
            let name = self.nix.symbols.name(attr.name);
            let (before, after) = self.place(attr.pos());
            let mut tag = around(&format!("<attr{before} name=\""), name, "\"");
            tag.extend_from_slice(&after);
            tag.push(b'>');
            self.open(tag);
            self.value(attr.value())?;
            self.close("attr");
        }
        Ok(())
    }

    /// The attributes that say where something is, before and after `name` in the alphabet.
    fn place(&self, pos: Pos) -> (String, Vec<u8>) {
        match locate(&self.nix.sources, pos) {
            Some(at) if self.places => {
                let lines = format!(" column=\"{}\" line=\"{}\"", at.column, at.line);
                let path = match at.is_file {
                    true => around(" path=\"", at.file.as_bytes(), "\""),
                    false => Vec::new(),
                };
                (lines, path)
            }
            _ => Default::default(),
        }
    }

    /// The value as far as it may be evaluated.
    fn seen(&self, value: Value<'a>) -> Result<Value<'a>> {
        match value {
            Value::Thunk(thunk) if !self.force => Ok(match thunk.get() {
                ThunkState::Done(_, known) => known,
                _ => value,
            }),
            value => self.nix.force(value, self.pos),
        }
    }

    fn value(&mut self, value: Value<'a>) -> Result<()> {
        let nix = self.nix;
        nix.nested(self.pos, || self.shape(value))
    }

    fn shape(&mut self, value: Value<'a>) -> Result<()> {
        let nix = self.nix;
        nix.check_stack(self.pos)?;
        match self.seen(value)? {
            // A function that nobody has asked for is a thunk with C++ Nix.
            Value::Lambda(_)
                if !self.force && self.indent > 1 && !matches!(value, Value::Thunk(_)) =>
            {
                self.line("<unevaluated />");
            }
            Value::Null => self.line("<null />"),
            Value::Bool(value) => self.line(format!("<bool value=\"{value}\" />")),
            Value::Int(number) => self.line(format!("<int value=\"{number}\" />")),
            Value::Float(number) => {
                self.line(format!("<float value=\"{}\" />", float_general(number)));
            }
            Value::String(string) => {
                self.ctx.add(string.ctx);
                self.line(around("<string value=\"", string.bytes, "\" />"));
            }
            Value::Path(path) => {
                self.line(around("<path value=\"", path.bytes, "\" />"));
            }
            Value::List(list) => {
                self.open("<list>");
                for item in list.items() {
                    self.value(item)?;
                }
                self.close("list");
            }
            Value::Attrs(attrs) if nix.is_derivation(attrs)? => {
                let text = |name: nix_syntax::Symbol| -> Result<Option<&'a [u8]>> {
                    let Some(value) = attrs.value(name) else { return Ok(None) };
                    Ok(match self.seen(value)? {
                        Value::String(string) => Some(string.bytes),
                        _ => None,
                    })
                };
                let drv = text(sym::DRV_PATH)?;
                let out = text(sym::OUT_PATH)?;
                let mut tag = b"<derivation".to_vec();
                for (name, value) in [("drvPath", drv), ("outPath", out)] {
                    if let Some(value) = value {
                        tag.extend(around(&format!(" {name}=\""), value, "\""));
                    }
                }
                tag.push(b'>');
                self.open(tag);
                let drv = drv.unwrap_or_default();
                if !drv.is_empty() && self.drvs.insert(drv.to_vec()) {
                    self.attrs(attrs)?;
                } else {
                    self.line("<repeated />");
                }
                self.close("derivation");
            }
            Value::Attrs(attrs) => {
                self.open("<attrs>");
                self.attrs(attrs)?;
                self.close("attrs");
            }
            Value::Lambda(closure) => self.lambda(closure.lambda),
            Value::PrimOp(_) | Value::PrimOpApp(_) | Value::Thunk(_) | Value::Hole => {
                self.line("<unevaluated />");
            }
        }
        Ok(())
    }

    fn lambda(&mut self, lambda: &nix_syntax::ast::Lambda<'a>) {
        let nix = self.nix;
        let (before, after) = self.place(lambda.head);
        self.open([b"<function", before.as_bytes(), &after, b">"].concat());
        match lambda.formals {
            Some(formals) => {
                let mut tag = b"<attrspat".to_vec();
                if formals.ellipsis {
                    tag.extend_from_slice(b" ellipsis=\"1\"");
                }
                if let Some(arg) = lambda.arg {
                    tag.extend(around(" name=\"", nix.symbols.name(arg), "\""));
                }
                tag.push(b'>');
                self.open(tag);
                let mut names: Vec<&[u8]> =
                    formals.list.iter().map(|formal| nix.symbols.name(formal.name)).collect();
                names.sort_unstable();
                for name in names {
                    self.line(around("<attr name=\"", name, "\" />"));
                }
                self.close("attrspat");
            }
            None => {
                let name = lambda.arg.map(|arg| nix.symbols.name(arg)).unwrap_or_default();
                self.line(around("<varpat name=\"", name, "\" />"));
            }
        }
        self.close("function");
    }
}
