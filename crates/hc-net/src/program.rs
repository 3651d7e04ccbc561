//! Running the few programs hc does not replace.

use crate::error::{Error, Result};
use std::io::Write;
use std::process::{Command, Output, Stdio};

/// Runs a program with `input` as its standard input.
pub(crate) fn feed(
    program: &'static str,
    package: &'static str,
    args: &[&str],
    input: &str,
) -> Result<()> {
    let missing = |source| Error::Program { program, package, source };
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(missing)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that ends before it has read everything says why on its own.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().map_err(missing)?;
    check(program, args, &output)
}

/// Runs a program and returns what it wrote.
pub(crate) fn output(
    program: &'static str,
    package: &'static str,
    args: &[&str],
) -> Result<String> {
    let missing = |source| Error::Program { program, package, source };
    let output = Command::new(program).args(args).stdin(Stdio::null()).output().map_err(missing)?;
    check(program, args, &output)?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn check(program: &str, args: &[&str], output: &Output) -> Result<()> {
    if output.status.success() {
        return Ok(());
    }
    Err(Error::Failed {
        program: format!("{program} {}", args.join(" ")),
        status: output.status,
        stderr: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    })
}
