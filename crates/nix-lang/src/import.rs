//! Importing files: read, parsed and evaluated once.

use std::cell::RefCell;
use std::os::unix::ffi::OsStrExt;

use nix_syntax::ast::ExprKind;
use nix_syntax::{Expr, FileId, Options, Origin, Symbol, parse};

use crate::Evaluator;
use crate::error::{Error, Result};
use crate::paths::dir_name;
use crate::source::Pos;
use crate::stack;
use crate::value::{Attrs, Env, Value};

/// The value of a file, for the thunk that warm evaluation keeps of it.
fn import_file<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Result<Value<'a>> {
    match args {
        [Value::Path(file)] => nix.load(file.bytes, None, nix.root_env, pos),
        _ => Err(Error::eval("not a file", pos)),
    }
}

impl<'a> Evaluator<'a> {
    /// The value of a file, read and evaluated once.
    pub(crate) fn import(&self, path: &[u8], pos: Pos) -> Result<Value<'a>> {
        if let Some(graph) = &self.graph {
            let file = self.import_path(path, pos)?;
            return self.force_thunk(graph.import_thunk(self, &file, import_file), pos);
        }
        if let Some(value) = self.imports.borrow().get(path) {
            return Ok(*value);
        }
        let file = self.import_path(path, pos)?;
        let known = self.imports.borrow().get(&file).copied();
        let value = match known {
            Some(value) => value,
            None => self.load(&file, None, self.root_env, pos)?,
        };
        let mut imports = self.imports.borrow_mut();
        if file != path {
            imports.insert(path.to_vec(), value);
        }
        imports.insert(file, value);
        Ok(value)
    }

    /// As [`Self::import`], of a file that is a set as it is written.
    pub(crate) fn import_set(&self, path: &[u8], pos: Pos) -> Result<&'a Attrs<'a>> {
        if !self.imports.borrow().contains_key(path) {
            let file = self.import_path(path, pos)?;
            let expr = self.parse_file(&file, None, pos)?;
            if !matches!(expr.kind, ExprKind::Attrs(_)) {
                let text = String::from_utf8_lossy(&file);
                let message = format!("file '{text}' must be an attribute set");
                return Err(Error::eval(message, expr.span));
            }
            if self.graph.is_none() {
                let value = self.eval(expr, self.root_env)?;
                let mut imports = self.imports.borrow_mut();
                imports.insert(path.to_vec(), value);
                imports.insert(file, value);
            }
        }
        let value = self.import(path, pos)?;
        self.force_attrs(value, pos)
    }

    /// Read, parse and evaluate a file.
    pub(crate) fn load(
        &self,
        file: &[u8],
        outer: Option<&[Symbol]>,
        env: &'a Env<'a>,
        pos: Pos,
    ) -> Result<Value<'a>> {
        if self.settings.verbose {
            let text = String::from_utf8_lossy(file);
            self.io.message(&format!("evaluating file '{text}'"));
        }
        let expr = self.parse_file(file, outer, pos)?;
        self.eval(expr, env)
    }

    fn parse_file(&self, file: &[u8], outer: Option<&[Symbol]>, pos: Pos) -> Result<&'a Expr<'a>> {
        let text = self.read_file(file, pos)?;
        match &self.graph {
            None => {
                let origin = Origin::Path(file.into());
                Ok(self.parse_text(origin, text, dir_name(file), outer)?.1)
            }
            Some(graph) => {
                let physical = self.readable(file, pos)?;
                self.parse_again(graph, (file, &physical), text, outer)
            }
        }
    }

    pub(crate) fn eval_text(
        &self,
        origin: Origin,
        text: Vec<u8>,
        base: &[u8],
        outer: Option<&[Symbol]>,
        env: &'a Env<'a>,
    ) -> Result<Value<'a>> {
        let (_, expr) = self.parse_text(origin, text, base, outer)?;
        self.eval(expr, env)
    }

    pub(crate) fn parse_text(
        &self,
        origin: Origin,
        text: Vec<u8>,
        base: &[u8],
        outer: Option<&[Symbol]>,
    ) -> Result<(FileId, &'a Expr<'a>)> {
        self.parse_with(origin, text, base, outer, false)
    }

    /// As [`Self::parse_text`]; with `pieces` a tree to show, not to evaluate.
    pub(crate) fn parse_with(
        &self,
        origin: Origin,
        text: Vec<u8>,
        base: &[u8],
        outer: Option<&[Symbol]>,
        pieces: bool,
    ) -> Result<(FileId, &'a Expr<'a>)> {
        let file = self.sources.add(origin, text.into());
        let mut options = Options::new(base, &self.globals.names);
        let home = if self.settings.pure { None } else { self.settings.home.as_ref() };
        options.home = home.map(|home| home.as_os_str().as_bytes());
        options.outer = outer;
        options.pieces = pieces;
        if stack::address().saturating_sub(self.stack_limit) > 256 << 20 {
            options.max_depth = 10_000;
        }
        let warnings = RefCell::new(Vec::new());
        options.lints = self.settings.lints;
        options.warnings = Some(&warnings);
        let parsed = parse(self.arena, &self.symbols, &self.sources, file, &options);
        for warning in warnings.take() {
            self.io.message(&self.warning(&warning));
        }
        Ok((file, parsed.map_err(|reports| self.syntax_error(&reports))?))
    }
}
