//! How the inputs of flakes are found and locked, for every verb that looks at a flake.

use crate::context::Globals;
use crate::error::{Code, Coded};
use crate::evaluation::{HowArgs, failure, here, with_evaluator};
use crate::nix_conf;
use crate::nix_io::Eval;
use nix_compat::flake_ref::registry::Entry;
use nix_lang::{FlakeOptions, FlakeRef, LockMode};
use std::path::PathBuf;

/// Arguments for how the inputs of a flake are found and locked.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Inputs of flakes")]
pub struct LockArgs {
    /// Use another flake for an input (only `flake lock` and `flake update` write that down)
    #[arg(long, num_args = 2, value_names = ["INPUT", "FLAKE"])]
    pub override_input: Vec<String>,
    /// Forget the lock of an input, given by its path, such as nixpkgs or home/nixpkgs
    #[arg(long, value_name = "INPUT")]
    update_input: Vec<String>,
    /// Let a short name stand for a flake in this run
    #[arg(long, num_args = 2, value_names = ["NAME", "FLAKE"])]
    override_flake: Vec<String>,
    /// Let the names of a flake's inputs stand for what these are locked to
    #[arg(long, value_name = "FLAKE")]
    inputs_from: Vec<String>,
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
}

impl LockArgs {
    /// As the library wants it.
    pub fn options(&self) -> anyhow::Result<FlakeOptions> {
        let nix_conf::Locking { registries, unlocked, summary } = nix_conf::locking()?;
        let pairs = self.override_input.chunks_exact(2);
        let overrides: Vec<(String, String)> =
            pairs.map(|pair| (pair[0].clone(), pair[1].clone())).collect();
        let base = here();
        Ok(FlakeOptions {
            lock: match () {
                () if self.no_update_lock_file => LockMode::Frozen,
                () if self.no_write_lock_file => LockMode::Memory,
                () => LockMode::Write,
            },
            overrides,
            update: self.update_input.clone(),
            recreate: self.recreate_lock_file,
            commit: self.commit_lock_file,
            summary,
            registries,
            write_unlocked: unlocked,
            reference_lock: self.reference_lock_file.as_ref().map(|file| base.join(file)),
            output_lock: self.output_lock_file.as_ref().map(|file| base.join(file)),
            base: Some(base),
            ..FlakeOptions::default()
        })
    }

    /// Puts what short names stand for in this run where evaluation looks for it.
    pub fn name(&self, globals: &Globals, how: &HowArgs, eval: &mut Eval) -> anyhow::Result<()> {
        let read = |text: &str| FlakeRef::parse(text, true, false).code(Code::Evaluation);
        let mut put = |from: &str, to: FlakeRef| -> anyhow::Result<()> {
            eval.registries.flag.push(Entry {
                from: read(from)?.input,
                dir: (!to.dir.is_empty()).then_some(to.dir),
                to: to.input,
                exact: false,
            });
            Ok(())
        };
        for pair in self.override_flake.chunks_exact(2) {
            put(&pair[0], read(&pair[1])?)?;
        }
        for flake in &self.inputs_from {
            let inputs = with_evaluator(globals, how.plan(true, &[])?, |nix, _| {
                let (flake, _) = nix.flake_reference(flake, &here()).map_err(failure)?;
                // It is looked at, and stays as it is.
                let options = FlakeOptions { lock: LockMode::Memory, ..self.options()? };
                nix.lock_flake(&flake, &options).map(|found| found.inputs).map_err(failure)
            })?;
            for (name, locked) in inputs {
                put(&name, locked)?;
            }
        }
        Ok(())
    }
}
