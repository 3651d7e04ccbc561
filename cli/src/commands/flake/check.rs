//! `hc flake check`: whether outputs are what their names promise.

use super::{LookArgs, Wish, nixed};
use crate::context::Globals;
use crate::error::{Code, Coded, Failure};
use crate::output;
use hc_deploy::flake_check::{Findings, check};
use nix_lang::ContextElem;
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
        if !args.no_build {
            let mut wanted = Vec::new();
            for (_, drv) in &found.checks {
                let derivation = look.io.derivation(drv);
                let outputs = derivation.and_then(|drv| drv.resolved_outputs().ok());
                wanted.extend(outputs.into_iter().flat_map(|all| all.into_keys()).map(|output| {
                    ContextElem::Built { drv: drv.clone(), output: output.to_string() }
                }));
            }
            if !wanted.is_empty() {
                look.io.make(&wanted).code(Code::Build)?;
            }
        }
        Ok(())
    })
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
