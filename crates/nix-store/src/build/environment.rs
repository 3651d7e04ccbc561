//! What a builder finds in its environment and in its build directory.

use super::references::Graphs;
use crate::error::{Context, Error, Result};
use hc_fs::plain;
use nix_compat::resolve::replace;
use nix_compat::{
    Derivation, HashAlgorithm, STORE_DIR, StorePath, StructuredAttrs, StructuredAttrsFiles, nix32,
};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The build directory as the builder sees it.
pub(super) const BUILD_DIR: &str = "/build";

/// Names and values.
pub(super) type Variables = BTreeMap<Vec<u8>, Vec<u8>>;

/// Where the builder's environment comes from.
pub(super) struct Environment<'a> {
    pub path: &'a StorePath,
    pub derivation: &'a Derivation,
    /// Where each output is to be made.
    pub outputs: &'a BTreeMap<String, StorePath>,
    pub cores: usize,
    pub graphs: &'a Graphs,
    /// The variables that a builder with network may ask for.
    pub impure: Option<&'a BTreeMap<String, Vec<u8>>>,
    /// What is made is checked against a hash.
    pub fixed: bool,
}

const GRAPH: &str = "exportReferencesGraph";
/// Sorts where [`GRAPH`] does, and is no variable of a shell.
const HIDDEN_GRAPH: &str = "exportReferencesGraph\u{1}";

impl Environment<'_> {
    /// `text` with the outputs' paths in the place of what stands for them.
    pub fn rewrite(&self, text: &[u8]) -> Vec<u8> {
        let mut text = text.to_vec();
        for (name, path) in self.outputs {
            let placeholder = nix_compat::path::hash_placeholder(name);
            text = replace(text, placeholder.as_bytes(), path.to_string().as_bytes());
        }
        text
    }

    /// The variables, and the files made in the build directory at `physical`.
    pub fn prepare(&self, physical: &Path) -> Result<(Variables, Vec<PathBuf>)> {
        let mut variables = Variables::new();
        let mut files = Vec::new();
        let mut set = |name: &str, value: &str| {
            variables.insert(name.into(), value.into());
        };
        set("PATH", "/path-not-set");
        set("HOME", "/homeless-shelter");
        set("NIX_STORE", STORE_DIR);
        set("NIX_BUILD_CORES", &self.cores.to_string());
        if let Some(attributes) = self.structured()? {
            for (variable, name, contents) in [
                ("NIX_ATTRS_JSON_FILE", StructuredAttrsFiles::JSON_FILE_NAME, &attributes.json),
                ("NIX_ATTRS_SH_FILE", StructuredAttrsFiles::SHELL_FILE_NAME, &attributes.shell),
            ] {
                set(variable, &format!("{BUILD_DIR}/{name}"));
                files.push(write(physical, name, contents)?);
            }
        } else {
            self.variables(physical, &mut variables, &mut files)?;
        }
        for (name, contents) in &self.graphs.files {
            files.push(write(physical, name, contents)?);
        }
        for name in ["NIX_BUILD_TOP", "TMPDIR", "TEMPDIR", "TMP", "TEMP", "PWD"] {
            variables.insert(name.into(), BUILD_DIR.into());
        }
        if self.fixed {
            variables.insert("NIX_OUTPUT_CHECKED".into(), "1".into());
        }
        if let Some(impure) = self.impure {
            let wanted = super::options::words(self.derivation, "impureEnvVars");
            for name in wanted.unwrap_or_default() {
                let value = impure.get(&name).cloned().unwrap_or_default();
                variables.insert(name.into(), value);
            }
        }
        variables.insert("NIX_LOG_FD".into(), "2".into());
        variables.insert("TERM".into(), "xterm-256color".into());
        Ok((variables, files))
    }

    fn variables(
        &self,
        physical: &Path,
        variables: &mut Variables,
        files: &mut Vec<PathBuf>,
    ) -> Result<()> {
        let in_files = self.derivation.variable("passAsFile").unwrap_or_default();
        for (name, value) in self.derivation.environment() {
            let value = self.rewrite(value);
            if in_files.split(u8::is_ascii_whitespace).any(|n| !n.is_empty() && n == name) {
                let hash = nix_compat::hash_bytes(HashAlgorithm::Sha256, name);
                let file = format!(".attr-{}", nix32::encode(hash.digest_as_bytes()));
                files.push(write(physical, &file, &value)?);
                let variable = [name.as_slice(), b"Path"].concat();
                variables.insert(variable, format!("{BUILD_DIR}/{file}").into());
            } else {
                variables.insert(name.clone(), value);
            }
        }
        Ok(())
    }

    /// `.attrs.json` and `.attrs.sh`.
    fn structured(&self) -> Result<Option<StructuredAttrsFiles>> {
        let Some(attributes) = self.derivation.structured_attrs() else { return Ok(None) };
        let files = |attributes: &StructuredAttrs| {
            nix_compat::derivation::files(attributes, self.outputs).map_err(|error| {
                Error::Derivation { path: self.path.clone(), reason: error.to_string() }
            })
        };
        let Some(graph) = attributes.get(GRAPH) else { return files(attributes).map(Some) };
        // The crate that writes these files knows no store, and refuses the attribute.
        let mut all: serde_json::Map<String, Value> =
            attributes.iter().map(|(name, value)| (name.to_owned(), value.clone())).collect();
        all.remove(GRAPH);
        all.insert(HIDDEN_GRAPH.into(), graph.clone());
        for (name, value) in &self.graphs.values {
            all.insert(name.clone(), value.clone());
        }
        let json = Value::Object(all).to_string().into_bytes();
        let changed = StructuredAttrs::from_json_bytes(json).map_err(|error| {
            Error::Derivation { path: self.path.clone(), reason: error.to_string() }
        })?;
        let mut made = files(&changed)?;
        made.json = replace(made.json, br"exportReferencesGraph\u0001", GRAPH.as_bytes());
        if let Some(line) = shell_graph(graph) {
            made.shell.extend(line.into_bytes());
        }
        Ok(Some(made))
    }
}

/// The attribute as `.attrs.sh` has it, where a shell can hold it.
fn shell_graph(graph: &Value) -> Option<String> {
    let mut line = String::from("declare -A exportReferencesGraph=(");
    for (name, value) in graph.as_object()? {
        let quote = |text: &str| text.replace('\'', "'\\''");
        line.push_str(&format!("['{}']='{}' ", quote(name), quote(value.as_str()?)));
    }
    line.push_str(")\n");
    Some(line)
}

fn write(directory: &Path, name: &str, contents: &[u8]) -> Result<PathBuf> {
    use std::io::Write;
    let path = directory.join(name);
    plain::create_new(&path, 0o644)?.write_all(contents).on("write", &path)?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_graph_is_told_to_shells_that_can_hold_it() {
        let graph = serde_json::json!({ "a": "it's" });
        assert_eq!(
            shell_graph(&graph).unwrap(),
            "declare -A exportReferencesGraph=(['a']='it'\\''s' )\n"
        );
        assert_eq!(shell_graph(&serde_json::json!({ "a": ["x"] })), None);
    }
}
