//! Another program, held to the files it is given.

use super::{files, limits};
use crate::error::{Error, Result};
use rustix::process::setrlimit;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Where programs and their libraries are; in a build's sandbox there is no more than its inputs.
const PROGRAMS: [&str; 6] = ["/nix/store", "/usr", "/lib", "/lib64", "/bin", "/etc/ld.so.cache"];

/// Runs a program that can come to `read` and to programs, and write below `write`, no file larger
/// than `most` bytes and some tables. System calls are not restricted: which ones it needs is not known
/// here.
///
/// # Errors
/// When it cannot be confined or started.
pub(crate) fn output(
    command: &mut Command,
    read: &[PathBuf],
    write: &[&Path],
    most: u64,
) -> Result<Output> {
    let failed = |why: String| Error::Confine { what: "confine a program".into(), why };
    let limits = limits(most);
    // SAFETY: system calls on numbers, and nothing else.
    unsafe {
        command.pre_exec(move || {
            for (resource, limit) in limits {
                setrlimit(resource, limit)?;
            }
            Ok(())
        });
    }
    let itself = PathBuf::from(command.get_program());
    let execute: Vec<&Path> = PROGRAMS.iter().map(Path::new).chain([itself.as_path()]).collect();
    let write: Vec<&Path> = write.iter().copied().chain([Path::new("/dev/null")]).collect();
    let run = || {
        // Holds for this thread and what it starts.
        files(read, &execute, &write).map_err(|e| failed(e.to_string()))?;
        command.output().map_err(|e| failed(format!("it does not start: {e}")))
    };
    std::thread::scope(|scope| {
        scope.spawn(run).join().unwrap_or_else(|_| Err(failed("a thread failed".into())))
    })
}
