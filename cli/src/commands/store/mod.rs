//! `hc store`: what is in the store of this host.

mod optimise;
mod roots;
pub mod sign;
mod why;

pub use roots::print as roots;

use crate::context::Globals;
use crate::error::{Code, Failure};
use clap::Subcommand;
use nix_store::{Store, StorePath};
use std::path::Path;

/// Look into the store, and keep it small
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Roots(roots::Args),
    Why(why::Args),
    Optimise(optimise::Args),
    Sign(sign::Args),
}

pub fn run(globals: &Globals, args: &Args) -> anyhow::Result<()> {
    match &args.what {
        What::Roots(args) => roots::run(globals, args),
        What::Why(args) => why::run(globals, args),
        What::Optimise(args) => optimise::run(globals, args),
        What::Sign(args) => sign::run(globals, args),
    }
}

/// The store path that a file is or lies in; a symlink, such as `./result`, is followed.
pub fn store_path(store: &Store, named: &Path) -> anyhow::Result<StorePath> {
    let mut at = std::path::absolute(named)?;
    // As many steps as the kernel takes.
    for _ in 0..40 {
        if let Some(path) = store.path_of(&at) {
            return Ok(path);
        }
        match std::fs::read_link(&at) {
            Ok(target) => at = at.parent().unwrap_or(&at).join(target),
            Err(_) => break,
        }
    }
    let message = format!("{} is not in the store, nor a link into it", named.display());
    Err(Failure::new(Code::Failed, message).into())
}
