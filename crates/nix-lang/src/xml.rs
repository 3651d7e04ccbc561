//! `builtins.toXML`.

use rustc_hash::FxHashSet;

use crate::Evaluator;
use crate::context::{Ctx, Gathered};
use crate::error::Result;
use crate::print::float_general;
use crate::source::{NO_POS, Pos, locate};
use crate::sym;
use crate::value::{ThunkState, Value};

fn escape(text: &[u8]) -> String {
    let mut out = String::new();
    for char in String::from_utf8_lossy(text).chars() {
        match char {
            '"' => out.push_str("&quot;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '\n' => out.push_str("&#xA;"),
            char => out.push(char),
        }
    }
    out
}

struct Writer<'p, 'a> {
    nix: &'p Evaluator<'a>,
    out: String,
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
    pub(crate) fn to_xml(&self, value: Value<'a>, pos: Pos) -> Result<(String, Ctx)> {
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
        written.map(|(text, _)| text).map_err(|error| self.finish(error))
    }

    fn write_xml(
        &self,
        value: Value<'a>,
        force: bool,
        places: bool,
        pos: Pos,
    ) -> Result<(String, Ctx)> {
        let mut writer = Writer {
            nix: self,
            out: "<?xml version='1.0' encoding='utf-8'?>\n".to_owned(),
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
    fn line(&mut self, text: &str) {
        self.out.push_str(&"  ".repeat(self.indent));
        self.out.push_str(text);
        self.out.push('\n');
    }

    fn open(&mut self, tag: &str) {
        self.line(tag);
        self.indent += 1;
    }

    fn close(&mut self, name: &str) {
        self.indent -= 1;
        self.line(&format!("</{name}>"));
    }

    fn attrs(&mut self, attrs: &'a crate::value::Attrs<'a>) -> Result<()> {
        for attr in self.nix.sorted(attrs) {
            let name = escape(self.nix.symbols.name(attr.name));
            let (before, after) = self.place(attr.pos());
            self.open(&format!("<attr{before} name=\"{name}\"{after}>"));
            self.value(attr.value())?;
            self.close("attr");
        }
        Ok(())
    }

    /// The attributes that say where something is, before and after `name` in the alphabet.
    fn place(&self, pos: Pos) -> (String, String) {
        match locate(&self.nix.sources, pos) {
            Some(at) if self.places => {
                let lines = format!(" column=\"{}\" line=\"{}\"", at.column, at.line);
                let path = match at.is_file {
                    true => format!(" path=\"{}\"", escape(at.file.as_bytes())),
                    false => String::new(),
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
            Value::Bool(value) => self.line(&format!("<bool value=\"{value}\" />")),
            Value::Int(number) => self.line(&format!("<int value=\"{number}\" />")),
            Value::Float(number) => {
                self.line(&format!("<float value=\"{}\" />", float_general(number)));
            }
            Value::String(string) => {
                self.ctx.add(string.ctx);
                self.line(&format!("<string value=\"{}\" />", escape(string.bytes)));
            }
            Value::Path(path) => {
                self.line(&format!("<path value=\"{}\" />", escape(path.bytes)));
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
                let mut tag = "<derivation".to_owned();
                for (name, value) in [("drvPath", drv), ("outPath", out)] {
                    if let Some(value) = value {
                        tag.push_str(&format!(" {name}=\"{}\"", escape(value)));
                    }
                }
                self.open(&format!("{tag}>"));
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
        self.open(&format!("<function{before}{after}>"));
        match lambda.formals {
            Some(formals) => {
                let mut tag = "<attrspat".to_owned();
                if formals.ellipsis {
                    tag.push_str(" ellipsis=\"1\"");
                }
                if let Some(arg) = lambda.arg {
                    tag.push_str(&format!(" name=\"{}\"", escape(nix.symbols.name(arg))));
                }
                self.open(&format!("{tag}>"));
                let mut names: Vec<&[u8]> =
                    formals.list.iter().map(|formal| nix.symbols.name(formal.name)).collect();
                names.sort_unstable();
                for name in names {
                    self.line(&format!("<attr name=\"{}\" />", escape(name)));
                }
                self.close("attrspat");
            }
            None => {
                let name = lambda.arg.map(|arg| nix.symbols.name(arg)).unwrap_or_default();
                self.line(&format!("<varpat name=\"{}\" />", escape(name)));
            }
        }
        self.close("function");
    }
}
