//! `hc store export` and `hc store import`: paths in one stream.

use super::store_path;
use crate::commands::build;
use crate::context::Globals;
use crate::error::{Code, Coded, Failure};
use crate::output;
use crate::progress::Progress;
use std::collections::BTreeSet;
use std::io::IsTerminal;
use std::path::PathBuf;

/// Write paths to standard output, in the format of `nix-store --export`
#[derive(Debug, clap::Args)]
pub struct ExportArgs {
    /// Paths in the store, or links to them
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// With everything they refer to
    #[arg(short, long)]
    recursive: bool,
}

pub fn export(globals: &Globals, args: &ExportArgs) -> anyhow::Result<()> {
    let stdout = std::io::stdout();
    if stdout.is_terminal() {
        let message = "an export is no text: send it to a file or a program";
        return Err(Failure::new(Code::Failed, message).into());
    }
    let store = build::store(globals)?;
    let paths = args.paths.iter().map(|path| store_path(&store, path));
    let mut paths = paths.collect::<anyhow::Result<BTreeSet<_>>>()?;
    if args.recursive {
        paths = store.closure(&paths).code(Code::Failed)?;
    }
    store.export(&paths, &mut stdout.lock()).code(Code::Failed)
}

/// Add the paths that come on standard input, in the format of `nix-store --export`
///
/// Nothing in it is signed: import what you trust.
#[derive(Debug, clap::Args)]
pub struct ImportArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn import(globals: &Globals, args: &ImportArgs) -> anyhow::Result<()> {
    let mut config = build::host_config(globals)?;
    config.remote.check_signatures = false;
    let store = build::open(config)?;
    let progress = Progress::new();
    let stdin = std::io::stdin().lock();
    let came = store.import(&mut std::io::BufReader::new(stdin), &|path| progress.say(path.name()));
    progress.clear();
    let came: Vec<String> = came.code(Code::Failed)?.iter().map(ToString::to_string).collect();
    if args.json {
        return output::json(&serde_json::json!({ "imported": came }));
    }
    came.iter().try_for_each(output::line)
}
