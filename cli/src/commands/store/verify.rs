//! `hc store verify`: whether the store holds what it says.

use super::store_path;
use crate::commands::build;
use crate::context::Globals;
use crate::error::{Code, Coded, Failure};
use crate::output;
use crate::progress::Progress;
use nix_store::Damage;
use std::path::PathBuf;

/// Look for paths that are not what was registered; everything if none is named
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Paths in the store, or links to them
    paths: Vec<PathBuf>,
    /// Only look whether something is there
    #[arg(long)]
    no_contents: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn run(globals: &Globals, args: &Args) -> anyhow::Result<()> {
    let store = build::store(globals)?;
    let progress = Progress::new();
    let contents = !args.no_contents;
    let damaged = if args.paths.is_empty() {
        store
            .verify(contents, &mut |done, all| progress.say(format!("{done} of {all}")))
            .code(Code::Failed)?
    } else {
        let mut damaged = Vec::new();
        for named in &args.paths {
            let path = store_path(&store, named)?;
            progress.say(path.name());
            if !store.is_valid(&path).code(Code::Failed)? {
                let message = format!("{path} is not valid");
                return Err(Failure::new(Code::Failed, message).into());
            }
            damaged.extend(store.damage(&path, contents).code(Code::Failed)?);
        }
        damaged
    };
    progress.clear();
    if args.json {
        let all: Vec<_> = damaged
            .iter()
            .map(|damage| match damage {
                Damage::Missing(path) => {
                    serde_json::json!({ "path": path.to_string(), "damage": "missing" })
                }
                Damage::Modified { path, expected, got } => serde_json::json!({
                    "path": path.to_string(), "damage": "modified", "expected": expected, "got": got,
                }),
            })
            .collect();
        output::json(&all)?;
    } else {
        damaged.iter().try_for_each(output::line)?;
    }
    if damaged.is_empty() {
        return Ok(());
    }
    let message = format!("{} paths of the store are damaged", damaged.len());
    Err(Failure::new(Code::Failed, message)
        .hint("build them again (hc build --repair), or copy them from elsewhere")
        .into())
}
