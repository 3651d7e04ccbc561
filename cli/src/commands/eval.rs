//! `hc eval`: evaluate Nix.

use crate::context::Globals;
use crate::error::{Code, Coded};
use crate::nix_io::{self, open_io};
use crate::output;
use nix_lang::{Arena, Evaluator, FlakeOptions, Settings, Value};
use std::io::Write;
use std::path::PathBuf;

/// Evaluate Nix: an output of a flake, a file, or an expression
///
/// Nothing is written or built but what evaluation has to read (import from derivation).
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Flake and attribute, as PATH#ATTRIBUTE; with --file or --expr the attribute alone
    #[arg(default_value = "")]
    target: String,
    /// Evaluate this file
    #[arg(short, long, conflicts_with = "expr")]
    file: Option<PathBuf>,
    /// Evaluate this expression
    #[arg(short = 'E', long, value_name = "NIX")]
    expr: Option<String>,
    /// Apply this function to the value
    #[arg(long, value_name = "NIX")]
    apply: Option<String>,
    /// Print JSON
    #[arg(long, conflicts_with = "raw")]
    json: bool,
    /// Print a string as it is
    #[arg(long)]
    raw: bool,
    /// Let expressions see the environment, the time and any file; flakes are pure without it
    #[arg(long)]
    impure: bool,
    /// Show every step of an error's trail
    #[arg(long)]
    show_trace: bool,
}

pub fn run(globals: &Globals, args: &Args) -> anyhow::Result<()> {
    let text = nix_lang::on_big_stack(|| evaluate(globals, args))??;
    let mut out = std::io::stdout().lock();
    out.write_all(&text)?;
    if !args.raw {
        writeln!(out)?;
    }
    Ok(())
}

fn evaluate(globals: &Globals, args: &Args) -> anyhow::Result<Vec<u8>> {
    // As with Nix: files and expressions given by hand are impure, flakes are pure.
    let by_hand = args.file.is_some() || args.expr.is_some();
    let environment = by_hand || args.impure;
    let io = open_io(globals, nix_io::Eval { environment, ..nix_io::Eval::default() });
    let settings = Settings {
        pure: !(by_hand || args.impure),
        show_trace: args.show_trace,
        colour: output::colour(&std::io::stderr()),
        ..Settings::default()
    };
    let arena = Arena::new();
    let nix = Evaluator::new(&arena, &io, settings);
    text(&nix, args)
        .map_err(|error| anyhow::anyhow!(error.report().to_owned()))
        .code(Code::Evaluation)
}

fn text(nix: &Evaluator<'_>, args: &Args) -> nix_lang::Result<Vec<u8>> {
    let mut value = value(nix, args)?;
    if let Some(function) = &args.apply {
        value = nix.apply(nix.eval_str(function, here())?, value)?;
    }
    if args.json {
        return nix.to_json_text(value).map(String::into_bytes);
    }
    if args.raw {
        return nix.to_text(value).map(|(text, _)| text);
    }
    let value = nix.force_deep(value)?;
    nix.print(value).map(String::into_bytes)
}

fn value<'a>(nix: &Evaluator<'a>, args: &Args) -> nix_lang::Result<Value<'a>> {
    let (value, attribute) = if let Some(expression) = &args.expr {
        (nix.eval_str(expression, here())?, args.target.as_str())
    } else if let Some(file) = &args.file {
        (nix.eval_file(here().join(file))?, args.target.as_str())
    } else {
        let (flake, attribute) = nix.flake_reference(&flake_or_here(&args.target), &here())?;
        let value = nix.flake_at(&flake, &FlakeOptions::default())?;
        let path: Vec<&str> = attribute.split('.').filter(|name| !name.is_empty()).collect();
        return nix.select_path(value, &path);
    };
    let path: Vec<&str> = attribute.split('.').filter(|name| !name.is_empty()).collect();
    nix.select_path(value, &path)
}

/// `.` where only an attribute is said.
fn flake_or_here(target: &str) -> String {
    match target {
        "" => ".".into(),
        target if target.starts_with('#') => format!(".{target}"),
        target => target.into(),
    }
}

fn here() -> PathBuf {
    std::env::current_dir().unwrap_or_else(|_| "/".into())
}
