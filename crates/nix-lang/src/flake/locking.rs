//! From what flakes declare and what is locked to the graph of all inputs.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use nix_compat::flake_ref::FlakeRef;

use super::FlakeOptions;
use super::declared::{Declarations, Declared};
use super::lock::{Edge, Graph, Node};
use super::source::{Source, ref_error};
use crate::Evaluator;
use crate::error::{Error, ErrorKind, Result};
use crate::io::{FetchRequest, FileType};
use crate::paths::{canonical, is_within};
use crate::source::NO_POS;

/// Inputs of inputs of inputs …: more than this is a cycle of relative paths.
const DEPTH: usize = 64;

/// A flake that was fetched, so far as locking must know it.
pub(super) struct Flake {
    pub(super) original: FlakeRef,
    pub(super) resolved: FlakeRef,
    pub(super) locked: FlakeRef,
    pub(super) source: Rc<Source>,
    /// The directory with `flake.nix`.
    pub(super) dir: Vec<u8>,
    pub(super) says: Declarations,
}

/// Where the flake of a node is.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) source: Rc<Source>,
    pub(super) dir: Vec<u8>,
}

/// What is taken for an input instead of what its flake says.
#[derive(Clone)]
struct Override {
    input: Declared,
    /// The directory that a relative path starts from.
    dir: Vec<u8>,
    source: Rc<Source>,
    /// The flake that says so, as a path of inputs.
    parent: Option<Vec<String>>,
}

/// The graph with the sources that were fetched for it.
pub(super) struct Locked {
    pub(super) graph: Graph,
    pub(super) places: Vec<Option<Place>>,
}

/// Whose inputs are being locked.
struct At<'l> {
    node: usize,
    /// The path of inputs from the root.
    prefix: Vec<String>,
    /// The lock file that knows the node, and as which.
    old: Option<(&'l Graph, usize)>,
    /// What `follows` in that lock file starts from.
    follows: Vec<String>,
    place: Place,
    /// The inputs are from a lock file that counts, and not from a flake.
    trust: bool,
}

struct Locker<'n, 'a> {
    nix: &'n Evaluator<'a>,
    options: &'n FlakeOptions,
    new: Locked,
    overrides: BTreeMap<Vec<String>, Override>,
    explicit: BTreeSet<Vec<String>>,
    used: BTreeSet<Vec<String>>,
    seen: BTreeSet<Vec<String>>,
    updates: BTreeSet<Vec<String>>,
    parents: Vec<FlakeRef>,
}

impl<'a> Evaluator<'a> {
    /// Fetch a flake and read what it declares.
    pub(super) fn fetch_flake(
        &self,
        original: &FlakeRef,
        limited: Option<bool>,
        root: &[String],
        lazy: bool,
    ) -> Result<Flake> {
        let resolved = match limited {
            Some(limited) if !original.input.is_direct() => {
                self.look_up(original, limited, NO_POS)?
            }
            _ => original.clone(),
        };
        if !resolved.input.is_direct() {
            let message = format!(
                "indirect input '{}' cannot be fetched directly",
                resolved.input.describe()
            );
            return Err(Error::eval(message, NO_POS));
        }
        let mut request = FetchRequest { input: resolved.input.clone(), is_final: false, lazy };
        let mut source = self.fetch_source(&request, NO_POS)?;
        let mut dir = directory(&source.root, &resolved.dir);
        let shown = resolved.to_string();
        let mut says = self.declarations(&dir, root, &shown)?;
        if !says.own.is_empty() {
            for (name, value) in &says.own {
                if !matches!(name.as_str(), "submodules" | "lfs") {
                    let message = format!("flake 'self' attribute '{name}' is not supported");
                    return Err(Error::eval(message, NO_POS));
                }
                request.input.attrs_mut().insert(name.clone(), value.clone());
            }
            if request.input != resolved.input {
                request.input.attrs_mut().remove("narHash");
                self.forget_source(&source);
                source = self.fetch_source(&request, NO_POS)?;
                dir = directory(&source.root, &resolved.dir);
                says = self.declarations(&dir, root, &shown)?;
            }
        }
        let locked = FlakeRef { input: source.input.clone(), dir: resolved.dir.clone() };
        Ok(Flake { original: original.clone(), resolved, locked, source, dir, says })
    }

    /// The locked inputs of a flake.
    pub(super) fn lock_inputs(
        &self,
        flake: &Flake,
        old: &Graph,
        options: &FlakeOptions,
    ) -> Result<Locked> {
        let place = Place { source: flake.source.clone(), dir: flake.dir.clone() };
        let mut locker = Locker {
            nix: self,
            options,
            new: Locked { graph: Graph::empty(), places: vec![Some(place.clone())] },
            overrides: BTreeMap::new(),
            explicit: BTreeSet::new(),
            used: BTreeSet::new(),
            seen: BTreeSet::new(),
            updates: BTreeSet::new(),
            parents: Vec::new(),
        };
        let path = |text: &str| {
            super::declared::input_path(text).map_err(|error| Error::eval(error, NO_POS))
        };
        for (name, reference) in &options.overrides {
            let name = path(name)?;
            if name.is_empty() {
                let message = "--override-input was passed a zero-length input path, which would \
                               refer to the flake itself, not an input";
                return Err(Error::eval(message, NO_POS));
            }
            let reference = self.user_reference(reference, options.base.as_deref(), true)?;
            locker.explicit.insert(name.clone());
            let said = Override {
                input: Declared::new(Some(reference)),
                dir: flake.dir.clone(),
                source: flake.source.clone(),
                parent: None,
            };
            locker.overrides.insert(name, said);
        }
        for name in &options.update {
            let name = path(name)?;
            if name.is_empty() {
                let message = "input path to be updated cannot be zero-length; it would refer to \
                               the flake itself, not an input";
                return Err(Error::eval(message, NO_POS));
            }
            locker.updates.insert(name);
        }
        let at = At {
            node: 0,
            prefix: Vec::new(),
            old: (!options.recreate).then_some((old, 0)),
            follows: Vec::new(),
            place,
            trust: false,
        };
        locker.inputs(&at, &flake.says.inputs)?;
        for (name, reference) in &options.overrides {
            if !locker.used.contains(&path(name)?) {
                self.io.message(&format!(
                    "warning: the flag '--override-input {name} {reference}' does not match any \
                     input"
                ));
            }
        }
        for name in &locker.updates {
            if !locker.seen.contains(name) {
                let name = name.join("/");
                let message = format!("warning: '{name}' does not match any input of this flake");
                self.io.message(&message);
            }
        }
        check(&locker.new.graph)?;
        Ok(locker.new)
    }

    pub(super) fn read_lock(&self, dir: &[u8]) -> Result<Option<Graph>> {
        let file = [dir, b"/flake.lock"].concat();
        if self.lstat(&file, NO_POS)? != Some(FileType::Regular) {
            return Ok(None);
        }
        let text = self.read_file(&file, NO_POS)?;
        let graph = Graph::parse(&text).map_err(|error| {
            let file = String::from_utf8_lossy(&file);
            Error::new(ErrorKind::Io, format!("lock file '{file}': {error}"), NO_POS)
        })?;
        for input in graph.only_hashed() {
            self.io.message(&format!(
                "warning: Lock file entry '{input}' is unlocked (e.g. lacks a Git revision) but is \
                 checked by NAR hash. This is not reproducible and will break after garbage \
                 collection or when shared."
            ));
        }
        Ok(Some(graph))
    }
}

impl<'a> Evaluator<'a> {
    /// Where a relative path leads from a flake. Beyond the flake's own source there is something
    /// only where that is read where it lies.
    pub(super) fn relative_place(&self, base: &Place, path: &str) -> Result<Place> {
        let dir = canonical(&[&base.dir, b"/".as_slice(), path.as_bytes()].concat());
        if is_within(&dir, &base.source.root) {
            return Ok(Place { source: base.source.clone(), dir });
        }
        if !base.source.is_local() {
            let message = format!("the input 'path:{path}' leads out of the source of its flake");
            return Err(Error::eval(message, NO_POS));
        }
        let found = self.directory_reference(&dir, false)?;
        let request = FetchRequest { input: found.input, is_final: false, lazy: true };
        Ok(Place { source: self.fetch_source(&request, NO_POS)?, dir })
    }
}

/// The directory of a flake in its tree.
pub(super) fn directory(root: &[u8], dir: &str) -> Vec<u8> {
    canonical(&[root, b"/", dir.as_bytes()].concat())
}

/// Inputs that follow must have something to follow.
fn check(graph: &Graph) -> Result<()> {
    for (path, edge) in graph.all_inputs() {
        let Edge::Follows(target) = edge else { continue };
        graph.resolve(&target).map_err(|error| {
            let message = match error.starts_with("there is no input") {
                true => format!(
                    "input '{}' follows a non-existent input '{}'",
                    path.join("/"),
                    target.join("/")
                ),
                false => error,
            };
            Error::eval(message, NO_POS)
        })?;
    }
    Ok(())
}

impl Locker<'_, '_> {
    fn inputs(&mut self, at: &At<'_>, declared: &BTreeMap<String, Declared>) -> Result<()> {
        if at.prefix.len() > DEPTH {
            let message = format!("the inputs '{}…' go around in a circle", at.prefix.join("/"));
            return Err(Error::eval(message, NO_POS));
        }
        for (name, input) in declared {
            self.add_overrides(at, input, &below(&at.prefix, name));
        }
        for path in self.overrides.keys() {
            if let Some((name, parent)) = path.split_last()
                && *parent == at.prefix
                && !declared.contains_key(name)
            {
                let parent = at.prefix.join("/");
                self.nix.io.message(&format!(
                    "warning: input '{parent}' has an override for a non-existent input '{name}'"
                ));
            }
        }
        for (name, input) in declared {
            let path = below(&at.prefix, name);
            let edge = self.input(at, &path, name, input).map_err(|error| {
                let path = path.join("/");
                error.frame(NO_POS, format!("while updating the flake input '{path}'"))
            })?;
            self.new.graph.nodes[at.node].inputs.insert(name.clone(), edge);
        }
        Ok(())
    }

    /// What a flake says about the inputs of its inputs; what a flake above says comes first.
    fn add_overrides(&mut self, at: &At<'_>, input: &Declared, prefix: &[String]) {
        for (name, said) in &input.inputs {
            let path = below(prefix, name);
            if said.reference.is_some() || said.follows.is_some() {
                self.overrides.entry(path.clone()).or_insert_with(|| Override {
                    input: said.clone(),
                    dir: at.place.dir.clone(),
                    source: at.place.source.clone(),
                    parent: Some(at.prefix.clone()),
                });
            }
            self.add_overrides(at, said, &path);
        }
    }

    fn input(
        &mut self,
        at: &At<'_>,
        path: &[String],
        name: &str,
        declared: &Declared,
    ) -> Result<Edge> {
        let said = self.overrides.get(path).cloned();
        if said.is_some() {
            self.used.insert(path.to_vec());
        }
        let explicit = self.explicit.contains(path);
        let mut input = said.as_ref().map_or(declared, |said| &said.input).clone();
        input.flake = declared.flake;
        if let Some(follows) = input.follows {
            return Ok(Edge::Follows(follows));
        }
        let reference = match input.reference.take() {
            Some(reference) => reference,
            None => FlakeRef::parse(&format!("flake:{name}"), true, false)
                .map_err(|error| ref_error(error, NO_POS))?,
        };
        let base = match &said {
            Some(said) => Place { source: said.source.clone(), dir: said.dir.clone() },
            None => at.place.clone(),
        };
        let parent = reference.input.relative_path().map(|_| match &said {
            Some(said) => said.parent.clone().unwrap_or_default(),
            None => at.prefix.clone(),
        });
        self.seen.insert(path.to_vec());
        let known = at.old.and_then(|(graph, node)| match graph.nodes[node].inputs.get(name) {
            Some(Edge::Node(known)) if !self.updates.contains(path) => Some((graph, *known)),
            _ => None,
        });
        let known = known.filter(|(graph, known)| {
            let known = &graph.nodes[*known];
            !explicit
                && known.original.canonical() == reference.canonical()
                && known.parent == parent
        });
        if let Some((graph, known)) = known {
            return self.keep(at, path, graph, known, &base);
        }
        let original = match &declared.reference {
            Some(own) if explicit => own.clone(),
            _ => reference.clone(),
        };
        let relative = parent.is_some();
        if !self.options.allow_unlocked && !relative && !reference.input.is_locked() {
            let message =
                format!("cannot update unlocked flake input '{}' in pure mode", path.join("/"));
            return Err(Error::new(ErrorKind::Impure, message, NO_POS));
        }
        let node = self.new_node(Node { flake: input.flake, original, parent, ..Node::default() });
        if !input.flake {
            let found = self.fetch_plain(&reference, &base);
            let Some((place, locked)) = self.lenient(found)? else { return Ok(Edge::Node(node)) };
            self.new.graph.nodes[node].locked = Some(locked);
            self.new.places[node] = Some(place);
            return Ok(Edge::Node(node));
        }
        let found = self.fetch_input(&reference, &base, path, explicit);
        let Some((flake, locked)) = self.lenient(found)? else { return Ok(Edge::Node(node)) };
        self.new.graph.nodes[node].locked = Some(locked);
        if self.parents.contains(&reference) {
            let message = format!("found circular import of flake '{reference}'");
            return Err(Error::eval(message, NO_POS));
        }
        self.parents.push(reference);
        let place = Place { source: flake.source.clone(), dir: flake.dir.clone() };
        self.new.places[node] = Some(place.clone());
        let old = self.nix.read_lock(&flake.dir)?;
        let inner = At {
            node,
            prefix: path.to_vec(),
            old: old.as_ref().map(|old| (old, 0)),
            follows: path.to_vec(),
            place,
            trust: false,
        };
        self.inputs(&inner, &flake.says.inputs)?;
        self.parents.pop();
        Ok(Edge::Node(node))
    }

    fn new_node(&mut self, node: Node) -> usize {
        self.new.graph.nodes.push(node);
        self.new.places.push(None);
        self.new.graph.nodes.len() - 1
    }

    /// An input that cannot be fetched is an error only once it is used, if that is wished.
    fn lenient<T>(&self, found: Result<T>) -> Result<Option<T>> {
        match found {
            Ok(found) => Ok(Some(found)),
            Err(error)
                if self.options.lenient
                    && matches!(error.kind(), ErrorKind::Io | ErrorKind::Unsupported) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Takes an input over from a lock file, its inputs with it.
    fn keep(
        &mut self,
        at: &At<'_>,
        path: &[String],
        graph: &Graph,
        known: usize,
        base: &Place,
    ) -> Result<Edge> {
        let entry = &graph.nodes[known];
        let node = self.new_node(Node { inputs: BTreeMap::new(), ..entry.clone() });
        let deeper = |update: &Vec<String>| update.len() > path.len() && update.starts_with(path);
        let mut fetch = self.updates.iter().any(deeper);
        let mut inputs = BTreeMap::new();
        if !fetch {
            for (name, edge) in &entry.inputs {
                let mut input = Declared::new(None);
                match edge {
                    Edge::Node(inner) => {
                        input.reference = Some(graph.nodes[*inner].original.clone());
                        input.flake = graph.nodes[*inner].flake;
                    }
                    Edge::Follows(_)
                        if !at.trust && !self.overrides.contains_key(&below(path, name)) =>
                    {
                        // Who said so says it no more: what the flake itself says is not known.
                        fetch = true;
                        break;
                    }
                    Edge::Follows(target) => {
                        input.follows = Some([at.follows.as_slice(), target].concat());
                    }
                }
                inputs.insert(name.clone(), input);
            }
        }
        let mut inner = At {
            node,
            prefix: path.to_vec(),
            old: Some((graph, known)),
            follows: at.follows.clone(),
            place: at.place.clone(),
            trust: true,
        };
        if !fetch {
            self.inputs(&inner, &inputs)?;
            return Ok(Edge::Node(node));
        }
        let locked = entry.locked.clone().unwrap_or_default();
        let (flake, _) = self.fetch_input(&locked, base, path, false)?;
        let place = Place { source: flake.source.clone(), dir: flake.dir.clone() };
        self.new.places[node] = Some(place.clone());
        inner.place = place;
        inner.trust = false;
        self.inputs(&inner, &flake.says.inputs)?;
        Ok(Edge::Node(node))
    }

    fn limited(&self, explicit: bool) -> Option<bool> {
        self.options.registries.then_some(!explicit)
    }

    /// The directory that a relative path means.
    fn relative(&self, reference: &FlakeRef, base: &Place) -> Result<Option<Place>> {
        let path = reference.input.relative_path();
        path.map(|path| self.nix.relative_place(base, path)).transpose()
    }

    /// A flake, and how it is locked.
    fn fetch_input(
        &self,
        reference: &FlakeRef,
        base: &Place,
        path: &[String],
        explicit: bool,
    ) -> Result<(Flake, FlakeRef)> {
        if let Some(place) = self.relative(reference, base)? {
            let dir = directory(&place.dir, &reference.dir);
            let says = self.nix.declarations(&dir, path, &reference.to_string())?;
            let flake = Flake {
                original: reference.clone(),
                resolved: reference.clone(),
                locked: reference.clone(),
                source: place.source,
                dir,
                says,
            };
            return Ok((flake, reference.clone()));
        }
        let flake = self.nix.fetch_flake(reference, self.limited(explicit), path, false)?;
        let input = self.nix.locked_input(&flake.source)?;
        let locked = FlakeRef { input, dir: flake.locked.dir.clone() };
        Ok((flake, locked))
    }

    /// A source that is no flake, and how it is locked.
    fn fetch_plain(&self, reference: &FlakeRef, base: &Place) -> Result<(Place, FlakeRef)> {
        if let Some(place) = self.relative(reference, base)? {
            return Ok((place, reference.clone()));
        }
        let found = match self.limited(false) {
            Some(limited) if !reference.input.is_direct() => {
                self.nix.look_up(reference, limited, NO_POS)?
            }
            _ => reference.clone(),
        };
        let request = FetchRequest { input: found.input, is_final: false, lazy: false };
        let source = self.nix.fetch_source(&request, NO_POS)?;
        let input = self.nix.locked_input(&source)?;
        let dir = source.root.clone();
        Ok((Place { source, dir }, FlakeRef { input, dir: reference.dir.clone() }))
    }
}

fn below(prefix: &[String], name: &str) -> Vec<String> {
    let mut path = prefix.to_vec();
    path.push(name.to_owned());
    path
}
