//! `hc rollback`: put an earlier generation in effect.

use super::{agent, deploy};
use crate::context::Globals;
use crate::output;
use hc_agent::wire::RollbackRequest;

/// Go back to the recorded previous generation, or to a given one
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Generation to go to
    #[arg(long, value_name = "N")]
    to: Option<u64>,
    /// Wait for a deploy that is under way instead of giving up
    #[arg(long)]
    wait: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn run(globals: &Globals, args: &Args) -> anyhow::Result<()> {
    Globals::need_root("rollback")?;
    let client = agent::reach(globals)?;
    let request =
        RollbackRequest { to: args.to, timeout_sec: None, by: Some(deploy::who("rollback")) };
    let activation = client.rollback(&request, args.wait).map_err(agent::failure)?;
    if args.json {
        output::json(&activation)?;
    }
    deploy::conclude(&activation, args.json)
}
