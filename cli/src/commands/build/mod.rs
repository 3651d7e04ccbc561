//! `hc build`: make what Nix files describe, clouds and single derivations.

mod cloud;
mod elsewhere;
mod options;
mod package;
mod report;

pub use cloud::{
    CloudArgs, Observer, evaluate, host_config, local_store, observe, open, realise, request,
    store, store_config,
};
pub use options::{BuildOptions, store as store_for};
pub use package::{Source, Target, derivation, targets};
pub use report::Report;

use crate::context::Globals;
use crate::error::{Code, Coded, Failure};
use crate::evaluation::{EvalArgs, failure, with_evaluator};
use crate::installable::Installable;
use crate::locks::LockArgs;
use crate::output;
use nix_store::{BuildMode, DrvOutput, HostStore, StorePath};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Build packages, files of derivations, or everything a cloud's machines need
///
/// TARGET is a flake and an attribute of it (FLAKE#ATTRIBUTE, perhaps with ^OUTPUTS), a .drv file
/// (perhaps with ^OUTPUTS), or a path of the store, which comes from a binary cache if it is not there. With --file or --expr it is an attribute; without
/// any, all derivations that are found are built.
///
/// A flake with `clouds` is a cloud: `hc build PATH` builds its machine set, PATH#NAME that of one
/// cloud. `PATH#default` is the default package of such a flake.
///
/// What is built is linked to from `result`, which also keeps it from being collected; clouds are
/// linked to with --out-link only.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to build
    targets: Vec<String>,
    /// Build what this file says; `-` is standard input, <NAME> one of the search path
    #[arg(short, long, conflicts_with = "expr")]
    file: Option<String>,
    /// Build what this expression says
    #[arg(short = 'E', long, value_name = "NIX", allow_hyphen_values = true)]
    expr: Option<String>,
    /// With --file or --expr: build this attribute, as a TARGET does
    #[arg(short = 'A', long, value_name = "PATH")]
    attr: Vec<String>,
    /// Host of a cloud to evaluate; needed when it has several
    #[arg(long)]
    host: Option<String>,
    /// Make symlinks that begin with this name; as long as they are there, nothing is collected
    #[arg(short, long, value_name = "LINK")]
    out_link: Option<PathBuf>,
    /// Make no symlink
    #[arg(long, conflicts_with = "out_link")]
    no_link: bool,
    /// Print the paths of what was built
    #[arg(long, conflicts_with = "json")]
    print_out_paths: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Say what would be built, and build nothing
    #[arg(long)]
    dry_run: bool,
    /// Build at this Nix daemon or host (daemon, unix://…, ssh-ng://… or ssh://…, as of `hc copy`),
    /// and copy what comes of it here; it is trusted for that
    #[arg(long, value_name = "URL")]
    on: Option<String>,
    /// Build again what is there, and say whether it comes out the same
    #[arg(long, alias = "check", conflicts_with_all = ["repair", "on"])]
    rebuild: bool,
    /// Build again what is there and damaged
    #[arg(long, conflicts_with = "on")]
    repair: bool,
    #[command(flatten)]
    options: BuildOptions,
    #[command(flatten)]
    evaluation: EvalArgs,
    #[command(flatten)]
    lock: LockArgs,
}

/// What goes to standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Print {
    /// Nothing, but for a cloud its set.
    Nothing,
    /// Paths, one a line.
    Paths,
    /// One document.
    Json,
}

pub fn run(globals: &Globals, args: &Args) -> anyhow::Result<()> {
    check_targets(args)?;
    let store = options::store(globals, &args.options)?;
    let report = Report::new(args.options.print_build_logs);
    let print = match (args.json, args.print_out_paths) {
        (true, _) => Print::Json,
        (_, true) => Print::Paths,
        _ => Print::Nothing,
    };
    if let Some(cloud) = cloud_of(globals, args)? {
        if args.dry_run || args.rebuild || args.repair || args.on.is_some() {
            let message = "a cloud is built as a whole; --dry-run, --rebuild, --repair and --on are \
                           for derivations";
            return Err(Failure::new(Code::Failed, message)
                .hint("`hc plan` says what a deploy would do")
                .into());
        }
        return cloud::run(globals, &store, &cloud, args.out_link.as_deref(), print, &report);
    }
    let source = Source {
        targets: args.targets.iter().chain(&args.attr).map(String::as_str).collect(),
        file: args.file.as_deref(),
        expr: args.expr.as_deref(),
        evaluation: &args.evaluation,
        lock: &args.lock,
        fetch: (!args.dry_run).then_some(&report),
    };
    let targets = targets(globals, &store, &source)?;
    if args.dry_run {
        let wanted: Vec<DrvOutput> = targets.iter().flat_map(Target::outputs).collect();
        return dry_run(&store, &wanted, args.json);
    }
    if args.on.is_some() && targets.iter().any(|target| matches!(target, Target::Chain { .. })) {
        let message =
            "a derivation that a build makes is built here: --on is for those that are known";
        return Err(Failure::new(Code::Failed, message).into());
    }
    let targets = targets.into_iter().map(|target| target.settled(&store, &report));
    let targets = targets.collect::<anyhow::Result<Vec<_>>>()?;
    let wanted: Vec<DrvOutput> = targets.iter().flat_map(Target::outputs).collect();
    let mode = match (args.rebuild, args.repair) {
        (true, _) => BuildMode::Check,
        (_, true) => BuildMode::Repair,
        _ => BuildMode::Normal,
    };
    let built = match &args.on {
        None => store.build_in_mode(&wanted, mode, &report),
        Some(address) => {
            let options = options::remote(&args.options);
            elsewhere::build(&store, &crate::remote::open(address, &options)?, &wanted, &report)
        }
    };
    report.clear();
    let built = built.code(Code::Build)?;
    if !args.no_link && mode != BuildMode::Check {
        let link = args.out_link.clone().unwrap_or_else(|| "result".into());
        make_links(&store, &targets, &built, &link)?;
    }
    show(&targets, &built, print)
}

/// What `nix-build` takes as it is, and is asked for by options here.
fn check_targets(args: &Args) -> anyhow::Result<()> {
    if args.file.is_some() || args.expr.is_some() {
        return Ok(());
    }
    if let Some(attribute) = args.attr.first() {
        let message = format!("--attr {attribute} is of what --file or --expr says");
        let hint =
            format!("`--file FILE {attribute}`, or as an attribute of a flake: `.#{attribute}`");
        return Err(Failure::new(Code::Failed, message).hint(hint).into());
    }
    let file = args
        .targets
        .iter()
        .find(|target| !target.starts_with("/nix/store/") && Path::new(target).is_file());
    let Some(file) = file else { return Ok(()) };
    let message = format!("{file} is a file, and no flake");
    let hint = format!(
        "`hc build --file {file}` builds what it says, `--file {file} ATTRIBUTE` a part of it"
    );
    Err(Failure::new(Code::Failed, message).hint(hint).into())
}

/// The cloud that is meant, where one is.
fn cloud_of(globals: &Globals, args: &Args) -> anyhow::Result<Option<CloudArgs>> {
    if args.file.is_some() || args.expr.is_some() || !args.attr.is_empty() || args.targets.len() > 1
    {
        return Ok(None);
    }
    let flake = args.targets.first().map_or(".", String::as_str);
    let cloud = CloudArgs {
        flake: flake.to_owned(),
        host: args.host.clone(),
        override_input: args.lock.override_input.clone(),
        show_trace: args.evaluation.plan(true)?.settings.show_trace,
        features: args.evaluation.features().clone(),
    };
    if args.host.is_some() {
        return Ok(Some(cloud));
    }
    let (reference, name) = match flake.split_once('#') {
        Some((reference, name)) => (reference, Some(name)),
        None => (flake, None),
    };
    if flake.starts_with("/nix/store/") || name.is_some_and(|name| name.contains(['.', '^', '"'])) {
        return Ok(None);
    }
    let plan = args.evaluation.plan_with(globals, true, &args.lock)?;
    let found = with_evaluator(globals, plan, |nix, _| {
        let flake = Installable::parse(nix, reference)?.flake(nix, &args.lock.options()?)?;
        let flake = nix.get(flake, "outputs").map_err(failure)?.unwrap_or(flake);
        let mut path = vec!["clouds"];
        path.extend(name);
        Ok(nix.find_path(flake, &path).map_err(failure)?.is_some())
    })?;
    Ok(found.then_some(cloud))
}

fn dry_run(store: &HostStore, wanted: &[DrvOutput], json: bool) -> anyhow::Result<()> {
    let plan = store.plan(wanted).code(Code::Build)?;
    if json {
        let list = |paths: &std::collections::BTreeSet<StorePath>| {
            paths.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let (builds, fetches) = (list(&plan.builds), list(&plan.fetches));
        let substitutes = list(&plan.substitutes);
        return output::json(&serde_json::json!({
            "builds": builds, "fetches": fetches, "substitutes": substitutes,
        }));
    }
    for (what, paths) in [
        ("would be built", &plan.builds),
        ("would be fetched", &plan.fetches),
        ("would come from a binary cache, with what they refer to", &plan.substitutes),
    ] {
        if !paths.is_empty() {
            output::line(format_args!("{} {what}:", paths.len()))?;
        }
        for path in paths {
            output::line(format_args!("  {path}"))?;
        }
    }
    Ok(())
}

/// `result`, `result-1` and so on, with the name of the output where it is not `out`.
fn make_links(
    store: &HostStore,
    targets: &[Target],
    built: &BTreeMap<DrvOutput, StorePath>,
    link: &Path,
) -> anyhow::Result<()> {
    for (number, target) in targets.iter().enumerate() {
        for (output, path) in target.paths(built) {
            let mut name = std::path::absolute(link)?.into_os_string();
            if number > 0 {
                name.push(format!("-{number}"));
            }
            if output != "out" {
                name.push(format!("-{output}"));
            }
            let link = PathBuf::from(name);
            keep_link(store, Path::new(&path.to_string()), &link)?;
        }
    }
    Ok(())
}

/// A symlink to a path of the store, which keeps it.
///
/// # Errors
/// When something else than a symlink is there.
pub fn keep_link(store: &HostStore, path: &Path, link: &Path) -> anyhow::Result<()> {
    if link.symlink_metadata().is_ok_and(|there| !there.is_symlink()) {
        let message = format!("{} is in the way: it is no symlink", link.display());
        return Err(Failure::new(Code::Failed, message)
            .hint("move it away, or link from elsewhere (hc build has --out-link and --no-link)")
            .into());
    }
    hc_fs::durable::symlink(path, link)?;
    store.add_root(link).code(Code::Host)
}

fn show(
    targets: &[Target],
    built: &BTreeMap<DrvOutput, StorePath>,
    print: Print,
) -> anyhow::Result<()> {
    match print {
        Print::Nothing => Ok(()),
        Print::Paths => targets
            .iter()
            .flat_map(|target| target.paths(built))
            .try_for_each(|(_, path)| output::line(path)),
        Print::Json => {
            output::json(&targets.iter().map(|target| target.to_json(built)).collect::<Vec<_>>())
        }
    }
}
