//! `hc flake lock`: lock what is not locked.

use super::{LookArgs, Wish, nixed};
use crate::context::Globals;

/// Lock the inputs that are not locked yet, and write the lock file
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The flake
    #[arg(default_value = ".")]
    flake: String,
    #[command(flatten)]
    look: LookArgs,
}

pub fn run(globals: &Globals, args: &Args) -> anyhow::Result<()> {
    let wish = Wish {
        fresh: true,
        saves: true,
        refuse_unlocked: true,
        ..Wish::new(&args.flake, &args.look)
    };
    wish.with(globals, |look| nixed(look.nix.lock_flake(&look.flake, &look.options)).map(|_| ()))
}
