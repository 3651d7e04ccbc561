//! What every verb that evaluates Nix has in common: its arguments, and the evaluator they make.

use crate::context::Globals;
use crate::error::{Code, Coded, Failure};
use crate::features::FeatureArgs;
use crate::locks::LockArgs;
use crate::nix_conf::{self, Layers, truth};
use crate::nix_io::{self, open_io};
use crate::output;
use crate::pages;
use crate::search_path;
use crate::settings::SettingArgs;
use hc_deploy::StoreIo;
use nix_lang::{Arena, Evaluator, Lint, Settings, Value};
use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

/// Arguments of `hc eval`, `hc instantiate` and `hc repl`.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Evaluation")]
pub struct EvalArgs {
    #[command(flatten)]
    call: CallArgs,
    #[command(flatten)]
    how: HowArgs,
}

/// What functions in files are called with, and where their `<names>` are.
#[derive(Debug, Clone, Default, clap::Args)]
struct CallArgs {
    /// Give functions the value of an expression as the argument NAME
    #[arg(long, num_args = 2, value_names = ["NAME", "NIX"], allow_hyphen_values = true)]
    arg: Vec<String>,
    /// Give functions a text as the argument NAME
    #[arg(long, num_args = 2, value_names = ["NAME", "TEXT"], allow_hyphen_values = true)]
    argstr: Vec<String>,
    /// Give functions the text of a file as the argument NAME
    #[arg(long, num_args = 2, value_names = ["NAME", "FILE"])]
    arg_from_file: Vec<String>,
    /// Give functions what standard input says as the argument NAME
    #[arg(long, value_name = "NAME")]
    arg_from_stdin: Option<String>,
    /// Look for <NAME> here before looking where NIX_PATH says: NAME=PATH, a directory of names,
    /// or a URL, channel:NAME or flake:REF in the place of PATH
    #[arg(short = 'I', long, value_name = "[NAME=]PATH")]
    include: Vec<String>,
}

/// How evaluation goes, for every verb that evaluates.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Evaluation")]
pub struct HowArgs {
    /// See only what has a hash: no environment, no time, no files but flakes and the store
    #[arg(long, conflicts_with = "impure")]
    pure_eval: bool,
    /// See the environment, the time and any file
    #[arg(long, alias = "no-pure-eval")]
    impure: bool,
    /// Say which files are evaluated
    #[arg(short, long, alias = "debug", action = clap::ArgAction::Count)]
    verbose: u8,
    /// How long evaluation may take
    #[arg(long, value_name = "SECONDS")]
    max_time: Option<f64>,
    /// How much memory values may take
    #[arg(long, value_name = "MIB")]
    max_memory: Option<usize>,
    #[command(flatten)]
    pub features: FeatureArgs,
    #[command(flatten)]
    settings: SettingArgs,
}

/// How to evaluate, put together from arguments, environment and defaults.
pub struct Plan {
    /// For the evaluator.
    pub settings: Settings,
    /// For its door to the world.
    pub io: nix_io::Eval,
}

impl HowArgs {
    /// `pure` is what holds when nobody says otherwise, `include` what is searched first.
    pub fn plan(&self, pure: bool, include: &[String]) -> anyhow::Result<Plan> {
        let mut plan = Plan {
            settings: Settings {
                abort_on_warn: std::env::var("NIX_ABORT_ON_WARN")
                    .is_ok_and(|value| truth(&value) == Some(true)),
                verbose: self.verbose > 0,
                colour: output::colour(&std::io::stderr()),
                home: std::env::home_dir(),
                features: self.features.all()?,
                ..Settings::default()
            },
            io: nix_io::Eval::default(),
        };
        let Layers { mut all, line } = nix_conf::layers()?;
        // The older name of the same; which it was is for the newer one to say.
        if let Some(value) = all.remove("warn-short-path-literals") {
            let lint = if truth(&value) == Some(true) { "warn" } else { "ignore" };
            all.entry("lint-short-path-literals".into()).or_insert_with(|| lint.into());
        }
        for (name, value) in &all {
            plan.set(name, value)?;
        }
        let settings = &mut plan.settings;
        // What is pure by itself is so whatever files say.
        let files = settings.pure && !line.contains_key("pure-eval");
        settings.pure = match line.get("pure-eval").and_then(|value| truth(value)) {
            _ if self.impure => false,
            _ if self.pure_eval => true,
            Some(said) => said,
            None => pure || files,
        };
        if let Some(seconds) = self.max_time {
            settings.max_time = Some(seconds_of(seconds)?);
        }
        if let Some(mebibytes) = self.max_memory {
            settings.max_memory = Some(mebibytes.saturating_mul(1 << 20));
        }
        if !settings.pure {
            let nix_path = all.get("nix-path").map(String::as_str);
            settings.search_path = search_path::entries(include, nix_path);
        }
        if settings.restrict {
            settings.allowed_paths.extend(search_path::directories(&settings.search_path));
        }
        plan.io.environment = !settings.pure && !settings.restrict;
        Ok(plan)
    }
}

impl EvalArgs {
    /// `pure` is what holds when nobody says otherwise.
    pub fn plan(&self, pure: bool) -> anyhow::Result<Plan> {
        self.how.plan(pure, &self.call.include)
    }

    /// The same, with what short names of flakes stand for in this run.
    pub fn plan_with(
        &self,
        globals: &Globals,
        pure: bool,
        lock: &LockArgs,
    ) -> anyhow::Result<Plan> {
        let mut plan = self.plan(pure)?;
        lock.name(globals, &self.how, &mut plan.io)?;
        Ok(plan)
    }

    /// Fails where a file is to be evaluated and purity was asked for: it could not be read.
    pub fn file_allowed(&self) -> anyhow::Result<()> {
        if !self.how.pure_eval {
            return Ok(());
        }
        let message = "--file and --pure-eval are not compatible: a file has no hash";
        Err(Failure::new(Code::Usage, message).into())
    }

    /// The features that are on.
    pub fn features(&self) -> &FeatureArgs {
        &self.how.features
    }

    /// The values of `--arg` and its like, for functions.
    pub fn arguments<'a>(&self, nix: &Evaluator<'a>) -> anyhow::Result<Vec<(String, Value<'a>)>> {
        let mut found: Vec<(String, Value<'a>)> = Vec::new();
        let mut put = |name: &str, value| {
            found.retain(|(known, _)| known != name);
            found.push((name.to_owned(), value));
        };
        for pair in self.call.arg.chunks_exact(2) {
            put(&pair[0], nix.delay_str(&pair[1], here()).map_err(failure)?);
        }
        for pair in self.call.argstr.chunks_exact(2) {
            put(&pair[0], nix.string_with_context(&pair[1], []));
        }
        for pair in self.call.arg_from_file.chunks_exact(2) {
            let text = std::fs::read(&pair[1])
                .map_err(|error| anyhow::anyhow!("reading '{}': {error}", pair[1]))?;
            put(&pair[0], nix.bytes(&text));
        }
        if let Some(name) = &self.call.arg_from_stdin {
            put(name, nix.bytes(&stdin()?));
        }
        Ok(found)
    }

    /// Whether any argument for functions was given.
    pub fn has_arguments(&self) -> bool {
        let CallArgs { arg, argstr, arg_from_file, arg_from_stdin, .. } = &self.call;
        !(arg.is_empty() && argstr.is_empty() && arg_from_file.is_empty())
            || arg_from_stdin.is_some()
    }
}

impl Plan {
    /// A setting by the name that nix.conf has for it; what is not for evaluation is for others.
    fn set(&mut self, name: &str, value: &str) -> anyhow::Result<()> {
        let wrong = |wanted: &str| {
            Failure::new(Code::Failed, format!("setting '{name}' wants {wanted}, not '{value}'"))
        };
        let flag = || truth(value).ok_or_else(|| wrong("true or false"));
        let lint = || value.parse::<Lint>().map_err(wrong);
        let settings = &mut self.settings;
        match name {
            "pure-eval" => settings.pure = flag()?,
            "restrict-eval" => settings.restrict = flag()?,
            "trace-import-from-derivation" => self.io.trace_builds = flag()?,
            "allow-import-from-derivation" => self.io.import_from_derivation = flag()?,
            // That of evaluation counts for more, and comes first.
            "system" if self.io.system.is_none() => self.io.system = Some(value.to_owned()),
            "eval-system" if !value.is_empty() => self.io.system = Some(value.to_owned()),
            "show-trace" => settings.show_trace = flag()?,
            "trace-verbose" => settings.trace_verbose = flag()?,
            "abort-on-warn" => settings.abort_on_warn |= flag()?,
            "lint-url-literals" => settings.lints.url_literals = lint()?,
            "lint-short-path-literals" => settings.lints.short_path_literals = lint()?,
            "lint-absolute-path-literals" => settings.lints.absolute_path_literals = lint()?,
            "max-call-depth" => {
                settings.max_call_depth = value.parse().map_err(|_| wrong("a number"))?;
            }
            "allowed-uris" => {
                settings.allowed_uris = value.split_whitespace().map(str::to_owned).collect();
            }
            _ => {}
        }
        Ok(())
    }
}

fn seconds_of(seconds: f64) -> anyhow::Result<Duration> {
    Duration::try_from_secs_f64(seconds)
        .map_err(|_| Failure::new(Code::Failed, "--max-time wants a number of seconds").into())
}

/// Runs `body` with an evaluator, on a stack that is large enough.
pub fn with_evaluator<T: Send>(
    globals: &Globals,
    plan: Plan,
    body: impl for<'a> FnOnce(&Evaluator<'a>, &StoreIo) -> anyhow::Result<T> + Send,
) -> anyhow::Result<T> {
    one_heap();
    pages::give_back();
    nix_lang::on_big_stack(|| {
        let io = open_io(globals, plan.io);
        let arena = Arena::new();
        let nix = Evaluator::new(&arena, &io, plan.settings);
        body(&nix, &io)
    })?
}

/// Lets the thread that evaluates allocate from the heap of the process: glibc grows a heap of its
/// own by one page at a time.
fn one_heap() {
    // SAFETY: sets parameters of the allocator, which takes care of threads itself.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
        libc::mallopt(libc::M_TOP_PAD, 1 << 20);
    }
}

/// An evaluation error with its exit code.
pub fn failure(error: nix_lang::Error) -> anyhow::Error {
    let report: Result<(), _> = Err(anyhow::anyhow!(error.report().to_owned()));
    match report.code(Code::Evaluation) {
        Err(error) => error,
        Ok(()) => anyhow::anyhow!("evaluation failed"),
    }
}

/// The current directory: where relative paths start.
pub fn here() -> PathBuf {
    std::env::current_dir().unwrap_or_else(|_| "/".into())
}

/// Everything on standard input.
pub fn stdin() -> anyhow::Result<Vec<u8>> {
    let mut text = Vec::new();
    std::io::stdin().lock().read_to_end(&mut text)?;
    Ok(text)
}

/// The value of a file as a command line names it: a path, `<name>` of the search path, a URL.
pub fn file<'a>(nix: &Evaluator<'a>, file: &str) -> anyhow::Result<Value<'a>> {
    if file == "-" {
        return nix.eval_bytes("«stdin»", stdin()?, here()).map_err(failure);
    }
    nix.eval_file(file_path(nix, file)?).map_err(failure)
}

/// Where such a file is.
pub fn file_path(nix: &Evaluator<'_>, file: &str) -> anyhow::Result<PathBuf> {
    if let Some(name) = file.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')) {
        return nix.find_file(name).map_err(failure);
    }
    if search_path::is_remote(file) {
        return nix.fetch_tree(file).map_err(failure);
    }
    Ok(here().join(file))
}
