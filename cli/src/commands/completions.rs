//! `hc completions` and `hc man`: made from the same definition as the arguments.

use clap::CommandFactory;
use std::io::Write;
use std::path::PathBuf;

/// Print completions for a shell
#[derive(Debug, clap::Args)]
pub struct CompletionsArgs {
    shell: clap_complete::Shell,
}

/// Write the man pages into a directory
#[derive(Debug, clap::Args)]
pub struct ManArgs {
    /// Directory to write hc.1, hc-deploy.1, … into
    directory: PathBuf,
}

pub fn completions(args: &CompletionsArgs) -> anyhow::Result<()> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut super::Cli::command(), "hc", &mut text);
    std::io::stdout().lock().write_all(&text)?;
    Ok(())
}

pub fn man(args: &ManArgs) -> anyhow::Result<()> {
    hc_fs::plain::create_dir_all(&args.directory, 0o755)?;
    let command = super::Cli::command();
    write_pages(args, &command, "hc")
}

/// The page of a command, and those of the verbs below it.
fn write_pages(args: &ManArgs, command: &clap::Command, name: &str) -> anyhow::Result<()> {
    write_page(args, command, name)?;
    for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
        write_pages(args, verb, &format!("{name}-{}", verb.get_name()))?;
    }
    Ok(())
}

fn write_page(args: &ManArgs, command: &clap::Command, name: &str) -> anyhow::Result<()> {
    let mut page = Vec::new();
    // clap wants names that live as long as the program; this one ends in a moment.
    let leaked: &'static str = Box::leak(name.to_owned().into_boxed_str());
    clap_mangen::Man::new(command.clone().name(leaked)).render(&mut page)?;
    hc_fs::plain::write(&args.directory.join(format!("{name}.1")), &page, 0o644)?;
    Ok(())
}
