//! Starting, finding and forgetting the processes that run machines.

use crate::config::AgentConfig;
use crate::error::{AgentError, Context, Result};
use crate::process::{Process, parse_stat};
use crate::restarts::Restarts;
use crate::status::Status;
use crate::watch::Watcher;
use hc_spec::Name;
use rustix::fs::{Mode, OFlags};
use rustix::process::{Resource, Rlimit};
use std::ffi::CString;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use tokio::sync::{Notify, watch};

/// Where it is written down how often a machine was started again, in its directory.
const RESTARTS: &str = "restarts.json";

/// What runs machines: one process each, which outlives the agent.
pub trait Machines: Send + Sync {
    /// Starts the process that runs `closure` as machine `name`. Blocks until it is executed.
    ///
    /// # Errors
    /// When it cannot be executed.
    fn spawn(&self, name: &Name, closure: &Path) -> Result<Process>;

    /// The process that runs machine `name` already, and the closure it runs.
    ///
    /// # Errors
    /// When that cannot be told.
    fn adopt(&self, name: &Name) -> Result<Option<(Process, PathBuf)>>;

    /// What was last written about the machine, by whatever process.
    fn status(&self, name: &Name) -> Option<Status>;

    /// Changes whenever [`Self::status`] may have.
    fn changes(&self, name: &Name) -> watch::Receiver<u64>;

    /// Told whenever a machine may have changed that nobody has asked [`Self::changes`] about.
    fn others(&self) -> Arc<Notify> {
        Arc::default()
    }

    /// Machines that run or ran here.
    ///
    /// # Errors
    /// When that cannot be told.
    fn known(&self) -> Result<Vec<Name>>;

    /// Remembers until the next start that a machine which runs `closure` was started too often and is
    /// left alone.
    ///
    /// # Errors
    /// When that cannot be written.
    fn leave_alone(&self, name: &Name, closure: &Path) -> Result<()>;

    /// Whether that was said of it.
    fn is_left_alone(&self, name: &Name, closure: &Path) -> bool;

    /// Writes down how often a machine was started again by itself.
    ///
    /// # Errors
    /// When that cannot be written.
    fn remember(&self, name: &Name, restarts: &Restarts) -> Result<()>;

    /// What was written down of that since the host booted.
    fn restarts(&self, name: &Name) -> Restarts;

    /// Removes what `/run` holds about a machine that does not run and is not to.
    ///
    /// # Errors
    /// When something is left.
    fn forget(&self, name: &Name) -> Result<()>;

    /// Makes ready what the first starts of these machines would wait for, while what runs goes on
    /// running. Says what it is at, and gives those that could not be started, with the reason. Blocks.
    ///
    /// # Errors
    /// When it cannot be tried.
    fn prepare(
        &self,
        _machines: &[(Name, PathBuf)],
        _say: &dyn Fn(String),
    ) -> Result<Vec<(Name, String)>> {
        Ok(Vec::new())
    }

    /// The last lines the machine wrote since `since` (Unix microseconds).
    fn log_tail(&self, name: &Name, since: u64) -> Vec<String>;
}

/// Machines as `exe machine run CLOSURE`, each in a session of its own.
///
/// `<run>/supervisors/NAME` says which process it is. The process writes that itself before it
/// executes, and dies with the agent until it has: there is no moment at which a machine runs
/// and the next agent cannot know.
#[derive(Debug)]
pub struct ProcessMachines {
    exe: PathBuf,
    arguments: Vec<std::ffi::OsString>,
    run_dir: PathBuf,
    state_dir: PathBuf,
    boot_id: String,
    nofile: Rlimit,
    watcher: Watcher,
}

/// Variable that tells a supervisor when it was asked for, in nanoseconds of `CLOCK_MONOTONIC`.
pub const REQUESTED: &str = "HC_REQUESTED_NS";

/// Lines of a machine's log that an error shows.
const TAIL_LINES: usize = 10;

impl ProcessMachines {
    /// Makes the directories and begins to watch them. Needs a tokio runtime.
    ///
    /// # Errors
    /// When the run directory cannot be used.
    pub fn new(config: &AgentConfig) -> Result<Self> {
        let machines = config.run_dir.join("machines");
        hc_fs::plain::create_dir_all(&machines, 0o755)?;
        hc_fs::plain::create_dir_all(&config.run_dir.join("supervisors"), 0o755)?;
        let mut arguments = vec!["--state-dir".into(), config.state_dir.clone().into()];
        arguments.extend(["--run-dir".into(), config.run_dir.clone().into()]);
        arguments.extend(config.machine_args.iter().cloned());
        Ok(Self {
            exe: config.exe.clone(),
            arguments,
            run_dir: config.run_dir.clone(),
            state_dir: config.state_dir.clone(),
            boot_id: boot_id(),
            nofile: rustix::process::getrlimit(Resource::Nofile),
            watcher: Watcher::new(&machines)?,
        })
    }

    fn record(&self, name: &Name) -> PathBuf {
        self.run_dir.join("supervisors").join(name.as_str())
    }

    fn left_alone(&self, name: &Name) -> PathBuf {
        self.directory(name).join("left-alone")
    }

    fn directory(&self, name: &Name) -> PathBuf {
        self.run_dir.join("machines").join(name.as_str())
    }
}

impl Machines for ProcessMachines {
    fn spawn(&self, name: &Name, closure: &Path) -> Result<Process> {
        hc_fs::plain::create_dir_all(&self.directory(name), 0o755)?;
        hc_fs::plain::remove_file(&self.left_alone(name))?;
        let record = self.record(name);
        let record = CString::new(record.as_os_str().as_bytes())
            .map_err(|_| std::io::Error::from_raw_os_error(libc::EINVAL))
            .on("write", &self.record(name))?;
        let mut tail = format!(" {} ", self.boot_id).into_bytes();
        tail.extend_from_slice(closure.as_os_str().as_bytes());
        tail.push(b'\n');
        let (parent, nofile) = (rustix::process::getpid(), self.nofile);
        let mut command = Command::new(&self.exe);
        command.args(["machine", "run"]).arg(closure).args(&self.arguments);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        // Meant for the agent, not for what it starts.
        for key in ["NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "WATCHDOG_USEC"]
        {
            command.env_remove(key);
        }
        command.env(REQUESTED, hc_runtime::now_ns().to_string());
        // SAFETY: `before_exec` only makes system calls and works on memory that exists.
        unsafe {
            command.pre_exec(move || before_exec(parent, &record, &tail, nofile));
        }
        let child = command.spawn().on("execute", &self.exe)?;
        Process::child(child.id())
    }

    fn adopt(&self, name: &Name) -> Result<Option<(Process, PathBuf)>> {
        let Ok(text) = std::fs::read_to_string(self.record(name)) else { return Ok(None) };
        let mut fields = text.trim_end_matches('\n').splitn(4, ' ');
        let (Some(pid), Some(start), Some(boot), Some(closure)) = (
            fields.next().and_then(|f| f.parse().ok()),
            fields.next().and_then(|f| f.parse().ok()),
            fields.next(),
            fields.next(),
        ) else {
            return Ok(None);
        };
        if boot != self.boot_id {
            return Ok(None);
        }
        Ok(Process::adopt(pid, start)?.map(|process| (process, closure.into())))
    }

    fn status(&self, name: &Name) -> Option<Status> {
        let path = self.directory(name).join("status.json");
        let text = std::fs::read(&path).ok()?;
        match serde_json::from_slice(&text) {
            Ok(status) => Some(status),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "not a status file");
                None
            }
        }
    }

    fn changes(&self, name: &Name) -> watch::Receiver<u64> {
        self.watcher.changes(name)
    }

    fn others(&self) -> Arc<Notify> {
        self.watcher.others()
    }

    fn known(&self) -> Result<Vec<Name>> {
        let mut names = Vec::new();
        for directory in ["supervisors", "machines"] {
            let directory = self.run_dir.join(directory);
            for entry in std::fs::read_dir(&directory).on("read", &directory)? {
                let entry = entry.on("read", &directory)?;
                // Those of `hc run` are nobody's but its.
                if entry.path().join("throwaway").exists() {
                    continue;
                }
                let file = entry.file_name();
                names.extend(file.to_str().and_then(|text| Name::new(text).ok()));
            }
        }
        names.sort();
        names.dedup();
        Ok(names)
    }

    fn leave_alone(&self, name: &Name, closure: &Path) -> Result<()> {
        let closure = closure.as_os_str().as_bytes();
        Ok(hc_fs::plain::write(&self.left_alone(name), closure, 0o644)?)
    }

    fn is_left_alone(&self, name: &Name, closure: &Path) -> bool {
        std::fs::read(self.left_alone(name)).is_ok_and(|of| of == closure.as_os_str().as_bytes())
    }

    fn remember(&self, name: &Name, restarts: &Restarts) -> Result<()> {
        let text = serde_json::to_vec(restarts).expect("it has string keys only");
        Ok(hc_fs::plain::write(&self.directory(name).join(RESTARTS), &text, 0o644)?)
    }

    fn restarts(&self, name: &Name) -> Restarts {
        let text = std::fs::read(self.directory(name).join(RESTARTS)).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    fn forget(&self, name: &Name) -> Result<()> {
        self.watcher.forget(name);
        // One that was asked for by hand has the name: what is there is its own.
        if self.directory(name).join("throwaway").exists() {
            hc_fs::plain::remove_file(&self.record(name))?;
            return Ok(());
        }
        hc_fs::tree::remove(&self.directory(name))?;
        hc_fs::plain::remove_file(&self.record(name))?;
        Ok(())
    }

    fn prepare(
        &self,
        machines: &[(Name, PathBuf)],
        say: &dyn Fn(String),
    ) -> Result<Vec<(Name, String)>> {
        let mut command = Command::new(&self.exe);
        command.args(["machine", "prepare"]).args(machines.iter().map(|(_, closure)| closure));
        command.args(&self.arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().on("execute", &self.exe)?;
        let mut failed = Vec::new();
        let said = child.stdout.take().into_iter().flat_map(|out| BufReader::new(out).lines());
        for line in said.map_while(std::result::Result::ok) {
            let Ok(line) = serde_json::from_str::<serde_json::Value>(&line) else { continue };
            let of = machines.iter().find(|(_, c)| line["closure"].as_str() == c.to_str());
            let Some((name, _)) = of else { continue };
            if let Some(doing) = line["doing"].as_str() {
                say(format!("preparing {name}: {doing}"));
            }
            failed.extend(line["failed"].as_str().map(|why| (name.clone(), why.to_owned())));
        }
        let ended = child.wait().on("wait for", &self.exe)?;
        if !ended.success() {
            let path = self.exe.clone();
            let source = std::io::Error::other(format!("preparing machines failed: {ended}"));
            return Err(AgentError::Io { action: "execute", path, source });
        }
        Ok(failed)
    }

    fn log_tail(&self, name: &Name, since: u64) -> Vec<String> {
        let path = self.state_dir.join("machines").join(name.as_str()).join("log/current");
        read_tail(&path, since).unwrap_or_default()
    }
}

/// Runs in the child between fork and exec: no allocation, no locks.
fn before_exec(
    parent: rustix::process::Pid,
    record: &CString,
    tail: &[u8],
    nofile: Rlimit,
) -> std::io::Result<()> {
    use rustix::process::{Signal, getppid, set_parent_process_death_signal, setsid};
    setsid()?;
    set_parent_process_death_signal(Some(Signal::KILL))?;
    if getppid() != Some(parent) {
        return Err(std::io::Error::from_raw_os_error(libc::ESRCH));
    }
    let stat =
        rustix::fs::open(c"/proc/self/stat", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let mut buffer = [0u8; 1024];
    let length = rustix::io::read(&stat, &mut buffer)?;
    let start = parse_stat(&buffer[..length]).map_or(0, |(_, start)| start);
    let mut line = Line { bytes: [0; 4096], length: 0 };
    line.number(u64::from(rustix::process::getpid().as_raw_nonzero().get().unsigned_abs()));
    line.push(b" ");
    line.number(start);
    line.push(tail);
    let flags =
        OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let file = rustix::fs::open(record.as_c_str(), flags, Mode::from_raw_mode(0o644))?;
    rustix::io::write(&file, &line.bytes[..line.length])?;
    let _ = rustix::process::setrlimit(Resource::Nofile, nofile);
    set_parent_process_death_signal(None)?;
    Ok(())
}

struct Line {
    bytes: [u8; 4096],
    length: usize,
}

impl Line {
    fn push(&mut self, text: &[u8]) {
        let room = self.bytes.len() - self.length;
        let text = &text[..text.len().min(room)];
        self.bytes[self.length..self.length + text.len()].copy_from_slice(text);
        self.length += text.len();
    }

    fn number(&mut self, mut n: u64) {
        let mut digits = [0u8; 20];
        let mut at = digits.len();
        while at == digits.len() || n > 0 {
            at -= 1;
            digits[at] = b'0' + (n % 10) as u8;
            n /= 10;
        }
        self.push(&digits[at..]);
    }
}

/// The boot this is, as the kernel names it.
pub(crate) fn boot_id() -> String {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    text.trim().to_owned()
}

/// The end of a log, without what older runs wrote. A line is `<unix µs> <o|e|h> <text>`.
fn read_tail(path: &Path, since: u64) -> Result<Vec<String>, AgentError> {
    let mut file = std::fs::File::open(path).on("read", path)?;
    let length = file.metadata().on("read", path)?.len();
    let from = length.saturating_sub(8 << 10);
    file.seek(SeekFrom::Start(from)).on("read", path)?;
    let mut bytes = Vec::new();
    file.take(8 << 10).read_to_end(&mut bytes).on("read", path)?;
    let text = String::from_utf8_lossy(&bytes);
    let mut lines: Vec<String> = text
        .lines()
        .skip(usize::from(from > 0))
        .filter_map(|line| {
            let (time, rest) = line.split_once(' ')?;
            let recent = time.parse::<u64>().ok()? >= since;
            recent.then(|| rest.split_once(' ').map_or(rest, |(_, text)| text).to_owned())
        })
        .collect();
    Ok(lines.split_off(lines.len().saturating_sub(TAIL_LINES)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_of_a_log_is_of_this_run() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("current");
        let line = |i: u64| format!("{i} o line {i}\n");
        let text: String = (0..2000).map(line).collect();
        hc_fs::plain::write(&path, text.as_bytes(), 0o644).unwrap();
        assert_eq!(read_tail(&path, 1998).unwrap(), ["line 1998", "line 1999"]);
        assert_eq!(read_tail(&path, 0).unwrap().len(), TAIL_LINES);
        hc_fs::plain::write(&path, b"5 e no end \xff", 0o644).unwrap();
        assert_eq!(read_tail(&path, 5).unwrap(), ["no end \u{fffd}"]);
    }

    #[test]
    fn numbers_are_written_without_allocating() {
        for n in [0, 7, 10, 4_194_304, u64::MAX] {
            let mut line = Line { bytes: [0; 4096], length: 0 };
            line.number(n);
            assert_eq!(&line.bytes[..line.length], n.to_string().as_bytes());
        }
    }
}
