//! `hc store roots`: what keeps paths from `hc gc`.

use crate::commands::build;
use crate::context::Globals;
use crate::output;

/// List what is kept for its own sake, and what keeps it: links, and processes that use it
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn run(globals: &Globals, args: &Args) -> anyhow::Result<()> {
    print(globals, args.json)
}

/// Prints the roots.
pub fn print(globals: &Globals, json: bool) -> anyhow::Result<()> {
    let roots = build::store(globals)?.roots()?;
    if json {
        let all: Vec<_> = roots
            .iter()
            .map(|root| serde_json::json!({ "path": root.path.to_string(), "root": root.link }))
            .collect();
        return output::json(&all);
    }
    roots
        .iter()
        .try_for_each(|root| output::line(format_args!("{} -> {}", root.link.display(), root.path)))
}
