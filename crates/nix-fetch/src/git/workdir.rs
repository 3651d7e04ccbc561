//! Work trees: what is tracked, and whether it is committed.

use super::program::{feed, run};
use crate::error::{Error, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// What a work tree is like.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Workdir {
    /// The commit it is at; none before the first.
    pub head: Option<String>,
    /// The branch, as `refs/heads/…`.
    pub branch: Option<String>,
    /// Something tracked is not as committed.
    pub dirty: bool,
    /// The tracked files, relative to the work tree.
    pub files: Vec<PathBuf>,
    /// The submodules, relative to the work tree.
    pub submodules: Vec<PathBuf>,
}

fn path(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(bytes))
}

/// Looks at a work tree.
///
/// # Errors
/// When there is no repository, or git cannot be run.
pub fn workdir(directory: &Path) -> Result<Workdir> {
    let shown = directory.display();
    if directory.symlink_metadata().is_err() {
        return Err(Error::Input(format!("Git repository \"{shown}\" does not exist.")));
    }
    let mut found = Workdir::default();
    let arguments = [
        "status",
        "--porcelain=v2",
        "--branch",
        "--no-ahead-behind",
        "-z",
        "--untracked-files=no",
        "--ignore-submodules=all",
    ];
    let status = run(directory, &arguments)?;
    let mut lines = status.split(|byte| *byte == 0);
    let mut gone = BTreeSet::new();
    while let Some(line) = lines.next() {
        if let Some(oid) = line.strip_prefix(b"# branch.oid ") {
            found.head = (oid != b"(initial)").then(|| String::from_utf8_lossy(oid).into_owned());
        } else if let Some(head) = line.strip_prefix(b"# branch.head ") {
            let head = String::from_utf8_lossy(head);
            found.branch = (head != "(detached)").then(|| format!("refs/heads/{head}"));
        } else if let Some(kind @ (b'1' | b'2' | b'u')) = line.first() {
            found.dirty = true;
            if *kind == b'2' {
                lines.next();
            }
            // `1 .D N... 100644 100644 000000 <oid> <oid> name`
            if *kind == b'1' && line.get(3) == Some(&b'D') {
                gone.extend(line.splitn(9, |byte| *byte == b' ').nth(8).map(path));
            }
        }
    }
    let listed = run(directory, &["ls-files", "-z", "--stage"])?;
    for line in listed.split(|byte| *byte == 0) {
        // `100644 <oid> 0<tab>name`
        let Some(tab) = line.iter().position(|byte| *byte == b'\t') else { continue };
        let name = path(&line[tab + 1..]);
        if line.starts_with(b"160000 ") {
            found.submodules.push(name);
        } else if !gone.contains(&name) && found.files.last() != Some(&name) {
            found.files.push(name);
        }
    }
    Ok(found)
}

/// The values that an attribute of git has for those of `paths` for which it is set, at a commit or
/// in the work tree.
pub(super) fn attributes(
    directory: &Path,
    attribute: &str,
    commit: Option<&str>,
    paths: &[&Path],
) -> Result<BTreeMap<PathBuf, Vec<u8>>> {
    let any = paths.iter().any(|path| path.file_name() == Some(OsStr::new(".gitattributes")));
    if !any && !has_own_attributes(directory) {
        return Ok(BTreeMap::new());
    }
    let source = commit.map(|commit| format!("--source={commit}"));
    let mut arguments = vec!["check-attr", "--stdin", "-z"];
    arguments.extend(source.as_deref());
    arguments.push(attribute);
    let mut input = Vec::new();
    for path in paths {
        input.extend_from_slice(path.as_os_str().as_bytes());
        input.push(0);
    }
    let output = feed(directory, &arguments, &input)?;
    let parts: Vec<&[u8]> = output.split(|byte| *byte == 0).collect();
    let set = parts.chunks_exact(3).filter(|chunk| !matches!(chunk[2], b"unspecified" | b"unset"));
    Ok(set.map(|chunk| (path(chunk[0]), chunk[2].to_vec())).collect())
}

fn has_own_attributes(directory: &Path) -> bool {
    [".git/info/attributes", "info/attributes"].iter().any(|name| directory.join(name).exists())
}

/// The files that are left when `export-ignore` is heeded.
pub(super) fn exported(
    directory: &Path,
    commit: Option<&str>,
    files: Vec<PathBuf>,
) -> Result<Vec<PathBuf>> {
    let mut all: BTreeSet<&Path> = BTreeSet::new();
    for file in &files {
        all.extend(file.ancestors().filter(|path| !path.as_os_str().is_empty()));
    }
    let all: Vec<&Path> = all.into_iter().collect();
    let mut ignored = attributes(directory, "export-ignore", commit, &all)?;
    // With a value of its own it says nothing; so git-archive(1) has it.
    ignored.retain(|_, value| value == b"set");
    if ignored.is_empty() {
        return Ok(files);
    }
    let kept = |file: &PathBuf| !file.ancestors().any(|path| ignored.contains_key(path));
    Ok(files.into_iter().filter(kept).collect())
}
