//! Reading a machine set from the store.

use crate::error::{AgentError, Context, Result};
use hc_spec::set::HOST_FILE;
use hc_spec::{HostSpec, MachineSet, Name};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Where a logical store path is on this disk.
pub(crate) fn physical(store_root: Option<&Path>, logical: &Path) -> PathBuf {
    match store_root {
        Some(root) => root.join(logical.strip_prefix("/").unwrap_or(logical)),
        None => logical.to_path_buf(),
    }
}

/// Reads the machine set at the store path `set`: `host.json` and one symlink per machine.
///
/// # Errors
/// When it is not there, or not a machine set of this schema.
pub fn read_set(store_root: Option<&Path>, set: &Path) -> Result<MachineSet> {
    let at = physical(store_root, set);
    let wrong = |path: &Path, problem: String| AgentError::Set { path: path.into(), problem };
    if !set.is_absolute() {
        return Err(wrong(set, "a store path is absolute".into()));
    }
    let host_file = at.join(HOST_FILE);
    let text = std::fs::read(&host_file).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound if !at.exists() => wrong(set, "it is not in the store".into()),
        _ => wrong(set, format!("{HOST_FILE}: {e}")),
    })?;
    let host: HostSpec =
        serde_json::from_slice(&text).map_err(|e| wrong(set, format!("{HOST_FILE}: {e}")))?;
    if host.schema != hc_spec::machine::SCHEMA {
        let problem = format!(
            "{HOST_FILE} is of schema {}, this agent reads {}",
            host.schema,
            hc_spec::machine::SCHEMA
        );
        return Err(wrong(set, problem));
    }
    let mut machines = BTreeMap::new();
    for entry in std::fs::read_dir(&at).on("read", &at)? {
        let file = entry.on("read", &at)?.file_name();
        if file == HOST_FILE {
            continue;
        }
        let name = file
            .to_str()
            .ok_or_else(|| wrong(set, format!("{} is no machine", file.display())))
            .and_then(|text| Name::new(text).map_err(|e| wrong(set, e.to_string())))?;
        let link = at.join(&file);
        let closure = std::fs::read_link(&link)
            .map_err(|e| wrong(set, format!("{name} is no link to a machine closure: {e}")))?;
        if !closure.is_absolute() {
            return Err(wrong(set, format!("{name} links to {}", closure.display())));
        }
        machines.insert(name, closure);
    }
    Ok(MachineSet { host, machines })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods)]
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_set_is_read_and_what_is_none_is_told() {
        let root = tempfile::tempdir().unwrap();
        let logical = Path::new("/nix/store/a-machine-set");
        let at = physical(Some(root.path()), logical);
        let read = || read_set(Some(root.path()), logical).map_err(|e| e.to_string());
        assert!(read().unwrap_err().ends_with("it is not in the store"));
        std::fs::create_dir_all(&at).unwrap();
        assert!(read().unwrap_err().contains("host.json: "));
        std::fs::write(at.join("host.json"), r#"{"schema":9,"cloud":"c","host":"h"}"#).unwrap();
        assert!(read().unwrap_err().contains("schema 9"));
        std::fs::write(at.join("host.json"), r#"{"schema":1,"cloud":"c","host":"h"}"#).unwrap();
        symlink("/nix/store/b-machine-web.json", at.join("web")).unwrap();
        assert_eq!(read().unwrap().machines.len(), 1);
        std::fs::write(at.join("db"), "").unwrap();
        assert!(read().unwrap_err().contains("db is no link"));
        std::fs::rename(at.join("db"), at.join("DB")).unwrap();
        assert!(read().unwrap_err().contains("'DB' is not a name"));
    }
}
