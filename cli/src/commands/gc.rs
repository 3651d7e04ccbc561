//! `hc gc`: delete what nothing needs any more.

use super::build;
use crate::context::Globals;
use crate::output;
use crate::progress::Progress;
use hc_agent::Generations;
use nix_store::GcOptions;
use std::collections::BTreeSet;

/// Delete old generations, and store paths that nothing refers to
///
/// What runs, what can be rolled back to, and what Nix keeps for other reasons stays.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Generations to keep besides the current and the previous one
    #[arg(long, value_name = "N", default_value_t = 10)]
    keep: usize,
    /// Only say what would go
    #[arg(long)]
    dry_run: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn run(globals: &Globals, args: &Args) -> anyhow::Result<()> {
    Globals::need_root("gc")?;
    let progress = Progress::new();
    let generations = Generations::new(&globals.state_dir);
    let pruned = if args.dry_run {
        generations.to_prune(args.keep)?
    } else {
        generations.prune(args.keep)?
    };
    progress.say("collecting");
    let store = build::store(globals)?;
    let options = GcOptions { dry_run: args.dry_run, ..GcOptions::default() };
    let report = store.gc(&options, &BTreeSet::new())?;
    progress.clear();
    if args.json {
        return output::json(&serde_json::json!({
            "generations": pruned.iter().map(|g| g.number).collect::<Vec<_>>(),
            "paths": report.deleted.iter().map(|p| nix_compat::StoreDir::default().render_path(p)).collect::<Vec<_>>(),
            "bytes": report.freed,
            "dryRun": args.dry_run,
        }));
    }
    let verb = if args.dry_run { "would delete" } else { "deleted" };
    output::line(format_args!(
        "{verb} {} generations and {} store paths, {}",
        pruned.len(),
        report.deleted.len(),
        output::bytes(report.freed),
    ))
}
