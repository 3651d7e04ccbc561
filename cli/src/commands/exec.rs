//! `hc exec`: one more program in a machine that runs.

use crate::context::Globals;
use crate::error::{Code, Failure};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

/// Run a command in a running machine
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Keep standard input open; without it the command reads nothing
    #[arg(short, long)]
    interactive: bool,
    /// Give it a terminal of its own
    #[arg(short, long)]
    tty: bool,
    /// User in the machine: a name, or UID[:GID]
    #[arg(short, long)]
    user: Option<String>,
    /// Directory in the machine
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<PathBuf>,
    /// Set a variable
    #[arg(short, long, value_name = "KEY=VALUE", value_parser = variable)]
    env: Vec<(String, String)>,
    /// Name of the machine
    machine: String,
    /// Program and arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

/// `KEY=VALUE`.
pub fn variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.into(), value.into())),
        _ => Err("write KEY=VALUE".into()),
    }
}

pub fn run(globals: &Globals, args: &Args) -> anyhow::Result<ExitCode> {
    Globals::need_root("exec")?;
    hc_spec::Name::new(args.machine.as_str())?;
    if !args.interactive && !args.tty {
        detach_stdin()?;
    }
    let mut config =
        hc_runtime::ExecConfig::new(&globals.run_dir, &args.machine, args.command.clone());
    config.store_root.clone_from(&globals.store);
    config.tty = args.tty;
    config.user.clone_from(&args.user);
    config.workdir.clone_from(&args.workdir);
    config.env = args.env.iter().cloned().collect::<BTreeMap<_, _>>();
    let code = hc_runtime::exec(&config).map_err(|error| {
        Failure::new(Code::Failed, error.to_string()).hint("`hc ps` lists what runs")
    })?;
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX)))
}

/// Makes /dev/null the standard input, so that a command in a script does not eat the script.
fn detach_stdin() -> anyhow::Result<()> {
    let null = std::fs::File::open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    Ok(())
}
