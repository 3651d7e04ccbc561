//! `hc store why`: why a path is not collected.

use super::store_path;
use crate::commands::build;
use crate::context::Globals;
use crate::error::{Code, Failure};
use crate::output;
use std::path::PathBuf;

/// Say why `hc gc` leaves a path: every root that leads to it, and the way from there
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Path in the store, or a link to one
    path: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn run(globals: &Globals, args: &Args) -> anyhow::Result<()> {
    let store = build::store(globals)?;
    let path = store_path(&store, &args.path)?;
    let reasons = store
        .why(&path, crate::nix_conf::keep()?)
        .map_err(|error| Failure::new(Code::Failed, error.to_string()))?;
    if args.json {
        let all: Vec<_> = reasons
            .iter()
            .map(|reason| {
                let chain: Vec<_> = reason.chain.iter().map(ToString::to_string).collect();
                serde_json::json!({ "root": reason.root.link, "chain": chain })
            })
            .collect();
        return output::json(&all);
    }
    if reasons.is_empty() {
        return output::line(format_args!("nothing keeps {path}: `hc gc` deletes it"));
    }
    for reason in &reasons {
        output::line(reason.root.link.display())?;
        for (depth, step) in reason.chain.iter().enumerate() {
            output::line(format_args!("{:1$}-> {step}", "", 2 * depth + 2))?;
        }
    }
    Ok(())
}
