//! Ids for builders: ranges that belong to nobody else while a build runs.

use crate::error::{Context, Error, Result};
use crate::layout::Layout;
use crate::lock;
use nix_compat::StorePath;
use std::fs::File;
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// The region and the slots in it are those of C++ Nix's `auto-allocate-uids`, and so are the
/// lock files: both can build at once.
const FIRST: u32 = 0x3400_0000;
const SIZE: u32 = 1 << 16;
const SLOTS: u32 = 128;

/// Ids a build runs with.
pub(super) struct BuildUsers {
    /// On the host. What the build makes belongs to one of these.
    pub host: Range<u32>,
    /// As the builder sees itself.
    pub uid: u32,
    pub gid: u32,
    /// All ids are mapped, root first.
    pub range: bool,
    /// Whether we may act for other ids than our own.
    pub privileged: bool,
    _lock: Option<File>,
}

impl BuildUsers {
    /// Takes ids; waits for a slot while all are taken.
    pub fn take(
        layout: &Layout,
        drv: &StorePath,
        range: bool,
        cancelled: &dyn Fn() -> bool,
    ) -> Result<Self> {
        let (uid, gid) = if range { (0, 0) } else { (1000, 100) };
        let me = rustix::process::geteuid().as_raw();
        if me != 0 || !region_is_ours()? {
            if range {
                let what = "it needs the system feature uid-range, which takes root and its \
                            65536 ids from 872415232 on; build as root"
                    .into();
                return Err(Error::Unsupported { drv: drv.clone(), what });
            }
            let host = me..me.saturating_add(1);
            return Ok(Self { host, uid, gid, range, privileged: false, _lock: None });
        }
        loop {
            for slot in 0..SLOTS {
                let path = layout.state.join("userpool2").join(format!("slot-{slot}"));
                let file = lock::open(&path)?;
                if lock::try_lock(&file, true, &path)? {
                    let first = FIRST + slot * SIZE;
                    let host = first..first + SIZE;
                    return Ok(Self { host, uid, gid, range, privileged: true, _lock: Some(file) });
                }
            }
            if cancelled() {
                return Err(Error::Cancelled);
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
    }

    /// Gives the builder a file or directory.
    pub fn give(&self, path: &Path) -> Result<()> {
        if !self.privileged {
            return Ok(());
        }
        std::os::unix::fs::lchown(path, Some(self.host.start), Some(self.host.start))
            .on("set the owner of", path)
    }

    /// Lets the builder into a file or directory as one of its group.
    pub fn let_in(&self, path: &Path) -> Result<()> {
        if !self.privileged {
            return Ok(());
        }
        std::os::unix::fs::lchown(path, None, Some(self.host.start)).on("set the group of", path)
    }

    /// Maps the ids of a process that entered a user namespace.
    pub fn map(&self, pid: u32) -> Result<()> {
        let process = PathBuf::from(format!("/proc/{pid}"));
        let count = if self.range { SIZE } else { 1 };
        let group =
            if self.privileged { self.host.start } else { rustix::process::getegid().as_raw() };
        if !self.privileged {
            write(&process.join("setgroups"), "deny")?;
        }
        write(&process.join("gid_map"), &format!("{} {group} {count}", self.gid))?;
        write(&process.join("uid_map"), &format!("{} {} {count}", self.uid, self.host.start))
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    // One write(2): the kernel takes a map once and whole.
    let mut file = hc_fs::plain::append(path, 0o600)?;
    file.write_all(text.as_bytes()).on("write", path)
}

/// Whether the user namespace we are in has the whole region.
fn region_is_ours() -> Result<bool> {
    let path = Path::new("/proc/self/uid_map");
    let map = std::fs::read_to_string(path).on("read", path)?;
    Ok(map.lines().any(|line| {
        let mut numbers = line.split_whitespace().filter_map(|n| n.parse::<u64>().ok());
        match (numbers.next(), numbers.next(), numbers.next()) {
            (Some(inside), Some(_), Some(count)) => {
                inside <= FIRST.into()
                    && u64::from(FIRST) + u64::from(SLOTS) * u64::from(SIZE) <= inside + count
            }
            _ => false,
        }
    }))
}
