//! What a builder finds in its environment and in its build directory.

use crate::error::{Context, Error, Result};
use hc_fs::plain;
use nix_compat::{Derivation, HashAlgorithm, STORE_DIR, StorePath, StructuredAttrsFiles, nix32};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The build directory as the builder sees it.
pub(super) const BUILD_DIR: &str = "/build";

/// Names and values.
pub(super) type Variables = BTreeMap<String, Vec<u8>>;

/// The variables, and the files made in the build directory at `physical`.
pub(super) fn prepare(
    path: &StorePath,
    derivation: &Derivation,
    cores: usize,
    physical: &Path,
) -> Result<(Variables, Vec<PathBuf>)> {
    let mut variables = Variables::new();
    let mut files = Vec::new();
    let mut set = |name: &str, value: &str| {
        variables.insert(name.into(), value.into());
    };
    set("PATH", "/path-not-set");
    set("HOME", "/homeless-shelter");
    set("NIX_STORE", STORE_DIR);
    set("NIX_BUILD_CORES", &cores.to_string());
    let malformed = |reason: String| Error::Derivation { path: path.clone(), reason };
    let attributes =
        derivation.structured_attrs_files().map_err(|error| malformed(error.to_string()))?;
    if let Some(attributes) = attributes {
        for (variable, name, contents) in [
            ("NIX_ATTRS_JSON_FILE", StructuredAttrsFiles::JSON_FILE_NAME, &attributes.json),
            ("NIX_ATTRS_SH_FILE", StructuredAttrsFiles::SHELL_FILE_NAME, &attributes.shell),
        ] {
            set(variable, &format!("{BUILD_DIR}/{name}"));
            files.push(write(physical, name, contents)?);
        }
    } else {
        let in_files = derivation.environment().get("passAsFile");
        let in_files = in_files.map(|v| String::from_utf8_lossy(v)).unwrap_or_default();
        for (name, value) in derivation.environment() {
            if in_files.split_ascii_whitespace().any(|n| n == name) {
                let hash = nix_compat::hash_bytes(HashAlgorithm::Sha256, name.as_bytes());
                let file = format!(".attr-{}", nix32::encode(hash.digest_as_bytes()));
                files.push(write(physical, &file, value)?);
                variables.insert(format!("{name}Path"), format!("{BUILD_DIR}/{file}").into());
            } else {
                variables.insert(name.clone(), value.clone());
            }
        }
    }
    let fixed = derivation.is_fixed_output().map_err(|error| malformed(error.to_string()))?;
    let last = [
        ("NIX_BUILD_TOP", BUILD_DIR),
        ("TMPDIR", BUILD_DIR),
        ("TEMPDIR", BUILD_DIR),
        ("TMP", BUILD_DIR),
        ("TEMP", BUILD_DIR),
        ("PWD", BUILD_DIR),
        ("NIX_LOG_FD", "2"),
        ("TERM", "xterm-256color"),
    ];
    for (name, value) in last.into_iter().chain(fixed.then_some(("NIX_OUTPUT_CHECKED", "1"))) {
        variables.insert(name.into(), value.into());
    }
    Ok((variables, files))
}

fn write(directory: &Path, name: &str, contents: &[u8]) -> Result<PathBuf> {
    use std::io::Write;
    let path = directory.join(name);
    plain::create_new(&path, 0o644)?.write_all(contents).on("write", &path)?;
    Ok(path)
}
