//! Evaluating a cloud and building everything it needs: the first half of a deploy.

use super::{Print, Report};
use crate::context::Globals;
use crate::error::{Code, Coded, Failure};
use crate::features::FeatureArgs;
use crate::output;
use crate::progress::Progress;
use crate::warm::Evaluators;
use hc_deploy::{Prepared, Request};
use nix_store::remote::RemoteOptions;
use nix_store::{BuildEvent, HostConfig, HostStore, Store, StoreConfig};
use std::path::{Path, PathBuf};

/// Which cloud, for the verbs that evaluate one.
#[derive(Debug, clap::Args)]
pub struct CloudArgs {
    /// Flake and the cloud in it, as PATH[#CLOUD]; without CLOUD, the only one there is
    #[arg(default_value = ".")]
    pub flake: String,
    /// Host to evaluate; needed when the cloud has several
    #[arg(long)]
    pub host: Option<String>,
    /// Use another flake for an input
    #[arg(long, num_args = 2, value_names = ["INPUT", "FLAKE"])]
    pub override_input: Vec<String>,
    /// Show every step of an evaluation error's trail
    #[arg(long)]
    pub show_trace: bool,
    #[command(flatten)]
    pub features: FeatureArgs,
}

/// Builds a cloud: everything its machines need, without starting any.
pub fn run(
    globals: &Globals,
    store: &HostStore,
    cloud: &CloudArgs,
    out_link: Option<&Path>,
    print: Print,
    report: &Report,
) -> anyhow::Result<()> {
    let progress = Progress::new();
    let prepared = evaluate(globals, store, cloud, &progress)?;
    progress.clear();
    prepared.realise(store, &std::env::temp_dir(), report).code(Code::Build)?;
    report.clear();
    if let Some(link) = out_link {
        super::keep_link(store, &prepared.set_path(), link)?;
    }
    if print == Print::Json {
        return output::json(&serde_json::json!({
            "set": prepared.set_path(),
            "machines": prepared.machine_set().machines,
        }));
    }
    output::line(prepared.set_path().display())
}

/// Evaluates; errors of the Nix files have their own exit code.
pub fn evaluate(
    globals: &Globals,
    store: &HostStore,
    args: &CloudArgs,
    progress: &Progress,
) -> anyhow::Result<Prepared<'static>> {
    progress.say("evaluating");
    let evaluators = Evaluators::new(globals)?;
    let prepared = hc_deploy::far::prepare_with(request(store, args)?, evaluators);
    let prepared = prepared.code(Code::Evaluation)?;
    for warning in prepared.warnings() {
        output::warn_once(warning);
    }
    Ok(prepared)
}

/// What is to be evaluated, and how.
pub fn request(store: &HostStore, args: &CloudArgs) -> anyhow::Result<Request> {
    let (flake, cloud) = match args.flake.rsplit_once('#') {
        Some((flake, cloud)) => (flake, Some(cloud.to_owned())),
        None => (args.flake.as_str(), None),
    };
    let (directory, untracked) = directory(flake);
    Ok(Request {
        directory: std::path::absolute(&directory)?,
        untracked,
        cloud,
        host: args.host.clone(),
        overrides: args
            .override_input
            .chunks_exact(2)
            .map(|pair| (pair[0].clone(), pair[1].clone()))
            .collect(),
        builder: hc_deploy::builder::pinned(store, &Globals::exe()?).code(Code::Build)?,
        store: store.clone(),
        cache: crate::nix_io::evaluation_cache()?,
        version: Globals::version()?,
        fetch: crate::nix_io::fetch_config(),
        registries: crate::nix_io::registries(),
        features: args.features.all()?,
        show_trace: args.show_trace,
        colour: output::colour(&std::io::stderr()),
        message: |text| eprintln!("{text}"),
    })
}

/// The directory of a flake, and whether it is to be taken as it is: `path:DIR` is, a plain `DIR` in
/// a git tree has the files that git tracks. As with Nix.
pub fn directory(flake: &str) -> (PathBuf, bool) {
    match flake.strip_prefix("path:") {
        Some(directory) => (directory.into(), true),
        None if flake.is_empty() => (".".into(), false),
        None => (flake.into(), false),
    }
}

/// Builds what is missing; errors of builds and fetches have their own exit code.
///
/// What was built is kept from the collector as long as `store` is open.
pub fn realise(
    store: &HostStore,
    prepared: &Prepared<'_>,
    progress: &Progress,
) -> anyhow::Result<()> {
    progress.say("building");
    prepared.realise(store, &std::env::temp_dir(), &Observer { progress }).code(Code::Build)
}

/// How the store of this host is opened.
pub fn store_config(globals: &Globals) -> anyhow::Result<StoreConfig> {
    let substitution = crate::nix_conf::substitution()?;
    let mut config = StoreConfig {
        root: globals.store.clone(),
        auto_optimise: crate::nix_conf::auto_optimise()?,
        substituters: substitution.substituters,
        trusted_keys: substitution.trusted_keys,
        require_signatures: substitution.require_signatures,
        cache_dir: Some(crate::nix_io::cache_directory().join("hc")),
        temporary: std::env::temp_dir(),
        ..StoreConfig::default()
    };
    crate::nix_conf::network(&mut config)?;
    crate::nix_conf::building(&mut config)?;
    Ok(config)
}

/// The same, with the way to it.
pub fn host_config(globals: &Globals) -> anyhow::Result<HostConfig> {
    let store = store_config(globals)?;
    let substitute = crate::nix_conf::substitute()?;
    let remote = RemoteOptions { jobs: store.jobs, substitute, ..crate::remote::options() };
    Ok(HostConfig { store, remote, way: globals.way().clone() })
}

/// The store of this host, directly or through its daemon.
pub fn store(globals: &Globals) -> anyhow::Result<HostStore> {
    open(host_config(globals)?)
}

/// The store of this host itself, for what no daemon does.
pub fn local_store(globals: &Globals) -> anyhow::Result<Store> {
    globals.need_direct()?;
    Store::open(store_config(globals)?).map_err(unopened)
}

/// A store, or what to do about it.
pub fn open(config: HostConfig) -> anyhow::Result<HostStore> {
    HostStore::open(config).map_err(unopened)
}

fn unopened(error: nix_store::Error) -> anyhow::Error {
    let failure = Failure::new(Code::Host, error.to_string());
    match error {
        nix_store::Error::NoWay { .. } => failure
            .hint("run hc as root, start nix-daemon, or say --store DIR for a store of yours"),
        nix_store::Error::Peer { .. } => failure,
        _ if rustix::process::geteuid().is_root() => failure,
        _ => failure.hint("run hc as root, or say --store daemon"),
    }
    .into()
}

/// Says on the terminal what a build does.
pub struct Observer<'a> {
    /// Where to say it.
    pub progress: &'a Progress,
}

impl nix_store::BuildObserver for Observer<'_> {
    fn event(&self, event: BuildEvent<'_>) {
        observe(self.progress, event);
    }
}

/// Says what one event is about.
pub fn observe(progress: &Progress, event: BuildEvent<'_>) {
    match event {
        BuildEvent::Plan { builds, fetches } => {
            progress.say(format!("{builds} to build, {fetches} to download"));
        }
        BuildEvent::Started { drv } => progress.say(drv.name()),
        BuildEvent::Substituting { path, from } => {
            progress.say(format!("{} from {from}", path.name()));
        }
        BuildEvent::Warning { text } => eprintln!("warning: {text}"),
        BuildEvent::Log { drv, line } => progress.say(format!("{}: {line}", drv.name())),
        BuildEvent::Progress { drv, done, .. } => {
            progress.say(format!("{}: {}", drv.name(), output::bytes(done)));
        }
        _ => {}
    }
}
