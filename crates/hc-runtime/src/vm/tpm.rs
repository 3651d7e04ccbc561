//! A TPM 2.0 in software: a `swtpm` process beside QEMU, with the machine's own state.

use super::jail;
use crate::error::{Doing, Hint, Problem, Res};
use crate::supervise::Init;
use crate::sys::{self, process, signals, socket};
use rustix::fs::{Mode, OFlags};
use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

const PROGRAM: &str = "swtpm";
const PLACES: [&str; 3] = ["/usr/bin", "/usr/local/bin", "/run/current-system/sw/bin"];
/// Where its state is in its own root.
const STATE: &str = "/state";
/// Name of the state directory beside the machine's disk.
const DIRECTORY: &str = "tpm";

/// A TPM that runs, and the end of its control channel that is QEMU's.
pub(super) struct Tpm {
    pub control: OwnedFd,
    _process: Init,
}
