//! `hc flake show`: the outputs of a flake.

use super::{LookArgs, Wish, nixed};
use crate::context::Globals;
use crate::output;
use hc_deploy::flake_show::{Wanted, show};
use nix_lang::Io;

/// Show the outputs of a flake as a tree
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The flake
    #[arg(default_value = ".")]
    flake: String,
    #[command(flatten)]
    look: LookArgs,
    /// Show the outputs for other systems, too
    #[arg(long)]
    all_systems: bool,
    /// Show what is in legacyPackages
    #[arg(long)]
    legacy: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn run(globals: &Globals, args: &Args) -> anyhow::Result<()> {
    let mut wish = Wish::new(&args.flake, &args.look);
    wish.import_from_derivation = false;
    let (head, shown) = wish.with(globals, |look| {
        let found = nixed(look.nix.lock_flake(&look.flake, &look.options))?;
        let flake = nixed(look.nix.flake_at(&look.flake, &look.options))?;
        let wanted = Wanted {
            system: look.io.current_system(),
            all_systems: args.all_systems,
            legacy: args.legacy,
        };
        Ok((found.locked.to_string(), nixed(show(look.nix, flake, &wanted))?))
    })?;
    if args.json {
        return output::json(&shown.to_json());
    }
    for line in shown.to_lines(&head) {
        output::line(line)?;
    }
    Ok(())
}
