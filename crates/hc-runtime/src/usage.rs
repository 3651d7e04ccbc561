//! What a machine uses now, as its control groups count it.

use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// What a machine uses; absent where this host does not count it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    /// Bytes of memory, with what the kernel keeps of files for it.
    pub memory_bytes: Option<u64>,
    /// Bytes of that which are in no file: the guest's memory and QEMU's own, of a virtual machine.
    pub anonymous_bytes: Option<u64>,
    /// Most bytes of memory it has had at once.
    pub memory_peak_bytes: Option<u64>,
    /// Bytes of swap.
    pub swap_bytes: Option<u64>,
    /// Microseconds of processor time.
    pub cpu_us: Option<u64>,
    /// Processes and threads, hc's own first one among them.
    pub pids: Option<u64>,
    /// Bytes read from block devices.
    pub read_bytes: Option<u64>,
    /// Bytes written to block devices.
    pub written_bytes: Option<u64>,
    /// Bytes of the host that the file system takes which keeps what it writes over its image, where that has
    /// a size.
    #[serde(default)]
    pub root_bytes: Option<u64>,
}

impl Usage {
    /// Reads the groups of a machine, as its status names them. Groups that are gone count nothing.
    #[must_use]
    pub fn of(groups: &[PathBuf]) -> Self {
        let text =
            |file: &str| groups.iter().find_map(|dir| std::fs::read_to_string(dir.join(file)).ok());
        let number = |file: &str| text(file)?.trim().parse().ok();
        let io = text("io.stat")
            .map(|text| io_v2(&text))
            .or_else(|| text("blkio.throttle.io_service_bytes").map(|text| io_v1(&text)));
        let on_swap = || {
            let both: u64 = number("memory.memsw.usage_in_bytes")?;
            Some(both.saturating_sub(number("memory.usage_in_bytes")?))
        };
        Self {
            memory_bytes: number("memory.current").or_else(|| number("memory.usage_in_bytes")),
            anonymous_bytes: text("memory.stat")
                .and_then(|text| field(&text, "anon ").or_else(|| field(&text, "rss "))),
            memory_peak_bytes: number("memory.peak")
                .or_else(|| number("memory.max_usage_in_bytes")),
            swap_bytes: number("memory.swap.current").or_else(on_swap),
            cpu_us: text("cpu.stat").and_then(|text| field(&text, "usage_usec")),
            pids: number("pids.current"),
            read_bytes: io.map(|io| io.0),
            written_bytes: io.map(|io| io.1),
            root_bytes: None,
        }
    }
}

/// How often the kernel killed something in these groups because memory ran out.
pub(crate) fn oom_kills(memory: &Path, file: &str) -> u64 {
    let text = std::fs::read_to_string(memory.join(file)).unwrap_or_default();
    field(&text, "oom_kill").unwrap_or(0)
}

fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

/// `8:0 rbytes=1 wbytes=2 …`, a line for each device.
fn io_v2(text: &str) -> (u64, u64) {
    let sum = |key: &str| {
        let words = text.split_ascii_whitespace();
        words.filter_map(|word| word.strip_prefix(key)?.parse::<u64>().ok()).sum()
    };
    (sum("rbytes="), sum("wbytes="))
}

/// `8:0 Read 1`, `8:0 Write 2`, …, `Total 3`.
fn io_v1(text: &str) -> (u64, u64) {
    let sum = |key: &str| {
        let lines = text.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        lines
            .filter(|words| words.get(1) == Some(&key))
            .filter_map(|words| words.get(2)?.parse::<u64>().ok())
            .sum()
    };
    (sum("Read"), sum("Write"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods)]
    use super::*;

    #[test]
    fn either_version_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let (v2, v1) = (dir.path().join("v2"), dir.path().join("v1"));
        std::fs::create_dir(&v2).unwrap();
        std::fs::create_dir(&v1).unwrap();
        let write = |dir: &Path, file: &str, text: &str| std::fs::write(dir.join(file), text);
        write(&v2, "memory.current", "4096\n").unwrap();
        write(&v2, "memory.stat", "anon 11\nanon_thp 5\nfile 6\n").unwrap();
        write(&v2, "cpu.stat", "usage_usec 77\nuser_usec 1\n").unwrap();
        write(&v2, "io.stat", "8:0 rbytes=5 wbytes=6 rios=1\n8:16 rbytes=1 wbytes=1\n").unwrap();
        let usage = Usage::of(&[v1.clone(), v2]);
        assert_eq!((usage.memory_bytes, usage.cpu_us, usage.pids), (Some(4096), Some(77), None));
        assert_eq!((usage.read_bytes, usage.written_bytes), (Some(6), Some(7)));
        assert_eq!(usage.anonymous_bytes, Some(11));
        write(&v1, "memory.usage_in_bytes", "10\n").unwrap();
        write(&v1, "memory.stat", "cache 1\nrss_huge 3\nrss 9\n").unwrap();
        write(&v1, "memory.memsw.usage_in_bytes", "15\n").unwrap();
        write(&v1, "blkio.throttle.io_service_bytes", "8:0 Read 3\n8:0 Write 4\nTotal 7\n")
            .unwrap();
        let usage = Usage::of(&[v1]);
        assert_eq!((usage.memory_bytes, usage.swap_bytes), (Some(10), Some(5)));
        assert_eq!(usage.anonymous_bytes, Some(9));
        assert_eq!((usage.read_bytes, usage.written_bytes), (Some(3), Some(4)));
    }
}
