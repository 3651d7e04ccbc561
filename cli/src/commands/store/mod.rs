//! `hc store`: what is in the store of this host, and how others get at it.

mod delete;
mod export;
mod files;
mod info;
mod optimise;
mod ping;
mod roots;
mod serve;
pub mod sign;
mod verify;
mod why;

pub use roots::print as roots;

use crate::context::Globals;
use crate::error::{Code, Failure};
use clap::Subcommand;
use nix_store::{HostStore, StorePath};
use std::path::Path;

/// Look into the store, keep it small, and serve it
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Roots(roots::Args),
    Why(why::Args),
    Delete(delete::Args),
    Optimise(optimise::Args),
    Sign(sign::Args),
    Info(info::Args),
    Ls(files::LsArgs),
    Cat(files::CatArgs),
    Verify(verify::Args),
    Export(export::ExportArgs),
    Import(export::ImportArgs),
    Serve(serve::Args),
    Ping(ping::Args),
}

pub fn run(globals: &Globals, args: &Args) -> anyhow::Result<()> {
    match &args.what {
        What::Roots(args) => roots::run(globals, args),
        What::Why(args) => why::run(globals, args),
        What::Delete(args) => delete::run(globals, args),
        What::Optimise(args) => optimise::run(globals, args),
        What::Sign(args) => sign::run(globals, args),
        What::Info(args) => info::run(globals, args),
        What::Ls(args) => files::ls(globals, args),
        What::Cat(args) => files::cat(globals, args),
        What::Verify(args) => verify::run(globals, args),
        What::Export(args) => export::export(globals, args),
        What::Import(args) => export::import(globals, args),
        What::Serve(args) => serve::run(globals, args),
        What::Ping(args) => ping::run(globals, args),
    }
}

/// The store path that a file is or lies in; a symlink, such as `./result`, is followed.
pub fn store_path(store: &HostStore, named: &Path) -> anyhow::Result<StorePath> {
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
