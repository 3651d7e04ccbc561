//! `hc console`: the serial console of a virtual machine.

use crate::context::Globals;
use crate::error::{Code, Failure};
use rustix::termios::isatty;

/// Watch and use the console of a virtual machine; Ctrl-] leaves it
///
/// What it said before comes first. Several may watch at once.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of the machine
    machine: String,
}

pub fn run(globals: &Globals, args: &Args) -> anyhow::Result<()> {
    Globals::need_root("console")?;
    hc_spec::Name::new(args.machine.as_str())?;
    if isatty(rustix::stdio::stdin()) {
        eprintln!("console of {}; Ctrl-] leaves it", args.machine);
    }
    let store = globals.store.as_deref();
    hc_runtime::console(&globals.run_dir, store, &args.machine).map_err(|error| {
        Failure::new(Code::Failed, error.to_string()).hint("`hc ps` lists what runs").into()
    })
}
