//! The program `git`, run without anything of the caller's repository.

use crate::error::{Error, Result};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// What the caller's environment must not say.
const VARIABLES: [&str; 7] = [
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_NAMESPACE",
];

pub(super) fn command(directory: &Path) -> Command {
    let mut command = Command::new("git");
    // Whose repository it is does not matter: nothing in it is run.
    command.args(["-c", "safe.directory=*", "-c", "core.fsmonitor=false", "-C"]).arg(directory);
    for name in VARIABLES {
        command.env_remove(name);
    }
    command.env("LC_ALL", "C").stdin(Stdio::null());
    command
}

pub(super) fn missing(source: std::io::Error) -> Error {
    Error::Io { what: "running", path: "git".into(), source }
}

/// What git said, or what it complained about.
pub(super) fn run(directory: &Path, arguments: &[&str]) -> Result<Vec<u8>> {
    let output = command(directory).args(arguments).output().map_err(missing)?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let complaint = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(Error::Input(format!("git {}: {complaint}", arguments.first().unwrap_or(&""))))
}

/// What git said, as text without the line end.
pub(super) fn text(directory: &Path, arguments: &[&str]) -> Result<String> {
    let output = run(directory, arguments)?;
    Ok(String::from_utf8_lossy(&output).trim_end().to_owned())
}

/// What git said to some input.
pub(super) fn feed(directory: &Path, arguments: &[&str], input: &[u8]) -> Result<Vec<u8>> {
    let mut child = command(directory)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(missing)?;
    let stdin = child.stdin.take();
    let output = std::thread::scope(|scope| {
        scope.spawn(move || stdin.map(|mut stdin| stdin.write_all(input)));
        child.wait_with_output()
    });
    let output = output.map_err(missing)?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let complaint = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(Error::Input(format!("git {}: {complaint}", arguments.first().unwrap_or(&""))))
}
