//! The disks of a fork, while its original runs: they share blocks, or are mirrored.

use super::Disk;
use crate::sys::clone::{Shared, share};
use crate::vm::qmp::{Qmp, Said};
use crate::vm::{Origin, command};
use serde_json::json;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};

/// The first set of descriptors with such a disk's file.
const FIRST_SET: usize = 32;
/// The node of the disk that is no volume.
const LAYER: &str = "layer";

const NONE: Shared = Shared::No(rustix::io::Errno::OPNOTSUPP);

/// The files for a fork's disks, in the order of the original's.
#[derive(Default)]
pub(super) struct Disks(Vec<(File, Disk)>);

/// What QEMU calls the copy of a disk, and the job that makes it.
fn job(index: usize) -> String {
    format!("fork{index}")
}

/// The original's disks: what QEMU calls them, their files, and whether all that is in them is there.
fn originals(origin: &Origin) -> impl Iterator<Item = (String, &File, bool)> {
    // What QEMU keeps of an overlay's tables is not all in its file.
    let layer = (LAYER.into(), &origin.layer.file, origin.layer.below.is_none());
    let volumes = origin.volumes.iter().enumerate();
    std::iter::once(layer).chain(volumes.map(|(i, file)| (command::volume(i), file, true)))
}

impl Disks {
    /// Shares blocks, or begins to keep a file equal to the disk. What was begun when it fails has to be
    /// cancelled.
    pub fn begin(
        &mut self,
        qmp: &mut Qmp,
        origin: &Origin,
        to: Vec<OwnedFd>,
    ) -> Result<(), String> {
        for (index, ((node, from, whole), to)) in originals(origin).zip(to).enumerate() {
            let file = File::from(to);
            let shared = if whole { share(from, &file) } else { Ok(NONE) };
            let shared = shared.map_err(|error| format!("cannot fork its disk: {error}"))?;
            if shared == Shared::Yes {
                self.0.push((file, Disk::Reflink));
                continue;
            }
            self.0.push((file, Disk::Copy));
            mirror(qmp, index, &node, &self.0[index].0)?;
        }
        Ok(())
    }

    /// Of how many disks a fork is told.
    pub fn count(origin: &Origin) -> usize {
        originals(origin).count()
    }

    fn copied(&self) -> impl Iterator<Item = usize> {
        let copied =
            |(index, disk): (usize, &(File, Disk))| (disk.1 == Disk::Copy).then_some(index);
        self.0.iter().enumerate().filter_map(copied)
    }

    /// Whether every copy is as the disk is.
    pub fn are_whole(&self, qmp: &mut Qmp) -> Result<bool, String> {
        let mut copied = self.copied().peekable();
        if copied.peek().is_none() {
            return Ok(true);
        }
        let jobs = qmp.ask("query-block-jobs", &json!({}))?;
        let jobs = jobs.as_array().map(Vec::as_slice).unwrap_or_default();
        copied.try_fold(true, |whole, index| {
            let ours = jobs.iter().find(|found| found["device"] == job(index));
            let ours = ours.ok_or("its disk could not be copied: is there room for it?")?;
            Ok(whole && ours["ready"] == true)
        })
    }

    /// Writes everything out, which QEMU does when it stops, and waits for.
    pub fn flush(&self, origin: &Origin) {
        let files = originals(origin).map(|(_, file, _)| file);
        for file in files.chain(self.0.iter().map(|(file, _)| file)) {
            let _ = rustix::fs::fdatasync(file);
        }
    }

    /// Makes them what the disks are now: the computer is stopped.
    pub fn finish(&self, qmp: &mut Qmp, origin: &Origin) -> Result<(), String> {
        for (index, ((_, from, _), (file, how))) in originals(origin).zip(&self.0).enumerate() {
            match how {
                Disk::Reflink => match share(from, file) {
                    Ok(Shared::Yes) => {}
                    Ok(Shared::No(error)) => return Err(format!("cannot fork its disk: {error}")),
                    Err(error) => return Err(format!("cannot fork its disk: {error}")),
                },
                Disk::Copy => {
                    qmp.ask("block-job-cancel", &json!({"device": job(index)}))?;
                    ended(qmp, index)?;
                }
            }
        }
        Ok(())
    }

    /// How they came to be.
    pub fn how(&self) -> Disk {
        if self.copied().next().is_some() { Disk::Copy } else { Disk::Reflink }
    }

    /// Ends what still copies.
    pub fn cancel(&self, qmp: &mut Qmp) {
        for index in self.copied() {
            let force = json!({"device": job(index), "force": true});
            if qmp.ask("block-job-cancel", &force).is_ok() {
                let _ = ended(qmp, index);
            }
        }
    }

    /// Takes the copies' nodes out of the computer again.
    pub fn let_go(self, qmp: &mut Qmp) {
        for index in self.copied() {
            let _ = qmp.ask("blockdev-del", &json!({"node-name": job(index)}));
            let _ = qmp.ask("remove-fd", &json!({"fdset-id": FIRST_SET + index}));
        }
    }
}

/// Begins to keep `file`, which is empty, equal to the disk.
fn mirror(qmp: &mut Qmp, index: usize, disk: &str, file: &File) -> Result<(), String> {
    let set = FIRST_SET + index;
    qmp.ask_with("add-fd", &json!({"fdset-id": set}), file.as_fd())?;
    let node = json!({
        "driver": "raw", "node-name": job(index), "discard": "unmap", "detect-zeroes": "unmap",
        "file": {"driver": "file", "filename": format!("/dev/fdset/{set}"), "discard": "unmap",
            // The other computer has it too, and does not run yet.
            "locking": "off"},
    });
    qmp.ask("blockdev-add", &node)?;
    let mirror = json!({
        "job-id": job(index), "device": disk, "target": job(index), "sync": "full",
        // What is written from now on is written to both: the copy gets done.
        "copy-mode": "write-blocking",
    });
    qmp.ask("blockdev-mirror", &mirror).map(drop)
}

fn ended(qmp: &mut Qmp, index: usize) -> Result<(), String> {
    let job = job(index);
    qmp.wait_for("the disk's copy", |said| match said {
        Said::Event(name, data)
            if ["BLOCK_JOB_COMPLETED", "BLOCK_JOB_CANCELLED"].contains(&name.as_str())
                && data["device"] == job.as_str() =>
        {
            match data["error"].as_str() {
                Some(why) => Some(Err(format!("its disk could not be copied: {why}"))),
                None => Some(Ok(())),
            }
        }
        _ => None,
    })
}
