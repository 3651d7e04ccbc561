//! Flakes: inputs fetched only when asked for, trees read where they lie.

mod call;
mod date;
mod declared;
mod diff;
mod lock;
mod locking;
mod prims;
mod saving;
mod source;
mod user;
mod written;

use std::path::{Path, PathBuf};

use nix_compat::flake_ref::FlakeRef;

use crate::Evaluator;
use crate::error::Result;
use crate::paths::canonical;
use crate::source::NO_POS;
use crate::value::{Native, PrimFn, Value};

pub(crate) use call::Live;
pub(crate) use prims::OPS;
pub(crate) use source::{Fetches, Shown, Source};

use lock::Graph;
use locking::{Flake, Locked};
use saving::Outcome;
use std::os::unix::ffi::OsStrExt;

/// How the lock file of a flake is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum LockMode {
    /// Write what is missing (through [`crate::Io::write_lock`]).
    #[default]
    Write,
    /// Lock what is missing in memory only.
    Memory,
    /// Fail when something is missing.
    Frozen,
}

/// How to evaluate a flake.
#[derive(Clone, Debug)]
pub struct FlakeOptions {
    /// What to do with inputs that the lock file does not have.
    pub lock: LockMode,
    /// Inputs (`name` or `name/of/input`) to take from somewhere else: a reference or directory.
    pub overrides: Vec<(String, String)>,
    /// Take the directory as it is, as `path:` does, also where version control does not track all
    /// of it.
    pub untracked: bool,
    /// Inputs whose locks are forgotten.
    pub update: Vec<String>,
    /// Forget all locks.
    pub recreate: bool,
    /// Commit the lock file when it is written.
    pub commit: bool,
    /// The first line of that commit, where it is not the usual one (`commit-lock-file-summary`).
    pub summary: Option<String>,
    /// Write down inputs that have no revision as well (`allow-dirty-locks`).
    pub write_unlocked: bool,
    /// Look short names up in registries.
    pub registries: bool,
    /// An input that cannot be fetched is an error only when it is used.
    pub lenient: bool,
    /// Lock inputs that are not locked; otherwise that is an error.
    pub allow_unlocked: bool,
    /// Write overridden inputs into the lock file as well.
    pub save_overrides: bool,
    /// An input that cannot be locked is an error, and not only a reason to leave the lock file as it is.
    pub refuse_unlocked: bool,
    /// Where relative directories of overrides start from.
    pub base: Option<PathBuf>,
    /// Read the lock file from there.
    pub reference_lock: Option<PathBuf>,
    /// Write the lock file there.
    pub output_lock: Option<PathBuf>,
}

impl Default for FlakeOptions {
    fn default() -> Self {
        FlakeOptions {
            lock: LockMode::default(),
            overrides: Vec::new(),
            untracked: false,
            update: Vec::new(),
            recreate: false,
            commit: false,
            summary: None,
            write_unlocked: false,
            registries: true,
            lenient: false,
            allow_unlocked: true,
            save_overrides: false,
            refuse_unlocked: false,
            base: None,
            reference_lock: None,
            output_lock: None,
        }
    }
}

/// A flake with its locked inputs, as data.
#[derive(Clone, Debug)]
pub struct LockedFlake {
    /// What was asked for.
    pub original: FlakeRef,
    /// The same after the registries.
    pub resolved: FlakeRef,
    /// The same with everything that was found out.
    pub locked: FlakeRef,
    /// What the flake says about itself.
    pub description: Option<String>,
    /// The text of its lock file.
    pub lock: String,
    /// The store path of its source.
    pub path: String,
    /// What its inputs are locked to, by name; what could not be fetched is left out.
    pub inputs: Vec<(String, FlakeRef)>,
}

impl<'a> Evaluator<'a> {
    /// The flake in a directory: its outputs with `inputs`, `outPath` and the rest, as
    /// `builtins.getFlake` gives it.
    ///
    /// # Errors
    ///
    /// When there is no (good) `flake.nix`, or its inputs cannot be locked.
    pub fn flake(&self, dir: impl AsRef<Path>, options: &FlakeOptions) -> Result<Value<'a>> {
        let dir = canonical(dir.as_ref().as_os_str().as_bytes());
        self.directory_reference(&dir, options.untracked)
            .and_then(|found| self.load_asked(&found, options))
            .and_then(|value| self.force(value, NO_POS))
            .map_err(|error| self.finish(error))
    }

    /// The flake that a reference means.
    ///
    /// # Errors
    ///
    /// As for [`Evaluator::flake`], or when it cannot be fetched.
    pub fn flake_at(&self, found: &FlakeRef, options: &FlakeOptions) -> Result<Value<'a>> {
        self.load_asked(found, options)
            .and_then(|value| self.force(value, NO_POS))
            .map_err(|error| self.finish(error))
    }

    /// The settings for Nix (`nixConfig`) of the flake that was asked for last, by their names in
    /// order. Nothing here applies them: it is for the caller to say so. Those of inputs count for
    /// nothing with C++ Nix either.
    pub fn ignored_settings(&self) -> Vec<String> {
        self.ignored_settings.borrow().clone()
    }

    /// Lock the inputs of a flake, without evaluating its outputs.
    ///
    /// # Errors
    ///
    /// As for [`Evaluator::flake_at`].
    pub fn lock_flake(&self, found: &FlakeRef, options: &FlakeOptions) -> Result<LockedFlake> {
        let describe = || -> Result<LockedFlake> {
            let (flake, locked, _) = self.asked_flake(found, options)?;
            let input = self.locked_input(&flake.source)?;
            let path = self.source_path(&flake.source, NO_POS)?;
            Ok(LockedFlake {
                original: flake.original,
                resolved: flake.resolved,
                locked: FlakeRef { input, dir: flake.locked.dir },
                description: flake.says.description,
                lock: locked.graph.render(),
                path: self.store_dir.render_path(&path),
                inputs: locked.graph.locked_inputs(),
            })
        };
        describe().map_err(|error| self.finish(error))
    }

    /// What a person means by a text on the command line, and what follows its `#`. Directories
    /// start from `base`; the flake is searched upwards from there.
    ///
    /// # Errors
    ///
    /// When it is no reference, or there is no flake.
    pub fn flake_reference(&self, text: &str, base: &Path) -> Result<(FlakeRef, String)> {
        self.user_fragment(text, base, false).map_err(|error| self.finish(error))
    }

    /// What a function calls its argument; nothing when it takes a set apart, or is no function
    /// written in Nix.
    pub fn parameter(&self, value: Value<'a>) -> Option<String> {
        let Value::Lambda(closure) = value else { return None };
        match (closure.lambda.formals, closure.lambda.arg) {
            (None, Some(name)) => Some(self.name(name)),
            _ => None,
        }
    }

    fn load_flake(&self, found: &FlakeRef, options: &FlakeOptions) -> Result<Value<'a>> {
        let (_, locked, dirty) = self.locked_flake(found, options)?;
        Ok(self.call_flake(locked, dirty))
    }

    fn load_asked(&self, found: &FlakeRef, options: &FlakeOptions) -> Result<Value<'a>> {
        let (_, locked, dirty) = self.asked_flake(found, options)?;
        Ok(self.call_flake(locked, dirty))
    }

    /// The same for a flake that somebody asks for by name, and not the expression.
    fn asked_flake(
        &self,
        found: &FlakeRef,
        options: &FlakeOptions,
    ) -> Result<(Flake, Locked, bool)> {
        let asked = self.locked_flake(found, options)?;
        self.ignored_settings.borrow_mut().clone_from(&asked.0.says.settings);
        Ok(asked)
    }

    /// A flake, its locked inputs, and whether its lock file does not say what it should.
    fn locked_flake(
        &self,
        found: &FlakeRef,
        options: &FlakeOptions,
    ) -> Result<(Flake, Locked, bool)> {
        let limited = options.registries.then_some(false);
        let mut flake = self.fetch_flake(found, limited, &[], true)?;
        let lock = || -> Result<(Locked, Outcome)> {
            let old = match &options.reference_lock {
                None => self.read_lock(&flake.dir)?,
                Some(path) => {
                    let text = self.io.read_file(path).map_err(|error| {
                        let path = path.as_os_str().as_bytes();
                        crate::paths::file_error("reading", path, error, NO_POS)
                    })?;
                    let graph = Graph::parse(&text);
                    Some(graph.map_err(|error| crate::Error::eval(error, NO_POS))?)
                }
            };
            let empty = Graph::empty();
            let locked = self.lock_inputs(&flake, old.as_ref().unwrap_or(&empty), options)?;
            let outcome = self.save_lock(&flake, old.as_ref(), &locked.graph, options)?;
            Ok((locked, outcome))
        };
        let (mut locked, outcome) = lock().map_err(|error| {
            let name = &flake.locked;
            error.frame(NO_POS, format!("while updating the lock file of flake '{name}'"))
        })?;
        if let Outcome::Written = outcome {
            // The tree has changed: it has the lock file now.
            self.forget_source(&flake.source);
            flake = self.fetch_flake(found, limited, &[], true)?;
            let (source, dir) = (flake.source.clone(), flake.dir.clone());
            locked.places[0] = Some(locking::Place { source, dir });
            for (node, place) in locked.graph.nodes.iter().zip(&mut locked.places).skip(1) {
                // What lies in this tree is found from its root again.
                if node.parent.is_some() {
                    *place = None;
                }
            }
        }
        Ok((flake, locked, matches!(outcome, Outcome::Kept)))
    }

    pub(crate) fn native(&self, run: PrimFn, args: &[Value<'a>]) -> Value<'a> {
        let args = self.arena.alloc_slice_copy(args);
        self.thunk(crate::value::Delayed::Native(self.arena.alloc(Native { run, args }))).get()
    }
}
