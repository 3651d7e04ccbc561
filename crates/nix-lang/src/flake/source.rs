//! What was fetched: where it is read, and what expressions learn about it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::os::unix::ffi::OsStrExt;
use std::rc::Rc;

use nix_compat::flake_ref::{Attr as RefAttr, FlakeRef, Input, RefError, registry, to_json};
use nix_compat::{CAHash, NixHash, StorePath};

use crate::Evaluator;
use crate::context::ContextElem;
use crate::error::{Error, ErrorKind, Result};
use crate::io::{FetchRequest, Fetched, Ingestion, Place};
use crate::paths::{Tree, as_path, canonical, io_error};
use crate::source::{self, NO_POS, Pos};
use crate::value::Value;

/// The source of a flake, or of anything else that was fetched.
pub(crate) struct Source {
    /// Everything known about it.
    pub(crate) input: Input,
    /// Where it is read.
    pub(crate) root: Vec<u8>,
    /// The directory of this machine, when it is read where it lies.
    tree: Option<Rc<Tree>>,
    /// Its store path, when that is known.
    stored: Option<StorePath>,
    facts: Vec<&'static str>,
}

impl Source {
    /// Whether it is read where it lies.
    pub(super) fn is_local(&self) -> bool {
        self.tree.is_some()
    }
}

/// What was fetched in one evaluation.
#[derive(Default)]
pub(crate) struct Fetches {
    list: RefCell<Vec<Rc<Source>>>,
    known: RefCell<HashMap<FetchRequest, Rc<Source>>>,
}

/// Which attributes a source shows.
#[derive(Clone, Copy, Default)]
pub(crate) struct Shown {
    /// A revision of zeros for work trees with changes, as `fetchGit` has it.
    pub(crate) empty_rev: bool,
    /// No revision, whatever is known: the lock file that counts is not in it.
    pub(crate) dirty: bool,
}

#[cold]
pub(super) fn ref_error(error: RefError, pos: Pos) -> Error {
    Error::eval(error.to_string(), pos)
}

impl<'a> Evaluator<'a> {
    /// Fetch an input, once per evaluation.
    pub(crate) fn fetch_source(&self, request: &FetchRequest, pos: Pos) -> Result<Rc<Source>> {
        // Warm evaluation looks again: who asks is noted behind the door.
        if self.graph.is_none()
            && let Some(known) = self.fetches.known.borrow().get(request)
        {
            return Ok(known.clone());
        }
        let input = &request.input;
        let source = self
            .io
            .fetch(request)
            .map_err(|error| io_error(error, pos))
            .and_then(|fetched| self.make_source(request, fetched, pos))
            .map_err(|error| {
                error.frame(pos, format!("while fetching the input '{}'", input.describe()))
            })?;
        let source = Rc::new(source);
        self.fetches.known.borrow_mut().insert(request.clone(), source.clone());
        Ok(source)
    }

    /// Fetch again what was written to.
    pub(super) fn forget_source(&self, source: &Source) {
        self.fetches.known.borrow_mut().retain(|_, known| known.root != source.root);
        self.trees.borrow_mut().retain(|tree| tree.disk != source.root);
    }

    fn make_source(&self, request: &FetchRequest, fetched: Fetched, pos: Pos) -> Result<Source> {
        let mut input = fetched.input;
        let (root, tree, stored) = match fetched.place {
            Place::Stored(path) => {
                (self.store_dir.render_path(&path).into_bytes(), None, Some(path))
            }
            Place::Local(local) => {
                let disk = canonical(local.path.as_os_str().as_bytes());
                let tree = self.add_tree(&disk, local.files, None);
                (disk, Some(tree), None)
            }
        };
        if let (Some(tree), true) = (&tree, request.input.text("narHash").is_some()) {
            let hash = self.tree_hash(tree, pos)?;
            input.attrs_mut().insert("narHash".into(), hash.to_sri_string().into());
        }
        check_locks(request, &mut input).map_err(|error| ref_error(error, pos))?;
        Ok(Source { input, root, tree, stored, facts: fetched.facts })
    }

    /// The number of a source, for values that are made from it later.
    fn source_number(&self, source: &Rc<Source>) -> Value<'a> {
        let mut list = self.fetches.list.borrow_mut();
        list.push(source.clone());
        Value::Int(list.len() as i64 - 1)
    }

    fn source_of(&self, args: &[Value<'a>], pos: Pos) -> Result<Rc<Source>> {
        let list = self.fetches.list.borrow();
        match args.first() {
            Some(Value::Int(number)) => list.get(*number as usize).cloned(),
            _ => None,
        }
        .ok_or_else(|| Error::eval("there is no such source", pos))
    }

    fn tree_hash(&self, tree: &Tree, pos: Pos) -> Result<NixHash> {
        let hash = match self.store_tree(tree, pos)?.1 {
            Some(hash) => hash,
            None => {
                self.io
                    .hash_path("source", as_path(&tree.disk), Ingestion::Recursive, None)
                    .map_err(|error| io_error(error, pos))?
                    .1
            }
        };
        match hash {
            CAHash::Nar(hash) => Ok(hash),
            _ => Err(Error::eval("the hash of this source is not known", pos)),
        }
    }

    /// The store path of a source.
    pub(crate) fn source_path(&self, source: &Source, pos: Pos) -> Result<StorePath> {
        match (&source.stored, &source.tree) {
            (Some(path), _) => Ok(path.clone()),
            (None, Some(tree)) => Ok(self.store_tree(tree, pos)?.0),
            (None, None) => Err(Error::eval("this source has no store path", pos)),
        }
    }

    /// The input with everything a lock file says about it.
    pub(super) fn locked_input(&self, source: &Source) -> Result<Input> {
        let mut input = source.input.clone();
        for name in &source.facts {
            let fact = self.source_fact(source, name, NO_POS)?;
            input.attrs_mut().insert((*name).to_owned(), fact);
        }
        if input.text("narHash").is_none()
            && let Some(tree) = &source.tree
        {
            let hash = self.tree_hash(tree, NO_POS)?;
            input.attrs_mut().insert("narHash".into(), hash.to_sri_string().into());
        }
        Ok(input)
    }

    fn source_fact(&self, source: &Source, name: &str, pos: Pos) -> Result<RefAttr> {
        self.io.fetch_fact(&source.input, name).map_err(|error| io_error(error, pos))
    }

    /// What expressions learn about a source.
    pub(crate) fn source_attrs(&self, source: &Rc<Source>, shown: Shown) -> Value<'a> {
        let input = &source.input;
        let number = self.source_number(source);
        let mut entries = Vec::new();
        let mut add = |name: &str, value| {
            let name = self.symbols.intern(name.as_bytes());
            entries.push(self.attr(name, source::Place::NONE, value));
        };
        match &source.stored {
            Some(path) => add("outPath", self.stored(path.clone())),
            None => add("outPath", self.native(out_path, &[number])),
        }
        match input.text("narHash") {
            Some(hash) => add("narHash", self.string(hash)),
            None => add("narHash", self.native(nar_hash, &[number])),
        }
        if input.kind() == "git" {
            add("submodules", Value::Bool(input.flag("submodules")));
        }
        let revision = match (shown.dirty, input.rev()) {
            (true, _) => None,
            (false, Ok(Some(rev))) => Some(rev),
            (false, _) if shown.empty_rev => Some("0".repeat(40)),
            (false, _) => None,
        };
        if let Some(rev) = revision {
            add("shortRev", self.string(rev.get(..7).unwrap_or(&rev)));
            add("rev", self.string(rev));
        }
        let int = |name: &str| input.attrs().get(name).and_then(RefAttr::int);
        match int("revCount") {
            _ if shown.dirty => {}
            Some(count) => add("revCount", Value::Int(count as i64)),
            None if source.facts.contains(&"revCount") => {
                add("revCount", self.native(rev_count, &[number]));
            }
            None if shown.empty_rev => add("revCount", Value::Int(0)),
            None => {}
        }
        if let Some(rev) = input.text("dirtyRev") {
            add("dirtyRev", self.string(rev));
            add("dirtyShortRev", self.string(input.text("dirtyShortRev").unwrap_or_default()));
        }
        match int("lastModified") {
            Some(time) => {
                add("lastModified", Value::Int(time as i64));
                add("lastModifiedDate", self.string(super::date::date(time as i64)));
            }
            None if source.facts.contains(&"lastModified") => {
                add("lastModified", self.native(last_modified, &[number]));
                add("lastModifiedDate", self.native(last_modified_date, &[number]));
            }
            None => {}
        }
        self.attrs_from(entries)
    }

    /// What `fetchMercurial` says of a source.
    pub(crate) fn mercurial_attrs(&self, source: &Rc<Source>) -> Value<'a> {
        let input = &source.input;
        let mut entries = Vec::new();
        let mut add = |name: &str, value| {
            let name = self.symbols.intern(name.as_bytes());
            entries.push(self.attr(name, source::Place::NONE, value));
        };
        match &source.stored {
            Some(path) => add("outPath", self.stored(path.clone())),
            None => add("outPath", self.native(out_path, &[self.source_number(source)])),
        }
        if let Some(branch) = input.text("ref") {
            add("branch", self.string(branch));
        }
        let rev = input.text("rev").map_or_else(|| "0".repeat(40), str::to_owned);
        add("shortRev", self.string(rev.get(..12).unwrap_or(&rev)));
        add("rev", self.string(rev));
        if let Some(count) = input.attrs().get("revCount").and_then(RefAttr::int) {
            add("revCount", Value::Int(count as i64));
        }
        self.attrs_from(entries)
    }

    /// What an input stands for in the registries, and the directory that they add.
    pub(crate) fn look_up(&self, found: &FlakeRef, limited: bool, pos: Pos) -> Result<FlakeRef> {
        let look = |global| -> Result<_> {
            let all = self.io.registries(global).map_err(|error| io_error(error, pos))?;
            registry::resolve(&all, &found.input, limited).map_err(|error| ref_error(error, pos))
        };
        let (input, dir) = look(false).or_else(|_| look(true))?;
        Ok(FlakeRef { input, dir: dir.unwrap_or_else(|| found.dir.clone()) })
    }
}

/// Whether what came is what was wanted.
fn check_locks(request: &FetchRequest, result: &mut Input) -> std::result::Result<(), RefError> {
    let specified = &request.input;
    let wrong = |text: String| Err(RefError::Wrong(text));
    let (wanted, got) = (specified.nar_hash()?, result.nar_hash()?);
    let download = matches!(specified.kind(), "tarball" | "file");
    if let (Some(wanted), Some(got)) = (&wanted, &got)
        && wanted != got
        && !(download && request.is_final)
    {
        let (wanted, got) = (wanted.to_sri_string(), got.to_sri_string());
        // As Nix says it: what is found after fetching is what is expected.
        let (expected, but) = if download { (wanted, got) } else { (got, wanted) };
        return wrong(format!(
            "NAR hash mismatch in input '{}', expected '{expected}' but got '{but}'",
            specified.describe()
        ));
    }
    if request.is_final {
        for (name, value) in specified.attrs() {
            let same = match name.as_str() {
                "narHash" => wanted == got,
                _ => result.attrs().get(name).is_none_or(|other| other == value),
            };
            if !same {
                return wrong(format!(
                    "mismatch in field '{name}' of input '{}', got '{}'",
                    to_json(specified.attrs()),
                    to_json(result.attrs())
                ));
            }
        }
        let hash = result.attrs_mut().remove("narHash");
        *result = specified.clone();
        if let Some(hash) = hash {
            result.attrs_mut().insert("narHash".into(), hash);
        }
        return Ok(());
    }
    match specified.rev()? {
        Some(rev) if result.rev()?.as_ref() != Some(&rev) => wrong(format!(
            "'rev' attribute mismatch in input '{}', expected {rev}",
            result.describe()
        )),
        _ => Ok(()),
    }
}

fn out_path<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Result<Value<'a>> {
    let source = nix.source_of(args, pos)?;
    let stored = nix.source_path(&source, pos)?;
    let text = nix.store_dir.render_path(&stored);
    let ctx = nix.contexts.singleton(&ContextElem::Opaque(stored));
    Ok(nix.string_with(text.as_bytes(), ctx))
}

fn nar_hash<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Result<Value<'a>> {
    let source = nix.source_of(args, pos)?;
    match &source.tree {
        Some(tree) => Ok(nix.string(nix.tree_hash(tree, pos)?.to_sri_string())),
        None => Err(Error::new(ErrorKind::Io, "the hash of this source is not known", pos)),
    }
}

fn fact<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], name: &str, pos: Pos) -> Result<i64> {
    let source = nix.source_of(args, pos)?;
    match nix.source_fact(&source, name, pos)? {
        RefAttr::Int(number) => Ok(number as i64),
        _ => Err(Error::eval(format!("'{name}' is no number"), pos)),
    }
}

fn rev_count<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Result<Value<'a>> {
    fact(nix, args, "revCount", pos).map(Value::Int)
}

fn last_modified<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Result<Value<'a>> {
    fact(nix, args, "lastModified", pos).map(Value::Int)
}

fn last_modified_date<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Result<Value<'a>> {
    let time = fact(nix, args, "lastModified", pos)?;
    Ok(nix.string(super::date::date(time)))
}
