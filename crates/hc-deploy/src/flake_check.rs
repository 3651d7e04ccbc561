//! Whether the outputs of a flake are what their names promise.

use nix_compat::StorePath;
use nix_lang::{ContextElem, Error, Evaluator, Io, Value};

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The attribute, such as `packages.x86_64-linux.default`.
    pub attribute: String,
    /// What is wrong, with source lines where there are some.
    pub report: String,
}

/// What the check found.
#[derive(Debug, Clone, Default)]
pub struct Findings {
    /// What is wrong.
    pub problems: Vec<Problem>,
    /// What is doubtful.
    pub warnings: Vec<String>,
    /// Derivations of checks for this system: attribute and derivation.
    pub checks: Vec<(String, StorePath)>,
    /// Systems that were left out.
    pub omitted: Vec<String>,
}

/// Deprecated outputs, and what to say instead.
const DEPRECATED: [(&str, &str); 7] = [
    ("defaultPackage", "packages.<system>.default"),
    ("defaultApp", "apps.<system>.default"),
    ("defaultTemplate", "templates.default"),
    ("defaultBundler", "bundlers.<system>.default"),
    ("overlay", "overlays.default"),
    ("devShell", "devShells.<system>.default"),
    ("nixosModule", "nixosModules.default"),
];

/// Outputs that others know, and that nobody checks; `clouds` are hc's own.
const UNCHECKED: [&str; 11] = [
    "clouds",
    "lib",
    "darwinConfigurations",
    "darwinModules",
    "flakeModule",
    "flakeModules",
    "herculesCI",
    "homeConfigurations",
    "homeModule",
    "homeModules",
    "nixopsConfigurations",
];

type Outcome = std::result::Result<(), String>;

struct Checker<'n, 'a> {
    nix: &'n Evaluator<'a>,
    system: String,
    all_systems: bool,
    found: Findings,
}

fn report(error: Error) -> String {
    error.report().to_owned()
}

/// Checks all outputs of a flake; `all_systems` those of other systems, too.
///
/// # Errors
/// When the flake has no outputs that could be looked at.
pub fn check<'a>(
    nix: &Evaluator<'a>,
    io: &dyn Io,
    flake: Value<'a>,
    all_systems: bool,
) -> nix_lang::Result<Findings> {
    let outputs = nix.select_path(flake, &["outputs"])?;
    let mut all = nix.attributes(outputs)?;
    // First what must not depend on anything that would have to be built.
    all.sort_by_key(|(name, _)| name != "hydraJobs");
    let system = io.current_system();
    let mut checker = Checker { nix, system, all_systems, found: Findings::default() };
    for (name, value) in all {
        let outcome = checker.output(&name, value);
        checker.note(&name, outcome);
    }
    checker.found.omitted.sort();
    checker.found.omitted.dedup();
    Ok(checker.found)
}

impl<'a> Checker<'_, 'a> {
    fn note(&mut self, attribute: &str, outcome: Outcome) {
        if let Err(report) = outcome {
            let attribute = attribute.to_owned();
            self.found.problems.push(Problem { attribute, report });
        }
    }

    fn warn(&mut self, text: String) {
        self.found.warnings.push(text);
    }

    /// The attributes of a set, with their paths.
    fn below(
        &self,
        path: &str,
        value: Value<'a>,
    ) -> std::result::Result<Vec<(String, String, Value<'a>)>, String> {
        let all = self.nix.attributes(value).map_err(report)?;
        Ok(all.into_iter().map(|(name, value)| (format!("{path}.{name}"), name, value)).collect())
    }

    /// Runs a check for each attribute of a set, and goes on when one fails.
    fn each(
        &mut self,
        path: &str,
        value: Value<'a>,
        check: fn(&mut Self, &str, Value<'a>) -> Outcome,
    ) -> Outcome {
        for (path, _, value) in self.below(path, value)? {
            let outcome = check(self, &path, value);
            self.note(&path, outcome);
        }
        Ok(())
    }

    /// The same for a set that has a level of systems above.
    fn systems(
        &mut self,
        path: &str,
        value: Value<'a>,
        check: fn(&mut Self, &str, Value<'a>) -> Outcome,
    ) -> Outcome {
        for (path, system, value) in self.below(path, value)? {
            if !system.contains('-') {
                self.note(&path, Err(format!("'{system}' is not a valid system type")));
            }
            if !self.all_systems && system != self.system {
                self.found.omitted.push(system);
                continue;
            }
            let outcome = check(self, &path, value);
            self.note(&path, outcome);
        }
        Ok(())
    }

    fn output(&mut self, name: &str, value: Value<'a>) -> Outcome {
        let value = self.nix.force_value(value).map_err(report)?;
        if let Some((_, instead)) = DEPRECATED.iter().find(|(known, _)| *known == name) {
            self.warn(format!(
                "flake output attribute '{name}' is deprecated; use '{instead}' instead"
            ));
        }
        match name {
            "checks" => {
                self.systems(name, value, |this, path, value| this.each(path, value, Self::test))
            }
            "packages" | "devShells" => self
                .systems(name, value, |this, path, value| this.each(path, value, Self::derivation)),
            "formatter" | "defaultPackage" | "devShell" => {
                self.systems(name, value, Self::derivation)
            }
            "apps" => {
                self.systems(name, value, |this, path, value| this.each(path, value, Self::app))
            }
            "defaultApp" => self.systems(name, value, Self::app),
            "legacyPackages" => self.systems(name, value, |_, _, _| Ok(())),
            "overlay" => self.overlay(name, value),
            "overlays" => self.each(name, value, Self::overlay),
            "nixosModule" => self.module(name, value),
            "nixosModules" => self.each(name, value, Self::module),
            "nixosConfigurations" => self.each(name, value, Self::configuration),
            "hydraJobs" => self.jobs(name, value),
            "defaultTemplate" => self.template(name, value),
            "templates" => self.each(name, value, Self::template),
            "defaultBundler" => self.systems(name, value, Self::bundler),
            "bundlers" => {
                self.systems(name, value, |this, path, value| this.each(path, value, Self::bundler))
            }
            name if UNCHECKED.contains(&name) => Ok(()),
            name => {
                self.warn(format!("unknown flake output '{name}'"));
                Ok(())
            }
        }
    }

    fn text(&self, value: Value<'a>) -> std::result::Result<String, String> {
        match self.nix.force_value(value).map_err(report)? {
            value @ Value::String(_) => {
                let (bytes, _) = self.nix.to_text(value).map_err(report)?;
                Ok(String::from_utf8_lossy(&bytes).into_owned())
            }
            other => Err(format!("a string is expected, but this is a {}", other.type_name())),
        }
    }

    fn is_derivation(&self, value: Value<'a>) -> std::result::Result<bool, String> {
        let Value::Attrs(_) = self.nix.force_value(value).map_err(report)? else {
            return Ok(false);
        };
        match self.nix.get(value, "type").map_err(report)? {
            Some(kind) => Ok(self.text(kind).is_ok_and(|kind| kind == "derivation")),
            None => Ok(false),
        }
    }

    fn drv_path(&mut self, path: &str, value: Value<'a>) -> std::result::Result<StorePath, String> {
        if !self.is_derivation(value)? {
            return Err(format!("flake attribute '{path}' is not a derivation"));
        }
        let drv = self.nix.select_path(value, &["drvPath"]).map_err(report)?;
        self.nix.select_path(value, &["name"]).map_err(report)?;
        let (_, context) = self.nix.to_text(drv).map_err(report)?;
        match context.first() {
            Some(ContextElem::DrvDeep(drv) | ContextElem::Opaque(drv)) => Ok(drv.clone()),
            _ => Err(format!("'{path}.drvPath' does not exist")),
        }
    }

    fn derivation(&mut self, path: &str, value: Value<'a>) -> Outcome {
        self.drv_path(path, value).map(|_| ())
    }

    fn test(&mut self, path: &str, value: Value<'a>) -> Outcome {
        let drv = self.drv_path(path, value)?;
        if path.split('.').nth(1) == Some(self.system.as_str()) {
            self.found.checks.push((path.to_owned(), drv));
        }
        Ok(())
    }

    fn app(&mut self, path: &str, value: Value<'a>) -> Outcome {
        let all = self.below(path, value)?;
        let get = |name: &str| all.iter().find(|(_, known, _)| known == name).map(|found| found.2);
        for name in ["type", "program"] {
            self.text(get(name).ok_or_else(|| format!("app '{path}' lacks attribute '{name}'"))?)?;
        }
        match get("meta") {
            None => self.warn(format!("app '{path}' lacks attribute 'meta'")),
            Some(meta) => match self.nix.get(meta, "description").map_err(report)? {
                Some(description) => {
                    self.text(description)?;
                }
                None => self.warn(format!("app '{path}' lacks attribute 'meta.description'")),
            },
        }
        self.only(path, "app", &all, &["type", "program", "meta"])
    }

    fn only(
        &self,
        path: &str,
        what: &str,
        all: &[(String, String, Value<'a>)],
        known: &[&str],
    ) -> Outcome {
        match all.iter().find(|(_, name, _)| !known.contains(&name.as_str())) {
            Some((_, name, _)) => {
                Err(format!("{what} '{path}' has unsupported attribute '{name}'"))
            }
            None => Ok(()),
        }
    }

    fn overlay(&mut self, _: &str, value: Value<'a>) -> Outcome {
        let value = self.nix.force_value(value).map_err(report)?;
        if !matches!(value, Value::Lambda(_)) {
            let kind = value.type_name();
            return Err(format!("overlay is not a function, but a {kind} instead"));
        }
        let name = self.nix.parameter(value);
        let fine = |name: &str| name == "_" || name.strip_prefix('_').unwrap_or(name) == "final";
        match name.is_some_and(|name| fine(&name)) {
            true => Ok(()),
            false => Err("overlay does not take an argument named 'final'".into()),
        }
    }

    fn module(&mut self, _: &str, value: Value<'a>) -> Outcome {
        self.nix.force_value(value).map(|_| ()).map_err(report)
    }

    fn configuration(&mut self, _: &str, value: Value<'a>) -> Outcome {
        let toplevel = ["config", "system", "build", "toplevel"];
        let toplevel = self.nix.select_path(value, &toplevel).map_err(report)?;
        match self.is_derivation(toplevel)? {
            true => Ok(()),
            false => Err("attribute 'config.system.build.toplevel' is not a derivation".to_owned()),
        }
    }

    fn jobs(&mut self, path: &str, value: Value<'a>) -> Outcome {
        if self.is_derivation(value)? {
            return Err("jobset should not be a derivation at top-level".into());
        }
        self.each(path, value, |this, path, value| match this.is_derivation(value)? {
            true => this.derivation(path, value),
            false => this.jobs(path, value),
        })
    }

    fn template(&mut self, path: &str, value: Value<'a>) -> Outcome {
        let all = self.below(path, value)?;
        let get = |name: &str| all.iter().find(|(_, known, _)| known == name).map(|found| found.2);
        let lacks = |name: &str| format!("template '{path}' lacks attribute '{name}'");
        let directory = get("path").ok_or_else(|| lacks("path"))?;
        let exists = self.nix.eval_str("builtins.pathExists", "/").map_err(report)?;
        let exists = self.nix.apply(exists, directory).map_err(report)?;
        if !matches!(exists, Value::Bool(true)) {
            return Err(format!("template '{path}' refers to a non-existent path"));
        }
        self.text(get("description").ok_or_else(|| lacks("description"))?)?;
        self.only(path, "template", &all, &["path", "description", "welcomeText"])
    }

    fn bundler(&mut self, _: &str, value: Value<'a>) -> Outcome {
        match self.nix.force_value(value).map_err(report)? {
            Value::Lambda(_) => Ok(()),
            _ => Err("bundler must be a function".into()),
        }
    }
}
