//! Registries: short names for flakes.

use super::{Attrs, Input, RefError, from_json, to_json};
use serde_json::{Value as Json, json};

/// Where a registry comes from. Flakes themselves see only some of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RegistryKind {
    /// `--override-flake`.
    Flag,
    /// The user's.
    User,
    /// The host's.
    System,
    /// Everybody's.
    Global,
}

/// One line of a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What is asked for.
    pub from: Input,
    /// What it stands for.
    pub to: Input,
    /// The directory in it that has the flake.
    pub dir: Option<String>,
    /// Only exactly `from`, not with another branch or commit.
    pub exact: bool,
}

/// A registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registry {
    /// Where it comes from.
    pub kind: RegistryKind,
    /// Its lines; the first that fits counts.
    pub entries: Vec<Entry>,
}

impl Registry {
    /// Reads a registry file.
    ///
    /// # Errors
    /// When it is malformed.
    pub fn parse(kind: RegistryKind, text: &[u8]) -> Result<Self, String> {
        let json: Json = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        let version = json.get("version").and_then(Json::as_u64).unwrap_or(0);
        if version != 2 {
            return Err(format!("unsupported version {version}"));
        }
        let flakes = json.get("flakes").and_then(Json::as_array).ok_or("'flakes' is no list")?;
        let entries = flakes.iter().map(parse_entry).collect::<Result<_, _>>()?;
        Ok(Self { kind, entries })
    }

    /// The registry file.
    #[must_use]
    pub fn render(&self) -> String {
        let flakes: Vec<Json> = self.entries.iter().map(render_entry).collect();
        let whole = json!({ "flakes": flakes, "version": 2 });
        serde_json::to_string_pretty(&whole).unwrap_or_default()
    }
}

fn parse_entry(json: &Json) -> Result<Entry, String> {
    let wrong = |error: RefError| error.to_string();
    let part = |name: &str| -> Result<Attrs, String> {
        from_json(json.get(name).ok_or_else(|| format!("an entry has no '{name}'"))?)
    };
    let mut to = part("to")?;
    let dir = to.remove("dir").and_then(|dir| dir.text().map(str::to_owned));
    Ok(Entry {
        from: Input::from_attrs(part("from")?).map_err(wrong)?,
        to: Input::from_attrs(to).map_err(wrong)?,
        dir,
        exact: json.get("exact").and_then(Json::as_bool).unwrap_or(false),
    })
}

fn render_entry(entry: &Entry) -> Json {
    let mut to = entry.to.attrs().clone();
    if let Some(dir) = &entry.dir {
        to.insert("dir".into(), dir.as_str().into());
    }
    let mut json = serde_json::Map::new();
    if entry.exact {
        json.insert("exact".into(), Json::Bool(true));
    }
    json.insert("from".into(), to_json(entry.from.attrs()));
    json.insert("to".into(), to_json(&to));
    Json::Object(json)
}

/// Whether an entry for `from` is meant by `input`: the same, or with a branch or commit said.
fn fits(from: &Input, input: &Input) -> bool {
    if from == input {
        return true;
    }
    let mut plain = input.clone();
    plain.attrs_mut().remove("ref");
    plain.attrs_mut().remove("rev");
    *from == plain
}

/// What an input stands for, and the directory that a registry adds. `limited` looks only where a
/// flake's own inputs may: what somebody else's computer has must not change what a flake means.
///
/// # Errors
/// When no registry has it, or they go around in a circle.
pub fn resolve(
    registries: &[Registry],
    input: &Input,
    limited: bool,
) -> Result<(Input, Option<String>), RefError> {
    let wrong = |text: String| Err(RefError::Wrong(text));
    let (mut found, mut dir) = (input.clone(), None);
    'again: for _ in 0..100 {
        for registry in registries {
            if limited && !matches!(registry.kind, RegistryKind::Flag | RegistryKind::Global) {
                continue;
            }
            for entry in &registry.entries {
                if entry.exact && entry.from == found {
                    found = entry.to.clone();
                } else if !entry.exact && fits(&entry.from, &found) {
                    let branch = found.text("ref").filter(|_| entry.from.text("ref").is_none());
                    let commit = found.rev()?.filter(|_| entry.from.text("rev").is_none());
                    found = entry.to.clone().with_version(branch, commit.as_deref())?;
                } else {
                    continue;
                }
                dir.clone_from(&entry.dir);
                continue 'again;
            }
        }
        if found.is_direct() {
            return Ok((found, dir));
        }
        return wrong(format!("cannot find flake '{}' in the flake registries", found.describe()));
    }
    wrong(format!("cycle detected in flake registry for '{}'", found.describe()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flake_ref::FlakeRef;

    fn input(text: &str) -> Input {
        FlakeRef::parse(text, true, false).expect("a reference").input
    }

    fn entry(from: &str, to: &str) -> Entry {
        Entry { from: input(from), to: input(to), dir: None, exact: false }
    }

    #[test]
    fn there_and_back() {
        let mut registry =
            Registry { kind: RegistryKind::User, entries: vec![entry("a", "github:x/y")] };
        registry.entries[0].dir = Some("sub".into());
        let text = registry.render();
        assert_eq!(Registry::parse(RegistryKind::User, text.as_bytes()), Ok(registry));
    }

    #[test]
    fn names_are_resolved_with_their_versions() {
        let user = Registry {
            kind: RegistryKind::User,
            entries: vec![entry("a", "b/old"), entry("loop", "loop2"), entry("loop2", "loop")],
        };
        let global =
            Registry { kind: RegistryKind::Global, entries: vec![entry("b", "github:x/y")] };
        let all = [user, global];
        let get = |text: &str, limited| {
            resolve(&all, &input(text), limited).map(|(found, _)| found.describe())
        };
        assert_eq!(get("a", false).as_deref(), Ok("github:x/y/old"));
        assert_eq!(get("a/new", false).as_deref(), Ok("github:x/y/new"));
        assert_eq!(get("b", true).as_deref(), Ok("github:x/y"));
        for (text, limited) in [("a", true), ("c", false), ("loop", false)] {
            assert!(get(text, limited).is_err(), "{text}");
        }
    }
}
