//! Which ids of the host a machine's ids are.
//!
//! A machine in a user namespace has 65,536 ids, `base ..= base + 65,535` on the host, where
//! `base` is 0x1000_0000 plus 65,536 times a slot out of 24,576. The slot follows from the names
//! of cloud, host and machine. Should two machines that run at once have the same one, the later
//! takes the next free slot: nothing on disk depends on it, because the layers of a machine's root
//! are mounted with mapped ids and hold the ids the machine sees.

use crate::error::{Doing, Problem, Res};
use hc_spec::MachineSpec;
use rustix::fs::FlockOperation;
use std::fs::File;
use std::path::{Path, PathBuf};

const FIRST: u32 = 0x1000_0000;
/// How many ids a machine has.
pub(crate) const COUNT: u32 = 0x1_0000;
const SLOTS: u32 = 0x6000;

/// A range of ids that no other running machine has.
#[derive(Debug)]
pub(crate) struct IdRange {
    pub base: u32,
    path: PathBuf,
    _lock: File,
}

/// The slot a machine would like to have.
fn slot(spec: &MachineSpec) -> u32 {
    let mut hasher = blake3::Hasher::new();
    for part in [spec.cloud.as_str(), "/", spec.host.as_str(), "/", spec.name.as_str()] {
        hasher.update(part.as_bytes());
    }
    let hash = hasher.finalize();
    let [a, b, c, d, ..] = *hash.as_bytes();
    u32::from_be_bytes([a, b, c, d]) % SLOTS
}

impl IdRange {
    /// Takes the machine's slot, or the next free one.
    pub fn claim(run_dir: &Path, spec: &MachineSpec) -> Res<Self> {
        let dir = run_dir.join("ids");
        hc_fs::plain::create_dir(&dir, 0o700)?;
        let wish = slot(spec);
        for slot in (0..SLOTS).map(|i| (wish + i) % SLOTS) {
            let path = dir.join(slot.to_string());
            if let Some(lock) = lock(&path)? {
                return Ok(Self { base: FIRST + slot * COUNT, path, _lock: lock });
            }
        }
        Err(Problem::plain("every range of user ids is taken by a running machine"))
    }
}

impl Drop for IdRange {
    fn drop(&mut self) {
        // While it is locked, so that whoever opened it meanwhile sees that it is gone.
        let _ = hc_fs::plain::remove_file(&self.path);
    }
}

/// Locks a file for as long as it is open, `None` when somebody else has.
pub(crate) fn lock(path: &Path) -> Res<Option<File>> {
    loop {
        let file = hc_fs::plain::append(path, 0o600)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
            refused => refused.doing_with(|| format!("lock {}", path.display()))?,
        }
        // Its last owner may have removed it between the two calls.
        if rustix::fs::fstat(&file).is_ok_and(|stat| stat.st_nlink > 0) {
            return Ok(Some(file));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(name: &str) -> MachineSpec {
        let text = format!(
            r#"{{"schema":1,"name":"{name}","host":"demo","cloud":"demo","kind":"container",
                "image":{{"rootfs":"/r"}},"command":["/bin/true"]}}"#
        );
        MachineSpec::from_json(text.as_bytes()).unwrap()
    }

    #[test]
    fn ranges_follow_from_names_and_never_overlap() {
        let dir = tempfile::tempdir().unwrap();
        let web = IdRange::claim(dir.path(), &spec("web")).unwrap();
        assert_eq!(web.base, FIRST + slot(&spec("web")) * COUNT);
        let again = IdRange::claim(dir.path(), &spec("web")).unwrap();
        assert_eq!(again.base, FIRST + (slot(&spec("web")) + 1) % SLOTS * COUNT);
        let base = web.base;
        drop(web);
        assert_eq!(IdRange::claim(dir.path(), &spec("web")).unwrap().base, base);
        drop(again);
        assert_eq!(std::fs::read_dir(dir.path().join("ids")).unwrap().count(), 0);
        // The last id of the last slot is a positive int everywhere.
        assert!(i32::try_from(u64::from(FIRST) + u64::from(SLOTS) * u64::from(COUNT)).is_ok());
    }
}
