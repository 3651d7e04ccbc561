//! The lock file: version 7, as a graph.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};

use nix_compat::flake_ref::{FlakeRef, from_json, to_json};

/// Where an input of a node comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Edge {
    /// A node of its own.
    Node(usize),
    /// The input at this path from the root.
    Follows(Vec<String>),
}

/// One source in the graph.
#[derive(Clone, Debug, Default)]
pub(crate) struct Node {
    pub(crate) inputs: BTreeMap<String, Edge>,
    /// Whether the source is used as a flake.
    pub(crate) flake: bool,
    pub(crate) original: FlakeRef,
    /// What exactly to fetch; `None` for the root and for what could not be fetched.
    pub(crate) locked: Option<FlakeRef>,
    /// The node that a relative path starts from, as a path of inputs from the root.
    pub(crate) parent: Option<Vec<String>>,
}

/// Where inputs that follow others lead; nothing while that is being found out. Without it,
/// inputs that each go twice through the next one take time without end.
type Followed<'g> = BTreeMap<(usize, &'g str), Option<usize>>;

/// An input that follows one that follows one …: more than this is no lock file anyone wrote.
const FOLLOWS_MAX: usize = 1000;

/// A lock file. The root is node 0.
#[derive(Clone, Debug)]
pub(crate) struct Graph {
    pub(crate) nodes: Vec<Node>,
}

impl Graph {
    pub(crate) fn empty() -> Self {
        Graph { nodes: vec![Node { flake: true, ..Node::default() }] }
    }

    /// The node at a path of inputs from the root.
    pub(crate) fn resolve(&self, path: &[String]) -> Result<usize, String> {
        self.resolve_with(path, &mut BTreeMap::new(), 0)
    }

    fn resolve_with<'g>(
        &'g self,
        path: &[String],
        known: &mut Followed<'g>,
        depth: usize,
    ) -> Result<usize, String> {
        let itself = || Err(format!("the input '{}' follows itself", path.join("/")));
        if depth > FOLLOWS_MAX {
            return Err(format!("the input '{}' follows too many others", path.join("/")));
        }
        let mut node = 0;
        for name in path {
            let Some((name, edge)) = self.nodes[node].inputs.get_key_value(name) else {
                return Err(format!("there is no input '{}'", path.join("/")));
            };
            let key = (node, name.as_str());
            node = match (edge, known.get(&key)) {
                (Edge::Node(next), _) | (_, Some(Some(next))) => *next,
                (_, Some(None)) => return itself(),
                (Edge::Follows(other), None) => {
                    known.insert(key, None);
                    let next = self.resolve_with(other, known, depth + 1)?;
                    known.insert(key, Some(next));
                    next
                }
            };
        }
        Ok(node)
    }

    /// The node whose directory the relative path of `node` starts from.
    pub(crate) fn parent(&self, node: usize) -> Result<usize, String> {
        let above = |node: usize| match &self.nodes[node].parent {
            Some(parent) => self.resolve(parent),
            None => Ok(0),
        };
        let (parent, mut at) = (above(node)?, node);
        for _ in &self.nodes {
            if at == 0 {
                return Ok(parent);
            }
            at = above(at)?;
        }
        Err("the relative paths of the lock file go around in a circle".to_owned())
    }

    pub(crate) fn follow(&self, edge: &Edge) -> Result<usize, String> {
        match edge {
            Edge::Node(node) => Ok(*node),
            Edge::Follows(path) => self.resolve(path),
        }
    }

    pub(crate) fn parse(text: &[u8]) -> Result<Self, String> {
        let json: Json = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        let version = json.get("version").and_then(Json::as_u64).unwrap_or(0);
        if !(5..=7).contains(&version) {
            return Err(format!("version {version} is not supported, only 5 to 7 are"));
        }
        let nodes = json.get("nodes").and_then(Json::as_object).ok_or("there are no nodes")?;
        let root = json.get("root").and_then(Json::as_str).ok_or("there is no root")?;
        // Only what something leads to counts, whatever else is said.
        let mut names: Vec<&str> = vec![root];
        let mut seen = std::collections::BTreeSet::from([root]);
        let mut at = 0;
        while let Some(name) = names.get(at) {
            let inputs = nodes.get(*name).and_then(|node| node.get("inputs"));
            for target in inputs.and_then(Json::as_object).into_iter().flat_map(Map::values) {
                let Some(target) = target.as_str() else { continue };
                if !nodes.contains_key(target) {
                    return Err(format!("lock file references missing node '{target}'"));
                }
                if seen.insert(target) {
                    names.push(target);
                }
            }
            at += 1;
        }
        let index: BTreeMap<&str, usize> =
            names.iter().enumerate().map(|(index, name)| (*name, index)).collect();
        let mut parsed = Vec::with_capacity(names.len());
        for name in &names {
            let json = nodes.get(*name).ok_or_else(|| format!("there is no node '{name}'"))?;
            let node = parse_node(json, &index, *name == root);
            parsed.push(node.map_err(|error| format!("node '{name}': {error}"))?);
        }
        Ok(Graph { nodes: parsed })
    }

    pub(crate) fn render(&self) -> String {
        let names = self.names();
        let mut nodes = BTreeMap::new();
        // A node that nothing leads to has no name, and says nothing.
        let named = self.nodes.iter().zip(&names).filter(|(_, name)| !name.is_empty());
        for (node, name) in named {
            let mut json = Map::new();
            if !node.flake {
                json.insert("flake".to_owned(), Json::Bool(false));
            }
            if !node.inputs.is_empty() {
                let inputs = node.inputs.iter().map(|(input, edge)| {
                    let edge = match edge {
                        Edge::Node(target) => Json::from(names[*target].as_str()),
                        Edge::Follows(path) => Json::from(path.clone()),
                    };
                    (input.clone(), edge)
                });
                json.insert("inputs".to_owned(), Json::Object(inputs.collect()));
            }
            if let Some(locked) = &node.locked {
                json.insert("locked".to_owned(), to_json(&locked.to_attrs()));
                json.insert("original".to_owned(), to_json(&node.original.to_attrs()));
            }
            if let Some(parent) = &node.parent {
                json.insert("parent".to_owned(), Json::from(parent.clone()));
            }
            nodes.insert(name.clone(), Json::Object(json));
        }
        let nodes: Map<String, Json> = nodes.into_iter().collect();
        let mut whole = Map::new();
        whole.insert("nodes".to_owned(), Json::Object(nodes));
        whole.insert("root".to_owned(), Json::from("root"));
        whole.insert("version".to_owned(), Json::from(7));
        let mut text = serde_json::to_string_pretty(&Json::Object(whole)).unwrap_or_default();
        text.push('\n');
        text
    }

    /// A name for each node: that of the first input that leads to it, inputs of inputs first.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names = vec![String::new(); self.nodes.len()];
        let mut taken = std::collections::BTreeSet::new();
        let mut open = vec![(0, "root")];
        while let Some((node, input)) = open.pop() {
            if !names[node].is_empty() {
                continue;
            }
            let mut name = input.to_owned();
            let mut count = 2;
            while !taken.insert(name.clone()) {
                name = format!("{input}_{count}");
                count += 1;
            }
            names[node] = name;
            for (input, edge) in self.nodes[node].inputs.iter().rev() {
                if let Edge::Node(target) = edge {
                    open.push((*target, input));
                }
            }
        }
        names
    }

    /// Every input by its path from the root.
    pub(crate) fn all_inputs(&self) -> BTreeMap<Vec<String>, Edge> {
        let (mut found, mut done) = (BTreeMap::new(), std::collections::BTreeSet::new());
        let mut open = vec![(Vec::new(), 0)];
        while let Some((prefix, node)) = open.pop() {
            if !done.insert(node) {
                continue;
            }
            for (name, edge) in self.nodes[node].inputs.iter().rev() {
                let path = [prefix.as_slice(), std::slice::from_ref(name)].concat();
                if let Edge::Node(target) = edge {
                    open.push((path.clone(), *target));
                }
                found.insert(path, edge.clone());
            }
        }
        found
    }

    /// What the inputs of the flake itself are locked to.
    pub(crate) fn locked_inputs(&self) -> Vec<(String, FlakeRef)> {
        let inputs = self.nodes[0].inputs.iter();
        let locked = inputs.filter_map(|(name, edge)| {
            let node = self.follow(edge).ok()?;
            Some((name.clone(), self.nodes[node].locked.clone()?))
        });
        locked.collect()
    }

    /// Inputs that are not locked, but have the hash they had.
    pub(crate) fn only_hashed(&self) -> impl Iterator<Item = &FlakeRef> {
        let locked = self.nodes.iter().filter_map(|node| node.locked.as_ref());
        locked.filter(|locked| is_unlocked(locked, false) && !is_unlocked(locked, true))
    }

    /// An input that is not locked, if there is one; its hash will do if `by_hash`.
    pub(crate) fn unlocked(&self, by_hash: bool) -> Option<&FlakeRef> {
        let names = self.names();
        let named = self.nodes.iter().zip(&names).skip(1).filter(|(_, name)| !name.is_empty());
        named.map(|(node, _)| node).find_map(|node| match &node.locked {
            None => Some(&node.original),
            Some(locked) => is_unlocked(locked, by_hash).then_some(locked),
        })
    }
}

/// Whether nothing says what exactly is meant: no revision, and, if that will do, no hash.
fn is_unlocked(locked: &FlakeRef, by_hash: bool) -> bool {
    let input = &locked.input;
    let hashed = by_hash && input.text("narHash").is_some();
    !input.is_locked() && !hashed && input.relative_path().is_none()
}

fn parse_ref(json: &Json, name: &str) -> Result<FlakeRef, String> {
    let part = json.get(name).ok_or_else(|| format!("attribute '{name}' missing in lock file"))?;
    let mut attrs = from_json(part)?;
    if name == "locked"
        && let Some(info) = json.get("info")
    {
        attrs.extend(from_json(info)?);
    }
    attrs.remove("__final");
    FlakeRef::from_attrs(attrs).map_err(|error| error.to_string())
}

fn parse_path(json: &Json) -> Result<Vec<String>, String> {
    let names = json.as_array().ok_or("an input path is not a list")?;
    names
        .iter()
        .map(|name| {
            name.as_str()
                .map(str::to_owned)
                .ok_or_else(|| "an input path has a part that is not text".to_owned())
        })
        .collect()
}

fn parse_node(json: &Json, index: &BTreeMap<&str, usize>, root: bool) -> Result<Node, String> {
    let mut node = Node {
        flake: json.get("flake").and_then(Json::as_bool).unwrap_or(true),
        ..Node::default()
    };
    if !root {
        let locked = parse_ref(json, "locked")?;
        if is_unlocked(&locked, true) {
            return Err(format!(
                "Lock file contains unlocked input '{}'. Use '--allow-dirty-locks' to accept this \
                 lock file.",
                to_json(&locked.to_attrs())
            ));
        }
        node.locked = Some(locked);
        node.original = parse_ref(json, "original")?;
    }
    if let Some(parent) = json.get("parent") {
        node.parent = Some(parse_path(parent)?);
    }
    for (name, edge) in json.get("inputs").and_then(Json::as_object).into_iter().flatten() {
        let edge = match edge.as_str() {
            Some(target) => {
                let target = index.get(target);
                let target = target.ok_or_else(|| format!("the input '{name}' is no node"))?;
                if *target == 0 {
                    return Err("lock file contains cycle to root node".to_owned());
                }
                Edge::Node(*target)
            }
            None => Edge::Follows(parse_path(edge)?),
        };
        node.inputs.insert(name.clone(), edge);
    }
    Ok(node)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"{
  "nodes": {
    "hc": {
      "inputs": {
        "nixpkgs": [
          "nixpkgs"
        ]
      },
      "locked": {
        "path": "../..",
        "type": "path"
      },
      "original": {
        "path": "../..",
        "type": "path"
      },
      "parent": []
    },
    "nixpkgs": {
      "locked": {
        "lastModified": 5,
        "owner": "NixOS",
        "repo": "nixpkgs",
        "rev": "0123456789012345678901234567890123456789",
        "type": "github"
      },
      "original": {
        "owner": "NixOS",
        "repo": "nixpkgs",
        "type": "github"
      }
    },
    "root": {
      "inputs": {
        "hc": "hc",
        "nixpkgs": "nixpkgs"
      }
    }
  },
  "root": "root",
  "version": 7
}
"#;

    #[test]
    fn lock_file_there_and_back() {
        let graph = Graph::parse(TEXT.as_bytes()).expect("the text is a lock file");
        assert_eq!(graph.render(), TEXT);
        let path = ["hc".to_owned(), "nixpkgs".to_owned()];
        assert_eq!(graph.resolve(&path), graph.resolve(&path[1..]));
    }

    #[test]
    fn a_follows_cycle_is_an_error() {
        let mut graph = Graph::empty();
        graph.nodes[0].inputs.insert("a".into(), Edge::Follows(vec!["b".into()]));
        graph.nodes[0].inputs.insert("b".into(), Edge::Follows(vec!["a".into()]));
        assert!(graph.resolve(&["a".to_owned()]).is_err());
    }

    fn follows(path: &[&str]) -> Edge {
        Edge::Follows(path.iter().map(|name| (*name).to_owned()).collect())
    }

    #[test]
    fn inputs_that_go_twice_through_each_other_are_resolved_at_once() {
        let mut graph = Graph::empty();
        let inputs = &mut graph.nodes[0].inputs;
        for i in 0..200 {
            let next = format!("f{}", i + 1);
            inputs.insert(format!("f{i}"), follows(&[&next, &next]));
        }
        inputs.insert("f200".into(), Edge::Node(0));
        assert_eq!(graph.resolve(&["f0".to_owned()]), Ok(0));
    }

    #[test]
    fn a_long_line_of_inputs_does_not_use_up_the_stack() {
        let mut graph = Graph::empty();
        for i in 0..100_000 {
            graph.nodes[0].inputs.insert(format!("f{i}"), follows(&[&format!("f{}", i + 1)]));
        }
        assert!(graph.resolve(&["f0".to_owned()]).is_err());
    }

    #[test]
    fn more_inputs_may_follow_than_there_are_nodes() {
        let mut graph = Graph::empty();
        for i in 0..50 {
            graph.nodes[0].inputs.insert(format!("f{i}"), follows(&[&format!("f{}", i + 1)]));
        }
        graph.nodes[0].inputs.insert("f50".into(), Edge::Node(0));
        assert_eq!(graph.resolve(&["f0".to_owned()]), Ok(0));
    }

    #[test]
    fn a_node_that_nothing_leads_to_is_no_change() {
        let with = TEXT.replace("  \"nodes\": {", "  \"nodes\": {\n    \"alone\": { },");
        assert_eq!(Graph::parse(with.as_bytes()).expect("a lock file").render(), TEXT);
    }
}
