//! `builtin:buildenv`: a tree of links to the files of several packages, as profiles are.

use crate::store::Store;
use hc_fs::plain;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

type Result<T> = std::result::Result<T, String>;

/// What no profile has, at the end of a path.
const LEFT_OUT: [&str; 7] = [
    "/propagated-build-inputs",
    "/nix-support",
    "/perllocal.pod",
    "/info/dir",
    "/log",
    "/manifest.nix",
    "/manifest.json",
];

/// Makes the tree at `to`. `derivations` is a list of words: for each package whether it is active,
/// its priority (the lower one wins), the number of its outputs, and these.
pub(super) fn build(store: &Store, derivations: &str, to: &Path) -> Result<()> {
    plain::create_dir(to, 0o755).map_err(|e| e.to_string())?;
    let mut packages = Vec::new();
    let mut words = derivations.split_ascii_whitespace();
    while let Some(active) = words.next() {
        let mut number = || words.next().and_then(|word| word.parse::<i64>().ok());
        let (Some(priority), Some(outputs)) = (number(), number()) else {
            return Err("its attribute `derivations` is malformed".into());
        };
        for _ in 0..outputs {
            let path = words.next().ok_or("its attribute `derivations` ends too early")?;
            if active != "false" {
                packages.push((priority, PathBuf::from(path)));
            }
        }
    }
    packages.sort();
    let mut made = Profile {
        store,
        priorities: BTreeMap::new(),
        done: BTreeSet::new(),
        later: BTreeSet::new(),
    };
    for (priority, package) in packages {
        made.add(&package, to, priority)?;
    }
    // What packages bring with them gives way to everything that was asked for.
    let mut priority = 1000;
    while !made.later.is_empty() {
        for package in std::mem::take(&mut made.later) {
            made.add(&package, to, priority)?;
            priority += 1;
        }
    }
    Ok(())
}

struct Profile<'a> {
    store: &'a Store,
    priorities: BTreeMap<PathBuf, i64>,
    done: BTreeSet<PathBuf>,
    later: BTreeSet<PathBuf>,
}

impl Profile<'_> {
    fn add(&mut self, package: &Path, to: &Path, priority: i64) -> Result<()> {
        if !self.done.insert(package.into()) {
            return Ok(());
        }
        self.links(package, to, priority)?;
        let also = package.join("nix-support/propagated-user-env-packages");
        if let Ok(also) = std::fs::read_to_string(self.store.physical_file(&also)) {
            let more = also.split_ascii_whitespace().map(PathBuf::from);
            self.later.extend(more.filter(|package| !self.done.contains(package)));
        }
        Ok(())
    }

    /// Links to everything in a directory of the store.
    fn links(&mut self, from: &Path, to: &Path, priority: i64) -> Result<()> {
        let physical = self.store.physical_file(from);
        let entries = std::fs::read_dir(&physical)
            .map_err(|e| format!("cannot read {}: {e}", from.display()))?;
        let mut names: Vec<_> = entries.flatten().map(|entry| entry.file_name()).collect();
        names.sort();
        for name in names {
            if name.as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let (source, target) = (from.join(&name), to.join(&name));
            let text = source.to_string_lossy();
            if LEFT_OUT.iter().any(|end| text.ends_with(end)) {
                continue;
            }
            // A link that leads nowhere is left out.
            let Some(real) = self.follow(&source) else { continue };
            if real.is_dir() {
                self.directory(&source, &target, priority)?;
            } else {
                self.file(&source, &target, priority)?;
            }
        }
        Ok(())
    }

    /// Where a path of the store leads on disk, links of the store included.
    fn follow(&self, path: &Path) -> Option<PathBuf> {
        let mut path = path.to_path_buf();
        for _ in 0..40 {
            let physical = self.store.physical_file(&path);
            match std::fs::read_link(&physical) {
                Ok(target) => path = path.parent()?.join(target),
                Err(_) => return physical.symlink_metadata().is_ok().then_some(physical),
            }
        }
        None
    }

    fn directory(&mut self, source: &Path, target: &Path, priority: i64) -> Result<()> {
        let fail = |e: hc_fs::Error| e.to_string();
        let Ok(there) = target.symlink_metadata() else {
            return self.link(source, target, priority);
        };
        if there.is_symlink() {
            let before = std::fs::read_link(target).map_err(|e| e.to_string())?;
            if !self.follow(&before).is_some_and(|real| real.is_dir()) {
                return Err(collision(source, &before));
            }
            // It was a link to one package's directory: now it has files of two.
            plain::remove_file(target).map_err(fail)?;
            plain::create_dir(target, 0o755).map_err(fail)?;
            let its = self.priorities.get(target).copied().unwrap_or(priority);
            self.links(&before, target, its)?;
        }
        self.links(source, target, priority)
    }

    fn file(&mut self, source: &Path, target: &Path, priority: i64) -> Result<()> {
        if let Ok(there) = target.symlink_metadata() {
            if !there.is_symlink() {
                return Err(collision(source, target));
            }
            let before = self.priorities.get(target).copied().unwrap_or(priority);
            if before == priority {
                let other = std::fs::read_link(target).unwrap_or_default();
                return Err(collision(source, &other));
            }
            if before < priority {
                return Ok(());
            }
            plain::remove_file(target).map_err(|e| e.to_string())?;
        }
        self.link(source, target, priority)
    }

    fn link(&mut self, source: &Path, target: &Path, priority: i64) -> Result<()> {
        plain::symlink(source, target).map_err(|e| e.to_string())?;
        self.priorities.insert(target.into(), priority);
        Ok(())
    }
}

fn collision(one: &Path, other: &Path) -> String {
    format!(
        "{} and {} want the same place; give one of their packages a higher priority, that is a \
         lower number",
        one.display(),
        other.display()
    )
}
