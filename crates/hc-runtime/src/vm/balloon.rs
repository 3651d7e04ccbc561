//! How much of its memory a virtual machine may use while it runs.
//!
//! Whoever comes in by `memory.sock` says a number of bytes. The guest gives
//! the rest back to the host page by page; where that leaves it too little, it takes some of it again
//! rather than end programs.

use super::desk;
use super::qmp::Qmp;
use crate::config::Places;
use crate::error::RunError;
use serde_json::json;
use std::path::Path;

/// Name of the socket for those who say how much.
pub(super) const MEMORY: &str = "memory.sock";

/// Has the guest use as many bytes as somebody says, at most `most`.
pub(super) fn asked(qmp: &mut Qmp, most: u64, line: &str) -> Result<(), String> {
    match line.parse() {
        Ok(bytes @ 1u64..) if bytes <= most => set(qmp, bytes),
        _ => Err(format!("it may use from 1 to {most} bytes, which it has")),
    }
}

/// Has the guest use so many bytes.
pub(super) fn set(qmp: &mut Qmp, bytes: u64) -> Result<(), String> {
    qmp.ask("balloon", &json!({"value": bytes})).map(drop)
}

/// Says how many bytes of its memory a virtual machine may use from now on, until that is said again or it
/// is started again.
///
/// # Errors
/// When it does not run, has less memory, or its supervisor refuses.
pub fn balloon(run_dir: &Path, name: &str, bytes: u64) -> Result<(), RunError> {
    let path = Places::new(run_dir, Path::new(""), name).run.join(MEMORY);
    desk::ask(&path, &bytes.to_string()).map_err(|problem| problem.of(name))
}
