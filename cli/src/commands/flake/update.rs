//! `hc flake update`: lock inputs anew.

use super::{LookArgs, Wish, nixed};
use crate::context::Globals;

/// Lock inputs to what they are now: all of them, or those that are named
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Inputs, given by their paths, such as nixpkgs or home/nixpkgs
    inputs: Vec<String>,
    /// The flake
    #[arg(long, default_value = ".")]
    flake: String,
    #[command(flatten)]
    look: LookArgs,
}

pub fn run(globals: &Globals, args: &Args) -> anyhow::Result<()> {
    let recreate = args.inputs.is_empty();
    let wish = Wish {
        update: &args.inputs,
        recreate,
        fresh: true,
        saves: true,
        ..Wish::new(&args.flake, &args.look)
    };
    wish.with(globals, |look| nixed(look.nix.lock_flake(&look.flake, &look.options)).map(|_| ()))
}
