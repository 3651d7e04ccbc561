//! `hc store delete`: single paths, and nothing else.

use super::store_path;
use crate::commands::build;
use crate::context::Globals;
use crate::error::{Code, Coded};
use crate::output;
use std::collections::BTreeSet;
use std::path::PathBuf;

/// Delete paths that nothing keeps, and what refers to them; `hc gc` deletes all of those
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Paths in the store
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn run(globals: &Globals, args: &Args) -> anyhow::Result<()> {
    let store = build::store(globals)?;
    let paths = args.paths.iter().map(|path| store_path(&store, path));
    let paths = paths.collect::<anyhow::Result<BTreeSet<_>>>()?;
    let (deleted, freed) = store.delete(&paths, crate::nix_conf::keep()?).code(Code::Failed)?;
    if args.json {
        let deleted: Vec<String> = deleted.iter().map(ToString::to_string).collect();
        return output::json(&serde_json::json!({ "paths": deleted, "bytes": freed }));
    }
    output::line(format_args!("deleted {} store paths, {}", deleted.len(), output::bytes(freed)))
}
