//! `hc shell`: a login in a machine that runs.

use crate::context::Globals;
use crate::error::{Code, Failure};
use std::io::IsTerminal;
use std::process::ExitCode;

/// Log in to a running machine: the user's shell, or the best one its image has
///
/// On a terminal it has a terminal of its own; otherwise it reads commands from standard input.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// User in the machine: a name, or UID[:GID]
    #[arg(short, long)]
    user: Option<String>,
    /// Name of the machine
    machine: String,
}

pub fn run(globals: &Globals, args: &Args) -> anyhow::Result<ExitCode> {
    Globals::need_root("shell")?;
    hc_spec::Name::new(args.machine.as_str())?;
    let mut config = hc_runtime::ExecConfig::new(&globals.run_dir, &args.machine, Vec::new());
    config.store_root.clone_from(&globals.store);
    config.tty = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    config.user.clone_from(&args.user);
    // What the terminal in front can do, and nothing else of this environment.
    for key in ["TERM", "COLORTERM", "LANG"] {
        if let Ok(value) = std::env::var(key) {
            config.env.insert(key.into(), value);
        }
    }
    let code = hc_runtime::exec(&config).map_err(|error| {
        Failure::new(Code::Failed, error.to_string()).hint("`hc ps` lists what runs")
    })?;
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX)))
}
