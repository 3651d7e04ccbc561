//! `hc image`: what machines run from. One file per verb; this one only routes.

mod base;
mod build;
pub mod found;
mod import;
mod inspect;
mod lock;
mod ls;
mod sniff;

use crate::context::Globals;
use clap::Subcommand;

/// Look at images, make them, and pin what they are made from
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Ls(ls::Args),
    Inspect(inspect::Args),
    Build(build::Args),
    Import(import::Args),
    Lock(lock::Args),
    Base(base::Args),
}

pub fn run(globals: &Globals, args: &Args) -> anyhow::Result<()> {
    match &args.what {
        What::Ls(args) => ls::run(globals, args),
        What::Inspect(args) => inspect::run(globals, args),
        What::Build(args) => build::run(globals, args),
        What::Import(args) => import::run(globals, args),
        What::Lock(args) => lock::run(globals, args),
        What::Base(args) => base::run(globals, args),
    }
}
