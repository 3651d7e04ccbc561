//! One file per verb; this one only routes.

pub mod agent;
mod build;
mod builder;
mod completions;
mod console;
mod copy;
mod cp;
mod deploy;
mod destroy;
mod disk;
mod doctor;
mod eval;
mod evaluator;
mod exec;
mod flake;
mod fork;
mod gc;
mod generations;
mod guest;
mod image;
mod instantiate;
mod ip;
mod key;
mod lifecycle;
mod log;
mod logs;
mod machine;
mod memory;
mod net;
mod plan;
mod ps;
mod repl;
mod rollback;
mod run;
mod screen;
mod shell;
mod status;
mod store;
mod volume;
mod watch;

pub use build::{host_config, observe};

use crate::context::Globals;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use std::process::ExitCode;

/// Hybrid Cloud: machines from Nix files
#[derive(Debug, Parser)]
#[command(name = "hc", version, arg_required_else_help = true, after_help = crate::error::EXIT_CODES)]
pub struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Deploy(deploy::Args),
    Watch(watch::Args),
    Plan(plan::Args),
    Build(Box<build::Args>),
    Log(Box<log::Args>),
    Eval(Box<eval::Args>),
    Instantiate(Box<instantiate::Args>),
    Repl(Box<repl::Args>),
    Flake(flake::Args),
    Rollback(rollback::Args),
    Generations(generations::Args),
    Ps(ps::Args),
    Status(status::Args),
    Ip(ip::Args),
    Net(net::Args),
    Logs(logs::Args),
    Run(Box<run::Args>),
    Exec(exec::Args),
    Fork(fork::Args),
    Memory(memory::Args),
    Shell(shell::Args),
    Cp(cp::Args),
    Console(console::Args),
    Screen(screen::Args),
    Start(lifecycle::StartArgs),
    Stop(lifecycle::StopArgs),
    Restart(lifecycle::RestartArgs),
    Gc(gc::Args),
    Store(store::Args),
    Copy(copy::Args),
    Key(key::Args),
    Doctor(doctor::Args),
    Destroy(destroy::Args),
    Agent(agent::Args),
    Image(image::Args),
    Disk(disk::Args),
    Volume(volume::Args),
    Completions(completions::CompletionsArgs),
    Man(completions::ManArgs),
    #[command(hide = true)]
    Machine(machine::Args),
    #[command(hide = true)]
    Builder(builder::Args),
    #[command(hide = true)]
    Guest(guest::Args),
}

/// `hc machine …` alone, with the same arguments: a machine's start does not wait until the words of all
/// other verbs are made, a millisecond.
#[derive(Debug, Parser)]
#[command(name = "hc", version, after_help = crate::error::EXIT_CODES)]
struct MachineCli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    verb: MachineVerb,
}

#[derive(Debug, Subcommand)]
enum MachineVerb {
    Machine(machine::Args),
}

impl Cli {
    /// What this process was called with; ends it where that is nothing it can do.
    pub fn of_this_process() -> Self {
        if std::env::args_os().nth(1).is_some_and(|verb| verb == "machine") {
            let MachineCli { globals, verb: MachineVerb::Machine(args) } = MachineCli::parse();
            return Self { globals, verb: Verb::Machine(args) };
        }
        let matches = Self::command().get_matches();
        let cli = Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
        crate::nix_conf::heed(crate::settings::given(&matches));
        cli
    }
}

/// Runs one verb. Most end in 0 or in an error; those that pass on an exit code give it.
pub fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let globals = &cli.globals.absolute()?;
    match &cli.verb {
        Verb::Exec(args) => return exec::run(globals, args),
        Verb::Run(args) => return run::run(globals, args),
        Verb::Shell(args) => return shell::run(globals, args),
        Verb::Machine(args) => return machine::run(globals, args),
        Verb::Guest(args) => return guest::run(args),
        Verb::Deploy(args) => deploy::run(globals, args),
        Verb::Watch(args) => watch::run(globals, args),
        Verb::Plan(args) => plan::run(globals, args),
        Verb::Build(args) => build::run(globals, args),
        Verb::Log(args) => log::run(globals, args),
        Verb::Flake(args) => flake::run(globals, args),
        Verb::Eval(args) => eval::run(globals, args),
        Verb::Instantiate(args) => instantiate::run(globals, args),
        Verb::Repl(args) => repl::run(globals, args),
        Verb::Rollback(args) => rollback::run(globals, args),
        Verb::Generations(args) => generations::run(globals, args),
        Verb::Ps(args) => ps::run(globals, args),
        Verb::Status(args) => status::run(globals, args),
        Verb::Ip(args) => ip::run(globals, args),
        Verb::Net(args) => net::run(globals, args),
        Verb::Logs(args) => logs::run(globals, args),
        Verb::Fork(args) => fork::run(globals, args),
        Verb::Memory(args) => memory::run(globals, args),
        Verb::Cp(args) => cp::run(globals, args),
        Verb::Console(args) => console::run(globals, args),
        Verb::Screen(args) => screen::run(globals, args),
        Verb::Start(args) => lifecycle::start(globals, args),
        Verb::Stop(args) => lifecycle::stop(globals, args),
        Verb::Restart(args) => lifecycle::restart(globals, args),
        Verb::Gc(args) => gc::run(globals, args),
        Verb::Store(args) => store::run(globals, args),
        Verb::Copy(args) => copy::run(globals, args),
        Verb::Key(args) => key::run(args),
        Verb::Doctor(args) => doctor::run(globals, args),
        Verb::Destroy(args) => destroy::run(globals, args),
        Verb::Agent(args) => agent::run(globals, args),
        Verb::Image(args) => image::run(globals, args),
        Verb::Disk(args) => disk::run(globals, args),
        Verb::Volume(args) => volume::run(globals, args),
        Verb::Completions(args) => completions::completions(args),
        Verb::Man(args) => completions::man(args),
        Verb::Builder(args) => builder::run(args),
    }?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
        MachineCli::command().debug_assert();
    }
}
