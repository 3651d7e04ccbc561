//! `hc net`: networks of this host, and who reaches whom.

mod exchange;
mod key;
mod ls;
mod peer;
mod show;
mod trace;

use crate::context::Globals;
use clap::Subcommand;

/// Look at the networks of this host
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Ls(ls::Args),
    Show(show::Args),
    Trace(trace::Args),
    Key(key::Args),
    Peer(peer::Args),
    #[command(hide = true)]
    Exchange(exchange::Args),
}

pub fn run(globals: &Globals, args: &Args) -> anyhow::Result<()> {
    match &args.what {
        What::Ls(args) => ls::run(globals, args),
        What::Show(args) => show::run(globals, args),
        What::Trace(args) => trace::run(globals, args),
        What::Key(args) => key::run(globals, args),
        What::Peer(args) => peer::run(globals, args),
        What::Exchange(args) => exchange::run(globals, args),
    }
}
