//! What has been said so far, and what a line means.

use super::build;
use crate::error::report;
use crate::evaluation::{failure, file, here};
use crate::installable::Installable;
use hc_deploy::StoreIo;
use nix_lang::{ErrorKind, Evaluator, FlakeOptions, PrintErrors, PrintOptions, Value};
use std::collections::BTreeMap;

/// What to do after a line.
pub enum Next {
    /// It goes on: more of it is to be read.
    More,
    /// The next one.
    Line,
    /// End.
    Quit,
}

/// Commands and what they do, for `:?`.
pub const COMMANDS: &[(&str, &str)] = &[
    (":a, :add NIX", "Add the attributes of a set to the variables"),
    (":b NIX", "Build a derivation"),
    (":bl NIX", "Build a derivation, and link to it from here, which keeps it"),
    (":doc NIX", "Show what is written about a function"),
    (":e, :edit NIX", "Open the file of a function or package in $EDITOR"),
    (":env", "Show the variables that were added"),
    (":l, :load FILE", "Load a file and add its attributes to the variables"),
    (":lf, :load-flake FLAKE", "Load a flake and add its outputs to the variables"),
    (":ll, :last-loaded", "Show what was added last"),
    (":log NIX", "Show what the build of a derivation wrote"),
    (":p, :print NIX", "Evaluate all of a value and print it; a string as it is"),
    (":q, :quit", "End"),
    (":r, :reload", "Load files and flakes again"),
    (":t NIX", "Show the type of a value"),
    (":te, :trace-enable [BOOL]", "Show every step of the trail of errors, or not"),
    (":?, :help", "Show this"),
];

pub struct Session<'s, 'a> {
    nix: &'s Evaluator<'a>,
    io: &'s StoreIo,
    arguments: Vec<(String, Value<'a>)>,
    scope: Vec<(String, Value<'a>)>,
    loaded: Vec<(bool, String)>,
    last: Vec<String>,
    colour: bool,
    pub lock: FlakeOptions,
}

impl<'s, 'a> Session<'s, 'a> {
    pub fn new(
        nix: &'s Evaluator<'a>,
        io: &'s StoreIo,
        arguments: Vec<(String, Value<'a>)>,
        colour: bool,
    ) -> Self {
        Self {
            nix,
            io,
            arguments,
            scope: Vec::new(),
            loaded: Vec::new(),
            last: Vec::new(),
            colour,
            lock: FlakeOptions::default(),
        }
    }

    /// The variables, and the attributes of those that are sets.
    pub fn names(&self) -> (Vec<String>, BTreeMap<String, Vec<String>>) {
        let mut names = self.nix.global_names();
        let mut sets: Vec<(String, Value<'a>)> = self.scope.clone();
        if let Ok(builtins) = self.nix.eval_str("builtins", "/") {
            sets.push(("builtins".to_owned(), builtins));
        }
        names.extend(self.scope.iter().map(|(name, _)| name.clone()));
        names.sort();
        names.dedup();
        let attributes = sets.into_iter().filter_map(|(name, value)| {
            let found = self.nix.known_attributes(value)?;
            Some((name, found))
        });
        (names, attributes.collect())
    }

    /// Does what a line says; errors are printed.
    pub fn line(&mut self, line: &str) -> Next {
        let line = line.trim();
        if line.is_empty() {
            return Next::Line;
        }
        if matches!(line, ":q" | ":quit") {
            return Next::Quit;
        }
        let result = match line.strip_prefix(':') {
            Some(command) => self.command(command),
            None => self.expression(line),
        };
        match result {
            Ok(next) => next,
            Err(error) => {
                report(&error);
                Next::Line
            }
        }
    }

    /// Says what is wrong with input that ended too early.
    pub fn unfinished(&self, input: &str) {
        if let Err(error) = self.nix.eval_in(input.trim(), here(), &self.scope) {
            report(&failure(error));
        }
    }

    fn eval(&self, text: &str) -> Result<Option<Value<'a>>, anyhow::Error> {
        match self.nix.eval_in(text, here(), &self.scope) {
            Ok(value) => Ok(Some(value)),
            Err(error) if is_unfinished(&error) => Ok(None),
            Err(error) => Err(failure(error)),
        }
    }

    fn expression(&mut self, line: &str) -> anyhow::Result<Next> {
        // `x = 1` and `inherit (y) z` first, with or without the semicolon.
        for text in [format!("{{ {line} }}"), format!("{{ {line}; }}")] {
            if let Ok(value @ Value::Attrs(_)) = self.nix.eval_in(&text, here(), &self.scope) {
                let added = self.nix.attributes(value).map_err(failure)?;
                self.add(added);
                return Ok(Next::Line);
            }
        }
        let Some(value) = self.eval(line)? else { return Ok(Next::More) };
        self.print(value, 1)?;
        Ok(Next::Line)
    }

    fn print(&self, value: Value<'a>, depth: usize) -> anyhow::Result<()> {
        let options = PrintOptions {
            indent: 2,
            depth,
            colour: self.colour,
            errors: PrintErrors::FailOutermost,
        };
        let text = self.nix.print_with(value, &options).map_err(failure)?;
        crate::output::line(String::from_utf8_lossy(&text))?;
        crate::output::line("")
    }

    fn add(&mut self, added: Vec<(String, Value<'a>)>) {
        for (name, value) in added {
            self.scope.retain(|(known, _)| *known != name);
            self.scope.push((name, value));
        }
    }

    /// Adds the attributes of a set and says so.
    fn add_set(&mut self, value: Value<'a>) -> anyhow::Result<()> {
        const SHOWN: usize = 20;
        let added = self.nix.attributes(value).map_err(failure)?;
        self.last = added.iter().map(|(name, _)| name.clone()).collect();
        eprintln!("Added {} variables.", added.len());
        eprintln!("{}", self.last[..self.last.len().min(SHOWN)].join(", "));
        if self.last.len() > SHOWN {
            eprintln!("... and {} more; view with :ll", self.last.len() - SHOWN);
        }
        self.add(added);
        Ok(())
    }

    fn command(&mut self, command: &str) -> anyhow::Result<Next> {
        let (name, text) = command.split_once(char::is_whitespace).unwrap_or((command, ""));
        let text = text.trim();
        match name {
            "?" | "help" => {
                crate::output::line("  NIX                          Evaluate and print")?;
                crate::output::line("  NAME = NIX                   Bind a variable")?;
                for (names, what) in COMMANDS {
                    crate::output::line(format!("  {names:<28} {what}"))?;
                }
                return Ok(Next::Line);
            }
            "env" => {
                for (name, _) in &self.scope {
                    crate::output::line(name)?;
                }
                return Ok(Next::Line);
            }
            "ll" | "last-loaded" => {
                for name in &self.last {
                    crate::output::line(name)?;
                }
                return Ok(Next::Line);
            }
            "te" | "trace-enable" => {
                let on = match text {
                    "true" => true,
                    "false" => false,
                    "" => !self.nix.shows_trace(),
                    other => anyhow::bail!("unexpected argument '{other}' to :{name}"),
                };
                self.nix.show_trace(on);
                crate::output::line(match on {
                    true => "showing error traces",
                    false => "not showing error traces",
                })?;
                return Ok(Next::Line);
            }
            "l" | "load" | "lf" | "load-flake" => {
                self.load(name.starts_with("lf") || name == "load-flake", text)?;
                self.loaded.retain(|(_, known)| known != text);
                self.loaded.push((name.starts_with("lf") || name == "load-flake", text.to_owned()));
                return Ok(Next::Line);
            }
            "r" | "reload" => {
                self.nix.forget_files();
                self.scope.clear();
                for (flake, text) in self.loaded.clone() {
                    self.load(flake, &text)?;
                }
                return Ok(Next::Line);
            }
            "i" | "sh" | "u" => return Err(build::elsewhere(name)),
            "a" | "add" | "b" | "bl" | "doc" | "e" | "edit" | "log" | "p" | "print" | "t" => {}
            other => anyhow::bail!("unknown command ':{other}'; :? lists what there is"),
        }
        let Some(value) = self.eval(text)? else { return Ok(Next::More) };
        match name {
            "a" | "add" => self.add_set(value)?,
            "t" => crate::output::line(self.nix.describe(value).map_err(failure)?)?,
            "doc" => crate::output::line(self.doc(value, text)?)?,
            "e" | "edit" => self.edit(value)?,
            "b" => build::build(self.nix, self.io, value, false)?,
            "bl" => build::build(self.nix, self.io, value, true)?,
            "log" => build::log(self.nix, self.io, value)?,
            _ => match value {
                Value::String(string) => crate::output::line(string.text())?,
                value => self.print(value, usize::MAX)?,
            },
        }
        Ok(Next::Line)
    }

    fn load(&mut self, flake: bool, text: &str) -> anyhow::Result<()> {
        let value = if flake {
            Installable::parse(self.nix, text)?.flake(self.nix, &self.lock)?
        } else {
            self.nix.forget_files();
            let value = file(self.nix, text)?;
            self.nix.auto_call(value, &self.arguments).map_err(failure)?
        };
        self.add_set(value)
    }

    fn doc(&self, value: Value<'a>, text: &str) -> anyhow::Result<String> {
        self.nix
            .documentation(value)
            .ok_or_else(|| anyhow::anyhow!("nothing is written about '{text}'"))
    }

    fn edit(&self, value: Value<'a>) -> anyhow::Result<()> {
        let at = match self.nix.place_of(value) {
            Some(at) => (at.file, at.line),
            None => {
                let path = ["meta", "position"];
                let position = match self.nix.find_path(value, &path).map_err(failure)? {
                    Some(position) => self.nix.to_text(position).map_err(failure)?.0,
                    None => self.nix.to_text(value).map_err(failure)?.0,
                };
                let text = String::from_utf8_lossy(&position).into_owned();
                match text.rsplit_once(':').map(|(file, line)| (file.to_owned(), line.parse())) {
                    Some((file, Ok(line))) => (file, line),
                    _ => (text, 1),
                }
            }
        };
        let editor = std::env::var("EDITOR").unwrap_or_else(|_| "vi".to_owned());
        let status = std::process::Command::new("sh")
            .args(["-c", &format!("{editor} \"$@\""), "sh", &format!("+{}", at.1), &at.0])
            .status()?;
        anyhow::ensure!(status.success(), "'{editor}' ended with {status}");
        Ok(())
    }
}

fn is_unfinished(error: &nix_lang::Error) -> bool {
    error.kind() == ErrorKind::Syntax
        && error.message().contains("unexpected end of file")
        && error.location().is_none_or(|at| !at.is_file)
}
