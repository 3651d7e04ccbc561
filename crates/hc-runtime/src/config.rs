//! What callers hand in.

use hc_spec::Name;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// What the standard streams of a machine's command are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Streams {
    /// Nothing to read; what it writes goes to its log.
    Log,
    /// Those of the supervisor.
    Own,
    /// A terminal of its own, connected to the supervisor's streams.
    Terminal,
}

/// How to run one machine.
#[derive(Debug, Clone)]
pub struct RunConfig {
    /// The machine closure, as a file that can be opened.
    pub closure: PathBuf,
    /// Physical root in front of `/nix/store` paths, when the store is relocated.
    pub store_root: Option<PathBuf>,
    /// Where machines keep forks and logs, `/var/lib/hc`.
    pub state_dir: PathBuf,
    /// Where running machines are described, `/run/hc`.
    pub run_dir: PathBuf,
    /// Control group, relative to the hierarchy's root, that machines' own groups are made in.
    /// `None` is [`RunConfig::CGROUP_PARENT`].
    pub cgroup_parent: Option<PathBuf>,
    /// Name servers of the machine; when empty, the gateway of its first network.
    pub dns: Vec<IpAddr>,
    /// `NOTIFY_SOCKET` of the supervisor itself: told `READY=1` when the machine is ready.
    pub notify: Option<PathBuf>,
    /// What its standard streams are.
    pub streams: Streams,
    /// It is gone with its supervisor: [`crate::sweep`] takes what is left when that was killed.
    pub throwaway: bool,
    /// The running virtual machine that it is a fork of: it begins as what that is now.
    pub fork_of: Option<Name>,
    /// When the machine was asked for ([`crate::now_ns`]), to say where the time went since.
    pub requested_ns: Option<u64>,
    /// The program of QEMU, for virtual machines; looked for where hosts have it when absent.
    pub qemu: Option<PathBuf>,
}

impl RunConfig {
    /// Where control groups are made when nothing else is asked for.
    pub const CGROUP_PARENT: &str = "hc.slice";

    /// With the usual directories.
    #[must_use]
    pub fn new(closure: impl Into<PathBuf>) -> Self {
        Self {
            closure: closure.into(),
            store_root: None,
            state_dir: "/var/lib/hc".into(),
            run_dir: "/run/hc".into(),
            cgroup_parent: None,
            dns: Vec::new(),
            notify: None,
            streams: Streams::Log,
            throwaway: false,
            fork_of: None,
            requested_ns: None,
            qemu: None,
        }
    }

    /// The file that stands for a store path on this machine.
    pub(crate) fn physical(&self, logical: &Path) -> PathBuf {
        physical(self.store_root.as_deref(), logical)
    }
}

/// The file that stands for a store path, where a store is relocated to `root`.
pub(crate) fn physical(root: Option<&Path>, logical: &Path) -> PathBuf {
    match root {
        Some(root) => root.join(logical.strip_prefix("/").unwrap_or(logical)),
        None => logical.to_path_buf(),
    }
}

/// What to run in a machine that runs already.
#[derive(Debug, Clone)]
pub struct ExecConfig {
    /// Where running machines are described, `/run/hc`.
    pub run_dir: PathBuf,
    /// Physical root in front of `/nix/store` paths, when the store is relocated.
    pub store_root: Option<PathBuf>,
    /// Name of the machine.
    pub name: String,
    /// Program and arguments; none for the user's shell, as at a login.
    pub argv: Vec<String>,
    /// Give it a terminal of its own, connected to this process's standard streams.
    pub tty: bool,
    /// User to run as, `root` when absent: a name or `uid[:gid]`.
    pub user: Option<String>,
    /// Working directory; `/` when absent, or a shell's home.
    pub workdir: Option<PathBuf>,
    /// Environment on top of the machine's own.
    pub env: BTreeMap<String, String>,
}

impl ExecConfig {
    /// `argv` as root in `/`, without a terminal.
    #[must_use]
    pub fn new(run_dir: impl Into<PathBuf>, name: impl Into<String>, argv: Vec<String>) -> Self {
        Self {
            run_dir: run_dir.into(),
            store_root: None,
            name: name.into(),
            argv,
            tty: false,
            user: None,
            workdir: None,
            env: BTreeMap::new(),
        }
    }
}

/// Where the parts of one machine lie.
#[derive(Debug, Clone)]
pub struct Places {
    /// `<run>/machines/NAME`.
    pub run: PathBuf,
    /// `<state>/machines/NAME`.
    pub state: PathBuf,
}

impl Places {
    /// The places of machine `name`.
    #[must_use]
    pub fn new(run_dir: &Path, state_dir: &Path, name: &str) -> Self {
        Self {
            run: run_dir.join("machines").join(name),
            state: state_dir.join("machines").join(name),
        }
    }

    /// Says that the machine is gone with its supervisor.
    #[must_use]
    pub fn throwaway(&self) -> PathBuf {
        self.run.join("throwaway")
    }

    /// The status file.
    #[must_use]
    pub fn status(&self) -> PathBuf {
        self.run.join("status.json")
    }

    /// Directory of the log files.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.state.join("log")
    }

    /// Directory of the writable layer.
    #[must_use]
    pub fn fork(&self) -> PathBuf {
        self.state.join("fork")
    }
}
