//! The tree of a commit, written out byte by byte: no filter, no line ends, nothing substituted.

use super::lfs;
use super::program::{command, run};
use super::workdir::exported;
use crate::error::{Error, Result, io, words};
use hc_fs::plain;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// A submodule of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Submodule {
    pub path: PathBuf,
    pub rev: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    File,
    Executable,
    Symlink,
}

/// Writes the tree of a commit to `to`; its submodules are left as empty directories. Pointers of
/// Git LFS are followed where `lfs` says so, to where it says that the repository came from.
pub(super) fn export(
    repository: &Path,
    rev: &str,
    to: &Path,
    export_ignore: bool,
    lfs: Option<Option<&str>>,
) -> Result<Vec<Submodule>> {
    let listed = run(repository, &["ls-tree", "-r", "-z", "--full-tree", rev])?;
    let (mut files, mut submodules) = (Vec::new(), Vec::new());
    for line in listed.split(|byte| *byte == 0) {
        // `100644 blob <oid><tab>name`
        let Some(tab) = line.iter().position(|byte| *byte == b'\t') else { continue };
        let head = String::from_utf8_lossy(&line[..tab]);
        let path = PathBuf::from(OsStr::from_bytes(&line[tab + 1..]));
        if path.components().any(|part| !matches!(part, std::path::Component::Normal(_))) {
            return Err(Error::Input(format!("the commit {rev} has a file '{}'", path.display())));
        }
        let mut words = head.split(' ');
        let (mode, _, oid) = (words.next(), words.next(), words.next().unwrap_or_default());
        let kind = match mode {
            Some("100755") => Kind::Executable,
            Some("120000") => Kind::Symlink,
            Some("160000") => {
                submodules.push(Submodule { path, rev: oid.to_owned() });
                continue;
            }
            _ => Kind::File,
        };
        files.push((path, kind, oid.to_owned()));
    }
    if export_ignore {
        let names = files.iter().map(|(path, ..)| path.clone());
        let names = names.chain(submodules.iter().map(|submodule| submodule.path.clone()));
        let kept: BTreeSet<PathBuf> =
            exported(repository, Some(rev), names.collect())?.into_iter().collect();
        files.retain(|(path, ..)| kept.contains(path));
        submodules.retain(|submodule| kept.contains(&submodule.path));
    }
    plain::create_dir_all(to, 0o755)?;
    for submodule in &submodules {
        plain::create_dir_all(&to.join(&submodule.path), 0o755)?;
    }
    write_files(repository, to, &files)?;
    if let Some(origin) = lfs {
        let plain = files.iter().filter(|(_, kind, _)| *kind != Kind::Symlink);
        let paths: Vec<&Path> = plain.map(|(path, ..)| path.as_path()).collect();
        lfs::resolve(repository, origin, rev, &paths, to)?;
    }
    Ok(submodules)
}

fn write_files(repository: &Path, to: &Path, files: &[(PathBuf, Kind, String)]) -> Result<()> {
    let failed = || io("reading objects of", repository);
    let mut child = command(repository)
        .args(["cat-file", "--batch"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(failed())?;
    let (Some(mut ask), Some(answer)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(words("git has no pipes"));
    };
    let mut answer = BufReader::new(answer);
    let mut made = BTreeSet::new();
    let written = (|| {
        for (path, kind, oid) in files {
            writeln!(ask, "{oid}").map_err(failed())?;
            let mut head = String::new();
            answer.read_line(&mut head).map_err(failed())?;
            // `<oid> blob <size>`
            let size = head.trim_end().rsplit(' ').next().and_then(|size| size.parse().ok());
            let size: u64 = size.ok_or_else(|| words(format!("git cat-file: {}", head.trim())))?;
            let at = to.join(path);
            if let Some(parent) = path.parent().filter(|parent| made.insert(parent.to_path_buf())) {
                plain::create_dir_all(&to.join(parent), 0o755)?;
            }
            let mut content = answer.by_ref().take(size);
            if *kind == Kind::Symlink {
                let mut target = Vec::new();
                content.read_to_end(&mut target).map_err(failed())?;
                plain::symlink(Path::new(OsStr::from_bytes(&target)), &at)?;
            } else {
                let mode = if *kind == Kind::Executable { 0o755 } else { 0o644 };
                let mut file = plain::create_new(&at, mode)?;
                let copied = std::io::copy(&mut content, &mut file).map_err(io("writing", &at))?;
                if copied != size {
                    return Err(words(format!("git cat-file: the object {oid} ends too early")));
                }
            }
            answer.read_exact(&mut [0]).map_err(failed())?;
        }
        Ok(())
    })();
    drop(ask);
    let ended = child.wait().map_err(failed())?;
    written?;
    if ended.success() { Ok(()) } else { Err(words(format!("git cat-file: {ended}"))) }
}
