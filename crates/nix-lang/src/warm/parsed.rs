//! Syntax trees that outlive an edit of their file.

use std::os::unix::ffi::OsStrExt;

use nix_syntax::ast::Expr;
use nix_syntax::{FileId, Moved, Origin, Sources, Symbol, Twins, adopt};
use rustc_hash::FxHashMap;

use super::graph::Graph;
use super::matching::Site;
use crate::Evaluator;
use crate::error::Result;
use crate::paths::{as_path, dir_name};
use crate::source::{Location, Pos, direct, is_none, locate};
use crate::value::{Delayed, Native, PrimFn, Thunk, Value};

/// A file together with the names that `scopedImport` gives it.
type Key = (Vec<u8>, Option<Vec<Symbol>>);

struct ParsedFile<'a> {
    id: FileId,
    expr: &'a Expr<'a>,
    /// The path that was read.
    physical: Vec<u8>,
}

#[derive(Default)]
pub(super) struct Parsed<'a> {
    files: FxHashMap<Key, ParsedFile<'a>>,
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
    pub(super) fn newest(&self, sources: &Sources, pos: Pos) -> Option<Pos> {
        if self.moved.is_empty() {
            return Some(pos);
        }
        let mut part = sources.part(pos)?;
        while let Some(moved) = self.moved.get(&part.file) {
            part = moved.part(part)?;
        }
        Some(sources.span_of(part))
    }

    pub(super) fn same_pos(&self, sources: &Sources, left: Pos, right: Pos) -> bool {
        match (self.newest(sources, left), self.newest(sources, right)) {
            (Some(left), Some(right)) => left == right,
            _ => false,
        }
    }
}

impl<'a> Evaluator<'a> {
    /// The syntax tree of a file, given by its name in evaluation and on disk: nodes of its earlier
    /// version wherever they say the same.
    pub(crate) fn parse_again(
        &self,
        graph: &Graph<'a>,
        (file, physical): (&[u8], &[u8]),
        text: Vec<u8>,
        outer: Option<&[Symbol]>,
    ) -> Result<&'a Expr<'a>> {
        let key = (file.to_vec(), outer.map(<[Symbol]>::to_vec));
        let known = graph.parsed.borrow().files.get(&key).map(|known| (known.id, known.expr));
        if let Some((id, expr)) = known
            && *self.sources.get(id).text == *text
        {
            return Ok(expr);
        }
        let origin = Origin::Path(file.into());
        let (id, mut expr) = self.parse_text(origin, text, dir_name(file), outer)?;
        let mut parsed = graph.parsed.borrow_mut();
        let parsed = &mut *parsed;
        if let Some((old, before)) = known {
            let (from, to) = (self.sources.get(old).text, self.sources.get(id).text);
            // The old tree may have nodes of versions before the last one.
            parsed.moved.insert(old, Moved::between(&from, &to, id));
            let mut twins = std::mem::take(&mut parsed.twins);
            expr = adopt(
                self.arena,
                &self.sources,
                &|span| parsed.newest(&self.sources, span),
                &mut twins,
                before,
                expr,
            );
            parsed.twins = twins;
        }
        parsed.files.insert(key, ParsedFile { id, expr, physical: physical.to_vec() });
        Ok(expr)
    }

    /// Parse the files that changed before anything runs again, so that all see the same places.
    pub(super) fn parse_changed(&self, graph: &Graph<'a>) {
        let changed = std::mem::take(&mut graph.leaves.borrow_mut().changed_files);
        for physical in changed {
            let bytes = physical.as_os_str().as_bytes();
            let parsed = graph.parsed.borrow();
            let keys = parsed.files.iter().filter(|(_, known)| known.physical == bytes);
            let keys: Vec<Key> = keys.map(|(key, _)| key.clone()).collect();
            drop(parsed);
            for (file, outer) in keys {
                // What is wrong with the file is said where it is imported.
                if let Ok(text) = graph.io.read_file(&physical) {
                    let _ = self.parse_again(graph, (&file, bytes), text, outer.as_deref());
                }
            }
        }
    }
}

impl<'a> Graph<'a> {
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
    pub(crate) fn newest(&self, sources: &Sources, pos: Pos) -> Pos {
        self.parsed.borrow().newest(sources, pos).unwrap_or(pos)
    }
}

impl<'a> Evaluator<'a> {
    /// A thunk that belongs to the whole evaluation, not to the code that asked for it first.
    pub(crate) fn lasting(&self, run: PrimFn, args: &[Value<'a>]) -> Value<'a> {
        let args = self.arena.alloc_slice_copy(args);
        let delayed = Delayed::Native(self.arena.alloc(Native { run, args }));
        match &self.graph {
            Some(graph) => Value::Thunk(graph.free_thunk(self, delayed)),
            None => self.thunk(delayed).get(),
        }
    }

    /// Where a place is, as people read it.
    pub(crate) fn location(&self, pos: Pos) -> Option<Location> {
        locate(&self.sources, self.newest(pos))
    }

    /// A place in the newest version of its file.
    pub(crate) fn newest(&self, pos: Pos) -> Pos {
        let pos = direct(&self.sources, pos);
        match &self.graph {
            Some(graph) if !is_none(pos) => graph.newest(&self.sources, pos),
            _ => pos,
        }
    }

    /// Note that the running frame asked where in its file something is.
    pub(crate) fn note_place(&self, graph: &Graph<'a>, pos: Pos) {
        let pos = direct(&self.sources, pos);
        if is_none(pos) {
            return;
        }
        if let Some(part) = self.sources.part(pos)
            && let Origin::Path(path) = self.sources.origin(part.file)
            && let Ok(physical) = self.readable(&path, pos)
        {
            graph.note_file(as_path(&physical));
        }
    }
}
