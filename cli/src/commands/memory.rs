//! `hc memory`: how much of its memory a virtual machine may use.

use crate::context::Globals;
use crate::error::{Code, Failure};
use hc_spec::Name;

/// Say how much of its memory a running microVM may use, until it is started again
///
/// The rest is the host's: its guest gives it back page by page, which `hc status` shows. A guest that is
/// left with too little takes some of it again rather than end programs.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The machine
    machine: Name,
    /// Bytes, such as 256M (1024 each), at most `vm.memory`
    #[arg(value_parser = super::gc::size)]
    size: u64,
}

pub fn run(globals: &Globals, args: &Args) -> anyhow::Result<()> {
    Globals::need_root("memory")?;
    hc_runtime::balloon(&globals.run_dir, args.machine.as_str(), args.size).map_err(|error| {
        Failure::new(Code::Failed, error.to_string())
            .hint("`hc ps` lists what runs; only microVMs have memory of their own to give back")
            .into()
    })
}
