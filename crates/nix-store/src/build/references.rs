//! `exportReferencesGraph`: what a builder is told about the closures of its inputs.

use super::options;
use crate::error::{Error, Result};
use crate::store::Store;
use nix_compat::{CAHash, Derivation, HashAlgorithm, StorePath, hash, path};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Closures by the names the derivation gives them, told as its attributes are.
#[derive(Debug, Default)]
pub(super) struct Graphs {
    /// Contents of files in the build directory.
    pub files: Vec<(String, Vec<u8>)>,
    /// Values to add to `.attrs.json`.
    pub values: BTreeMap<String, Value>,
}

/// Reads the closures that are asked for; all must be among the inputs.
pub(super) fn graphs(
    store: &Store,
    drv: &StorePath,
    derivation: &Derivation,
    inputs: &BTreeSet<StorePath>,
) -> Result<Graphs> {
    let wrong = |reason: String| Error::Derivation { path: drv.clone(), reason };
    let closure = |roots: &[String]| -> Result<BTreeSet<StorePath>> {
        let mut found = BTreeSet::new();
        for root in roots {
            let (root, _) = path::split(root.as_bytes()).map_err(|e| wrong(e.to_string()))?;
            if !inputs.contains(&root) {
                return Err(wrong(format!(
                    "exportReferencesGraph names {root}, which is not among its inputs"
                )));
            }
            found.append(&mut store.closure([&root])?);
        }
        with_outputs(store, found)
    };
    let mut graphs = Graphs::default();
    if let Some(attributes) = derivation.structured_attrs() {
        let Some(wanted) = attributes.get("exportReferencesGraph") else { return Ok(graphs) };
        let Some(wanted) = wanted.as_object() else {
            return Err(wrong("exportReferencesGraph is not a set".into()));
        };
        for (name, roots) in wanted {
            let roots = match roots {
                Value::String(root) => vec![root.clone()],
                Value::Array(list) => {
                    list.iter().filter_map(|root| root.as_str().map(str::to_owned)).collect()
                }
                _ => {
                    let what = format!("exportReferencesGraph.{name} is not a list of paths");
                    return Err(wrong(what));
                }
            };
            graphs.values.insert(name.clone(), described(store, &closure(&roots)?)?);
        }
        return Ok(graphs);
    }
    let words = options::words(derivation, "exportReferencesGraph").unwrap_or_default();
    let (pairs, rest) = words.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(wrong("exportReferencesGraph has an odd number of words".into()));
    }
    for [name, root] in pairs {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
        if name.starts_with('.') || !name.chars().all(allowed) {
            let what = format!("{name:?} cannot be a file name in exportReferencesGraph");
            return Err(wrong(what));
        }
        let paths = closure(std::slice::from_ref(root))?;
        graphs.files.push((name.clone(), registration(store, &paths)?));
    }
    Ok(graphs)
}

/// With the outputs of derivations that are among the paths.
fn with_outputs(store: &Store, mut paths: BTreeSet<StorePath>) -> Result<BTreeSet<StorePath>> {
    let derivations: Vec<StorePath> =
        paths.iter().filter(|path| path.is_derivation()).cloned().collect();
    for drv in derivations {
        for output in super::realise::output_paths(&drv, &store.derivation(&drv)?)?.into_values() {
            let Some(output) = output else { continue };
            paths.append(&mut store.closure([&output])?);
        }
    }
    Ok(paths)
}

/// The lines that `nix-store --load-db` reads, without hashes and derivers: a path, an empty line,
/// the number of its references, and they.
fn registration(store: &Store, paths: &BTreeSet<StorePath>) -> Result<Vec<u8>> {
    let mut text = String::new();
    for path in paths {
        let references = store.references(path)?;
        text.push_str(&format!("{path}\n\n{}\n", references.len()));
        for reference in references {
            text.push_str(&format!("{reference}\n"));
        }
    }
    Ok(text.into_bytes())
}

fn described(store: &Store, paths: &BTreeSet<StorePath>) -> Result<Value> {
    let mut list = Vec::new();
    for path in paths {
        let info = store.info(path)?;
        let mut closure_size = 0;
        for path in store.closure([path])? {
            closure_size += store.info(&path)?.nar_size;
        }
        let references: Vec<String> = info.references.iter().map(ToString::to_string).collect();
        let digest = hash::format(&info.nar_hash, hash::HashFormat::Nix32);
        let mut object = json!({
            "path": path.to_string(),
            "valid": true,
            "narHash": format!("{}:{digest}", HashAlgorithm::Sha256),
            "narSize": info.nar_size,
            "references": references,
            "closureSize": closure_size,
        });
        if let Some(ca) = &info.ca {
            object["ca"] = CAHash::to_nix_string(ca).into();
        }
        list.push(object);
    }
    Ok(Value::Array(list))
}
