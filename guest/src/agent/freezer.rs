//! Making everything but the agent stand still, by control groups of version 2.

use crate::sys::{self, File, at, process};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// Where programs that the agent starts are; an image's init is in systemd's own place for it, from
/// where systemd takes over.
const OURS: &[u8] = b"hc";
const INIT: &[u8] = b"init.scope";
/// Where standing still is rehearsed.
const REHEARSAL: &[u8] = b"hc-rehearsal";
const PATIENCE_MS: u64 = 5000;

/// The tree of control groups, mounted where nobody sees it. The agent itself is in the root, which
/// cannot be frozen.
#[derive(Debug)]
pub struct Freezer(Option<File>);

impl Freezer {
    /// Makes the groups; a kernel that has none makes a machine that cannot stand still.
    #[must_use]
    pub fn new() -> Self {
        let root = sys::unseen_mount("cgroup2").ok();
        if let Some(root) = &root {
            let _ = at::mkdir(root, OURS, 0o755);
        }
        Self(root)
    }

    /// A copy of this process with the programs that the agent starts: its number, or nothing in the copy
    /// itself. To be made there costs a fraction of moving there.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn fork(&self) -> sys::Result<Option<i32>> {
        let ours = self.0.as_ref().and_then(|root| at::open(root, OURS, at::DIRECTORY, 0).ok());
        if let Some(Ok(forked)) = ours.map(|ours| process::fork_into(&ours)) {
            return Ok(forked);
        }
        let forked = process::fork()?;
        if forked.is_none() {
            self.enter(OURS);
        }
        Ok(forked)
    }

    /// Puts this process where an image's init belongs.
    pub fn join_as_init(&self) {
        if let Some(root) = &self.0 {
            let _ = at::mkdir(root, INIT, 0o755);
        }
        self.enter(INIT);
    }

    fn enter(&self, group: &[u8]) {
        if let Some(root) = &self.0 {
            let _ = write(root, &[group, b"/cgroup.procs"].concat(), b"0");
        }
    }

    /// Stops every process but this one, and waits until they have.
    ///
    /// # Errors
    /// A sentence; everything runs then.
    pub fn freeze(&self) -> Result<(), String> {
        let Some(root) = &self.0 else {
            return Err("this kernel has no control groups of version 2".into());
        };
        stand_apart(root)
            .map_err(|error| format!("cannot leave the others' control group: {error}"))?;
        self.all(b"1");
        let mut waited = 0;
        while !self.frozen() {
            if waited > PATIENCE_MS {
                self.thaw();
                return Err("a process does not stand still".into());
            }
            sys::sleep_ms(1);
            waited += 1;
        }
        Ok(())
    }

    /// Lets them go on.
    pub fn thaw(&self) {
        self.all(b"0");
    }

    /// Has a process stand still and go on that is there for nothing else, and does what can be done ahead.
    /// Without hardware virtualisation what a kernel does for the first time takes it many times as long.
    pub fn rehearse(&self) {
        const LONGEST_MS: u64 = 100;
        let Some(root) = &self.0 else { return };
        let _ = stand_apart(root);
        let _ = at::mkdir(root, REHEARSAL, 0o755);
        let group = at::open(root, REHEARSAL, at::DIRECTORY, 0);
        match group.and_then(|group| process::fork_into(&group)) {
            Ok(None) => loop {
                sys::sleep_ms(PATIENCE_MS);
            },
            Ok(Some(child)) => {
                set(root, REHEARSAL, b"1");
                let mut waited = 0;
                while is_running(root, REHEARSAL) && waited < LONGEST_MS {
                    sys::sleep_ms(1);
                    waited += 1;
                }
                set(root, REHEARSAL, b"0");
                let _ = process::kill(child, process::SIGKILL);
                process::wait_for(child);
            }
            // Then it takes as long as it does.
            Err(_) => {}
        }
        let _ = at::rmdir(root, REHEARSAL);
    }

    fn groups(&self) -> Vec<(&File, Vec<u8>)> {
        let Some(root) = &self.0 else { return Vec::new() };
        let names = at::open(root, b".", at::DIRECTORY, 0).and_then(|dir| at::names(&dir));
        let is_group = |name: &Vec<u8>| {
            at::stat_name(root, name).is_ok_and(|s| s.mode & at::TYPE == at::TYPE_DIR)
        };
        names.unwrap_or_default().into_iter().filter(is_group).map(|name| (root, name)).collect()
    }

    fn all(&self, state: &[u8]) {
        for (root, name) in self.groups() {
            set(root, &name, state);
        }
    }

    fn frozen(&self) -> bool {
        !self.groups().iter().any(|(root, name)| is_running(root, name))
    }
}

impl Default for Freezer {
    fn default() -> Self {
        Self::new()
    }
}

/// Moves this process into the root of the control groups, where it is not there: systemd takes every process
/// along that is. The kernel waits for all its processors to move one.
fn stand_apart(root: &File) -> sys::Result<()> {
    let there = sys::read("/proc/self/cgroup").unwrap_or_default();
    if String::from_utf8_lossy(&there).lines().any(|line| line == "0::/") {
        return Ok(());
    }
    write(root, b"cgroup.procs", format!("{}", process::id()).as_bytes())
}

fn set(root: &File, group: &[u8], state: &[u8]) {
    let _ = write(root, &[group, b"/cgroup.freeze"].concat(), state);
}

/// Whether a group does not stand still, or that is not known.
fn is_running(root: &File, group: &[u8]) -> bool {
    let path = [group, b"/cgroup.events"].concat();
    let events = at::open(root, &path, sys::READ, 0).and_then(|file| sys::read_all(&file));
    events.map_or(true, |e| e.windows(8).any(|line| line == b"frozen 0"))
}

fn write(root: &File, path: &[u8], text: &[u8]) -> sys::Result<()> {
    sys::write(&at::open(root, path, at::WRITE, 0)?, text)
}
