//! What a machine may use, in the words of either version of control groups.

use super::{Group, set};
use crate::error::{Doing, Problem, Res};
use hc_spec::machine::Limits;
use hc_spec::storage::IoLimit;
use rustix::fs::FileType;
use std::path::{Path, PathBuf};

impl Group {
    /// Sets the limits of groups that exist.
    pub(super) fn limit(&self, limits: &Limits) -> Res<()> {
        self.limit_memory(limits)?;
        self.limit_cpu(limits)?;
        if let Some(pids) = limits.pids {
            // The machine's init is ours, not the payload's.
            let pids = pids.saturating_add(1).to_string();
            match self.v1.get("pids") {
                Some(dir) => set(dir, "pids.max", &pids)?,
                None => set(self.unified("limits.pids", "pids.max")?, "pids.max", &pids)?,
            }
        }
        self.limit_io(limits)
    }

    fn limit_memory(&self, limits: &Limits) -> Res<()> {
        let Some(bytes) = limits.memory else { return Ok(()) };
        let v1 = self.v1.get("memory");
        match v1 {
            Some(dir) => set(dir, "memory.limit_in_bytes", &bytes.to_string())?,
            None => {
                let dir = self.unified("limits.memory", "memory.max")?;
                set(dir, "memory.max", &bytes.to_string())?;
                set(dir, "memory.oom.group", "1")?;
            }
        }
        let Some(swap) = limits.swap else { return Ok(()) };
        // Version 1 counts both together.
        let (dir, file, most) = match v1 {
            Some(dir) => (&**dir, "memory.memsw.limit_in_bytes", bytes.saturating_add(swap)),
            None => (self.unified("limits.swap", "memory.max")?, "memory.swap.max", swap),
        };
        if !dir.join(file).exists() {
            return Err(Problem::plain(format!(
                "limits.swap cannot be kept: this kernel does not count swap (no {file}); boot it \
                 with swapaccount=1, or drop the limit"
            )));
        }
        set(dir, file, &most.to_string())
    }

    fn limit_cpu(&self, limits: &Limits) -> Res<()> {
        if let Some(cpus) = limits.cpus {
            const PERIOD: f64 = 100_000.0;
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            let quota = (cpus * PERIOD).round().max(1000.0) as u64;
            if let Some(dir) = self.v1.get("cpu") {
                set(dir, "cpu.cfs_period_us", "100000")?;
                set(dir, "cpu.cfs_quota_us", &quota.to_string())?;
            } else {
                let dir = self.unified("limits.cpus", "cpu.max")?;
                set(dir, "cpu.max", &format!("{quota} 100000"))?;
            }
        }
        if let Some(weight) = limits.cpu_weight {
            match self.v1.get("cpu") {
                // 1024 there is 100 here.
                Some(dir) => set(dir, "cpu.shares", &(weight * 1024 / 100).max(2).to_string())?,
                None => {
                    let dir = self.unified("limits.cpuWeight", "cpu.weight")?;
                    set(dir, "cpu.weight", &weight.to_string())?;
                }
            }
        }
        Ok(())
    }

    fn limit_io(&self, limits: &Limits) -> Res<()> {
        if let Some(weight) = limits.io_weight {
            let v1 = self.v1.get("blkio").map(|dir| &**dir);
            let v2 = self.v2.as_deref();
            // Version 1 and the BFQ scheduler know weights up to 1000.
            let bfq = weight.min(1000).to_string();
            let ways = [
                (v1, "blkio.bfq.weight", bfq.clone()),
                (v1, "blkio.weight", weight.clamp(10, 1000).to_string()),
                (v2, "io.weight", format!("default {weight}")),
                (v2, "io.bfq.weight", bfq),
            ];
            let there = |(dir, file, value): (Option<&Path>, &'static str, String)| {
                let dir = dir.filter(|dir| dir.join(file).exists())?;
                Some((dir.to_owned(), file, value))
            };
            let Some((dir, file, value)) = ways.into_iter().find_map(there) else {
                return Err(Problem::plain(
                    "limits.ioWeight cannot be kept: no scheduler of this host's disks weighs \
                     (BFQ, or io.weight of control groups); use limits.io, or drop it",
                ));
            };
            set(&dir, file, &value)?;
        }
        for (path, limit) in &limits.io {
            self.limit_disk(path, *limit)?;
        }
        Ok(())
    }

    fn limit_disk(&self, path: &Path, limit: IoLimit) -> Res<()> {
        let device = disk(path)?;
        let named = [
            ("rbps", "blkio.throttle.read_bps_device", limit.read_bytes),
            ("wbps", "blkio.throttle.write_bps_device", limit.write_bytes),
            ("riops", "blkio.throttle.read_iops_device", limit.read_requests),
            ("wiops", "blkio.throttle.write_iops_device", limit.write_requests),
        ];
        let asked = named.iter().filter_map(|(v2, v1, most)| Some((*v2, *v1, (*most)?)));
        let refused = |problem: Problem| {
            Problem::plain(format!("limits.io.\"{}\" cannot be kept: {problem}", path.display()))
        };
        if let Some(dir) = self.v1.get("blkio") {
            for (_, file, most) in asked {
                set(dir, file, &format!("{device} {most}")).map_err(refused)?;
            }
            return Ok(());
        }
        let dir = self.unified("limits.io", "io.max")?;
        let words: String = asked.map(|(word, _, most)| format!(" {word}={most}")).collect();
        set(dir, "io.max", &format!("{device}{words}")).map_err(refused)
    }
}

/// `major:minor` of the whole disk behind a device, or under a path.
fn disk(path: &Path) -> Res<String> {
    let shown = path.display();
    let stat = rustix::fs::stat(path).doing_with(|| format!("limits.io: find {shown}"))?;
    let device = match FileType::from_raw_mode(stat.st_mode) {
        FileType::BlockDevice => stat.st_rdev,
        _ => stat.st_dev,
    };
    let number = format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device));
    let entry = PathBuf::from("/sys/dev/block").join(&number);
    if !entry.exists() {
        return Err(Problem::plain(format!(
            "limits.io: {shown} is on no single disk (device {number}); name the disk itself"
        )));
    }
    // Limits are those of disks, not of their partitions.
    if entry.join("partition").exists() {
        let whole = std::fs::read_to_string(entry.join("../dev"));
        return Ok(whole.doing_with(|| format!("find the disk of {shown}"))?.trim().to_owned());
    }
    Ok(number)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods)]
    use super::*;
    use std::collections::BTreeMap;

    fn group(dir: &Path, v1: &[&'static str], v2: bool) -> Group {
        Group {
            v1: v1.iter().map(|name| (*name, dir.join(name))).collect(),
            v2: v2.then(|| dir.join("v2")),
        }
    }

    fn limits(text: &str) -> Limits {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn each_version_has_its_words() {
        let dir = tempfile::tempdir().unwrap();
        let path = std::env::current_dir().unwrap();
        let all = format!(
            r#"{{"memory": 1000, "swap": 500, "cpuWeight": 200, "ioWeight": 5000,
                "io": {{"{}": {{"readBytes": 7, "writeRequests": 9}}}}}}"#,
            path.display()
        );
        let files: BTreeMap<&str, &[&str]> = BTreeMap::from([
            ("memory", &["memory.limit_in_bytes", "memory.memsw.limit_in_bytes"][..]),
            ("cpu", &["cpu.shares"]),
            (
                "blkio",
                &[
                    "blkio.weight",
                    "blkio.throttle.read_bps_device",
                    "blkio.throttle.write_iops_device",
                ],
            ),
            (
                "v2",
                &[
                    "memory.max",
                    "memory.oom.group",
                    "memory.swap.max",
                    "cpu.weight",
                    "io.weight",
                    "io.max",
                ],
            ),
        ]);
        for (name, files) in &files {
            std::fs::create_dir(dir.path().join(name)).unwrap();
            for file in *files {
                std::fs::write(dir.path().join(name).join(file), "").unwrap();
            }
        }
        let read = |name: &str| -> Vec<String> {
            let read = |file| std::fs::read_to_string(dir.path().join(name).join(file)).unwrap();
            files[name].iter().map(read).collect()
        };
        let device = disk(&path).unwrap();
        group(dir.path(), &["memory", "cpu", "blkio"], false).limit(&limits(&all)).unwrap();
        assert_eq!(read("memory"), ["1000", "1500"]);
        assert_eq!(read("cpu"), ["2048"]);
        assert_eq!(read("blkio"), ["1000", &format!("{device} 7"), &format!("{device} 9")]);
        group(dir.path(), &[], true).limit(&limits(&all)).unwrap();
        let io = format!("{device} rbps=7 wiops=9");
        assert_eq!(read("v2"), ["1000", "1", "500", "200", "default 5000", &io]);
    }

    #[test]
    fn what_cannot_be_kept_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("v2")).unwrap();
        std::fs::create_dir(dir.path().join("memory")).unwrap();
        std::fs::write(dir.path().join("memory/memory.limit_in_bytes"), "").unwrap();
        let group = group(dir.path(), &["memory"], true);
        for (text, says) in [
            (r#"{"memory": 1000, "swap": 5}"#, "does not count swap"),
            (r#"{"cpuWeight": 5}"#, "limits.cpuWeight cannot be kept"),
            (r#"{"ioWeight": 5}"#, "limits.ioWeight cannot be kept"),
            (r#"{"io": {"/": {"readBytes": 1}}}"#, "limits.io cannot be kept"),
            (r#"{"io": {"/proc": {"readBytes": 1}}}"#, "on no single disk"),
            (r#"{"io": {"/nowhere": {"readBytes": 1}}}"#, "find /nowhere"),
        ] {
            let error = group.limit(&limits(text)).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
