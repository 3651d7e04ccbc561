//! `hc eval`: evaluate Nix.

use crate::context::Globals;
use crate::error::{Code, Coded, Failure};
use crate::evaluation::{EvalArgs, failure, file, here, with_evaluator};
use crate::installable::{Installable, without_outputs};
use crate::locks::LockArgs;
use nix_lang::{ContextElem, Evaluator, PrintErrors, PrintOptions, Value};
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

/// Evaluate Nix: an output of a flake, a file, or an expression
///
/// Without --file and --expr, TARGET is a flake and an attribute of it: FLAKE#ATTRIBUTE. ATTRIBUTE
/// is looked for in packages.SYSTEM, in legacyPackages.SYSTEM and among the outputs; without it,
/// packages.SYSTEM.default is taken; with a dot in front, it is an output and nothing else.
/// Flakes and --expr are pure, --file is not.
///
/// Nothing is built but what evaluation has to read (import from derivation). The sources and
/// derivations that --raw and --json name are then in the store, where this user may write it.
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
    /// With --json: over several lines, as it is on terminals
    #[arg(long, overrides_with = "no_pretty")]
    pretty: bool,
    /// With --json: on one line, also on terminals
    #[arg(long)]
    no_pretty: bool,
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
    #[arg(long, alias = "readonly-mode")]
    read_only: bool,
    #[command(flatten)]
    evaluation: EvalArgs,
    #[command(flatten)]
    lock: LockArgs,
}

pub fn run(globals: &Globals, args: &Args) -> anyhow::Result<()> {
    if args.file.is_some() {
        args.evaluation.file_allowed()?;
    }
    let mut plan = args.evaluation.plan_with(globals, args.file.is_none(), &args.lock)?;
    if args.read_only {
        plan.io.read_only = true;
    }
    let text = with_evaluator(globals, plan, |nix, io| {
        let (text, context) = text(nix, args)?;
        // Whoever gets the name of a source or derivation can then open it, where this user has a store.
        if !args.read_only && !context.is_empty() && io.store().is_ok() {
            io.write(&context).code(Code::Build)?;
        }
        Ok(text)
    })?;
    std::io::stdout().lock().write_all(&text)?;
    Ok(())
}

/// What is printed, and what it depends on.
fn text(nix: &Evaluator<'_>, args: &Args) -> anyhow::Result<(Vec<u8>, Vec<ContextElem>)> {
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
        return Ok((Vec::new(), Vec::new()));
    }
    if args.raw {
        return nix.to_text(value).map_err(failure);
    }
    let mut context = Vec::new();
    let mut text = if args.json {
        let (text, depends) = nix.json_text(value).map_err(failure)?;
        context = depends;
        let terminal = std::io::stdout().is_terminal();
        if args.pretty || (terminal && !args.no_pretty) { pretty(&text) } else { text.into_bytes() }
    } else {
        let errors = if args.strict { PrintErrors::Fail } else { PrintErrors::FailOutermost };
        let options = PrintOptions { errors, ..PrintOptions::default() };
        nix.print_with(value, &options).map_err(failure)?
    };
    text.push(b'\n');
    Ok((text, context))
}

/// JSON over several lines, two spaces a level. What it says stays the text it is.
fn pretty(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() * 2);
    let (mut depth, mut quoted, mut escaped) = (0, false, false);
    let line = |out: &mut Vec<u8>, depth: usize| {
        out.push(b'\n');
        out.resize(out.len() + 2 * depth, b' ');
    };
    let mut bytes = text.bytes().peekable();
    while let Some(byte) = bytes.next() {
        if quoted {
            quoted = byte != b'"' || escaped;
            escaped = byte == b'\\' && !escaped;
            out.push(byte);
            continue;
        }
        match byte {
            b'{' | b'[' => {
                out.push(byte);
                match bytes.next_if(|next| matches!(next, b'}' | b']')) {
                    Some(end) => out.push(end),
                    None => {
                        depth += 1;
                        line(&mut out, depth);
                    }
                }
            }
            b'}' | b']' => {
                depth -= 1;
                line(&mut out, depth);
                out.push(byte);
            }
            b',' => {
                out.push(byte);
                line(&mut out, depth);
            }
            b':' => out.extend_from_slice(b": "),
            _ => {
                quoted = byte == b'"';
                out.push(byte);
            }
        }
    }
    out
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
        return Installable::parse(nix, target.unwrap_or("."))?.select(nix, &args.lock.options()?);
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

#[cfg(test)]
mod tests {
    use super::pretty;

    #[test]
    fn json_over_several_lines_is_what_it_was() {
        let text = r#"{"a":[],"b":{"c\\\"}":[1,{}]},"d":"e:{,"}"#;
        let shown = String::from_utf8(pretty(text)).unwrap();
        let lines = [
            "{",
            r#"  "a": [],"#,
            r#"  "b": {"#,
            r#"    "c\\\"}": ["#,
            "      1,",
            "      {}",
            "    ]",
            "  },",
            r#"  "d": "e:{,""#,
            "}",
        ];
        assert_eq!(shown, lines.join("\n"));
        let read = |text| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(read(text), read(&shown));
    }
}
