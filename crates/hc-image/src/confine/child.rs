//! A confined copy of this process, for work in a builder that has to do more afterwards.

use super::{Calls, confine};
use crate::error::{Error, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::{PipeWriter, Read, Write};
use std::path::{Path, PathBuf};

/// What a child may say at most: names, versions and dependencies of packages.
const LONGEST: u64 = 256 << 20;

/// Confines a copy of this process as [`super::this_process`] does, but for owners and modes of files; has it do `work`, and gives what came of
/// it. This process goes on as it was; it must have one thread.
///
/// # Errors
/// What `work` gives, or when there is no such copy, or it ended before it was done.
pub(crate) fn in_child<T: Serialize + DeserializeOwned>(
    read: &[PathBuf],
    write: &[&Path],
    most: u64,
    work: impl FnOnce() -> Result<T>,
) -> Result<T> {
    let threads = std::fs::read_dir("/proc/self/task").map_or(1, Iterator::count);
    if threads > 1 {
        return Err(failed(format!("there are {threads} threads in this one")));
    }
    of_this_thread(read, write, most, work)
}

fn failed(why: String) -> Error {
    Error::Confine { what: "start a confined process".into(), why }
}

/// The same where other threads hold no lock that `work` needs.
pub(super) fn of_this_thread<T: Serialize + DeserializeOwned>(
    read: &[PathBuf],
    write: &[&Path],
    most: u64,
    work: impl FnOnce() -> Result<T>,
) -> Result<T> {
    let (mut hear, tell) = std::io::pipe().map_err(|e| failed(e.to_string()))?;
    // SAFETY: of the caller's threads only this one is in the copy, and it finds no lock held; the
    // copy never returns from here.
    let child = unsafe { libc::fork() };
    match child {
        -1 => return Err(failed(std::io::Error::last_os_error().to_string())),
        0 => {
            drop(hear);
            let work = || confine(read, write, most, Calls::Owners).and_then(|()| work());
            // SAFETY: ends the copy; nothing of the original's is flushed or dropped by it.
            unsafe { libc::_exit(speak(work, tell)) }
        }
        _ => drop(tell),
    }
    let mut said = Vec::new();
    let heard = hear.by_ref().take(LONGEST).read_to_end(&mut said);
    drop(hear);
    let pid = rustix::process::Pid::from_raw(child);
    let status = rustix::process::waitpid(pid, rustix::process::WaitOptions::empty());
    heard.map_err(|e| failed(e.to_string()))?;
    match serde_json::from_slice::<std::result::Result<T, String>>(&said) {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(why)) => Err(Error::Child(why)),
        Err(_) => {
            let why = match status {
                Ok(Some((_, status))) => format!("it ended before it was done ({status:?})"),
                _ => "it ended before it was done".into(),
            };
            Err(failed(why))
        }
    }
}

/// Does the work and tells of it; the exit code.
fn speak<T: Serialize>(work: impl FnOnce() -> Result<T>, mut tell: PipeWriter) -> i32 {
    let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
    let Ok(done) = done else { return 101 };
    let said = done.map_err(|error| error.to_string());
    let told = serde_json::to_vec(&said).is_ok_and(|bytes| tell.write_all(&bytes).is_ok());
    i32::from(!told)
}
