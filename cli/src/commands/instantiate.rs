//! `hc instantiate`: derivations from Nix files, written to the store.

use crate::context::Globals;
use crate::error::{Code, Coded};
use crate::evaluation::{EvalArgs, failure, file, file_path, here, stdin, with_evaluator};
use hc_deploy::StoreIo;
use nix_compat::StoreDir;
use nix_lang::{Evaluator, Value};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Evaluate Nix files to derivations, write these to the store and print their paths
///
/// Takes files, `-` for standard input, or with --expr expressions; without any, default.nix. With
/// --eval it prints values, with --parse what the parser made of the text.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Files, `-` or <NAME>; with --expr expressions
    #[arg(value_name = "FILE", allow_hyphen_values = false)]
    files: Vec<String>,
    /// What is given are expressions, not files
    #[arg(short = 'E', long)]
    expr: bool,
    /// Take this attribute, such as pkgs.hello or list.0 (may be given more than once)
    #[arg(short = 'A', long, value_name = "PATH")]
    attr: Vec<String>,
    /// Print values; nothing is written to the store
    #[arg(long, alias = "eval-only")]
    eval: bool,
    /// Print what the parser made of the text
    #[arg(long, alias = "parse-only")]
    parse: bool,
    /// Print where <NAME> of each FILE is found
    #[arg(long)]
    find_file: bool,
    /// With --eval: evaluate all of the value
    #[arg(long)]
    strict: bool,
    /// With --eval: print JSON
    #[arg(long, conflicts_with_all = ["xml", "raw"])]
    json: bool,
    /// With --eval: print XML
    #[arg(long, conflicts_with = "raw")]
    xml: bool,
    /// With --xml: leave out where attributes and functions are
    #[arg(long)]
    no_location: bool,
    /// With --eval: print a string as it is
    #[arg(long)]
    raw: bool,
    /// With --eval: write derivations to the store as without it
    #[arg(long)]
    read_write_mode: bool,
    /// Write nothing to the store
    #[arg(long, alias = "readonly-mode", conflicts_with = "read_write_mode")]
    dry_run: bool,
    /// Make a symlink to the derivation, and keep what it points at from being collected
    #[arg(long, value_name = "LINK")]
    add_root: Option<PathBuf>,
    /// Links of --add-root may be anywhere; they always may
    #[arg(long, hide = true)]
    indirect: bool,
    #[command(flatten)]
    evaluation: EvalArgs,
}

pub fn run(globals: &Globals, args: &Args) -> anyhow::Result<()> {
    let mut plan = args.evaluation.plan(false)?;
    if (args.eval && !args.read_write_mode) || args.dry_run {
        plan.io.read_only = true;
    }
    let unrooted = with_evaluator(globals, plan, |nix, io| {
        let mut verb = Verb { nix, io, args, roots: 0 };
        verb.run()?;
        Ok(verb.roots == 0 && !args.eval && !args.parse && !args.find_file && !args.dry_run)
    })?;
    if unrooted {
        eprintln!(
            "warning: you did not specify '--add-root'; the result might be removed by the garbage collector"
        );
    }
    Ok(())
}

struct Verb<'v, 'a> {
    nix: &'v Evaluator<'a>,
    io: &'v StoreIo,
    args: &'v Args,
    roots: usize,
}

/// Prints as it goes: what was found before an error is of use.
fn print(text: &[u8]) -> anyhow::Result<()> {
    Ok(std::io::stdout().lock().write_all(text)?)
}

impl<'a> Verb<'_, 'a> {
    fn run(&mut self) -> anyhow::Result<()> {
        let (nix, args) = (self.nix, self.args);
        if args.find_file {
            for name in &args.files {
                let path = nix.find_file(name).map_err(failure)?;
                print(format!("{}\n", path.display()).as_bytes())?;
            }
            return Ok(());
        }
        let default = ["./default.nix".to_owned()];
        let files = match args.files.as_slice() {
            [] if !args.expr => default.as_slice(),
            files => files,
        };
        if args.parse {
            return files.iter().try_for_each(|file| self.parse(file));
        }
        let arguments = args.evaluation.arguments(nix)?;
        for file in files {
            let root = self.value(file)?;
            let whole = [String::new()];
            let paths = if args.attr.is_empty() { whole.as_slice() } else { &args.attr };
            for path in paths {
                let value = nix.select_attr_path(root, path, &arguments).map_err(failure)?;
                if args.eval {
                    self.show(value, &arguments)?;
                } else {
                    self.instantiate(value, &arguments)?;
                }
            }
        }
        Ok(())
    }

    fn value(&self, name: &str) -> anyhow::Result<Value<'a>> {
        if self.args.expr && name != "-" {
            return self.nix.eval_str(name, here()).map_err(failure);
        }
        file(self.nix, name)
    }

    fn parse(&self, name: &str) -> anyhow::Result<()> {
        let shown = if name == "-" {
            self.nix.show_parsed(&stdin()?, here())
        } else if self.args.expr {
            self.nix.show_parsed(name.as_bytes(), here())
        } else {
            self.nix.show_parsed_file(file_path(self.nix, name)?)
        };
        let mut shown = shown.map_err(failure)?;
        shown.push(b'\n');
        print(&shown)
    }

    fn show(&self, value: Value<'a>, arguments: &[(String, Value<'a>)]) -> anyhow::Result<()> {
        let (nix, args) = (self.nix, self.args);
        let value = match arguments {
            [] => value,
            arguments => nix.auto_call(value, arguments).map_err(failure)?,
        };
        let mut text = if args.raw {
            let text = nix.to_text(value).map_err(failure)?.0;
            return print(&text);
        } else if args.xml {
            let text = nix.xml_text(value, args.strict, !args.no_location).map_err(failure)?;
            return print(text.as_bytes());
        } else if args.json && args.strict {
            nix.to_json_text(value).map_err(failure)?.into_bytes()
        } else if args.json {
            nix.to_json_text_lazy(value).map_err(failure)?.into_bytes()
        } else if args.strict {
            let value = nix.force_deep(value).map_err(failure)?;
            nix.print_plain_bytes(value).map_err(failure)?
        } else {
            nix.print_plain_lazily(value).map_err(failure)?
        };
        text.push(b'\n');
        print(&text)
    }

    fn instantiate(
        &mut self,
        value: Value<'a>,
        arguments: &[(String, Value<'a>)],
    ) -> anyhow::Result<()> {
        for package in self.nix.packages(value, arguments).map_err(failure)? {
            let mut shown = package.drv_path.clone();
            if !self.args.dry_run {
                let drv = StoreDir::default()
                    .parse_path(package.drv_path.as_bytes())
                    .code(Code::Evaluation)?;
                let store = self.io.store().code(Code::Host)?;
                if !store.is_valid(&drv).code(Code::Host)? {
                    self.io.write_derivation(&store, &drv).code(Code::Build)?;
                }
                if let Some(link) = &self.args.add_root {
                    self.roots += 1;
                    let link = numbered(link, self.roots)?;
                    super::build::keep_link(&store, Path::new(&package.drv_path), &link)?;
                    shown = link.display().to_string();
                }
            }
            if package.output != "out" {
                shown.push('!');
                shown.push_str(&package.output);
            }
            print(format!("{shown}\n").as_bytes())?;
        }
        Ok(())
    }
}

/// The second root is `LINK-2`, and so on.
fn numbered(link: &Path, number: usize) -> anyhow::Result<PathBuf> {
    let link = std::path::absolute(link)?;
    if number == 1 {
        return Ok(link);
    }
    let mut name = link.into_os_string();
    name.push(format!("-{number}"));
    Ok(name.into())
}
