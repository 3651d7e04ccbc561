//! `hc generations`: what can be rolled back to.

use crate::context::Globals;
use crate::output;
use hc_agent::Generations;

/// List the generations of this host
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn run(globals: &Globals, args: &Args) -> anyhow::Result<()> {
    let all = Generations::new(&globals.state_dir).list()?;
    if args.json {
        return output::json(&all);
    }
    let rows = all.iter().map(|g| {
        vec![
            g.number.to_string(),
            if g.current { "current" } else { "" }.to_owned(),
            output::time(g.created / 1000),
            g.set.display().to_string(),
        ]
    });
    output::table(&["N", "", "CREATED", "MACHINE SET"], rows)
}
