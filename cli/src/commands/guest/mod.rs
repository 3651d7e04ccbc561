//! `hc guest`: what hc does inside a machine.

mod escape;

use clap::Subcommand;
use std::process::ExitCode;

/// What hc does inside a machine
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    part: Part,
}

#[derive(Debug, Subcommand)]
enum Part {
    /// Say READY=1 and wait until told to stop: a machine that is only there
    Init,
    /// Wait for ever without ever saying that it is ready
    Wait,
    Escape(escape::Args),
    /// Print a variable of the environment
    Env {
        /// Name of the variable
        name: String,
    },
}

pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    match &args.part {
        Part::Init => init(),
        Part::Wait => wait(),
        Part::Escape(args) => escape::run(args),
        Part::Env { name } => {
            crate::output::line(std::env::var(name)?)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Waits for SIGTERM or SIGINT. Orphans are reaped by the machine's own process 1.
fn init() -> anyhow::Result<ExitCode> {
    use tokio::signal::unix::{SignalKind, signal};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        // Listen before saying ready: a stop that comes at once must not kill us the hard way.
        let mut term = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        sd_notify::notify(&[sd_notify::NotifyState::Ready])?;
        crate::output::line("ready")?;
        tokio::select! {
            _ = term.recv() => {}
            _ = interrupt.recv() => {}
        }
        sd_notify::notify(&[sd_notify::NotifyState::Stopping])?;
        Ok(ExitCode::SUCCESS)
    })
}

/// For machines that are started by hand, and for tests of what waits for readiness.
fn wait() -> ! {
    loop {
        std::thread::park();
    }
}
