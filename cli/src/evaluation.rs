//! What every verb that evaluates Nix has in common: its arguments, and the evaluator they make.

use crate::context::Globals;
use crate::error::{Code, Coded, Failure};
use crate::features::{self, FeatureArgs};
use crate::nix_io::{self, open_io};
use crate::output;
use crate::pages;
use crate::search_path;
use hc_deploy::StoreIo;
use nix_lang::{Arena, Evaluator, FlakeOptions, Lint, LockMode, Settings, Value};
use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

/// Arguments of `hc eval`, `hc instantiate` and `hc repl`.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Evaluation")]
pub struct EvalArgs {
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
    /// See only what has a hash: no environment, no time, no files but flakes and the store
    #[arg(long, conflicts_with = "impure")]
    pure_eval: bool,
    /// See the environment, the time and any file
    #[arg(long)]
    pub impure: bool,
    /// Read only files below the search path
    #[arg(long)]
    restrict_eval: bool,
    /// Do not build what evaluation has to read
    #[arg(long)]
    no_allow_import_from_derivation: bool,
    /// What builtins.currentSystem says
    #[arg(long, value_name = "SYSTEM")]
    eval_system: Option<String>,
    /// How deep calls may nest
    #[arg(long, value_name = "COUNT")]
    max_call_depth: Option<u32>,
    /// How long evaluation may take
    #[arg(long, value_name = "SECONDS")]
    max_time: Option<f64>,
    /// How much memory values may take
    #[arg(long, value_name = "MIB")]
    max_memory: Option<usize>,
    /// Change a setting by the name that nix.conf has for it
    #[arg(long, num_args = 2, value_names = ["NAME", "VALUE"], allow_hyphen_values = true)]
    option: Vec<String>,
    #[command(flatten)]
    pub features: FeatureArgs,
    /// Show every step of an error's trail
    #[arg(long, overrides_with = "no_show_trace")]
    show_trace: bool,
    #[arg(long, hide = true)]
    no_show_trace: bool,
    /// Let builtins.traceVerbose speak
    #[arg(long)]
    trace_verbose: bool,
    /// Stop where builtins.warn warns [env: NIX_ABORT_ON_WARN]
    #[arg(long)]
    abort_on_warn: bool,
    #[command(flatten)]
    lints: LintArgs,
}

/// What the text of expressions may say: `ignore`, `warn` or `fatal`.
#[derive(Debug, Clone, Default, clap::Args)]
struct LintArgs {
    /// Warn of URLs without quotation marks, or refuse them
    #[arg(long, value_name = "warn|fatal")]
    lint_url_literals: Option<String>,
    /// Warn of relative paths that do not begin with a dot, or refuse them
    #[arg(long, value_name = "warn|fatal")]
    lint_short_path_literals: Option<String>,
    /// Warn of paths that begin with / or ~, or refuse them
    #[arg(long, value_name = "warn|fatal")]
    lint_absolute_path_literals: Option<String>,
}

impl LintArgs {
    /// Those that were given, by the names of the settings.
    fn given(&self) -> impl Iterator<Item = (&'static str, &str)> {
        [
            ("lint-url-literals", &self.lint_url_literals),
            ("lint-short-path-literals", &self.lint_short_path_literals),
            ("lint-absolute-path-literals", &self.lint_absolute_path_literals),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.as_deref()?)))
    }
}

/// Arguments for how the inputs of a flake are found.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Inputs of flakes")]
pub struct LockArgs {
    /// Use another flake for an input
    #[arg(long, num_args = 2, value_names = ["INPUT", "FLAKE"])]
    pub override_input: Vec<String>,
    /// Do not write the lock file
    #[arg(long)]
    no_write_lock_file: bool,
    /// Fail when the lock file does not have every input
    #[arg(long)]
    no_update_lock_file: bool,
}

impl LockArgs {
    /// As the library wants it.
    pub fn options(&self) -> FlakeOptions {
        let lock = match (self.no_update_lock_file, self.no_write_lock_file) {
            (true, _) => LockMode::Frozen,
            (_, true) => LockMode::Memory,
            _ => LockMode::Write,
        };
        let overrides = self
            .override_input
            .chunks_exact(2)
            .map(|pair| (pair[0].clone(), pair[1].clone()))
            .collect();
        FlakeOptions { lock, overrides, ..FlakeOptions::default() }
    }
}

/// How to evaluate, put together from arguments, environment and defaults.
pub struct Plan {
    /// For the evaluator.
    pub settings: Settings,
    /// For its door to the world.
    pub io: nix_io::Eval,
}

impl EvalArgs {
    /// `pure` is what holds when nobody says otherwise.
    pub fn plan(&self, pure: bool) -> anyhow::Result<Plan> {
        let mut plan = Plan {
            settings: Settings {
                pure: (pure || self.pure_eval) && !self.impure,
                restrict: self.restrict_eval,
                show_trace: self.show_trace,
                trace_verbose: self.trace_verbose,
                abort_on_warn: self.abort_on_warn
                    || std::env::var("NIX_ABORT_ON_WARN")
                        .is_ok_and(|value| truth(&value) == Some(true)),
                colour: output::colour(&std::io::stderr()),
                home: std::env::home_dir(),
                features: self.features.base()?,
                ..Settings::default()
            },
            io: nix_io::Eval {
                import_from_derivation: !self.no_allow_import_from_derivation,
                system: self.eval_system.clone(),
                ..nix_io::Eval::default()
            },
        };
        let mut nix_path = None;
        for pair in self.option.chunks_exact(2) {
            plan.set(&pair[0], &pair[1], &mut nix_path)?;
        }
        for (name, value) in self.lints.given() {
            plan.set(name, value, &mut nix_path)?;
        }
        let settings = &mut plan.settings;
        settings.features.extend(self.features.extra());
        features::warn(&settings.features);
        if let Some(depth) = self.max_call_depth {
            settings.max_call_depth = depth;
        }
        if let Some(seconds) = self.max_time {
            settings.max_time = Some(seconds_of(seconds)?);
        }
        if let Some(mebibytes) = self.max_memory {
            settings.max_memory = Some(mebibytes.saturating_mul(1 << 20));
        }
        if !settings.pure {
            settings.search_path = search_path::entries(&self.include, nix_path.as_deref());
        }
        if settings.restrict {
            settings.allowed_paths.extend(search_path::directories(&settings.search_path));
        }
        plan.io.environment = !settings.pure && !settings.restrict;
        Ok(plan)
    }

    /// The values of `--arg` and its like, for functions.
    pub fn arguments<'a>(&self, nix: &Evaluator<'a>) -> anyhow::Result<Vec<(String, Value<'a>)>> {
        let mut found: Vec<(String, Value<'a>)> = Vec::new();
        let mut put = |name: &str, value| {
            found.retain(|(known, _)| known != name);
            found.push((name.to_owned(), value));
        };
        for pair in self.arg.chunks_exact(2) {
            put(&pair[0], nix.delay_str(&pair[1], here()).map_err(failure)?);
        }
        for pair in self.argstr.chunks_exact(2) {
            put(&pair[0], nix.string_with_context(&pair[1], []));
        }
        for pair in self.arg_from_file.chunks_exact(2) {
            let text = std::fs::read(&pair[1])
                .map_err(|error| anyhow::anyhow!("reading '{}': {error}", pair[1]))?;
            put(&pair[0], nix.bytes(&text));
        }
        if let Some(name) = &self.arg_from_stdin {
            put(name, nix.bytes(&stdin()?));
        }
        Ok(found)
    }

    /// Whether any argument for functions was given.
    pub fn has_arguments(&self) -> bool {
        !self.arg.is_empty()
            || !self.argstr.is_empty()
            || !self.arg_from_file.is_empty()
            || self.arg_from_stdin.is_some()
    }
}

impl Plan {
    /// A setting by the name that nix.conf has for it.
    fn set(
        &mut self,
        name: &str,
        value: &str,
        nix_path: &mut Option<String>,
    ) -> anyhow::Result<()> {
        let wrong = |wanted: &str| {
            Failure::new(Code::Failed, format!("setting '{name}' wants {wanted}, not '{value}'"))
        };
        let flag = || truth(value).ok_or_else(|| wrong("true or false"));
        let lint = || value.parse::<Lint>().map_err(wrong);
        let settings = &mut self.settings;
        match name {
            "pure-eval" => settings.pure = flag()?,
            "restrict-eval" => settings.restrict = flag()?,
            "allow-import-from-derivation" => self.io.import_from_derivation = flag()?,
            "eval-system" | "system" => self.io.system = Some(value.to_owned()),
            "show-trace" => settings.show_trace = flag()?,
            "trace-verbose" => settings.trace_verbose = flag()?,
            "abort-on-warn" => settings.abort_on_warn = flag()?,
            "lint-url-literals" => settings.lints.url_literals = lint()?,
            "lint-short-path-literals" => settings.lints.short_path_literals = lint()?,
            "warn-short-path-literals" if flag()? => {
                settings.lints.short_path_literals = Lint::Warn;
            }
            "warn-short-path-literals" => settings.lints.short_path_literals = Lint::Ignore,
            "lint-absolute-path-literals" => settings.lints.absolute_path_literals = lint()?,
            "max-call-depth" => {
                settings.max_call_depth = value.parse().map_err(|_| wrong("a number"))?;
            }
            "allowed-uris" => {
                settings.allowed_uris = value.split_whitespace().map(str::to_owned).collect();
            }
            "experimental-features" => settings.features = features::named(value),
            "extra-experimental-features" => settings.features.extend(features::named(value)),
            "nix-path" => *nix_path = Some(value.split_whitespace().collect::<Vec<_>>().join(":")),
            _ => {
                return Err(Failure::new(
                    Code::Failed,
                    format!("the setting '{name}' is not one of evaluation"),
                )
                .hint(
                    "known are pure-eval, restrict-eval, allow-import-from-derivation, \
                     eval-system, show-trace, trace-verbose, abort-on-warn, max-call-depth, \
                     allowed-uris, nix-path, experimental-features, lint-url-literals, \
                     lint-short-path-literals, lint-absolute-path-literals",
                )
                .into());
            }
        }
        Ok(())
    }
}

/// What a setting that is true or false says.
fn truth(value: &str) -> Option<bool> {
    match value {
        "true" | "yes" | "1" => Some(true),
        "false" | "no" | "0" => Some(false),
        _ => None,
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
