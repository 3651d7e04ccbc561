//! What a `flake.nix` says: its shape and the inputs it declares.

use std::collections::BTreeMap;

use nix_compat::flake_ref::{Attr as RefAttr, Attrs as RefAttrs, FlakeRef, is_id};

use super::source::ref_error;
use super::written::{computed, unexpected};
use crate::Evaluator;
use crate::error::{Error, ErrorKind, Result};
use crate::io::FileType;
use crate::source::{NO_POS, Pos};
use crate::sym;
use crate::value::{Attrs, Value};

/// An input as declared.
#[derive(Clone, Debug)]
pub(super) struct Declared {
    pub(super) reference: Option<FlakeRef>,
    /// The path from the root of the lock file to the input to take instead.
    pub(super) follows: Option<Vec<String>>,
    pub(super) flake: bool,
    /// What this flake says about the inputs of that input.
    pub(super) inputs: BTreeMap<String, Declared>,
}

impl Declared {
    pub(super) fn new(reference: Option<FlakeRef>) -> Self {
        Declared { reference, follows: None, flake: true, inputs: BTreeMap::new() }
    }
}

/// What was said about the flake that says it.
#[derive(Clone, Debug, Default)]
pub(super) struct Declarations {
    pub(super) description: Option<String>,
    pub(super) inputs: BTreeMap<String, Declared>,
    /// `inputs.self`: how the flake itself is to be fetched.
    pub(super) own: RefAttrs,
    /// The names of what is in its `nixConfig`.
    pub(super) settings: Vec<String>,
}

/// The parts of a path of inputs.
pub(super) fn input_path(text: &str) -> std::result::Result<Vec<String>, String> {
    let parts = text.split('/').filter(|part| !part.is_empty());
    parts
        .map(|part| match is_id(part) {
            true => Ok(part.to_owned()),
            false => Err(format!("invalid flake input attribute path element '{part}'")),
        })
        .collect()
}

impl<'a> Evaluator<'a> {
    /// The attributes of the `flake.nix` in a directory, its shape checked.
    pub(super) fn read_flake(&self, dir: &[u8], shown: &str) -> Result<&'a Attrs<'a>> {
        let file = [dir, b"/flake.nix"].concat();
        if self.lstat(&file, NO_POS)? != Some(FileType::Regular) {
            let physical = self.readable(&file, NO_POS)?;
            if let Some(untracked) = self.untracked(&physical, NO_POS) {
                return Err(untracked);
            }
            let (text, _) = self.path_text_for(&file, NO_POS)?;
            let message = format!("path '{}' does not exist", String::from_utf8_lossy(&text));
            return Err(Error::new(ErrorKind::Io, message, NO_POS));
        }
        let attrs = self.import_set(&file, NO_POS)?;
        let Some(outputs) = attrs.get(sym::OUTPUTS) else {
            let message = format!("flake '{shown}' lacks attribute 'outputs'");
            return Err(Error::eval(message, NO_POS));
        };
        self.written_function(outputs.value(), outputs.pos())?;
        for attr in self.sorted(attrs) {
            match attr.name {
                sym::DESCRIPTION | sym::INPUTS | sym::OUTPUTS | sym::NIX_CONFIG => {}
                other => {
                    let other = self.name(other);
                    let message = format!("flake '{shown}' has an unsupported attribute '{other}'");
                    let help = "a flake has description, inputs, outputs and nixConfig";
                    return Err(Error::eval(message, attr.pos()).hint(help));
                }
            }
        }
        Ok(attrs)
    }

    /// What a flake declares, with inputs that only its `outputs` function names. `root` is the path
    /// of inputs that leads to it.
    pub(super) fn declarations(
        &self,
        dir: &[u8],
        root: &[String],
        shown: &str,
    ) -> Result<Declarations> {
        let attrs = self.read_flake(dir, shown)?;
        let mut found = Declarations::default();
        if let Some(attr) = attrs.get(sym::NIX_CONFIG) {
            let settings = self.written_attrs(attr.value(), attr.pos())?;
            self.check_config(settings)?;
            found.settings = self.entries(settings).iter().map(|it| self.name(it.name)).collect();
            found.settings.sort();
        }
        if let Some(attr) = attrs.get(sym::DESCRIPTION) {
            found.description = Some(self.written_string(attr.value(), attr.pos())?.text());
        }
        if let Some(attr) = attrs.get(sym::INPUTS) {
            let all = self.written_attrs(attr.value(), attr.pos())?;
            for attr in self.entries(all) {
                if attr.name == sym::SELF {
                    for attr in self.entries(self.written_attrs(attr.value(), attr.pos())?) {
                        let (name, value) = self.input_attr(attr.name, attr.value(), attr.pos())?;
                        found.own.insert(name, value);
                    }
                }
            }
            found.inputs = self.declared_set(all, root, dir)?;
        }
        if let Value::Lambda(closure) = self.select(attrs, sym::OUTPUTS, NO_POS)? {
            for formal in closure.lambda.formals.iter().flat_map(|formals| formals.list) {
                let name = self.name(formal.name);
                if formal.name != sym::SELF && !found.inputs.contains_key(&name) {
                    let reference = FlakeRef::parse(&name, true, false);
                    let reference = reference.map_err(|error| ref_error(error, NO_POS))?;
                    found.inputs.insert(name, Declared::new(Some(reference)));
                }
            }
        }
        Ok(found)
    }

    /// What a flake would set for Nix has to be plain data there. hc has none of these settings.
    fn check_config(&self, settings: &'a Attrs<'a>) -> Result<()> {
        for attr in self.entries(settings) {
            let wrong = |value: &Value<'a>| {
                let (name, kind) = (self.name(attr.name), value.described());
                let message = format!("flake configuration setting '{name}' is {kind}");
                Err(computed(Error::ty(message, attr.pos()), value))
            };
            match self.written(attr.value(), attr.pos())? {
                Value::List(list) => {
                    for element in list.slots() {
                        let element = self.written(element.get(), attr.pos())?;
                        if !matches!(element, Value::String(_)) {
                            let message = format!(
                                "list element in flake configuration setting '{}' is {} while a \
                                 string is expected",
                                self.name(attr.name),
                                element.described()
                            );
                            return Err(Error::ty(message, attr.pos()));
                        }
                    }
                }
                Value::String(_) | Value::Path(_) | Value::Int(_) | Value::Bool(_) => {}
                other => return wrong(&other),
            }
        }
        Ok(())
    }

    fn declared_set(
        &self,
        all: &'a Attrs<'a>,
        root: &[String],
        dir: &[u8],
    ) -> Result<BTreeMap<String, Declared>> {
        let mut found = BTreeMap::new();
        for attr in self.entries(all).iter().filter(|attr| attr.name != sym::SELF) {
            let name = self.name(attr.name);
            let declared = self.declared(attr.value(), attr.pos(), root, dir)?;
            found.insert(name, declared);
        }
        Ok(found)
    }

    fn input_attr(
        &self,
        name: nix_syntax::Symbol,
        value: Value<'a>,
        pos: Pos,
    ) -> Result<(String, RefAttr)> {
        let name = self.name(name);
        let attr = match self.written(value, pos)? {
            Value::Int(number) => RefAttr::Int(u64::try_from(number).map_err(|_| {
                let message =
                    format!("negative value given for flake input attribute {name}: {number}");
                Error::eval(message, pos)
            })?),
            Value::Bool(value) => RefAttr::Bool(value),
            Value::String(text) => RefAttr::Text(text.text()),
            other => {
                let kind = other.described();
                let message = format!(
                    "flake input attribute '{name}' is {kind} while a string, Boolean, or integer \
                     is expected"
                );
                return Err(computed(Error::ty(message, pos), &other));
            }
        };
        Ok((name, attr))
    }

    fn declared(
        &self,
        value: Value<'a>,
        pos: Pos,
        root: &[String],
        dir: &[u8],
    ) -> Result<Declared> {
        let mut declared = Declared::new(None);
        let (mut attrs, mut url) = (RefAttrs::new(), None);
        for attr in self.entries(self.written_attrs(value, pos)?) {
            let mut read = || -> Result<()> {
                match attr.name {
                    sym::URL => {
                        let text = match self.written(attr.value(), attr.pos())? {
                            Value::Path(path) => format!("path:{}", relative(dir, path.bytes)),
                            Value::String(text) => text.text(),
                            other => {
                                return Err(unexpected("a string or a path", other, attr.pos()));
                            }
                        };
                        attrs.insert("url".to_owned(), text.as_str().into());
                        url = Some(text);
                    }
                    sym::FLAKE => declared.flake = self.written_bool(attr.value(), attr.pos())?,
                    sym::FOLLOWS => {
                        let text = self.written_string(attr.value(), attr.pos())?.text();
                        let path = input_path(&text).map_err(|it| Error::eval(it, attr.pos()))?;
                        declared.follows = Some([root, &path].concat());
                    }
                    sym::INPUTS => {
                        let all = self.written_attrs(attr.value(), attr.pos())?;
                        if let Some(own) = all.get(sym::SELF) {
                            let message = "'self' input attribute not allowed";
                            return Err(Error::eval(message, own.pos()));
                        }
                        declared.inputs = self.declared_set(all, root, dir)?;
                    }
                    name => {
                        let (name, value) = self.input_attr(name, attr.value(), attr.pos())?;
                        attrs.insert(name, value);
                    }
                }
                Ok(())
            };
            read().map_err(|error| {
                let name = self.name(attr.name);
                error.frame(attr.pos(), format!("while evaluating flake attribute '{name}'"))
            })?;
        }
        if attrs.contains_key("type") {
            let found = FlakeRef::from_attrs(attrs).map_err(|error| ref_error(error, pos));
            let found = found.map_err(|error| error.frame(pos, "while evaluating flake input"))?;
            declared.reference = Some(found);
        } else {
            attrs.remove("url");
            if let Some(name) = attrs.keys().next() {
                let message = format!("unexpected flake input attribute '{name}'");
                return Err(Error::eval(message, pos));
            }
            if let Some(url) = url {
                let found = FlakeRef::parse(&url, declared.flake, true);
                declared.reference = Some(found.map_err(|error| ref_error(error, pos))?);
            }
        }
        if declared.reference.is_some() && declared.follows.is_some() {
            let message = "flake input has both a flake reference and a follows attribute";
            return Err(Error::eval(message, pos));
        }
        Ok(declared)
    }
}

/// `path` as it is reached from `dir`; both absolute.
fn relative(dir: &[u8], path: &[u8]) -> String {
    let parts = |path: &[u8]| -> Vec<String> {
        let text = String::from_utf8_lossy(path).into_owned();
        text.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect()
    };
    let (from, to) = (parts(dir), parts(path));
    let same = from.iter().zip(&to).take_while(|(one, other)| one == other).count();
    let up = std::iter::repeat_n("..", from.len() - same);
    let found: Vec<&str> = up.chain(to[same..].iter().map(String::as_str)).collect();
    if found.is_empty() { ".".to_owned() } else { found.join("/") }
}
