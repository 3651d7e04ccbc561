//! Control groups: found out at run time, in whatever way the host has them mounted.

mod limits;

use crate::error::{Doing, Hint, Problem, Res};
use hc_spec::machine::Limits;
use std::collections::BTreeMap;
use std::fs;
use std::io::{ErrorKind, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How the host has its control groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CgroupMode {
    /// Version 2 only.
    Unified,
    /// Version 1 controllers, and a version 2 tree beside them.
    Hybrid,
    /// Version 1 only.
    Legacy,
    /// Not mounted.
    None,
}

/// Controllers that limits need.
const WANTED: [&str; 5] = ["memory", "cpu", "pids", "blkio", "io"];

/// Where the hierarchies are mounted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Hierarchies {
    pub v2: Option<PathBuf>,
    pub v1: BTreeMap<&'static str, PathBuf>,
}

impl Hierarchies {
    pub fn detect() -> Res<Self> {
        let table = fs::read_to_string("/proc/self/mountinfo").doing("read the mount table")?;
        Ok(Self::parse(&table))
    }

    /// From the text of proc_pid_mountinfo(5).
    fn parse(table: &str) -> Self {
        let mut found = Self::default();
        for line in table.lines() {
            let Some((left, right)) = line.split_once(" - ") else { continue };
            let Some(at) = left.split(' ').nth(4) else { continue };
            let mut right = right.split(' ');
            let (kind, options) = (right.next(), right.nth(1).unwrap_or(""));
            match kind {
                Some("cgroup2") => found.v2 = Some(at.into()),
                Some("cgroup") => {
                    for name in WANTED {
                        if options.split(',').any(|option| option == name) {
                            found.v1.insert(name, at.into());
                        }
                    }
                }
                _ => {}
            }
        }
        found
    }

    pub fn mode(&self) -> CgroupMode {
        match (&self.v2, self.v1.is_empty()) {
            (Some(_), true) => CgroupMode::Unified,
            (Some(_), false) => CgroupMode::Hybrid,
            (None, false) => CgroupMode::Legacy,
            (None, true) => CgroupMode::None,
        }
    }
}

/// The control groups of one machine.
#[derive(Debug, Default)]
pub(crate) struct Group {
    v2: Option<PathBuf>,
    v1: BTreeMap<&'static str, PathBuf>,
}

impl Group {
    /// Where the groups of `name` are, whether they exist or not.
    pub fn of(hierarchies: &Hierarchies, parent: &Path, name: &str) -> Self {
        let parent = parent.strip_prefix("/").unwrap_or(parent);
        let below = |root: &PathBuf| root.join(parent).join(name);
        Self {
            v2: hierarchies.v2.as_ref().map(below),
            v1: hierarchies.v1.iter().map(|(name, root)| (*name, below(root))).collect(),
        }
    }

    /// Without the groups that only limits of disks need, unless there are any.
    pub fn for_limits(mut self, limits: &Limits) -> Self {
        if !limits.limit_io() {
            self.v1.remove("blkio");
        }
        self
    }

    /// Every directory once.
    pub fn dirs(&self) -> Vec<PathBuf> {
        let mut dirs: Vec<_> = self.v2.iter().chain(self.v1.values()).cloned().collect();
        dirs.sort();
        dirs.dedup();
        dirs
    }

    /// Makes the groups and sets the limits.
    pub fn create(&self, limits: &Limits) -> Res<()> {
        for dir in self.dirs() {
            make_below(&dir, self.v2.as_deref() == Some(&dir))?;
        }
        self.limit(limits)
    }

    fn unified(&self, limit: &str, file: &str) -> Res<&Path> {
        let dir = self.v2.as_deref().filter(|dir| dir.join(file).exists());
        dir.ok_or_else(|| {
            Problem::plain(format!(
                "{limit} cannot be kept: this host offers no control group with {file}; enable \
                 the controller for hc's parent group, or drop the limit"
            ))
        })
    }

    /// Lets `owner` make groups below the version 2 one (cgroups(7), "Delegation").
    pub fn delegate(&self, owner: u32) -> Res<()> {
        let Some(dir) = &self.v2 else { return Ok(()) };
        let owner = (rustix::fs::Uid::from_raw(owner), rustix::fs::Gid::from_raw(owner));
        for file in ["", "cgroup.procs", "cgroup.threads", "cgroup.subtree_control"] {
            let path = if file.is_empty() { dir.clone() } else { dir.join(file) };
            rustix::fs::chown(&path, Some(owner.0), Some(owner.1))
                .doing_with(|| format!("hand over {}", path.display()))?;
        }
        Ok(())
    }

    /// The version 2 group, for CLONE_INTO_CGROUP.
    pub fn open(&self) -> Option<OwnedFd> {
        use rustix::fs::{Mode, OFlags};
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::open(self.v2.as_ref()?, flags, Mode::empty()).ok()
    }

    /// Doors into the version 1 groups: who writes `0` to each is in. Moving oneself, one thread,
    /// is the only move that does not wait for every processor to pass by (some 10 ms).
    pub fn doors(&self) -> Res<Vec<fs::File>> {
        let v1 = self.dirs().into_iter().filter(|dir| self.v2.as_ref() != Some(dir));
        v1.map(|dir| door(&dir, "tasks")).collect()
    }

    /// Moves a process into the version 2 group, where it was not cloned into it.
    pub fn join_v2(&self, pid: i32) -> Res<()> {
        self.v2.as_ref().map_or(Ok(()), |dir| set(dir, "cgroup.procs", &pid.to_string()))
    }

    /// How many processes were killed because the memory limit was reached.
    pub fn oom_kills(&self) -> u64 {
        match (self.v1.get("memory"), &self.v2) {
            (Some(dir), _) => crate::usage::oom_kills(dir, "memory.oom_control"),
            (None, Some(dir)) => crate::usage::oom_kills(dir, "memory.events"),
            (None, None) => 0,
        }
    }

    /// Kills whatever is in the groups and removes them; groups that are not there are fine.
    pub fn remove(&self) -> Res<()> {
        let deadline = Instant::now() + Duration::from_secs(10);
        for dir in self.dirs() {
            let mut pause = Duration::from_micros(200);
            while let Err(error) = remove_tree(&dir) {
                if error.kind() != ErrorKind::ResourceBusy || Instant::now() > deadline {
                    return Err(error)
                        .doing_with(|| format!("remove the control group {}", dir.display()));
                }
                kill_all(&dir);
                std::thread::sleep(pause);
                pause = (pause * 2).min(Duration::from_millis(20));
            }
        }
        Ok(())
    }
}

/// Makes this process's own group, which was delegated to it, one that machines' groups can be made
/// in: it moves to a group below, because no process may be where controllers are handed down. Gives
/// the group's path in the hierarchies.
///
/// # Errors
/// When this process is in no version 2 group, or may not make groups there.
pub fn own_parent() -> std::io::Result<PathBuf> {
    let text = fs::read_to_string("/proc/self/cgroup")?;
    let own = text.lines().find_map(|line| line.strip_prefix("0::/"));
    let hierarchies = Hierarchies::parse(&fs::read_to_string("/proc/self/mountinfo")?);
    let (Some(own), Some(root)) = (own, hierarchies.v2) else {
        return Err(std::io::Error::other("this process is in no version 2 control group"));
    };
    let leaf = root.join(own).join("supervisor");
    match rustix::fs::mkdir(&leaf, rustix::fs::Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(rustix::io::Errno::EXIST) => {}
        Err(error) => return Err(error.into()),
    }
    write(&leaf.join("cgroup.procs"), "0")?;
    Ok(own.into())
}

fn door(dir: &Path, file: &str) -> Res<fs::File> {
    use rustix::fs::{Mode, OFlags};
    let path = dir.join(file);
    let opened = rustix::fs::open(&path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty());
    Ok(opened.doing_with(|| format!("open {}", path.display()))?.into())
}

/// Goes through doors.
pub(crate) fn pass(doors: &[fs::File]) -> Res<()> {
    doors
        .iter()
        .try_for_each(|mut door| door.write_all(b"0").doing("join the machine's control groups"))
}

/// Moves this process, which has one thread, into groups named by their directories: a machine's,
/// whose first process is `init`.
pub(crate) fn join_self(dirs: &[PathBuf], init: i32) -> Res<()> {
    for dir in dirs {
        let file = if dir.join("tasks").exists() { "tasks" } else { "cgroup.procs" };
        let joined = door(dir, file)?.write_all(b"0");
        let busy = joined.as_ref().is_err_and(|error| error.kind() == ErrorKind::ResourceBusy);
        match below(dir, init).filter(|_| busy) {
            Some(leaf) => pass(&[door(&leaf, file)?])?,
            None => joined.doing("join the machine's control groups")?,
        }
    }
    Ok(())
}

/// The group below `dir` that process `pid` is in: an init system hands out what `dir` has, and then
/// no process may be in `dir` itself.
fn below(dir: &Path, pid: i32) -> Option<PathBuf> {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let path = text.lines().find_map(|line| line.strip_prefix("0::"))?;
    let name = dir.file_name()?.to_str()?;
    let (_, rest) = path.split_once(&format!("/{name}/"))?;
    Some(dir.join(rest))
}

/// Kills every process in a group and below it.
pub(crate) fn kill_all(dir: &Path) {
    if write(&dir.join("cgroup.kill"), "1").is_ok() {
        return;
    }
    for child in children(dir) {
        kill_all(&child);
    }
    let procs = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
    let me = i32::try_from(std::process::id()).unwrap_or(0);
    for pid in procs.lines().filter_map(|line| line.parse().ok()).filter(|pid| *pid > 0) {
        if pid != me {
            let _ = crate::sys::signals::kill(pid, libc::SIGKILL);
        }
    }
}

fn children(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter(|e| e.file_type().is_ok_and(|t| t.is_dir())).map(|e| e.path()).collect()
}

fn remove_tree(dir: &Path) -> std::io::Result<()> {
    match rustix::fs::rmdir(dir) {
        Ok(()) | Err(rustix::io::Errno::NOENT) => return Ok(()),
        Err(rustix::io::Errno::BUSY | rustix::io::Errno::NOTEMPTY) => {}
        Err(error) => return Err(error.into()),
    }
    for child in children(dir) {
        remove_tree(&child)?;
    }
    match rustix::fs::rmdir(dir) {
        Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Makes a group and its parents; on version 2 the parents hand their controllers down.
fn make_below(dir: &Path, v2: bool) -> Res<()> {
    match rustix::fs::mkdir(dir, rustix::fs::Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(rustix::io::Errno::EXIST) => {}
        Err(rustix::io::Errno::NOENT) if dir.parent().is_some() => {
            make_below(dir.parent().unwrap_or(dir), v2)?;
            return make_below(dir, v2);
        }
        refused => {
            return refused
                .doing_with(|| format!("make the control group {}", dir.display()))
                .hint("; hc needs to be root, with control groups mounted writable");
        }
    }
    if v2 && let Some(parent) = dir.parent() {
        let offered = fs::read_to_string(parent.join("cgroup.controllers")).unwrap_or_default();
        let given = fs::read_to_string(parent.join("cgroup.subtree_control")).unwrap_or_default();
        let has = |list: &str, name: &str| list.split_whitespace().any(|word| word == name);
        for name in WANTED {
            if has(&offered, name) && !has(&given, name) {
                // A limit that is asked for and cannot be kept is reported where it is set.
                let _ = write(&parent.join("cgroup.subtree_control"), &format!("+{name}"));
            }
        }
    }
    Ok(())
}

fn set(dir: &Path, file: &str, value: &str) -> Res<()> {
    let path = dir.join(file);
    write(&path, value).doing_with(|| format!("write {value} to {}", path.display()))
}

/// Control files are written in one go, and never made.
fn write(path: &Path, value: &str) -> std::io::Result<()> {
    use rustix::fs::{Mode, OFlags};
    let file = rustix::fs::open(path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    fs::File::from(file).write_all(value.as_bytes())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods)]
    use super::*;

    const HYBRID: &str = "\
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd
39 31 0:36 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
";

    #[test]
    fn every_way_of_mounting_is_told_apart() {
        let hybrid = Hierarchies::parse(HYBRID);
        assert_eq!(hybrid.mode(), CgroupMode::Hybrid);
        let group = Group::of(&hybrid, Path::new("/hc.slice"), "web");
        assert_eq!(
            group.dirs(),
            [
                "/sys/fs/cgroup/cpu,cpuacct/hc.slice/web",
                "/sys/fs/cgroup/memory/hc.slice/web",
                "/sys/fs/cgroup/pids/hc.slice/web",
                "/sys/fs/cgroup/unified/hc.slice/web",
            ]
            .map(PathBuf::from)
        );
        let unified = Hierarchies::parse("30 24 0:26 / /sys/fs/cgroup rw - cgroup2 none rw\n");
        assert_eq!(unified.mode(), CgroupMode::Unified);
        let legacy = Hierarchies::parse("1 2 0:3 / /cg rw - cgroup none rw,memory\n");
        assert_eq!(legacy.mode(), CgroupMode::Legacy);
        assert_eq!(Hierarchies::parse("rubbish\n - \n").mode(), CgroupMode::None);
    }

    #[test]
    fn version_2_limits_are_written_where_they_belong() {
        let dir = tempfile::tempdir().unwrap();
        let hierarchies = Hierarchies { v2: Some(dir.path().into()), v1: BTreeMap::new() };
        let group = Group::of(&hierarchies, Path::new("p"), "web");
        let own = dir.path().join("p/web");
        let limits =
            Limits { memory: Some(5 << 20), cpus: Some(1.5), pids: Some(9), ..Limits::default() };
        let error = group.create(&limits).unwrap_err().to_string();
        assert!(error.contains("limits.memory cannot be kept"), "{error}");
        let files = ["memory.max", "memory.oom.group", "cpu.max", "pids.max", "memory.events"];
        for file in files {
            std::fs::write(own.join(file), "").unwrap();
        }
        group.create(&limits).unwrap();
        let read = |file| std::fs::read_to_string(own.join(file)).unwrap();
        assert_eq!(files.map(read), ["5242880", "1", "150000 100000", "10", ""]);
        std::fs::write(own.join("memory.events"), "low 0\noom 1\noom_kill 2\n").unwrap();
        assert_eq!(group.oom_kills(), 2);
    }
}
