//! From what flakes declare and what is locked to the graph of all inputs.

use std::collections::BTreeMap;

use super::declared::{Declared, split_path};
use super::lock::{Edge, Graph, Node};
use super::refs::{self, RefAttrs};
use super::{FlakeOptions, LockMode};
use crate::Evaluator;
use crate::error::{Error, ErrorKind, Result};
use crate::io::FileType;
use crate::paths::{as_path, canonical, io_error};
use crate::source::NO_POS;

/// Inputs of inputs of inputs …: more than this is a cycle of relative paths.
const DEPTH: usize = 64;

/// Where in the graph inputs are being added.
struct Place<'p> {
    node: usize,
    /// The path of inputs from the root to the node.
    path: Vec<String>,
    /// The directory of the flake, to start relative paths from.
    dir: &'p [u8],
    /// The lock file that knows the node, and which of its nodes it is, and the path from the root
    /// to the flake that has the lock file.
    old: Option<(&'p Graph, usize, &'p [String])>,
}

impl<'a> Evaluator<'a> {
    /// The locked inputs of a flake.
    pub(super) fn lock_flake(&self, dir: &[u8], options: &FlakeOptions) -> Result<Graph> {
        let declared = self.declared_inputs(dir)?;
        let old = self.read_lock(dir)?;
        let mut overrides = BTreeMap::new();
        for (path, reference) in &options.overrides {
            let reference = refs::parse(reference).map_err(|error| Error::eval(error, NO_POS))?;
            overrides.insert(split_path(path), reference);
        }
        let mut graph = Graph::empty();
        let place = Place {
            node: 0,
            path: Vec::new(),
            dir,
            old: old.as_ref().map(|old| (old, 0, [].as_slice())),
        };
        self.lock_inputs(&mut graph, &place, &declared, &overrides)?;
        let changed = match &old {
            Some(old) => old.render() != graph.render(),
            None => graph.nodes.len() > 1,
        };
        if !changed || !overrides.is_empty() {
            return Ok(graph);
        }
        match options.lock {
            LockMode::Frozen => {
                let text = String::from_utf8_lossy(dir);
                let message = format!("the lock file of '{text}' does not match its inputs");
                Err(Error::eval(message, NO_POS).hint("run once without --frozen to update it"))
            }
            LockMode::Write if graph.is_complete() => {
                let file = [dir, b"/flake.lock"].concat();
                self.io
                    .write_lock(as_path(&file), graph.render().as_bytes())
                    .map_err(|error| io_error(error, NO_POS))?;
                Ok(graph)
            }
            _ => Ok(graph),
        }
    }

    fn read_lock(&self, dir: &[u8]) -> Result<Option<Graph>> {
        let file = [dir, b"/flake.lock"].concat();
        if self.lstat(&file, NO_POS)? != Some(FileType::Regular) {
            return Ok(None);
        }
        let text = self.read_file(&file, NO_POS)?;
        Graph::parse(&text).map(Some).map_err(|error| {
            let file = String::from_utf8_lossy(&file);
            Error::new(ErrorKind::Io, format!("lock file '{file}': {error}"), NO_POS)
        })
    }

    fn lock_inputs(
        &self,
        graph: &mut Graph,
        place: &Place<'_>,
        declared: &BTreeMap<String, Declared>,
        overrides: &BTreeMap<Vec<String>, RefAttrs>,
    ) -> Result<()> {
        if place.path.len() > DEPTH {
            let message = format!("the inputs '{}…' go around in a circle", place.path.join("/"));
            return Err(Error::eval(message, NO_POS));
        }
        for (name, input) in declared {
            let mut path = place.path.clone();
            path.push(name.clone());
            let edge = self.lock_input(graph, place, &path, name, input, overrides)?;
            graph.nodes[place.node].inputs.insert(name.clone(), edge);
        }
        Ok(())
    }

    fn lock_input(
        &self,
        graph: &mut Graph,
        place: &Place<'_>,
        path: &[String],
        name: &str,
        input: &Declared,
        overrides: &BTreeMap<Vec<String>, RefAttrs>,
    ) -> Result<Edge> {
        if let Some(reference) = overrides.get(path) {
            return self.lock_path(graph, place, path, reference, input, overrides);
        }
        if let Some(follows) = &input.follows {
            let mut target = place.path.clone();
            target.extend(follows.iter().cloned());
            return Ok(Edge::Follows(target));
        }
        let reference = input.reference.clone().unwrap_or_default();
        let below = overrides.keys().any(|other| other.starts_with(path));
        if let Some((old, node, prefix)) = place.old
            && !below
            && let Some(Edge::Node(known)) = old.nodes[node].inputs.get(name)
            && old.nodes[*known].original == reference
            && old.nodes[*known].flake == input.flake
        {
            let mut copied = BTreeMap::new();
            return Ok(Edge::Node(copy(old, *known, graph, prefix, &mut copied)));
        }
        if reference.get("type").map(String::as_str) == Some("path") {
            return self.lock_path(graph, place, path, &reference, input, overrides);
        }
        // Known to no lock file: fetched, and an error if it cannot be, only when it is used.
        graph.nodes.push(Node { flake: input.flake, original: reference, ..Node::default() });
        Ok(Edge::Node(graph.nodes.len() - 1))
    }

    /// An input that is a directory: its own inputs are read from there.
    fn lock_path(
        &self,
        graph: &mut Graph,
        place: &Place<'_>,
        path: &[String],
        reference: &RefAttrs,
        input: &Declared,
        overrides: &BTreeMap<Vec<String>, RefAttrs>,
    ) -> Result<Edge> {
        let Some(target) = reference.get("path") else {
            graph.nodes.push(Node {
                flake: input.flake,
                original: reference.clone(),
                ..Node::default()
            });
            return Ok(Edge::Node(graph.nodes.len() - 1));
        };
        let relative = !target.starts_with('/');
        graph.nodes.push(Node {
            flake: input.flake,
            original: reference.clone(),
            locked: Some(reference.clone()),
            parent: relative.then(|| place.path.clone()),
            ..Node::default()
        });
        let node = graph.nodes.len() - 1;
        if !input.flake {
            return Ok(Edge::Node(node));
        }
        let source = self.path_source(place.dir, target, reference)?;
        let mut declared = self.declared_inputs(&source.dir)?;
        for (name, ours) in &input.inputs {
            match declared.get_mut(name) {
                Some(theirs) => {
                    // What a flake says about its input's inputs counts from that flake.
                    theirs.follows = ours.follows.clone().map(|follows| {
                        // Said relative to the node whose inputs are added: marked absolute below.
                        let mut absolute = vec![String::new()];
                        absolute.extend(place.path.iter().cloned());
                        absolute.extend(follows);
                        absolute
                    });
                    if ours.follows.is_none() && ours.reference.is_some() {
                        theirs.reference = ours.reference.clone();
                    }
                }
                None => {
                    let message = format!(
                        "the input '{}' has an override for a non-existent input '{name}'",
                        path.join("/")
                    );
                    self.io.message(&format!("warning: {message}"));
                }
            }
        }
        let lock = self.read_lock(&source.dir)?;
        let inner = Place {
            node,
            path: path.to_vec(),
            dir: &canonical(&source.dir),
            old: lock.as_ref().map(|lock| (lock, 0, path)),
        };
        self.lock_inputs(graph, &inner, &declared, overrides)?;
        for edge in graph.nodes[node].inputs.values_mut() {
            // An absolute path (marked by an empty first name) stands behind the node's own path.
            if let Edge::Follows(target) = edge
                && let Some(at) = target.iter().position(String::is_empty)
            {
                target.drain(..=at);
            }
        }
        Ok(Edge::Node(node))
    }
}

/// Copy a node of another lock file with all it leads to.
fn copy(
    from: &Graph,
    node: usize,
    into: &mut Graph,
    prefix: &[String],
    copied: &mut BTreeMap<usize, usize>,
) -> usize {
    if let Some(known) = copied.get(&node) {
        return *known;
    }
    let index = into.nodes.len();
    copied.insert(node, index);
    let mut entry = from.nodes[node].clone();
    entry.inputs.clear();
    let absolute = |path: &[String]| [prefix, path].concat();
    entry.parent = entry.parent.as_deref().map(absolute);
    into.nodes.push(entry);
    for (name, edge) in &from.nodes[node].inputs {
        let edge = match edge {
            Edge::Node(target) => Edge::Node(copy(from, *target, into, prefix, copied)),
            Edge::Follows(path) => Edge::Follows(absolute(path)),
        };
        into.nodes[index].inputs.insert(name.clone(), edge);
    }
    index
}
