//! Git LFS: files that a commit has pointers to, by the program `git-lfs`.

use super::program::{command, missing};
use super::workdir::attributes;
use crate::error::{Error, Result, io};
use hc_fs::plain;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;

/// What a pointer begins with.
const POINTER: &[u8] = b"version https://git-lfs.github.com/spec/v1\n";

/// A pointer is at most this long.
const LONGEST: u64 = 1024;

/// Puts the content in the place of each pointer among `paths` in `to`, where a commit was written.
/// `origin` is where the repository came from, when it does not know so itself.
pub(super) fn resolve(
    repository: &Path,
    origin: Option<&str>,
    rev: &str,
    paths: &[&Path],
    to: &Path,
) -> Result<()> {
    for (path, filter) in attributes(repository, "filter", Some(rev), paths)? {
        if filter == b"lfs" {
            follow(repository, origin, &path, &to.join(&path))?;
        }
    }
    Ok(())
}

/// Has `git-lfs` look the content up, or download it; it checks the hash.
fn follow(repository: &Path, origin: Option<&str>, path: &Path, at: &Path) -> Result<()> {
    let mut pointer = Vec::new();
    let file = std::fs::File::open(at).map_err(io("reading", at))?;
    let mode = file.metadata().map_err(io("reading", at))?.permissions().mode();
    file.take(LONGEST).read_to_end(&mut pointer).map_err(io("reading", at))?;
    if !pointer.starts_with(POINTER) {
        return Ok(());
    }
    plain::remove_file(at)?;
    let mut git = command(repository);
    if let Some(origin) = origin {
        git.arg("-c").arg(format!("remote.origin.url={origin}"));
    }
    // What the user wants to download elsewhere is another matter.
    git.args(["-c", "lfs.fetchinclude=", "-c", "lfs.fetchexclude="]).args(["lfs", "smudge", "--"]);
    let mut child = git
        .arg(path)
        .env_remove("GIT_LFS_SKIP_SMUDGE")
        .stdin(Stdio::piped())
        .stdout(plain::create_new(at, mode & 0o777)?)
        .stderr(Stdio::piped())
        .spawn()
        .map_err(missing)?;
    // Less than a pipe holds. A program that does not read it says why.
    let _ = child.stdin.take().map(|mut stdin| stdin.write_all(&pointer));
    let output = child.wait_with_output().map_err(missing)?;
    if output.status.success() {
        return Ok(());
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    let complaint = complaint.split("\nErrors logged to").next().unwrap_or_default().trim();
    Err(Error::Input(format!("git lfs smudge '{}': {complaint}", path.display())))
}
