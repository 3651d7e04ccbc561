//! The outputs of a flake as a tree, for people and for programs.

use nix_lang::{Error, Evaluator, Value};
use serde_json::{Map, Value as Json, json};

/// How much to show.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// The system whose outputs are shown.
    pub system: String,
    /// Those of other systems, too.
    pub all_systems: bool,
    /// The inside of `legacyPackages`.
    pub legacy: bool,
}

/// What is shown of an attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shown {
    /// A set of outputs.
    Set(Vec<(String, Shown)>),
    /// An output: how programs and how people are told.
    Leaf(Json, String),
    /// Left out, and why.
    Omitted(&'static str),
}

struct Walk<'n, 'a> {
    nix: &'n Evaluator<'a>,
    wanted: &'n Wanted,
}

const OTHER_SYSTEM: &str = "omitted (use '--all-systems' to show)";
const LEGACY: &str = "omitted (use '--legacy' to show)";
const BUILDS: &str = "omitted due to use of import from derivation";

/// Looks at the outputs of a flake.
///
/// # Errors
/// When an output is not what its name promises, or cannot be evaluated.
pub fn show<'a>(nix: &Evaluator<'a>, flake: Value<'a>, wanted: &Wanted) -> nix_lang::Result<Shown> {
    let outputs = nix.select_path(flake, &["outputs"])?;
    Walk { nix, wanted }.visit(outputs, &[])
}

impl Shown {
    /// What programs are told.
    #[must_use]
    pub fn to_json(&self) -> Json {
        match self {
            Shown::Set(all) => {
                let entries = all.iter().map(|(name, shown)| (name.clone(), shown.to_json()));
                Json::Object(entries.collect::<Map<String, Json>>())
            }
            Shown::Leaf(json, _) => json.clone(),
            Shown::Omitted(_) => json!({}),
        }
    }

    /// What people are told: one line for each output, below `head`.
    #[must_use]
    pub fn to_lines(&self, head: &str) -> Vec<String> {
        let mut lines = Vec::new();
        self.write(head, "", &mut lines);
        lines
    }

    fn write(&self, head: &str, next: &str, lines: &mut Vec<String>) {
        match self {
            Shown::Leaf(_, text) => lines.push(format!("{head}: {text}")),
            Shown::Omitted(why) => lines.push(format!("{head} {why}")),
            Shown::Set(all) => {
                lines.push(head.to_owned());
                for (index, (name, shown)) in all.iter().enumerate() {
                    let last = index + 1 == all.len();
                    let head = format!("{next}{}{name}", if last { "└───" } else { "├───" });
                    shown.write(
                        &head,
                        &format!("{next}{}", if last { "    " } else { "│   " }),
                        lines,
                    );
                }
            }
        }
    }
}

impl<'a> Walk<'_, 'a> {
    fn visit(&self, value: Value<'a>, path: &[&str]) -> nix_lang::Result<Shown> {
        let kind = path.first().copied().unwrap_or_default();
        let lenient = kind == "legacyPackages";
        match self.look(value, path) {
            Err(_) if lenient => Ok(Shown::Set(Vec::new())),
            other => other,
        }
    }

    fn look(&self, value: Value<'a>, path: &[&str]) -> nix_lang::Result<Shown> {
        let (kind, depth) = (path.first().copied().unwrap_or_default(), path.len());
        let other = depth > 1 && !self.wanted.all_systems && path[1] != self.wanted.system;
        match (kind, depth) {
            (_, 0)
            | (
                "defaultPackage"
                | "devShell"
                | "formatter"
                | "nixosConfigurations"
                | "nixosModules"
                | "defaultApp"
                | "templates"
                | "overlays"
                | "legacyPackages",
                1,
            )
            | ("checks" | "packages" | "devShells" | "apps", 1 | 2) => self.set(value, path),
            ("defaultPackage" | "devShell" | "formatter", 2)
            | ("checks" | "packages" | "devShells", 3) => match other {
                true => Ok(Shown::Omitted(OTHER_SYSTEM)),
                false => self.or_omitted(self.derivation(value, path)),
            },
            ("hydraJobs", _) => self.or_omitted(match self.is_derivation(value)? {
                true => self.derivation(value, path),
                false => self.set(value, path),
            }),
            ("legacyPackages", _) if !self.wanted.legacy => Ok(Shown::Omitted(LEGACY)),
            ("legacyPackages", _) if other => Ok(Shown::Omitted(OTHER_SYSTEM)),
            ("legacyPackages", _) => self.or_omitted(match self.is_derivation(value)? {
                true => self.derivation(value, path),
                false if depth <= 2 => self.set(value, path),
                false => Ok(Shown::Set(Vec::new())),
            }),
            ("defaultApp", 2) | ("apps", 3) => self.app(value),
            ("defaultTemplate", 1) | ("templates", 2) => {
                let text = self.text(self.nix.select_path(value, &["description"])?)?;
                let json = json!({ "description": text, "type": "template" });
                Ok(Shown::Leaf(json, format!("template: {text}")))
            }
            _ => {
                let (name, text) = match (kind, depth) {
                    ("overlay", 1) | ("overlays", 2) => ("nixpkgs-overlay", "Nixpkgs overlay"),
                    ("nixosConfigurations", 2) => ("nixos-configuration", "NixOS configuration"),
                    ("nixosModule", 1) | ("nixosModules", 2) => ("nixos-module", "NixOS module"),
                    _ => ("unknown", "unknown"),
                };
                Ok(Shown::Leaf(json!({ "type": name }), text.to_owned()))
            }
        }
    }

    fn or_omitted(&self, found: nix_lang::Result<Shown>) -> nix_lang::Result<Shown> {
        match found {
            Err(error) if error.message().contains("allow-import-from-derivation") => {
                Ok(Shown::Omitted(BUILDS))
            }
            other => other,
        }
    }

    fn set(&self, value: Value<'a>, path: &[&str]) -> nix_lang::Result<Shown> {
        let mut shown = Vec::new();
        for (name, value) in self.nix.attributes(value)? {
            let path: Vec<&str> = path.iter().copied().chain([name.as_str()]).collect();
            if self.has_content(value, &path) {
                shown.push((name.clone(), self.visit(value, &path)?));
            }
        }
        Ok(Shown::Set(shown))
    }

    /// Sets that are there only because a framework makes them are not worth a line.
    fn has_content(&self, value: Value<'a>, path: &[&str]) -> bool {
        let inner = matches!(
            (path[0], path.len()),
            ("apps" | "checks" | "devShells" | "legacyPackages" | "packages", 1 | 2)
                | ("formatter" | "nixosConfigurations" | "nixosModules" | "overlays", 1)
        );
        if !inner {
            return true;
        }
        // What fails is shown, and fails there.
        let Ok(all) = self.nix.attributes(value) else { return true };
        all.into_iter().any(|(name, value)| {
            let path: Vec<&str> = path.iter().copied().chain([name.as_str()]).collect();
            self.has_content(value, &path)
        })
    }

    fn text(&self, value: Value<'a>) -> nix_lang::Result<String> {
        let (bytes, _) = self.nix.to_text(value)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn is_derivation(&self, value: Value<'a>) -> nix_lang::Result<bool> {
        let Value::Attrs(_) = self.nix.force_value(value)? else { return Ok(false) };
        match self.nix.get(value, "type")? {
            Some(kind) => Ok(self.text(kind).is_ok_and(|kind| kind == "derivation")),
            None => Ok(false),
        }
    }

    fn description(&self, value: Value<'a>) -> nix_lang::Result<Option<String>> {
        let Some(meta) = self.nix.get(value, "meta")? else { return Ok(None) };
        let description = self.nix.get(meta, "description")?;
        description.map(|text| self.text(text)).transpose()
    }

    fn derivation(&self, value: Value<'a>, path: &[&str]) -> nix_lang::Result<Shown> {
        if !self.is_derivation(value)? {
            return Ok(Shown::Set(Vec::new()));
        }
        let name = self.text(self.nix.select_path(value, &["name"])?)?;
        let what = match path[0] {
            "devShell" | "devShells" => "development environment",
            "checks" | "hydraJobs" => "derivation",
            _ => "package",
        };
        let description = self.description(value)?.unwrap_or_default();
        let json = json!({ "description": description, "name": name, "type": "derivation" });
        Ok(Shown::Leaf(json, format!("{what} '{name}'")))
    }

    fn app(&self, value: Value<'a>) -> nix_lang::Result<Shown> {
        let kind = self.nix.get(value, "type")?;
        let is_app = match kind {
            Some(kind) => self.text(kind)? == "app",
            None => false,
        };
        if !is_app {
            return Err(self.refuse("not an app definition"));
        }
        let description = self.description(value)?;
        let mut json = json!({ "type": "app" });
        if let Some(text) = &description {
            json = json!({ "description": text, "type": "app" });
        }
        let text = description.unwrap_or_else(|| "no description".to_owned());
        Ok(Shown::Leaf(json, format!("app: {text}")))
    }

    fn refuse(&self, text: &str) -> Error {
        let thrown = self.nix.eval_str(&format!("throw \"{text}\""), "/");
        match thrown {
            Err(error) => error,
            Ok(_) => unreachable!("throw gives an error"),
        }
    }
}
