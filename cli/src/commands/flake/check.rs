//! `hc flake check`: whether outputs are what their names promise.

use super::super::build::{BuildOptions, Report, store_for};
use super::{Look, LookArgs, Wish, nixed};
use crate::context::Globals;
use crate::error::{Code, Coded, Failure};
use crate::output;
use hc_deploy::flake_check::{Findings, check};
use nix_lang::ContextElem;
use nix_store::{DrvOutput, HostStore, StorePath};
use serde_json::json;

/// Evaluate all outputs of a flake, say what is wrong with them, and build its checks
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The flake
    #[arg(default_value = ".")]
    flake: String,
    #[command(flatten)]
    look: LookArgs,
    /// Only evaluate; build no checks
    #[arg(long)]
    no_build: bool,
    /// Look at the outputs for other systems, too
    #[arg(long)]
    all_systems: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    options: BuildOptions,
}

pub fn run(globals: &Globals, args: &Args) -> anyhow::Result<()> {
    let mut wish = Wish::new(&args.flake, &args.look);
    wish.import_from_derivation = !args.no_build;
    wish.with(globals, |look| {
        let flake = nixed(look.nix.flake_at(&look.flake, &look.options))?;
        let found = nixed(check(look.nix, &look.io, flake, args.all_systems))?;
        tell(&found, args.json)?;
        match found.problems.len() {
            0 => {}
            1 => return Err(Failure::new(Code::Evaluation, "one output is wrong").into()),
            many => {
                let message = format!("{many} outputs are wrong");
                return Err(Failure::new(Code::Evaluation, message).into());
            }
        }
        if args.no_build || found.checks.is_empty() {
            return Ok(());
        }
        let store = store_for(globals, &args.options)?;
        build(look, &store, &found.checks, args.options.print_build_logs)
    })
}

/// Builds all outputs of the checks, each a name and a derivation. Those that could not be built
/// are named, with `--keep-going` all of them.
fn build(
    look: &Look<'_, '_>,
    store: &HostStore,
    checks: &[(String, StorePath)],
    logs: bool,
) -> anyhow::Result<()> {
    let report = Report::new(logs);
    let deep = checks.iter().map(|(_, drv)| ContextElem::DrvDeep(drv.clone()));
    look.io.write(&deep.collect::<Vec<_>>()).code(Code::Build)?;
    let mut wanted = Vec::new();
    for (name, drv) in checks {
        let derivation = look.io.derivation(drv);
        let outputs = derivation.and_then(|drv| drv.resolved_outputs().ok()).unwrap_or_default();
        wanted.extend(
            outputs
                .into_iter()
                .map(|(output, at)| (name, DrvOutput::new(drv.clone(), &output), at.path)),
        );
    }
    let outputs: Vec<_> = wanted.iter().map(|(_, output, _)| output.clone()).collect();
    let built = store.build(&outputs, &report);
    report.clear();
    let Err(error) = built else { return Ok(()) };
    // Where the contents make the path, only its build knows it.
    let missing = wanted.iter().filter(|(_, _, path)| {
        path.as_ref().is_some_and(|path| !store.is_valid(path).unwrap_or(false))
    });
    let mut names: Vec<&str> = missing.map(|(name, _, _)| name.as_str()).collect();
    names.dedup();
    let message = format!("{error}\nnot built: {}", names.join(", "));
    Err(Failure::new(Code::Build, message).into())
}

fn tell(found: &Findings, as_json: bool) -> anyhow::Result<()> {
    for warning in &found.warnings {
        eprintln!("warning: {warning}");
    }
    if as_json {
        let problems = found
            .problems
            .iter()
            .map(|problem| json!({ "attribute": problem.attribute, "message": problem.report }));
        let checks = found
            .checks
            .iter()
            .map(|(name, drv)| json!({ "attribute": name, "drvPath": drv.to_string() }));
        return output::json(&json!({
            "checks": checks.collect::<Vec<_>>(),
            "omittedSystems": found.omitted,
            "problems": problems.collect::<Vec<_>>(),
            "warnings": found.warnings,
        }));
    }
    for problem in &found.problems {
        let report = problem.report.strip_prefix("error: ").unwrap_or(&problem.report);
        eprintln!("error: in '{}': {report}", problem.attribute);
    }
    if !found.omitted.is_empty() {
        eprintln!(
            "warning: the outputs for other systems were not looked at: {}\n  hint: --all-systems does",
            found.omitted.join(", ")
        );
    }
    Ok(())
}
