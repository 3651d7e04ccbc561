//! A TPM 2.0 in software: a `swtpm` process beside QEMU, with the machine's own state.

use super::jail::{STATE, Shown};
use super::launch::{Program, launch};
use super::stream::{Stream, pair};
use crate::cgroup::Group;
use crate::error::{Doing, Problem, Res};
use crate::supervise::Init;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

const PROGRAM: &str = "swtpm";
const PLACES: [&str; 4] = ["/usr/bin", "/usr/local/bin", "/run/current-system/sw/bin", "/bin"];
/// Name of its state's directory, beside the machine's disks.
const DIRECTORY: &str = "tpm";

/// A TPM that runs.
pub(super) struct Tpm {
    /// Ends with it.
    _process: Init,
    /// What it says besides.
    pub said: Stream,
}

/// Starts the TPM of the machine whose state is in `dir`; gives the end of its control channel that
/// is QEMU's.
pub(super) fn start(dir: &Path, id: u32, group: &Group) -> Res<(Tpm, OwnedFd)> {
    let found =
        PLACES.iter().map(|place| Path::new(place).join(PROGRAM)).find(|path| path.exists());
    let program: PathBuf = found.and_then(|path| path.canonicalize().ok()).ok_or_else(|| {
        Problem::plain("there is no swtpm: install the package 'swtpm', or set q35.tpm = false")
    })?;
    let state = dir.join(DIRECTORY);
    hc_fs::durable::create_dir_all(&state, 0o700)?;
    // Who it runs as may be somebody else than the last time.
    own(&state, id)?;
    for entry in std::fs::read_dir(&state).doing_with(|| format!("read {}", state.display()))? {
        own(&entry.doing("read the TPM's state")?.path(), id)?;
    }
    let (ours, its) = pair().doing("make a socket pair")?;
    let control = format!("type=unixio,clientfd={}", its.as_raw_fd());
    let kept = format!("dir={STATE},mode=0600");
    let words = ["socket", "--tpm2", "--ctrl", &control, "--tpmstate", &kept, "--terminate"];
    let (process, said) = launch(&Program {
        path: &program,
        arguments: words.map(String::from).to_vec(),
        files: vec![Shown { at: STATE, file: state, writable: true }],
        kept: vec![its.as_fd()],
        id,
        group,
    })?;
    Ok((Tpm { _process: process, said }, ours))
}

fn own(path: &Path, id: u32) -> Res<()> {
    std::os::unix::fs::lchown(path, Some(id), Some(id))
        .doing_with(|| format!("give {} to the TPM", path.display()))
}
