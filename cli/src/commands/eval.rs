//! `hc eval`: evaluate Nix.

use crate::context::Globals;
use crate::error::{Code, Failure};
use crate::evaluation::{EvalArgs, LockArgs, failure, file, here, with_evaluator};
use crate::installable::{Installable, without_outputs};
use nix_lang::{Evaluator, PrintErrors, PrintOptions, Value};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Evaluate Nix: an output of a flake, a file, or an expression
///
/// Without --file and --expr, TARGET is a flake and an attribute of it: FLAKE#ATTRIBUTE. ATTRIBUTE
/// is looked for in packages.SYSTEM, in legacyPackages.SYSTEM and among the outputs; without it,
/// packages.SYSTEM.default is taken; with a dot in front, it is an output and nothing else.
/// Flakes and --expr are pure, --file is not.
///
/// Nothing is written or built but what evaluation has to read (import from derivation).
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Flake and attribute, as FLAKE#ATTRIBUTE; with --file or --expr the attribute alone
    target: Option<String>,
    /// Evaluate this file; `-` is standard input, <NAME> one of the search path
    #[arg(short, long, conflicts_with = "expr")]
    file: Option<String>,
    /// Evaluate this expression
    #[arg(short = 'E', long, value_name = "NIX", allow_hyphen_values = true)]
    expr: Option<String>,
    /// Apply this function to the value
    #[arg(long, value_name = "NIX")]
    apply: Option<String>,
    /// Print JSON
    #[arg(long, conflicts_with_all = ["raw", "write_to"])]
    json: bool,
    /// Print a string as it is
    #[arg(long, conflicts_with = "write_to")]
    raw: bool,
    /// Fail on an error anywhere in the value, rather than show it in its place
    #[arg(long)]
    strict: bool,
    /// Write a string to this file, or a set of strings to files in this directory
    #[arg(long, value_name = "PATH")]
    write_to: Option<PathBuf>,
    /// Neither write nor build anything
    #[arg(long)]
    read_only: bool,
    #[command(flatten)]
    evaluation: EvalArgs,
    #[command(flatten)]
    lock: LockArgs,
}

pub fn run(globals: &Globals, args: &Args) -> anyhow::Result<()> {
    let mut plan = args.evaluation.plan(args.file.is_none())?;
    if args.read_only {
        plan.io.read_only = true;
    }
    let text = with_evaluator(globals, plan, |nix, _| text(nix, args))?;
    std::io::stdout().lock().write_all(&text)?;
    Ok(())
}

fn text(nix: &Evaluator<'_>, args: &Args) -> anyhow::Result<Vec<u8>> {
    let mut value = value(nix, args)?;
    if let Some(function) = &args.apply {
        let function = nix.eval_str(function, here()).map_err(failure)?;
        value = nix.apply(function, value).map_err(failure)?;
    }
    if let Some(path) = &args.write_to {
        if path.symlink_metadata().is_ok() {
            return Err(Failure::new(
                Code::Failed,
                format!("path '{}' already exists", path.display()),
            )
            .into());
        }
        write(nix, value, path)?;
        return Ok(Vec::new());
    }
    if args.raw {
        return nix.to_text(value).map(|(text, _)| text).map_err(failure);
    }
    let mut text = if args.json {
        nix.to_json_text(value).map_err(failure)?.into_bytes()
    } else {
        let errors = if args.strict { PrintErrors::Fail } else { PrintErrors::FailOutermost };
        let options = PrintOptions { errors, ..PrintOptions::default() };
        nix.print_with(value, &options).map_err(failure)?
    };
    text.push(b'\n');
    Ok(text)
}

fn value<'a>(nix: &Evaluator<'a>, args: &Args) -> anyhow::Result<Value<'a>> {
    let by_hand = match (&args.expr, &args.file) {
        (Some(expression), _) => Some(nix.eval_str(expression, here()).map_err(failure)?),
        (None, Some(name)) => Some(file(nix, name)?),
        (None, None) => None,
    };
    let target = args.target.as_deref();
    let Some(value) = by_hand else {
        if args.evaluation.has_arguments() {
            let message = "--arg and --argstr are for functions in files; flakes take none";
            return Err(Failure::new(Code::Failed, message).into());
        }
        return Installable::parse(nix, target.unwrap_or("."))?.select(nix, &args.lock.options());
    };
    let path = match without_outputs(target.unwrap_or_default()) {
        "." => "",
        path => path,
    };
    let arguments = args.evaluation.arguments(nix)?;
    nix.select_attr_path(value, path, &arguments).map_err(failure)
}

/// Writes a string to a file, a set to a directory.
fn write<'a>(nix: &Evaluator<'a>, value: Value<'a>, path: &Path) -> anyhow::Result<()> {
    match nix.force_value(value).map_err(failure)? {
        Value::String(string) => Ok(hc_fs::plain::write(path, string.bytes(), 0o644)?),
        value @ Value::Attrs(_) => {
            hc_fs::plain::create_dir(path, 0o755)?;
            for (name, value) in nix.attributes(value).map_err(failure)? {
                if matches!(name.as_str(), "." | "..") || name.contains('/') {
                    let message = format!("invalid file name '{name}'");
                    return Err(Failure::new(Code::Evaluation, message).into());
                }
                write(nix, value, &path.join(name))?;
            }
            Ok(())
        }
        other => {
            let message = format!(
                "what goes to '{}' is neither a string nor a set, but a {}",
                path.display(),
                other.type_name()
            );
            Err(Failure::new(Code::Evaluation, message).into())
        }
    }
}
