//! `hc store optimise`: equal files are stored once.

use crate::commands::build;
use crate::context::Globals;
use crate::output;
use crate::progress::Progress;

/// Store equal files once, as hard links, as `nix-store --optimise` does
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn run(globals: &Globals, args: &Args) -> anyhow::Result<()> {
    let progress = Progress::new();
    let store = build::store(globals)?;
    let mut done = 0usize;
    let report = store.optimise(|path, all| {
        done += 1;
        progress.say(format!("{done} of {all}: {}", path.name()));
    })?;
    progress.clear();
    if args.json {
        return output::json(&serde_json::json!({
            "linked": report.linked,
            "bytes": report.freed,
        }));
    }
    output::line(format_args!(
        "linked {} files, {} freed",
        report.linked,
        output::bytes(report.freed)
    ))
}
