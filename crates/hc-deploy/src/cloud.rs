//! Evaluating one host of a cloud.

use crate::assemble::{Door, Prepared};
use crate::cache;
use crate::fetch::Registries;
use crate::store_io::{IoOptions, StoreIo};
use crate::{Error, Result};
use hc_spec::{HostSpec, MachineSpec, check};
use nix_compat::{StoreDir, StorePath};
use nix_lang::{Arena, ContextElem, Evaluator, FlakeOptions, Settings, Value, Witness};
use nix_store::HostStore;
use std::path::PathBuf;

/// Which cloud to evaluate, and how.
pub struct Request {
    /// Directory of the flake.
    pub directory: PathBuf,
    /// Take the directory as it is, also where git does not track all of it.
    pub untracked: bool,
    /// Cloud in `outputs.clouds`; the only one when absent.
    pub cloud: Option<String>,
    /// Host in the cloud; the only one when absent.
    pub host: Option<String>,
    /// Inputs replaced by other flakes: name, reference or directory.
    pub overrides: Vec<(String, String)>,
    /// Executable that image derivations name as their builder.
    pub builder: StorePath,
    /// The store: what evaluation has to read first is built there.
    pub store: HostStore,
    /// Where results are kept for evaluations where nothing changed; none are without it.
    pub cache: Option<PathBuf>,
    /// What tells one version of this program from another: a result is that of one version.
    pub version: String,
    /// How inputs are fetched; nothing is fetched without it.
    pub fetch: Option<nix_fetch::Config>,
    /// Where short names of flakes are looked up.
    pub registries: Registries,
    /// The experimental features of C++ Nix that are on.
    pub features: Vec<String>,
    /// Render every step of an error's trail.
    pub show_trace: bool,
    /// Render errors in colour.
    pub colour: bool,
    /// Gets the lines of `builtins.trace` and `builtins.warn`.
    pub message: fn(&str),
}

/// Evaluates a cloud for one host, and computes the paths of its closures and set. Writes nothing
/// but a lock file that is missing.
///
/// # Errors
/// When the Nix code is wrong, or evaluates to something that is no cloud.
pub fn prepare(request: &Request) -> Result<Prepared<'static>> {
    match cache::recall(request, Box::new(door(request))) {
        Ok(prepared) => Ok(prepared),
        Err(io) => prepare_cold(request, *io),
    }
}

/// As [`prepare`], whatever is known from before.
pub(crate) fn prepare_cold(request: &Request, io: StoreIo) -> Result<Prepared<'static>> {
    let evaluated = nix_lang::on_big_stack(move || {
        let (evaluated, seen) = {
            let witness = Witness::new(&io);
            let arena = Arena::new();
            let nix = Evaluator::new(&arena, witness.door(), settings(request));
            (evaluate(&nix, request), witness.seen())
        };
        evaluated.map(|evaluated| (io, evaluated, seen))
    });
    let (io, evaluated, seen) =
        evaluated.map_err(|e| Error::Evaluation(format!("cannot start the evaluator: {e}")))??;
    let prepared = assemble(Door::Own(Box::new(io)), evaluated)?;
    if let Some(seen) = seen {
        cache::keep(request, &prepared, &seen);
    }
    Ok(prepared)
}

pub(crate) fn door(request: &Request) -> StoreIo {
    restful_door(request).with_store(request.store.clone())
}

/// A door that opens the store itself, and can close it again.
pub(crate) fn restful_door(request: &Request) -> StoreIo {
    let options = IoOptions {
        store: request.store.host_config(),
        message: request.message,
        fetch: request.fetch.clone(),
        registries: request.registries.clone(),
        ..IoOptions::default()
    };
    StoreIo::new(options)
}

pub(crate) fn assemble(io: Door<'_>, evaluated: Evaluated) -> Result<Prepared<'_>> {
    Prepared::assemble(io, evaluated.host, evaluated.machines, evaluated.warnings)
}

pub(crate) fn settings(request: &Request) -> Settings {
    Settings {
        pure: true,
        features: request.features.clone(),
        show_trace: request.show_trace,
        colour: request.colour,
        ..Settings::default()
    }
}

pub(crate) struct Evaluated {
    host: HostSpec,
    machines: Vec<(MachineSpec, Vec<ContextElem>)>,
    warnings: Vec<String>,
}

pub(crate) fn evaluate<'a>(nix: &Evaluator<'a>, request: &Request) -> Result<Evaluated> {
    let rendered = |error: nix_lang::Error| Error::Evaluation(error.report().to_owned());
    let options = FlakeOptions {
        overrides: request.overrides.clone(),
        untracked: request.untracked,
        lenient: true,
        base: Some(request.directory.clone()),
        ..FlakeOptions::default()
    };
    let flake = nix.flake(&request.directory, &options).map_err(rendered)?;
    let ignored = nix.ignored_settings();
    let clouds = nix.get(flake, "clouds").map_err(rendered)?.ok_or_else(|| {
        Error::Shape(format!(
            "the flake {} has no output 'clouds': write `outputs = {{ hc, ... }}: {{ clouds.NAME = \
             hc.lib.mkCloud {{ … }}; }}`",
            request.directory.display()
        ))
    })?;
    let clouds = nix.attributes(clouds).map_err(rendered)?;
    let cloud = choose(clouds, request.cloud.as_deref(), "cloud", "FLAKE#CLOUD")?;
    let builder = nix.string_with_context(
        &StoreDir::default().render_path(&request.builder),
        [ContextElem::Opaque(request.builder.clone())],
    );
    let cloud = nix.apply(cloud, nix.set([("builder", builder)])).map_err(rendered)?;
    let part = |value: Value<'a>, name: &str| nix.select_path(value, &[name]).map_err(rendered);
    let hosts = nix.attributes(part(cloud, "hosts")?).map_err(rendered)?;
    let host = choose(hosts, request.host.as_deref(), "host", "--host HOST")?;
    let (said, _) = nix.to_json(part(cloud, "warnings")?).map_err(rendered)?;
    let (spec, _) = nix.to_json(part(host, "spec")?).map_err(rendered)?;
    let malformed =
        |e: serde_json::Error| Error::Shape(format!("the cloud does not have hc's shape: {e}"));
    let mut machines = Vec::new();
    for (_, machine) in nix.attributes(part(host, "machines")?).map_err(rendered)? {
        let (json, context) = nix.to_json(machine).map_err(rendered)?;
        machines.push((MachineSpec::from_json(json.to_string().as_bytes())?, context));
    }
    let mut warnings: Vec<String> = serde_json::from_value(said).map_err(malformed)?;
    if !ignored.is_empty() {
        warnings.insert(0, ignored_settings(&ignored));
    }
    check::written(&spec)?;
    Ok(Evaluated { host: serde_json::from_value(spec).map_err(malformed)?, machines, warnings })
}

/// The warning about settings in a flake's `nixConfig`.
pub fn ignored_settings(names: &[String]) -> String {
    format!(
        "the flake's nixConfig has no effect here: {}; write what is to hold into nix.conf",
        names.join(", ")
    )
}

/// The one asked for, or the only one.
fn choose<T>(all: Vec<(String, T)>, wanted: Option<&str>, what: &str, how: &str) -> Result<T> {
    let names = all.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>().join(", ");
    let found = match wanted {
        Some(wanted) => all.into_iter().find(|(name, _)| name == wanted),
        None if all.len() == 1 => all.into_iter().next(),
        None => return Err(Error::Shape(format!("say which {what} ({how}); there are: {names}"))),
    };
    let wanted = wanted.unwrap_or_default();
    found
        .map(|(_, value)| value)
        .ok_or_else(|| Error::Shape(format!("there is no {what} '{wanted}'; there are: {names}")))
}
