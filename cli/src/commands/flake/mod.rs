//! `hc flake`: what a flake has, and what its inputs are locked to.

mod check;
mod lock;
mod metadata;
mod show;
mod update;

use crate::context::Globals;
use crate::error::{Code, Coded};
use crate::evaluation::{HowArgs, here, with_evaluator};
use crate::installable::warn_of_settings;
use crate::locks::LockArgs;
use clap::Subcommand;
use hc_deploy::StoreIo;
use nix_lang::{Evaluator, FlakeOptions, FlakeRef};

/// Look at flakes, and keep the locks of their inputs
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Check(Box<check::Args>),
    Lock(Box<lock::Args>),
    Metadata(Box<metadata::Args>),
    Show(Box<show::Args>),
    Update(Box<update::Args>),
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

/// How a flake is looked at, for every verb here.
#[derive(Debug, Clone, clap::Args)]
struct LookArgs {
    #[command(flatten)]
    lock: LockArgs,
    #[command(flatten)]
    how: HowArgs,
}

/// What a verb wants of the flake it looks at.
struct Wish<'a> {
    flake: &'a str,
    args: &'a LookArgs,
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
    fn new(flake: &'a str, args: &'a LookArgs) -> Self {
        let import_from_derivation = true;
        Self {
            flake,
            args,
            update: &[],
            recreate: false,
            fresh: false,
            saves: false,
            refuse_unlocked: false,
            import_from_derivation,
        }
    }

    fn options(&self) -> anyhow::Result<FlakeOptions> {
        let usual = self.args.lock.options()?;
        Ok(FlakeOptions {
            update: self.update.iter().chain(&usual.update).cloned().collect(),
            recreate: self.recreate || usual.recreate,
            save_overrides: self.saves,
            refuse_unlocked: self.refuse_unlocked,
            ..usual
        })
    }

    /// Evaluates something about the flake.
    fn with<T: Send>(
        &self,
        globals: &Globals,
        look: impl Send + for<'n, 'e> FnOnce(&Look<'n, 'e>) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let LookArgs { lock, how } = self.args;
        let mut plan = how.plan(true, &[])?;
        lock.name(globals, how, &mut plan.io)?;
        plan.io.import_from_derivation &= self.import_from_derivation;
        plan.io.fresh = self.fresh;
        with_evaluator(globals, plan, |nix, io| {
            let (flake, fragment) = nixed(nix.flake_reference(self.flake, &here()))?;
            if !fragment.is_empty() {
                anyhow::bail!("unexpected fragment '{fragment}' in '{}'", self.flake);
            }
            let found = look(&Look { nix, io, flake, options: self.options()? });
            warn_of_settings(nix);
            found
        })
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
