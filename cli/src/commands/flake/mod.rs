//! `hc flake`: what a flake has, and what its inputs are locked to.

mod check;
mod lock;
mod metadata;
mod show;
mod update;

use crate::context::Globals;
use crate::error::{Code, Coded};
use crate::features::FeatureArgs;
use crate::installable::warn_of_settings;
use crate::nix_io::{self, open_io};
use crate::output;
use crate::search_path;
use clap::Subcommand;
use hc_deploy::{Registries, StoreIo};
use nix_compat::flake_ref::registry::Entry;
use nix_lang::{Arena, Evaluator, FlakeOptions, FlakeRef, LockMode, Settings};
use std::path::PathBuf;
use std::time::Duration;

/// Look at flakes, and keep the locks of their inputs
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Check(check::Args),
    Lock(lock::Args),
    Metadata(metadata::Args),
    Show(show::Args),
    Update(update::Args),
}

pub fn run(globals: &Globals, args: &Args) -> anyhow::Result<()> {
    match &args.verb {
        Verb::Check(args) => check::run(globals, args),
        Verb::Lock(args) => lock::run(globals, args),
        Verb::Metadata(args) => metadata::run(globals, args),
        Verb::Show(args) => show::run(globals, args),
        Verb::Update(args) => update::run(globals, args),
    }
}

/// How inputs are locked, for every verb that looks at a flake.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "How inputs are locked")]
pub struct LockArgs {
    /// Use another flake for an input (only `lock` and `update` write that down)
    #[arg(long, num_args = 2, value_names = ["INPUT", "FLAKE"])]
    override_input: Vec<String>,
    /// Forget the lock of an input, given by its path, such as nixpkgs or home/nixpkgs
    #[arg(long, value_name = "INPUT")]
    update_input: Vec<String>,
    /// Let a short name stand for a flake in this run
    #[arg(long, num_args = 2, value_names = ["NAME", "FLAKE"])]
    override_flake: Vec<String>,
    /// Forget all locks
    #[arg(long)]
    recreate_lock_file: bool,
    /// Lock what is missing without writing it down
    #[arg(long)]
    no_write_lock_file: bool,
    /// Fail when something is not locked
    #[arg(long)]
    no_update_lock_file: bool,
    /// Commit the lock file when it changes
    #[arg(long)]
    commit_lock_file: bool,
    /// Read the lock file from here
    #[arg(long, value_name = "FILE")]
    reference_lock_file: Option<PathBuf>,
    /// Write the lock file to here
    #[arg(long, value_name = "FILE")]
    output_lock_file: Option<PathBuf>,
    /// Look no short name up in registries
    #[arg(long)]
    no_registries: bool,
    /// The registry of everybody: an address, a file, or nothing
    #[arg(long, value_name = "ADDRESS")]
    flake_registry: Option<String>,
    /// See the environment, the time and any file
    #[arg(long)]
    impure: bool,
    /// Show every step of an error's trail
    #[arg(long)]
    show_trace: bool,
    #[command(flatten)]
    features: FeatureArgs,
}

/// What a verb wants of the flake it looks at.
struct Wish<'a> {
    flake: &'a str,
    lock: &'a LockArgs,
    /// Inputs whose locks are forgotten.
    update: &'a [String],
    /// Forget all locks.
    recreate: bool,
    /// What names stand for is asked for again.
    fresh: bool,
    /// The lock file is what is wanted: overrides are written, too.
    saves: bool,
    /// What cannot be locked is an error.
    refuse_unlocked: bool,
    /// Build what evaluation wants to read.
    import_from_derivation: bool,
}

impl<'a> Wish<'a> {
    fn new(flake: &'a str, lock: &'a LockArgs) -> Self {
        let import_from_derivation = true;
        Self {
            flake,
            lock,
            update: &[],
            recreate: false,
            fresh: false,
            saves: false,
            refuse_unlocked: false,
            import_from_derivation,
        }
    }

    fn options(&self, base: PathBuf) -> FlakeOptions {
        let lock = self.lock;
        let pairs = lock.override_input.chunks_exact(2);
        let overrides: Vec<(String, String)> =
            pairs.map(|pair| (pair[0].clone(), pair[1].clone())).collect();
        FlakeOptions {
            lock: match () {
                () if lock.no_update_lock_file => LockMode::Frozen,
                () if lock.no_write_lock_file => LockMode::Memory,
                () if !overrides.is_empty() && !self.saves => LockMode::Memory,
                () => LockMode::Write,
            },
            overrides,
            update: self.update.iter().chain(&lock.update_input).cloned().collect(),
            recreate: self.recreate || lock.recreate_lock_file,
            commit: lock.commit_lock_file,
            registries: !lock.no_registries,
            save_overrides: self.saves,
            refuse_unlocked: self.refuse_unlocked,
            reference_lock: lock.reference_lock_file.as_ref().map(|file| base.join(file)),
            output_lock: lock.output_lock_file.as_ref().map(|file| base.join(file)),
            base: Some(base),
            ..FlakeOptions::default()
        }
    }

    fn registries(&self) -> anyhow::Result<Registries> {
        let mut registries = nix_io::registries();
        if let Some(global) = &self.lock.flake_registry {
            registries.global.clone_from(global);
        }
        let read = |text: &str| FlakeRef::parse(text, true, false).code(Code::Evaluation);
        for pair in self.lock.override_flake.chunks_exact(2) {
            let to = read(&pair[1])?;
            registries.flag.push(Entry {
                from: read(&pair[0])?.input,
                dir: (!to.dir.is_empty()).then_some(to.dir),
                to: to.input,
                exact: false,
            });
        }
        Ok(registries)
    }

    /// Evaluates something about the flake.
    fn with<T: Send>(
        &self,
        globals: &Globals,
        look: impl Send + FnOnce(&Look<'_, '_>) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        nix_lang::on_big_stack(|| {
            let mut eval = nix_io::Eval { registries: self.registries()?, ..Default::default() };
            eval.import_from_derivation = self.import_from_derivation;
            if self.fresh {
                eval.ttl = Some(Duration::ZERO);
            }
            eval.environment = self.lock.impure;
            let io = open_io(globals, eval);
            let arena = Arena::new();
            let search_path =
                if self.lock.impure { search_path::entries(&[], None) } else { Vec::new() };
            let settings = Settings {
                pure: !self.lock.impure,
                home: std::env::home_dir(),
                search_path,
                show_trace: self.lock.show_trace,
                colour: output::colour(&std::io::stderr()),
                features: self.lock.features.all()?,
                ..Settings::default()
            };
            let nix = Evaluator::new(&arena, &io, settings);
            let base = std::env::current_dir()?;
            let (flake, fragment) = nixed(nix.flake_reference(self.flake, &base))?;
            if !fragment.is_empty() {
                anyhow::bail!("unexpected fragment '{fragment}' in '{}'", self.flake);
            }
            let found = look(&Look { nix: &nix, io: &io, flake, options: self.options(base) });
            warn_of_settings(&nix);
            found
        })?
    }
}

/// A flake that is looked at.
struct Look<'n, 'a> {
    nix: &'n Evaluator<'a>,
    io: &'n StoreIo,
    flake: FlakeRef,
    options: FlakeOptions,
}

/// An evaluation error with its source lines, and its exit code.
fn nixed<T>(result: nix_lang::Result<T>) -> anyhow::Result<T> {
    result.map_err(|error| anyhow::anyhow!(error.report().to_owned())).code(Code::Evaluation)
}
