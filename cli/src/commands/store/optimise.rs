//! `hc store optimise`: equal files are stored once.

use crate::commands::build;
use crate::context::Globals;
use crate::error::{Code, Coded};
use crate::output;
use crate::progress::Progress;
use nix_store::HostStore;

/// Store equal files once, as hard links, as `nix-store --optimise` does
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn run(globals: &Globals, args: &Args) -> anyhow::Result<()> {
    let progress = Progress::new();
    let store = match build::store(globals)? {
        HostStore::Local(store) => store,
        // A daemon does not tell what came of it.
        HostStore::Daemon(store) => {
            progress.say("the daemon looks for equal files");
            store.daemon().optimise().code(Code::Failed)?;
            progress.clear();
            if args.json {
                return output::json(&serde_json::json!({ "linked": null, "bytes": null }));
            }
            return output::line("equal files are stored once");
        }
    };
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
