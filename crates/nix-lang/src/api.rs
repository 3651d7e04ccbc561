//! What callers do with an evaluator.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use nix_syntax::Origin;
use rustc_hash::FxHashSet;
use serde_json::Value as Json;

use crate::Evaluator;
use crate::coerce::Coercion;
use crate::context::{ContextElem, Ctx, Gathered};
use crate::error::{Error, Result};
use crate::paths::{canonical, dir_name};
use crate::source::{NO_POS, Place, Pos};
use crate::sym;
use crate::value::{ThunkState, Value};

fn as_path_buf(bytes: Vec<u8>) -> PathBuf {
    OsString::from_vec(bytes).into()
}

impl<'a> Evaluator<'a> {
    /// Evaluate a text; `./x` in it starts from `base`, an absolute directory.
    ///
    /// # Errors
    ///
    /// When the text is not an expression or its evaluation fails.
    pub fn eval_str(&self, text: &str, base: impl AsRef<Path>) -> Result<Value<'a>> {
        let base = canonical(base.as_ref().as_os_str().as_bytes());
        let origin = Origin::Text("«string»".into());
        self.eval_text(origin, text.as_bytes().to_vec(), &base, None, self.root_env)
            .map_err(|error| self.finish(error))
    }

    /// As [`Evaluator::eval_str`], for bytes that came from where `label` says.
    ///
    /// # Errors
    ///
    /// As [`Evaluator::eval_str`].
    pub fn eval_bytes(
        &self,
        label: &str,
        text: Vec<u8>,
        base: impl AsRef<Path>,
    ) -> Result<Value<'a>> {
        let base = canonical(base.as_ref().as_os_str().as_bytes());
        self.eval_text(Origin::Text(label.into()), text, &base, None, self.root_env)
            .map_err(|error| self.finish(error))
    }

    /// The value of a text, parsed now and evaluated when it is asked for.
    ///
    /// # Errors
    ///
    /// When the text is not an expression.
    pub fn delay_str(&self, text: &str, base: impl AsRef<Path>) -> Result<Value<'a>> {
        let base = canonical(base.as_ref().as_os_str().as_bytes());
        let origin = Origin::Text("«string»".into());
        let (_, expr) = self
            .parse_text(origin, text.as_bytes().to_vec(), &base, None)
            .map_err(|error| self.finish(error))?;
        Ok(self.delay(expr, self.root_env))
    }

    /// Where the search path has a file or directory.
    ///
    /// # Errors
    ///
    /// When it has none, or what is there cannot be fetched.
    pub fn find_file(&self, name: &str) -> Result<PathBuf> {
        let find = || {
            let path = self.force(self.nix_path_value(), NO_POS)?;
            let found = self.find_in(path, name.as_bytes(), NO_POS)?;
            self.readable(&found, NO_POS)
        };
        find().map(as_path_buf).map_err(|error| self.finish(error))
    }

    /// The tree behind a URL, `channel:NAME` or `flake:REF`, on disk.
    ///
    /// # Errors
    ///
    /// When it cannot be fetched.
    pub fn fetch_tree(&self, url: &str) -> Result<PathBuf> {
        let fetch = || {
            let path = self.remote_dir(url.as_bytes(), NO_POS)?;
            self.readable(&path, NO_POS)
        };
        fetch().map(as_path_buf).map_err(|error| self.finish(error))
    }

    /// The system that evaluation is for.
    #[must_use]
    pub fn current_system(&self) -> String {
        self.io.current_system()
    }

    /// A string of any bytes.
    pub fn bytes(&self, bytes: &[u8]) -> Value<'a> {
        self.string_with(bytes, Ctx::NONE)
    }

    /// Evaluate a file (or the `default.nix` of a directory).
    ///
    /// # Errors
    ///
    /// When the file cannot be read or its evaluation fails.
    pub fn eval_file(&self, path: impl AsRef<Path>) -> Result<Value<'a>> {
        let path = canonical(path.as_ref().as_os_str().as_bytes());
        self.import(&path, NO_POS).map_err(|error| self.finish(error))
    }

    /// The value evaluated as far as its outermost shape.
    ///
    /// # Errors
    ///
    /// When its evaluation fails.
    pub fn force_value(&self, value: Value<'a>) -> Result<Value<'a>> {
        self.force(value, NO_POS).map_err(|error| self.finish(error))
    }

    /// Evaluate the value and everything in it.
    ///
    /// # Errors
    ///
    /// When evaluating a part of it fails.
    pub fn force_deep(&self, value: Value<'a>) -> Result<Value<'a>> {
        self.deep(value, NO_POS)
            .and_then(|()| self.force(value, NO_POS))
            .map_err(|error| self.finish(error))
    }

    /// Apply a function (or a set with `__functor`) to an argument.
    ///
    /// # Errors
    ///
    /// When it cannot be called or the call fails.
    pub fn apply(&self, function: Value<'a>, argument: Value<'a>) -> Result<Value<'a>> {
        self.force(function, NO_POS)
            .and_then(|function| self.call(function, &[argument], NO_POS))
            .map_err(|error| self.finish(error))
    }

    /// The value at a path of attributes and list indices, evaluated.
    ///
    /// # Errors
    ///
    /// When something on the way is missing (with a suggestion) or fails.
    pub fn select_path<S: AsRef<str>>(&self, value: Value<'a>, path: &[S]) -> Result<Value<'a>> {
        self.select_names(value, path).map_err(|error| self.finish(error))
    }

    fn select_names<S: AsRef<str>>(&self, value: Value<'a>, path: &[S]) -> Result<Value<'a>> {
        let mut value = self.force(value, NO_POS)?;
        for (index, name) in path.iter().enumerate() {
            let name = name.as_ref();
            let whole = || path[..=index].iter().map(AsRef::as_ref).collect::<Vec<_>>().join(".");
            value = match value {
                Value::List(list) => {
                    let item = name.parse().ok().and_then(|at: usize| list.slots().get(at));
                    let item = item.ok_or_else(|| {
                        let message = format!("'{}' is not an element of the list", whole());
                        Error::new(crate::ErrorKind::MissingAttr, message, NO_POS)
                    })?;
                    self.force(item.get(), NO_POS)?
                }
                Value::Attrs(attrs) => {
                    let symbol = self.symbols.intern(name.as_bytes());
                    self.select(attrs, symbol, NO_POS).map_err(|error| {
                        error.frame(NO_POS, format!("while selecting '{}'", whole()))
                    })?
                }
                other => {
                    let message =
                        format!("'{}' cannot be selected from {}", whole(), other.described());
                    return Err(Error::ty(message, NO_POS));
                }
            };
        }
        Ok(value)
    }

    /// The attribute `name` of a set, evaluated; `None` when the set has none.
    ///
    /// # Errors
    ///
    /// When the value is not a set, or evaluation fails.
    pub fn get(&self, value: Value<'a>, name: &str) -> Result<Option<Value<'a>>> {
        let found = || -> Result<Option<Value<'a>>> {
            let attrs = self.force_attrs(value, NO_POS)?;
            let Some(name) = self.symbols.lookup(name.as_bytes()) else { return Ok(None) };
            match attrs.get(name) {
                Some(_) => self.select(attrs, name, NO_POS).map(Some),
                None => Ok(None),
            }
        };
        found().map_err(|error| self.finish(error))
    }

    /// The names and (perhaps not evaluated) values of a set, sorted by name.
    ///
    /// # Errors
    ///
    /// When the value is not a set, or evaluation fails.
    pub fn attributes(&self, value: Value<'a>) -> Result<Vec<(String, Value<'a>)>> {
        let attrs = self.force_attrs(value, NO_POS).map_err(|error| self.finish(error))?;
        let sorted = self.sorted(attrs).into_iter();
        Ok(sorted.map(|attr| (self.name(attr.name), attr.value())).collect())
    }

    /// A string that depends on store objects.
    pub fn string_with_context(
        &self,
        text: &str,
        context: impl IntoIterator<Item = ContextElem>,
    ) -> Value<'a> {
        self.string_with(text.as_bytes(), self.contexts.of_elems(context))
    }

    /// A set.
    pub fn set<S: AsRef<str>>(
        &self,
        attributes: impl IntoIterator<Item = (S, Value<'a>)>,
    ) -> Value<'a> {
        let entries = attributes.into_iter().map(|(name, value)| {
            self.attr(self.symbols.intern(name.as_ref().as_bytes()), Place::NONE, value)
        });
        self.attrs_from(entries.collect())
    }

    /// A list.
    pub fn list(&self, items: &[Value<'a>]) -> Value<'a> {
        self.list_from(items)
    }

    /// The value as JSON, with every store object that any string in it depends on.
    ///
    /// Select a part first to learn what that part alone depends on.
    ///
    /// # Errors
    ///
    /// When evaluation fails, or there is something in the value that JSON does not have.
    pub fn to_json(&self, value: Value<'a>) -> Result<(Json, Vec<ContextElem>)> {
        let mut ctx = Gathered::new();
        let json = self.json_tree(value, &mut ctx, NO_POS).map_err(|error| self.finish(error))?;
        Ok((json, self.context(self.contexts.sum(&ctx))))
    }

    /// The value as JSON text, as `nix eval --json` prints it: paths are not copied to the store.
    ///
    /// # Errors
    ///
    /// As [`Evaluator::to_json`].
    pub fn to_json_text(&self, value: Value<'a>) -> Result<String> {
        self.json_text(value).map(|(text, _)| text)
    }

    /// The same, with what the strings in it depend on.
    ///
    /// # Errors
    ///
    /// As [`Evaluator::to_json`].
    pub fn json_text(&self, value: Value<'a>) -> Result<(String, Vec<ContextElem>)> {
        let (mut out, mut ctx) = (Vec::new(), Gathered::new());
        self.write_json(value, false, &mut out, &mut ctx, NO_POS)
            .map_err(|error| self.finish(error))?;
        let text = String::from_utf8_lossy(&out).into_owned();
        Ok((text, self.context(self.contexts.sum(&ctx))))
    }

    /// The value as the text that `builtins.toXML` gives.
    ///
    /// # Errors
    ///
    /// When evaluation fails.
    pub fn to_xml_text(&self, value: Value<'a>) -> Result<String> {
        self.xml_text(value, true, false)
    }

    /// What `nix-instantiate --parse` shows of a text: every name resolved, every grouping in
    /// parentheses.
    ///
    /// # Errors
    ///
    /// When the text is not an expression.
    pub fn show_parsed(&self, text: &[u8], base: impl AsRef<Path>) -> Result<Vec<u8>> {
        let base = canonical(base.as_ref().as_os_str().as_bytes());
        let origin = Origin::Text("«stdin»".into());
        let (_, expr) = self
            .parse_with(origin, text.to_vec(), &base, None, true)
            .map_err(|error| self.finish(error))?;
        Ok(nix_syntax::show(expr, &self.symbols, &self.globals.names, None))
    }

    /// As [`Evaluator::show_parsed`], for a file (or the `default.nix` of a directory).
    ///
    /// # Errors
    ///
    /// When the file cannot be read or is not an expression.
    pub fn show_parsed_file(&self, path: impl AsRef<Path>) -> Result<Vec<u8>> {
        let read = || {
            let path = canonical(path.as_ref().as_os_str().as_bytes());
            let file = self.import_path(&path, NO_POS)?;
            let text = self.read_file(&file, NO_POS)?;
            let base = dir_name(&file).to_vec();
            let origin = Origin::Path(file.as_slice().into());
            let (_, expr) = self.parse_with(origin, text, &base, None, true)?;
            Ok(nix_syntax::show(expr, &self.symbols, &self.globals.names, None))
        };
        read().map_err(|error| self.finish(error))
    }

    /// The value as JSON text, with the parts that nobody has asked for yet being errors: what
    /// `nix-instantiate --eval --json` gives without `--strict`.
    ///
    /// # Errors
    ///
    /// As [`Evaluator::to_json`], and when something is not evaluated yet.
    pub fn to_json_text_lazy(&self, value: Value<'a>) -> Result<String> {
        self.evaluated(value).map_err(|error| self.finish(error))?;
        self.to_json_text(value)
    }

    /// Fails on the first part of a value that is not evaluated.
    fn evaluated(&self, value: Value<'a>) -> Result<()> {
        self.check_stack(NO_POS)?;
        let value = match value {
            Value::Thunk(thunk) => match thunk.get() {
                ThunkState::Done(_, value) => value,
                ThunkState::Failed(_) => {
                    return Err(Error::ty("cannot convert an error to JSON", NO_POS));
                }
                _ => return Err(Error::ty("cannot convert a thunk to JSON", NO_POS)),
            },
            value => value,
        };
        match value {
            Value::List(list) => list.items().try_for_each(|item| self.evaluated(item)),
            Value::Attrs(attrs) => {
                let stands = [sym::TO_STRING, sym::OUT_PATH].map(|name| attrs.get(name).is_some());
                if stands.contains(&true) {
                    return Ok(());
                }
                self.sorted(attrs).into_iter().try_for_each(|attr| self.evaluated(attr.value()))
            }
            _ => Ok(()),
        }
    }

    /// The value from JSON.
    ///
    /// # Errors
    ///
    /// When a number does not fit.
    pub fn from_json(&self, json: &Json) -> Result<Value<'a>> {
        self.value_from_json(json, NO_POS).map_err(|error| self.finish(error))
    }

    /// The value as a string (as interpolation makes it), with what it depends on.
    ///
    /// # Errors
    ///
    /// When it is nothing that can be a string, or evaluation fails.
    pub fn to_text(&self, value: Value<'a>) -> Result<(Vec<u8>, Vec<ContextElem>)> {
        let (bytes, ctx) = self
            .coerce_bytes(value, Coercion::INTERPOLATE, NO_POS)
            .map_err(|error| self.finish(error))?;
        Ok((bytes, self.context(ctx)))
    }

    /// The elements of a context, sorted.
    pub fn context(&self, ctx: Ctx) -> Vec<ContextElem> {
        let mut elems = self.contexts.elems(ctx);
        elems.sort();
        elems
    }

    /// How many bytes the values of this evaluation take.
    pub fn memory(&self) -> usize {
        crate::arena::used(self.arena)
    }

    pub(crate) fn deep(&self, value: Value<'a>, pos: Pos) -> Result<()> {
        let mut seen = FxHashSet::default();
        self.deep_into(value, pos, &mut seen)
    }

    fn deep_into(&self, value: Value<'a>, pos: Pos, seen: &mut FxHashSet<usize>) -> Result<()> {
        self.nested(pos, || self.deep_value(value, pos, seen))
    }

    fn deep_value(&self, value: Value<'a>, pos: Pos, seen: &mut FxHashSet<usize>) -> Result<()> {
        self.check_stack(pos)?;
        match self.force(value, pos)? {
            Value::List(list) if seen.insert(list.slots().as_ptr() as usize) => {
                for item in list.items() {
                    self.deep_into(item, pos, seen)?;
                }
            }
            Value::Attrs(attrs) if seen.insert(self.entries(attrs).as_ptr() as usize) => {
                for attr in self.entries(attrs) {
                    self.deep_into(attr.value(), attr.pos(), seen).map_err(|error| {
                        let name = self.name(attr.name);
                        error.frame(attr.pos(), format!("while evaluating the attribute '{name}'"))
                    })?;
                }
            }
            _ => {}
        }
        Ok(())
    }
}
