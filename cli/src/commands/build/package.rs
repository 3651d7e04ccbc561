//! From what a command line names to derivations and their outputs.

use crate::context::Globals;
use crate::error::{Code, Coded, Failure};
use crate::evaluation::{EvalArgs, failure, file, here, with_evaluator};
use crate::installable::{Installable, without_outputs};
use crate::locks::LockArgs;
use anyhow::Context as _;
use hc_deploy::StoreIo;
use nix_compat::StoreDir;
use nix_lang::{ContextElem, Evaluator, Value};
use nix_store::{BuildObserver, DrvOutput, HostStore, StorePath};
use std::collections::BTreeMap;

/// What a command line says.
pub struct Source<'a> {
    pub targets: Vec<&'a str>,
    pub file: Option<&'a str>,
    pub expr: Option<&'a str>,
    pub evaluation: &'a EvalArgs,
    pub lock: &'a LockArgs,
    /// Paths of the store that are not there are fetched from binary caches, and this is told.
    pub fetch: Option<&'a dyn BuildObserver>,
}

/// Something to build, or to have.
pub enum Target {
    /// Outputs of a derivation that is in the store, which was made by builds: `via` are the outputs
    /// that led to it, first the one of a derivation that was known.
    Derivation { drv: StorePath, outputs: Vec<String>, via: Vec<DrvOutput> },
    /// Outputs of a derivation that is an output itself, of `drv` or of one that follows from it.
    Chain { drv: StorePath, through: Vec<String>, outputs: Vec<String> },
    /// A path that is valid.
    Path(StorePath),
}

impl Target {
    /// The derivation, where it is known.
    pub fn drv(&self) -> Option<&StorePath> {
        match self {
            Self::Derivation { drv, .. } | Self::Chain { drv, .. } => Some(drv),
            Self::Path(_) => None,
        }
    }

    /// What is to be built.
    pub fn outputs(&self) -> Vec<DrvOutput> {
        match self {
            Self::Derivation { drv, outputs, .. } => {
                outputs.iter().map(|name| DrvOutput::new(drv.clone(), name)).collect()
            }
            // The first of several builds.
            Self::Chain { drv, through, .. } => {
                through.first().map(|name| DrvOutput::new(drv.clone(), name)).into_iter().collect()
            }
            Self::Path(_) => Vec::new(),
        }
    }

    /// Outputs by name, with the paths they came to.
    pub fn paths(&self, built: &BTreeMap<DrvOutput, StorePath>) -> Vec<(String, StorePath)> {
        match self {
            Self::Path(path) => vec![("out".into(), path.clone())],
            Self::Chain { .. } => Vec::new(),
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

    /// Builds the derivation that is an output, so that its own outputs can be built.
    pub fn settled(self, store: &HostStore, observer: &dyn BuildObserver) -> anyhow::Result<Self> {
        let Self::Chain { mut drv, through, outputs } = self else { return Ok(self) };
        let mut via = Vec::new();
        for name in through {
            let output = DrvOutput::new(drv, name);
            let built = store.build(std::slice::from_ref(&output), observer).code(Code::Build)?;
            let path = built.get(&output).cloned();
            drv = path.with_context(|| format!("the build of {output} made nothing"))?;
            via.push(output);
        }
        let outputs = chosen(store, &drv, outputs)?;
        Ok(Self::Derivation { drv, outputs, via })
    }

    /// What was built, for other programs: as C++ Nix tells it.
    pub fn to_json(&self, built: &BTreeMap<DrvOutput, StorePath>) -> serde_json::Value {
        if let Self::Path(path) = self {
            return path.to_string().into();
        }
        let paths = self.paths(built).into_iter();
        let outputs: BTreeMap<String, String> =
            paths.map(|(name, path)| (name, path.to_string())).collect();
        let mut drv = serde_json::json!(self.drv().map(ToString::to_string));
        if let Self::Derivation { drv: last, via, .. } = self {
            let paths = via.iter().skip(1).map(DrvOutput::drv_path).chain(std::iter::once(last));
            let mut from = serde_json::json!(via.first().map(|v| v.drv_path().to_string()));
            for (output, path) in via.iter().zip(paths) {
                let (name, path) = (output.output_name(), path.to_string());
                from = serde_json::json!({ "drvPath": from, "output": name, "outputPath": path });
                drv = from.clone();
            }
        }
        serde_json::json!({ "drvPath": drv, "outputs": outputs })
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
        return source.targets.iter().map(|target| stored(store, target, source.fetch)).collect();
    }
    if source.file.is_some() {
        source.evaluation.file_allowed()?;
    }
    let plan = source.evaluation.plan_with(globals, source.file.is_none(), source.lock)?;
    with_evaluator(globals, plan, |nix, io| {
        let found = Found { nix, io, store, source };
        let whole = [if by_hand { "" } else { "." }];
        let names = if source.targets.is_empty() { &whole[..] } else { &source.targets };
        let mut targets = Vec::new();
        for name in names {
            if !by_hand && name.starts_with("/nix/store/") {
                targets.push(stored(store, name, source.fetch)?);
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
fn stored(
    store: &HostStore,
    target: &str,
    fetch: Option<&dyn BuildObserver>,
) -> anyhow::Result<Target> {
    let mut parts = target.split('^');
    let text = parts.next().unwrap_or_default();
    let mut through: Vec<String> = parts.map(str::to_owned).collect();
    let outputs = through.pop().map(|last| last.split(',').map(str::to_owned).collect());
    let (path, _) = nix_compat::path::split(text.as_bytes()).map_err(|error| {
        Failure::new(Code::Failed, format!("{text} is no path of the store: {error}"))
    })?;
    let (there, code, also) = match fetch {
        Some(observer) => {
            let there = store.ensure(&path, observer).code(Code::Build)?;
            (there, Code::Build, ", and no binary cache gave it")
        }
        None => (store.is_valid(&path).code(Code::Host)?, Code::Failed, ""),
    };
    if !there {
        return Err(Failure::new(code, format!("{path} is not in the store{also}"))
            .hint("build it from the flake or the file that describes it, or name a cache that has it")
            .into());
    }
    if !path.is_derivation() {
        if outputs.is_some() {
            let message = format!("{target}: only derivations (.drv) have outputs to name");
            return Err(Failure::new(Code::Failed, message).into());
        }
        return Ok(Target::Path(path));
    }
    let outputs = outputs.unwrap_or_else(|| vec!["*".into()]);
    if !through.is_empty() {
        return Ok(Target::Chain { drv: path, through, outputs });
    }
    let outputs = chosen(store, &path, outputs)?;
    Ok(Target::Derivation { drv: path, outputs, via: Vec::new() })
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
            Installable::parse(nix, target)?.select(nix, &source.lock.options()?)?
        };
        if let Some(element) = nix.text_stands_for(value).map_err(failure)? {
            return Ok(vec![self.element(element)?]);
        }
        if matches!(value, Value::Path(_)) {
            let (_, context) = nix.to_text(value).map_err(failure)?;
            return context.into_iter().map(|element| self.element(element)).collect();
        }
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
                self.write(&drv)?;
                let outputs = match asked(target) {
                    Some(names) => chosen(self.store, &drv, names)?,
                    None if one && !by_hand => self.to_install(value, &package.output)?,
                    None => vec![package.output.clone()],
                };
                Ok(Target::Derivation { drv, outputs, via: Vec::new() })
            })
            .collect()
    }

    /// Writes something that evaluation made. The store that builds keeps it, also once evaluation's
    /// own is closed.
    fn write(&self, path: &StorePath) -> anyhow::Result<()> {
        if !self.store.is_valid(path).code(Code::Host)? {
            let store = self.io.store().code(Code::Host)?;
            self.io.add(&store, path).code(Code::Build)?;
            self.store.is_valid(path).code(Code::Host)?;
        }
        Ok(())
    }

    /// What a string stands for.
    fn element(&self, element: ContextElem) -> anyhow::Result<Target> {
        self.write(element.path())?;
        Ok(match element {
            ContextElem::Opaque(path) | ContextElem::DrvDeep(path) => Target::Path(path),
            ContextElem::Built { drv, output } => {
                Target::Derivation { drv, outputs: vec![output], via: Vec::new() }
            }
            ContextElem::Dynamic { drv, outputs: mut through } => {
                let outputs = through.pop().into_iter().collect();
                Target::Chain { drv, through, outputs }
            }
        })
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
        Target::Derivation { drv, .. } | Target::Chain { drv, .. } => Ok(drv.clone()),
        Target::Path(path) => store.deriver(path).code(Code::Host)?.ok_or_else(|| {
            let message = format!("it is not known what {path} was built from");
            Failure::new(Code::Failed, message).into()
        }),
    }
}
