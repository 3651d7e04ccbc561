//! From what a command line names to derivations and their outputs.

use crate::context::Globals;
use crate::error::{Code, Coded, Failure};
use crate::evaluation::{EvalArgs, LockArgs, failure, file, here, with_evaluator};
use crate::installable::{Installable, without_outputs};
use hc_deploy::StoreIo;
use nix_compat::StoreDir;
use nix_lang::{Evaluator, Value};
use nix_store::{DrvOutput, HostStore, StorePath};
use std::collections::BTreeMap;

/// What a command line says.
pub struct Source<'a> {
    pub targets: Vec<&'a str>,
    pub file: Option<&'a str>,
    pub expr: Option<&'a str>,
    pub evaluation: &'a EvalArgs,
    pub lock: &'a LockArgs,
}

/// Something to build, or to have.
pub enum Target {
    /// Outputs of a derivation that is in the store.
    Derivation { drv: StorePath, outputs: Vec<String> },
    /// A path that is valid.
    Path(StorePath),
}

impl Target {
    /// The derivation, where it is known.
    pub fn drv(&self) -> Option<&StorePath> {
        match self {
            Self::Derivation { drv, .. } => Some(drv),
            Self::Path(_) => None,
        }
    }

    /// What is to be built.
    pub fn outputs(&self) -> Vec<DrvOutput> {
        match self {
            Self::Derivation { drv, outputs } => {
                outputs.iter().map(|name| DrvOutput::new(drv.clone(), name)).collect()
            }
            Self::Path(_) => Vec::new(),
        }
    }

    /// Outputs by name, with the paths they came to.
    pub fn paths(&self, built: &BTreeMap<DrvOutput, StorePath>) -> Vec<(String, StorePath)> {
        match self {
            Self::Path(path) => vec![("out".into(), path.clone())],
            Self::Derivation { .. } => self
                .outputs()
                .into_iter()
                .filter_map(|output| {
                    let path = built.get(&output)?.clone();
                    Some((output.output_name().to_owned(), path))
                })
                .collect(),
        }
    }
}

/// Evaluates what must be, and writes the derivations to the store.
pub fn targets(
    globals: &Globals,
    store: &HostStore,
    source: &Source<'_>,
) -> anyhow::Result<Vec<Target>> {
    let by_hand = source.file.is_some() || source.expr.is_some();
    let flakes = !by_hand && source.targets.iter().all(|t| t.starts_with("/nix/store/"));
    if flakes && !source.targets.is_empty() {
        return source.targets.iter().map(|target| stored(store, target)).collect();
    }
    let plan = source.evaluation.plan(source.file.is_none())?;
    with_evaluator(globals, plan, |nix, io| {
        let found = Found { nix, io, store, source };
        let whole = [if by_hand { "" } else { "." }];
        let names = if source.targets.is_empty() { &whole[..] } else { &source.targets };
        let mut targets = Vec::new();
        for name in names {
            if !by_hand && name.starts_with("/nix/store/") {
                targets.push(stored(store, name)?);
            } else {
                targets.extend(found.evaluated(name, by_hand)?);
            }
        }
        Ok(targets)
    })
}

/// The outputs that stand behind `^`.
fn asked(target: &str) -> Option<Vec<String>> {
    let outputs = target.get(without_outputs(target).len()..)?.strip_prefix('^')?;
    Some(outputs.split(',').map(str::to_owned).collect())
}

/// A path of the store, or a file in it that belongs to one.
fn stored(store: &HostStore, target: &str) -> anyhow::Result<Target> {
    let text = without_outputs(target);
    let (path, _) = nix_compat::path::split(text.as_bytes()).map_err(|error| {
        Failure::new(Code::Failed, format!("{text} is no path of the store: {error}"))
    })?;
    if !store.is_valid(&path).code(Code::Host)? {
        return Err(Failure::new(Code::Failed, format!("{path} is not in the store"))
            .hint("build it from the flake or the file that describes it")
            .into());
    }
    if !path.is_derivation() {
        return Ok(Target::Path(path));
    }
    let outputs = chosen(store, &path, asked(target).unwrap_or_else(|| vec!["*".into()]))?;
    Ok(Target::Derivation { drv: path, outputs })
}

/// The names of outputs; `*` is all of them.
fn chosen(store: &HostStore, drv: &StorePath, names: Vec<String>) -> anyhow::Result<Vec<String>> {
    if names == ["*"] {
        let derivation = store.derivation(drv).code(Code::Build)?;
        return Ok(derivation.outputs().keys().cloned().collect());
    }
    Ok(names)
}

struct Found<'v, 'a> {
    nix: &'v Evaluator<'a>,
    io: &'v StoreIo,
    store: &'v HostStore,
    source: &'v Source<'v>,
}

impl<'a> Found<'_, 'a> {
    fn evaluated(&self, target: &str, by_hand: bool) -> anyhow::Result<Vec<Target>> {
        let (nix, source) = (self.nix, self.source);
        let arguments = source.evaluation.arguments(nix)?;
        let value = if by_hand {
            let root = match (source.expr, source.file) {
                (Some(expression), _) => nix.eval_str(expression, here()).map_err(failure)?,
                (None, name) => file(nix, name.unwrap_or("default.nix"))?,
            };
            nix.select_attr_path(root, without_outputs(target), &arguments).map_err(failure)?
        } else {
            if source.evaluation.has_arguments() {
                let message = "--arg and --argstr are for functions in files; flakes take none";
                return Err(Failure::new(Code::Failed, message).into());
            }
            Installable::parse(nix, target)?.select(nix, &source.lock.options())?
        };
        let packages = nix.packages(value, &arguments).map_err(failure)?;
        if packages.is_empty() {
            let what = if target.is_empty() { "the value" } else { target };
            let message = format!("there is no derivation in {what}");
            return Err(Failure::new(Code::Evaluation, message).into());
        }
        let one = packages.len() == 1;
        packages
            .iter()
            .map(|package| {
                let drv = StoreDir::default()
                    .parse_path(package.drv_path.as_bytes())
                    .code(Code::Evaluation)?;
                // The store that builds keeps it, also once evaluation's own is closed.
                let there = self.store.is_valid(&drv).code(Code::Host)?;
                if !there {
                    let store = self.io.store().code(Code::Host)?;
                    self.io.write_derivation(&store, &drv).code(Code::Build)?;
                    self.store.is_valid(&drv).code(Code::Host)?;
                }
                let outputs = match asked(target) {
                    Some(names) => chosen(self.store, &drv, names)?,
                    None if one && !by_hand => self.to_install(value, &package.output)?,
                    None => vec![package.output.clone()],
                };
                Ok(Target::Derivation { drv, outputs })
            })
            .collect()
    }

    /// What a package says is to be had of it, where no output was named.
    fn to_install(&self, value: Value<'a>, output: &str) -> anyhow::Result<Vec<String>> {
        let nix = self.nix;
        let specified = nix.find_path(value, &["outputSpecified"]).map_err(failure)?;
        let specified = matches!(specified, Some(value) if nix.to_json_text(value).is_ok_and(|text| text == "true"));
        let listed = nix.find_path(value, &["meta", "outputsToInstall"]).map_err(failure)?;
        let Some(listed) = listed.filter(|_| !specified) else { return Ok(vec![output.into()]) };
        let text = nix.to_json_text(listed).map_err(failure)?;
        Ok(serde_json::from_str(&text).unwrap_or_else(|_| vec![output.into()]))
    }
}

/// The derivation of what a command line names, for what is known about its builds.
pub fn derivation(store: &HostStore, target: &Target) -> anyhow::Result<StorePath> {
    match target {
        Target::Derivation { drv, .. } => Ok(drv.clone()),
        Target::Path(path) => store.deriver(path).code(Code::Host)?.ok_or_else(|| {
            let message = format!("it is not known what {path} was built from");
            Failure::new(Code::Failed, message).into()
        }),
    }
}
