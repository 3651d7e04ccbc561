//! `hc log`: what a build wrote.

use super::build::{self, Source};
use crate::context::Globals;
use crate::error::{Code, Coded, Failure};
use crate::evaluation::EvalArgs;
use crate::locks::LockArgs;
use crate::output;
use nix_store::{HostStore, StorePath};
use serde_json::json;
use std::io::Read;

/// Show what a build wrote
///
/// TARGET is a .drv file, a path of the store, or a flake and an attribute of it; with --file or
/// --expr an attribute. Logs of builds by C++ Nix are found too, and the other way round.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What was built
    target: Option<String>,
    /// What this file says
    #[arg(short, long, conflicts_with = "expr")]
    file: Option<String>,
    /// What this expression says
    #[arg(short = 'E', long, value_name = "NIX", allow_hyphen_values = true)]
    expr: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    evaluation: EvalArgs,
    #[command(flatten)]
    lock: LockArgs,
}

pub fn run(globals: &Globals, args: &Args) -> anyhow::Result<()> {
    let store = build::store(globals)?;
    let targets = args.target.iter().map(String::as_str).collect();
    let source = Source {
        targets,
        file: args.file.as_deref(),
        expr: args.expr.as_deref(),
        evaluation: &args.evaluation,
        lock: &args.lock,
        fetch: None,
    };
    for target in build::targets(globals, &store, &source)? {
        let drv = build::derivation(&store, &target)?;
        let mut log = open(&store, &drv)?;
        if args.json {
            let mut text = Vec::new();
            log.read_to_end(&mut text)?;
            let text = String::from_utf8_lossy(&text);
            output::json_line(&json!({ "drvPath": drv.to_string(), "log": text }))?;
        } else {
            std::io::copy(&mut log, &mut std::io::stdout().lock())?;
        }
    }
    Ok(())
}

/// The log of the last build of a derivation.
pub fn open(store: &HostStore, drv: &StorePath) -> anyhow::Result<Box<dyn Read>> {
    store.build_log(drv).code(Code::Host)?.ok_or_else(|| {
        Failure::new(Code::Failed, format!("there is no log of {drv}"))
            .hint("only what was built on this host has one")
            .into()
    })
}
