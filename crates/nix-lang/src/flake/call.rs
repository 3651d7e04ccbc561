//! The values of flakes: outputs with what is known about their sources.

use std::cell::OnceCell;
use std::rc::Rc;

use super::lock::Graph;
use super::locking::{Locked, Place, directory};
use super::source::Shown;
use crate::Evaluator;
use crate::context::ContextElem;
use crate::error::{Error, ErrorKind, Result};
use crate::io::{FetchRequest, FileType};
use crate::source::{self, NO_POS, Pos};
use crate::sym;
use crate::value::Value;

/// A flake being evaluated.
pub(crate) struct Live<'a> {
    graph: Graph,
    /// The lock file does not say what it should: the revision does not tell all.
    dirty: bool,
    /// The sources that locking fetched.
    places: Vec<Option<Place>>,
    found: Vec<OnceCell<Rc<Found>>>,
    values: Vec<OnceCell<Value<'a>>>,
}

/// Where the flake of a node is, and how that is written.
struct Found {
    place: Place,
    /// What follows the store path of the source in `outPath`.
    below: String,
}

fn wrong(error: impl std::fmt::Display) -> Error {
    Error::eval(error.to_string(), NO_POS)
}

impl<'a> Evaluator<'a> {
    /// The flake with its locked inputs.
    pub(super) fn call_flake(&self, locked: Locked, dirty: bool) -> Value<'a> {
        let count = locked.graph.nodes.len();
        let root = locked.places[0].as_ref().map(|place| place.dir.clone());
        let live = Rc::new(Live {
            graph: locked.graph,
            dirty,
            places: locked.places,
            found: (0..count).map(|_| OnceCell::new()).collect(),
            values: (0..count).map(|_| OnceCell::new()).collect(),
        });
        let mut flakes = self.flakes.borrow_mut();
        // What warm evaluation knows of a flake hangs on its number.
        let known = flakes.iter().position(|known| {
            self.graph.is_some()
                && known.places[0].as_ref().map(|place| place.dir.clone()) == root
                && known.dirty == live.dirty
                && known.graph.render() == live.graph.render()
        });
        let index = known.unwrap_or(flakes.len());
        if known.is_none() {
            flakes.push(live);
        }
        drop(flakes);
        self.node(index, 0)
    }

    fn live(&self, flake: usize) -> Result<Rc<Live<'a>>> {
        let flakes = self.flakes.borrow();
        flakes.get(flake).cloned().ok_or_else(|| wrong("there is no such flake"))
    }

    /// The value of a node, the same one each time.
    fn node(&self, flake: usize, node: usize) -> Value<'a> {
        let args = [Value::Int(flake as i64), Value::Int(node as i64)];
        match self.live(flake) {
            Ok(live) => match live.values.get(node) {
                Some(cell) => *cell.get_or_init(|| self.lasting(node_value, &args)),
                None => self.native(node_value, &args),
            },
            Err(_) => self.native(node_value, &args),
        }
    }

    fn found(&self, live: &Live<'a>, node: usize, depth: usize) -> Result<Rc<Found>> {
        if depth > live.graph.nodes.len() {
            return Err(wrong("the relative paths of the lock file go around in a circle"));
        }
        let cell = live.found.get(node).ok_or_else(|| wrong("there is no such input"))?;
        // Warm evaluation looks again: the directory of an input may be gone.
        if let Some(found) = cell.get()
            && self.graph.is_none()
        {
            return Ok(found.clone());
        }
        let found = Rc::new(self.find(live, node, depth)?);
        Ok(cell.get_or_init(|| found.clone()).clone())
    }

    fn find(&self, live: &Live<'a>, node: usize, depth: usize) -> Result<Found> {
        let entry = &live.graph.nodes[node];
        let slash = |dir: &str| if dir.is_empty() { String::new() } else { format!("/{dir}") };
        let locked = entry.locked.as_ref().unwrap_or(&entry.original);
        let relative = locked.input.relative_path().filter(|_| node != 0);
        if let Some(path) = relative {
            let parent = live.graph.parent(node).map_err(wrong)?;
            let parent = self.found(live, parent, depth + 1)?;
            let base = self.relative_place(&parent.place, path)?;
            let dir = directory(&base.dir, &locked.dir);
            if self.lstat(&dir, NO_POS)?.is_none() {
                let text = String::from_utf8_lossy(&dir);
                let message = format!("the input '{locked}' is not there: there is no '{text}'");
                return Err(Error::new(ErrorKind::Io, message, NO_POS));
            }
            let own = Rc::ptr_eq(&base.source, &parent.place.source);
            let below = match live.places.get(node).and_then(Option::as_ref) {
                None if own => format!("{}{}{}", parent.below, slash(path), slash(&locked.dir)),
                // What was just locked, and what lies elsewhere, is known by where it is.
                _ => {
                    let rest = dir.get(base.source.root.len()..).unwrap_or_default();
                    String::from_utf8_lossy(rest).into_owned()
                }
            };
            let place = Place { source: base.source, dir };
            return Ok(Found { place, below });
        }
        if let Some(place) = live.places.get(node).and_then(Option::as_ref) {
            let rest = place.dir.get(place.source.root.len()..).unwrap_or_default();
            let below = String::from_utf8_lossy(rest).into_owned();
            return Ok(Found { place: place.clone(), below });
        }
        let is_final = entry.locked.is_some();
        let request = FetchRequest { input: locked.input.clone(), is_final, lazy: false };
        let source = self.fetch_source(&request, NO_POS)?;
        let dir = directory(&source.root, &locked.dir);
        Ok(Found { place: Place { source, dir }, below: slash(&locked.dir) })
    }
}

fn node_args<'a>(
    nix: &Evaluator<'a>,
    args: &[Value<'a>],
) -> Result<(usize, usize, Rc<Live<'a>>, Rc<Found>)> {
    let (Some(Value::Int(flake)), Some(Value::Int(node))) = (args.first(), args.get(1)) else {
        return Err(wrong("not a flake"));
    };
    let (flake, node) = (*flake as usize, *node as usize);
    let live = nix.live(flake)?;
    let found = nix.found(&live, node, 0)?;
    Ok((flake, node, live, found))
}

fn out_path<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Result<Value<'a>> {
    let (_, _, _, found) = node_args(nix, args)?;
    let stored = nix.source_path(&found.place.source, pos)?;
    let text = format!("{}{}", nix.store_dir.render_path(&stored), found.below);
    let ctx = nix.contexts.singleton(&ContextElem::Opaque(stored));
    Ok(nix.string_with(text.as_bytes(), ctx))
}

/// The flake (or plain source) of a node.
fn node_value<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Result<Value<'a>> {
    let (flake, node, live, found) = node_args(nix, args)?;
    let shown = Shown { dirty: node == 0 && live.dirty, ..Shown::default() };
    let info = nix.source_attrs(&found.place.source, shown);
    let path = nix.native(out_path, args);
    let entry = &live.graph.nodes[node];
    let info_attrs = nix.force_attrs(info, pos)?;
    if !entry.flake {
        let extra = nix.attrs_of([(sym::SOURCE_INFO, info), (sym::OUT_PATH, path)]);
        let extra = nix.force_attrs(extra, pos)?;
        return Ok(Value::Attrs(nix.update(info_attrs, extra)));
    }
    let reference = entry.locked.as_ref().unwrap_or(&entry.original);
    let file = [&found.place.dir, b"/flake.nix".as_slice()].concat();
    if nix.lstat(&file, pos)? != Some(FileType::Regular) {
        nix.read_flake(&found.place.dir, &reference.to_string())?;
    }
    let Value::Attrs(attrs) = nix.import(&file, pos)? else {
        return Err(wrong(format!("'{reference}' is not a flake")));
    };
    let mut inputs = Vec::new();
    for (name, edge) in &entry.inputs {
        let target = live.graph.follow(edge).map_err(wrong)?;
        let name = nix.symbols.intern(name.as_bytes());
        inputs.push(nix.attr(name, source::Place::NONE, nix.node(flake, target)));
    }
    let plain = nix.attrs_from(inputs.clone());
    inputs.push(nix.attr(sym::SELF, source::Place::NONE, nix.node(flake, node)));
    let function = nix.select(attrs, sym::OUTPUTS, pos)?;
    let outputs = nix.call(function, &[nix.attrs_from(inputs)], pos)?;
    let outputs_attrs = nix.force_attrs(outputs, pos)?;
    let extra = nix.attrs_of([
        (sym::OUT_PATH, path),
        (sym::INPUTS, plain),
        (sym::OUTPUTS, outputs),
        (sym::SOURCE_INFO, info),
        (sym::UNDERSCORE_TYPE, nix.string("flake")),
    ]);
    let extra = nix.force_attrs(extra, pos)?;
    Ok(Value::Attrs(nix.update(nix.update(outputs_attrs, info_attrs), extra)))
}
