//! `hc repl`: Nix, line by line.

mod build;
mod complete;
mod session;

use crate::context::Globals;
use crate::evaluation::{EvalArgs, with_evaluator};
use crate::locks::LockArgs;
use crate::output;
use session::{Next, Session};
use std::io::{BufRead, IsTerminal};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Evaluate Nix line by line
///
/// Files and flakes given are loaded: what is in them can be used by name. `:?` lists what can be
/// typed. Reads a script from standard input when that is no terminal.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Files and flakes to load, and attributes of flakes (FLAKE#ATTRIBUTE)
    #[arg(value_name = "FILE|FLAKE")]
    targets: Vec<String>,
    /// Files to load
    #[arg(short, long)]
    file: Vec<String>,
    /// Expressions whose attributes can be used by name
    #[arg(short = 'E', long, value_name = "NIX", allow_hyphen_values = true)]
    expr: Vec<String>,
    /// Flakes to load
    #[arg(long, value_name = "FLAKE")]
    flake: Vec<String>,
    #[command(flatten)]
    evaluation: EvalArgs,
    #[command(flatten)]
    lock: LockArgs,
}

pub fn run(globals: &Globals, args: &Args) -> anyhow::Result<()> {
    let mut plan = args.evaluation.plan_with(globals, false, &args.lock)?;
    let stop = Arc::new(AtomicBool::new(false));
    plan.settings.interrupt = Some(stop.clone());
    let interactive = std::io::stdin().is_terminal();
    if interactive {
        interrupts(stop.clone())?;
        println!("hc {}: Nix, line by line. Type :? for help.", env!("CARGO_PKG_VERSION"));
    }
    with_evaluator(globals, plan, |nix, io| {
        let colour = output::colour(&std::io::stdout());
        let mut session = Session::new(nix, io, args.evaluation.arguments(nix)?, colour);
        session.lock = args.lock.options()?;
        let (files, flakes): (Vec<_>, Vec<_>) =
            args.targets.iter().partition(|target| is_file(Path::new(target)));
        for file in args.file.iter().chain(files) {
            session.line(&format!(":l {file}"));
        }
        for flake in args.flake.iter().chain(flakes) {
            session.line(&format!(":lf {flake}"));
        }
        for expression in &args.expr {
            session.line(&format!(":a {expression}"));
        }
        if interactive { talk(&mut session, &stop) } else { script(&mut session) }
    })
}

/// Whether a name on the command line is a Nix file, or a directory with a `default.nix` and no flake.
fn is_file(path: &Path) -> bool {
    path.is_file() || (path.join("default.nix").exists() && !path.join("flake.nix").exists())
}

/// Ctrl-C ends the evaluation under way, not the program.
fn interrupts(stop: Arc<AtomicBool>) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("interrupts".to_owned()).spawn(move || {
        runtime.block_on(async {
            while tokio::signal::ctrl_c().await.is_ok() {
                stop.store(true, Ordering::Relaxed);
            }
        });
    })?;
    Ok(())
}

/// Lines of a pipe or file.
fn script(session: &mut Session<'_, '_>) -> anyhow::Result<()> {
    let mut input = String::new();
    for line in std::io::stdin().lock().lines() {
        input.push_str(&line?);
        match session.line(&input) {
            Next::More => input.push('\n'),
            Next::Line => input.clear(),
            Next::Quit => return Ok(()),
        }
    }
    if !input.trim().is_empty() {
        session.unfinished(&input);
    }
    Ok(())
}

/// Lines of a person.
fn talk(session: &mut Session<'_, '_>, stop: &AtomicBool) -> anyhow::Result<()> {
    let mut editor = rustyline::Editor::<complete::Helper, _>::new()?;
    editor.set_helper(Some(complete::Helper::default()));
    let history = history();
    if let Some(file) = &history {
        // There is none the first time.
        let _ = editor.load_history(file);
    }
    let mut input = String::new();
    loop {
        if let Some(helper) = editor.helper_mut() {
            helper.update(session);
        }
        let prompt = if input.is_empty() { "nix-repl> " } else { "        > " };
        let line = match editor.readline(prompt) {
            Ok(line) => line,
            Err(rustyline::error::ReadlineError::Interrupted) => {
                input.clear();
                continue;
            }
            Err(rustyline::error::ReadlineError::Eof) => break,
            Err(error) => return Err(error.into()),
        };
        stop.store(false, Ordering::Relaxed);
        input.push_str(&line);
        match session.line(&input) {
            Next::More => {
                input.push('\n');
                continue;
            }
            Next::Line => {}
            Next::Quit => break,
        }
        let _ = editor.add_history_entry(input.trim());
        input.clear();
    }
    if let Some(file) = &history {
        if let Some(directory) = file.parent() {
            hc_fs::plain::create_dir_all(directory, 0o700)?;
        }
        editor.save_history(file)?;
    }
    Ok(())
}

fn history() -> Option<PathBuf> {
    let named = std::env::var_os("XDG_DATA_HOME").map(PathBuf::from).filter(|p| p.is_absolute());
    let data = named.or_else(|| Some(std::env::home_dir()?.join(".local/share")))?;
    Some(data.join("hc/repl-history"))
}
