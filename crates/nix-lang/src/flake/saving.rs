//! Writing the lock file of a flake, or saying why not.

use nix_compat::flake_ref::FlakeRef;

use super::lock::Graph;
use super::locking::Flake;
use super::{FlakeOptions, LockMode};
use crate::Evaluator;
use crate::error::{Error, Result};
use crate::source::NO_POS;

/// What is done about a lock file that does not say what it should.
pub(super) enum Outcome {
    /// It was written: the flake is to be looked at again.
    Written,
    /// It is as it should be.
    Same,
    /// It stays as it is.
    Kept,
}

impl<'a> Evaluator<'a> {
    /// Write the lock file, if it changed and may be written.
    pub(super) fn save_lock(
        &self,
        flake: &Flake,
        old: Option<&Graph>,
        new: &Graph,
        options: &FlakeOptions,
    ) -> Result<Outcome> {
        let empty = Graph::empty();
        let before = old.unwrap_or(&empty);
        let text = new.render();
        if before.render() == text && options.output_lock.is_none() {
            return Ok(Outcome::Same);
        }
        let name = &flake.original;
        let diff = super::diff::diff(before, new);
        let overridden = !options.overrides.is_empty() && options.lock == LockMode::Write;
        if options.lock == LockMode::Memory || (overridden && !options.save_overrides) {
            self.io.message(&format!(
                "warning: not writing modified lock file of flake '{name}':\n{}",
                diff.trim_end()
            ));
            return Ok(Outcome::Kept);
        }
        if let Some(unlocked) = new.unlocked(options.write_unlocked) {
            if options.refuse_unlocked {
                let message = format!(
                    "Not writing lock file of flake '{name}' because it has an unlocked input \
                     ('{unlocked}'). Use '--allow-dirty-locks' to allow this anyway."
                );
                return Err(Error::eval(message, NO_POS));
            }
            self.io.message(&format!(
                "warning: not writing lock file of flake '{name}' because it has an unlocked input \
                 ('{unlocked}')"
            ));
            return Ok(Outcome::Kept);
        }
        if options.lock == LockMode::Frozen {
            let message = format!(
                "flake '{name}' requires lock file changes but they're not allowed due to \
                 '--no-update-lock-file'"
            );
            return Err(Error::eval(message, NO_POS));
        }
        if let Some(path) = &options.output_lock {
            self.io
                .write_file(path, text.as_bytes())
                .map_err(|error| crate::paths::io_error(error, NO_POS))?;
            return Ok(Outcome::Kept);
        }
        self.write_lock(flake, old.is_some(), &text, &diff, options)
    }

    fn write_lock(
        &self,
        flake: &Flake,
        exists: bool,
        text: &str,
        diff: &str,
        options: &FlakeOptions,
    ) -> Result<Outcome> {
        let below = match flake.resolved.dir.as_str() {
            "" => "flake.lock".to_owned(),
            dir => format!("{dir}/flake.lock"),
        };
        // What a registry leads to is somebody's, and stays as it is.
        let Some(root) = local_root(&flake.original) else {
            let message = format!(
                "cannot write modified lock file of flake '{}' (use '--no-write-lock-file' to \
                 ignore)",
                flake.original
            );
            return Err(Error::eval(message, NO_POS));
        };
        let file = root.join(&below);
        let (shown, diff) = (file.display(), diff.trim_end());
        self.io.message(&match (exists, diff) {
            (true, "") => format!("warning: updating lock file \"{shown}\""),
            (true, diff) => format!("warning: updating lock file \"{shown}\":\n{diff}"),
            (false, diff) => format!("warning: creating lock file \"{shown}\": \n{diff}"),
        });
        let summary = options
            .summary
            .clone()
            .unwrap_or_else(|| format!("{below}: {}", if exists { "Update" } else { "Add" }));
        let message = format!("{summary}\n\nFlake lock file updates:\n\n{diff}\n");
        let lock = crate::io::LockFile {
            input: &flake.resolved.input,
            root: &root,
            file: std::path::Path::new(&below),
            contents: text,
            message: options.commit.then_some(message.as_str()),
        };
        let written = self.io.write_lock(&lock);
        match written.map_err(|error| crate::paths::io_error(error, NO_POS))? {
            true => Ok(Outcome::Written),
            false => Ok(Outcome::Kept),
        }
    }
}

/// The directory of this machine that a reference means, if it is one that can be written to.
pub(super) fn local_root(found: &FlakeRef) -> Option<std::path::PathBuf> {
    let input = &found.input;
    match input.kind() {
        "path" => input.text("path").filter(|path| path.starts_with('/')).map(Into::into),
        // Only git takes a file into a work tree whatever commit was asked for.
        "hg" if input.text("ref").is_some() || input.text("rev").is_some() => None,
        "git" | "hg" => {
            let url = nix_compat::url::Url::parse(input.text("url")?, false).ok()?;
            let local = url.scheme == "file";
            local.then(|| url.to_path().ok()).flatten().map(Into::into)
        }
        _ => None,
    }
}
