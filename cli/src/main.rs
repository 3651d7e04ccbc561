//! `hc`: machines from Nix files. This crate parses arguments and prints; the libraries do.

mod commands;
mod context;
mod deployed;
mod error;
mod evaluation;
mod features;
mod host_keys;
mod installable;
mod locks;
mod nix_conf;
mod nix_io;
mod output;
mod pages;
mod progress;
mod remote;
mod search_path;
mod settings;
mod store_place;
mod warm;

use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = commands::Cli::of_this_process();
    match commands::run(cli) {
        Ok(code) => code,
        Err(error) => error::report(&error),
    }
}
