//! Syntax trees that outlive an edit of their file.

use nix_syntax::ast::Expr;
use nix_syntax::{FileId, Moved, Origin, Symbol, Twins, adopt};
use rustc_hash::FxHashMap;

use super::graph::Graph;
use super::matching::Site;
use crate::Evaluator;
use crate::error::Result;
use crate::paths::as_path;
use crate::source::{Location, Pos, is_none, locate};
use crate::value::{Delayed, Native, PrimFn, Thunk, Value};

/// A file together with the names that `scopedImport` gives it.
type Key = (Vec<u8>, Option<Vec<Symbol>>);

#[derive(Default)]
pub(super) struct Parsed<'a> {
    files: FxHashMap<Key, (FileId, &'a Expr<'a>)>,
    moved: FxHashMap<FileId, Moved>,
    twins: Twins,
}

impl Parsed<'_> {
    pub(super) fn site(&self, site: Site) -> Site {
        if self.twins.is_empty() {
            return site;
        }
        Site(self.twins.get(&site.0).copied().unwrap_or(site.0))
    }

    /// A place in an earlier version of a file as a place in its newest version.
    pub(super) fn newest(&self, mut pos: Pos) -> Option<Pos> {
        while let Some(moved) = self.moved.get(&pos.file) {
            pos = moved.span(pos)?;
        }
        Some(pos)
    }

    pub(super) fn same_pos(&self, left: Pos, right: Pos) -> bool {
        match (self.newest(left), self.newest(right)) {
            (Some(left), Some(right)) => left == right,
            _ => false,
        }
    }
}

impl<'a> Graph<'a> {
    /// The syntax tree of a file: nodes of its earlier version wherever they say the same.
    pub(crate) fn parse_file(
        &self,
        nix: &Evaluator<'a>,
        file: &[u8],
        text: Vec<u8>,
        outer: Option<&[Symbol]>,
        parse: impl FnOnce(Vec<u8>) -> Result<(FileId, &'a Expr<'a>)>,
    ) -> Result<&'a Expr<'a>> {
        let key = (file.to_vec(), outer.map(<[Symbol]>::to_vec));
        let known = self.parsed.borrow().files.get(&key).copied();
        let Some((old, expr)) = known else {
            let (id, expr) = parse(text)?;
            self.parsed.borrow_mut().files.insert(key, (id, expr));
            return Ok(expr);
        };
        let before = nix.sources.get(old).text;
        if *before == *text {
            return Ok(expr);
        }
        let (id, new) = parse(text)?;
        let mut parsed = self.parsed.borrow_mut();
        let parsed = &mut *parsed;
        let moved = Moved::between(&before, &nix.sources.get(id).text, id);
        // The old tree may have nodes of versions before the last one.
        parsed.moved.insert(old, moved);
        let twins = &mut std::mem::take(&mut parsed.twins);
        let made = adopt(nix.arena, &|span| parsed.newest(span), twins, expr, new);
        parsed.twins = std::mem::take(twins);
        parsed.files.insert(key, (id, made));
        Ok(made)
    }

    /// The thunk of an imported file's value, the same one each time.
    pub(crate) fn import_thunk(
        &self,
        nix: &Evaluator<'a>,
        file: &[u8],
        run: PrimFn,
    ) -> &'a Thunk<'a> {
        if let Some(thunk) = self.imports.borrow().get(file) {
            return thunk;
        }
        let args = nix.arena.alloc_slice_copy(&[nix.path_value(file)]);
        let native = nix.arena.alloc(Native { run, args });
        let thunk = self.free_thunk(nix, Delayed::Native(native));
        self.imports.borrow_mut().insert(file.to_vec(), thunk);
        thunk
    }

    /// Where a place is in the newest version of its file.
    pub(crate) fn newest(&self, pos: Pos) -> Pos {
        self.parsed.borrow().newest(pos).unwrap_or(pos)
    }

}

impl<'a> Evaluator<'a> {
    /// A thunk that belongs to the whole evaluation, not to the code that asked for it first.
    pub(crate) fn lasting(&self, run: PrimFn, args: &[Value<'a>]) -> Value<'a> {
        let args = self.arena.alloc_slice_copy(args);
        let delayed = Delayed::Native(self.arena.alloc(Native { run, args }));
        match &self.graph {
            Some(graph) => Value::Thunk(graph.free_thunk(self, delayed)),
            None => self.thunk(delayed),
        }
    }

    /// Where a place is, as people read it.
    pub(crate) fn location(&self, pos: Pos) -> Option<Location> {
        locate(&self.sources, self.newest(pos))
    }

    /// A place in the newest version of its file.
    pub(crate) fn newest(&self, pos: Pos) -> Pos {
        match &self.graph {
            Some(graph) if !is_none(pos) => graph.newest(pos),
            _ => pos,
        }
    }

    /// Note that the running frame asked where in its file something is.
    pub(crate) fn note_place(&self, graph: &Graph<'a>, pos: Pos) {
        if is_none(pos) {
            return;
        }
        if let Origin::Path(path) = self.sources.get(pos.file).origin
            && let Ok(physical) = self.readable(&path, pos)
        {
            graph.note_file(as_path(&physical));
        }
    }
}
