//! The sandbox: a root directory with the inputs and nothing else, and how to get into it.

use super::child::{Mount, Plan, Pointers};
use super::environment::{BUILD_DIR, Environment, Variables};
use super::guards::Guard;
use super::log::Log;
use super::process::{self, End, Ends, Limits, Watch};
use super::references::Graphs;
use super::users::BuildUsers;
use super::yard::{self, Sandbox};
use super::{platform, seccomp};
use crate::config::StoreConfig;
use crate::error::{BuildFailure, Context, Error, Result};
use crate::layout::{Layout, chmod};
use crate::store::Store;
use hc_fs::plain;
use nix_compat::{Derivation, STORE_DIR, StorePath};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CString;
use std::fs::File;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// What is built, and with what.
pub(super) struct Job<'a> {
    pub layout: &'a Layout,
    pub path: &'a StorePath,
    pub derivation: &'a Derivation,
    /// The closure of the inputs.
    pub inputs: &'a BTreeSet<StorePath>,
    /// An empty name on the store's file system.
    pub scratch: &'a Path,
    pub users: &'a BuildUsers,
    pub config: &'a StoreConfig,
    /// Where each output is to be made.
    pub outputs: &'a BTreeMap<String, StorePath>,
    pub graphs: &'a Graphs,
    /// What is made is checked against a hash.
    pub fixed: bool,
    /// The store that it may ask, where it may.
    pub recursive: Option<&'a Store>,
    /// It uses the host's network: what it makes is checked, or is not asked to be the same twice.
    pub network: bool,
}

/// Where the outputs are, in the scratch tree.
pub(super) fn outputs_directory(scratch: &Path) -> PathBuf {
    scratch.join("root").join(STORE_DIR.trim_start_matches('/'))
}

/// The build directory, in the scratch tree.
pub(super) fn build_directory(scratch: &Path) -> PathBuf {
    scratch.join("root").join(BUILD_DIR.trim_start_matches('/'))
}

/// Builds in a sandbox below `job.scratch`. The mounts are seen by the builder only: on the host
/// there is a plain directory tree, with empty files where the builder had devices. Gives the paths
/// that the builder added to its inputs.
pub(super) fn run(
    job: &Job<'_>,
    log: &mut Log<'_>,
    cancelled: &dyn Fn() -> bool,
) -> Result<BTreeSet<StorePath>> {
    // The directory around it hides what the builder makes from everybody else on the host.
    plain::create_dir(job.scratch, 0o700)?;
    let root = job.scratch.join("root");
    plain::create_dir(&root, if job.users.range { 0o755 } else { 0o750 })?;
    let described = Environment {
        path: job.path,
        derivation: job.derivation,
        outputs: job.outputs,
        cores: job.config.cores,
        graphs: job.graphs,
        impure: job.network.then_some(&job.config.environment),
        fixed: job.fixed,
    };
    let mut tree = Tree { root: &root, job, mounts: Vec::new() };
    let mut environment = tree.make(&described)?;
    let mounts = tree.mounts;
    let mut listener = None;
    if job.recursive.is_some() {
        let remote = format!("unix://{BUILD_DIR}/{}", yard::SOCKET);
        environment.insert("NIX_REMOTE".into(), remote.into());
        listener = Some(yard::listen(&build_directory(job.scratch), job.users)?);
    }

    let (go_read, go) = process::pipe().on("make a pipe for", job.scratch)?;
    let (report, report_write) = process::pipe().on("make a pipe for", job.scratch)?;
    let (output, terminal) = process::terminal().on("make a terminal for", job.scratch)?;
    let null = open_null().on("open", Path::new("/dev/null"))?;
    let malformed = |reason: String| Error::Derivation { path: job.path.clone(), reason };
    let text = |bytes: &[u8]| {
        CString::new(bytes)
            .map_err(|_| malformed("an argument or variable holds a zero byte".into()))
    };
    let name = job.derivation.builder().rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    let mut arguments = vec![text(name)?];
    for argument in job.derivation.arguments() {
        arguments.push(text(&described.rewrite(argument))?);
    }
    let users = job.users;
    let network = if job.network { 0 } else { libc::CLONE_NEWNET };
    let others = libc::CLONE_NEWNS | libc::CLONE_NEWPID | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS;
    let first = if users.privileged { 0 } else { libc::CLONE_NEWUSER };
    let persona = if job.derivation.system() == platform::I686.as_bytes() {
        platform::PER_LINUX32
    } else {
        0
    };
    let plan = Plan {
        mounts,
        root: path_text(&root),
        directory: CString::new(BUILD_DIR).unwrap_or_default(),
        program: text(job.derivation.builder())?,
        arguments: Pointers::new(arguments),
        environment: Pointers::new(
            environment
                .iter()
                .map(|(name, value)| text(&[name.as_slice(), b"=", value].concat()))
                .collect::<Result<_>>()?,
        ),
        uid: users.uid,
        gid: users.gid,
        namespaces: first | others | network,
        user_namespace_first: !users.privileged,
        // Whoever has a range of ids may also make mounts and hosts' names of its own.
        late_namespaces: if users.range { libc::CLONE_NEWNS | libc::CLONE_NEWUTS } else { 0 },
        loopback: !job.network,
        // Builds that share the host's network must not meet there.
        scoped: job.network && Guard::Scope.stands(job.derivation),
        persona: persona | libc::ADDR_NO_RANDOMIZE,
        filter: if users.range { seccomp::filter_range() } else { seccomp::filter() },
        standard_input: null.as_raw_fd(),
        log: terminal.as_raw_fd(),
        go: go_read.as_raw_fd(),
        report: report_write.as_raw_fd(),
    };
    let childs = vec![go_read, report_write, terminal, null];
    let ends = Ends { go, report, log: output, childs };
    let limits = Limits::of(job.config);
    let run = |started: &dyn Fn(BorrowedFd<'_>) -> Result<()>| {
        let watch = Watch { limits, cancelled, started };
        process::run(job.path, &plan, users, ends, log, &watch)
    };
    let (end, added) = match (job.recursive, listener) {
        (Some(store), Some(listener)) => {
            let yard = Sandbox::new(store, job.inputs, &outputs_directory(job.scratch))?;
            let started = |process: BorrowedFd<'_>| yard.started(process);
            let end = yard::serve_while(&yard, &listener, || run(&started));
            (end?, yard.into_added())
        }
        _ => (run(&|_| Ok(()))?, BTreeSet::new()),
    };
    match end {
        End::Success => Ok(added),
        End::Failure(status) => Err(Error::BuildFailed(Box::new(BuildFailure {
            drv: job.path.clone(),
            status,
            note: full_disk(&job.layout.store),
            log_tail: log.tail(),
            log: log.path.clone(),
            kept: None,
        }))),
    }
}

/// A builder does not tell us why it failed; this is the one cause that can be seen from outside.
fn full_disk(store: &Path) -> Option<String> {
    let free = rustix::fs::statvfs(store).map(|s| s.f_bavail.saturating_mul(s.f_frsize)).ok()?;
    let megabytes = free >> 20;
    (megabytes < 8).then(|| format!("the disk is almost full: {megabytes} MiB are free"))
}

/// For reading and writing, as C++ Nix gives it to builders.
fn open_null() -> std::io::Result<File> {
    use rustix::fs::{Mode, OFlags};
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    Ok(null.into())
}

fn path_text(path: &Path) -> CString {
    // A path that was made by system calls holds no zero byte.
    CString::new(path.as_os_str().as_bytes()).unwrap_or_default()
}

struct Tree<'a> {
    root: &'a Path,
    job: &'a Job<'a>,
    mounts: Vec<Mount>,
}

impl Tree<'_> {
    fn make(&mut self, environment: &Environment<'_>) -> Result<Variables> {
        self.bind(self.root, self.root, false);
        let users = self.job.users;
        if users.range {
            users.give(self.root)?;
        } else {
            users.let_in(self.root)?;
        }
        let build = self.directory(&BUILD_DIR[1..], 0o700)?;
        users.give(&build)?;
        let temporary = self.directory("tmp", 0o1777)?;
        chmod(&temporary, 0o1777)?;
        self.etc()?;
        self.devices()?;
        let process = self.directory("proc", 0o555)?;
        self.mount("proc", &process, libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC, "");
        self.inputs()?;
        self.host_paths()?;
        if !users.range {
            chmod(&self.root.join("etc"), 0o555)?;
        }
        let (variables, files) = environment.prepare(&build)?;
        for file in files {
            users.give(&file)?;
        }
        Ok(variables)
    }

    fn directory(&self, name: &str, mode: u32) -> Result<PathBuf> {
        let path = self.root.join(name);
        plain::create_dir_all(&path, 0o755)?;
        chmod(&path, mode)?;
        Ok(path)
    }

    fn file(&self, name: &str, contents: &str) -> Result<()> {
        Ok(plain::write(&self.root.join(name), contents.as_bytes(), 0o644)?)
    }

    fn etc(&mut self) -> Result<()> {
        self.directory("etc", 0o755)?;
        self.file(
            "etc/passwd",
            "root:x:0:0:Nix build user:/build:/noshell\n\
             nixbld:x:1000:100:Nix build user:/build:/noshell\n\
             nobody:x:65534:65534:Nobody:/:/noshell\n",
        )?;
        self.file("etc/group", "root:x:0:\nnixbld:!:100:\nnogroup:x:65534:\n")?;
        if !self.job.network {
            return self.file("etc/hosts", "127.0.0.1 localhost\n::1 localhost\n");
        }
        // It may use the network: names are resolved as on the host.
        self.file("etc/nsswitch.conf", "hosts: files dns\nservices: files\n")?;
        for name in ["etc/resolv.conf", "etc/services", "etc/hosts"] {
            if let Ok(contents) = std::fs::read_to_string(Path::new("/").join(name)) {
                self.file(name, &contents)?;
            }
        }
        if let Some(certificates) = crate::http::certificates(self.job.config).ok().flatten() {
            self.directory("etc/ssl/certs", 0o755)?;
            let name = "etc/ssl/certs/ca-certificates.crt";
            plain::write(&self.root.join(name), &certificates, 0o644)?;
        }
        Ok(())
    }

    fn devices(&mut self) -> Result<()> {
        self.directory("dev", 0o755)?;
        let mut devices = vec!["null", "zero", "full", "random", "urandom", "tty"];
        if platform::has_kvm() {
            devices.push("kvm");
        }
        for device in devices {
            let name = format!("dev/{device}");
            self.file(&name, "")?;
            self.bind(&Path::new("/").join(&name), &self.root.join(&name), false);
        }
        let terminals = self.directory("dev/pts", 0o755)?;
        let flags = libc::MS_NOSUID | libc::MS_NOEXEC;
        self.mount("devpts", &terminals, flags, "newinstance,mode=0620,ptmxmode=0666");
        let shared = self.directory("dev/shm", 0o1777)?;
        self.mount("tmpfs", &shared, libc::MS_NOSUID | libc::MS_NODEV, "mode=1777,size=50%");
        for (link, target) in [
            ("ptmx", "pts/ptmx"),
            ("fd", "/proc/self/fd"),
            ("stdin", "/proc/self/fd/0"),
            ("stdout", "/proc/self/fd/1"),
            ("stderr", "/proc/self/fd/2"),
        ] {
            plain::symlink(Path::new(target), &self.root.join("dev").join(link))?;
        }
        Ok(())
    }

    fn inputs(&mut self) -> Result<()> {
        self.directory("nix", 0o755)?;
        let store = self.directory(&STORE_DIR[1..], 0o1775)?;
        for input in self.job.inputs {
            let source = self.job.layout.physical(input);
            let target = store.join(input.to_basename());
            let metadata = source.symlink_metadata().on("read", &source)?;
            if metadata.is_symlink() {
                // A link cannot be mounted.
                plain::symlink(&std::fs::read_link(&source).on("read", &source)?, &target)?;
                continue;
            }
            if metadata.is_dir() {
                plain::create_dir(&target, 0o755)?;
            } else {
                plain::write(&target, b"", 0o644)?;
            }
            self.bind(&source, &target, true);
        }
        // The builder makes its outputs beside its inputs.
        self.job.users.let_in(&store)
    }

    /// What the host shares with every build, such as a shell at `/bin/sh`.
    fn host_paths(&mut self) -> Result<()> {
        for (target, source) in &self.job.config.sandbox_paths {
            let metadata = source.metadata().on("read", source)?;
            let inside = self.root.join(target.strip_prefix("/").unwrap_or(target));
            if metadata.is_dir() {
                plain::create_dir_all(&inside, 0o755)?;
            } else {
                if let Some(parent) = inside.parent() {
                    plain::create_dir_all(parent, 0o755)?;
                }
                plain::write(&inside, b"", 0o644)?;
            }
            self.bind(source, &inside, true);
        }
        Ok(())
    }

    fn bind(&mut self, source: &Path, target: &Path, read_only: bool) {
        let bind = |flags| Mount {
            source: Some(path_text(source)),
            target: path_text(target),
            kind: None,
            flags,
            data: None,
        };
        // A root that holds other mounts is taken with them.
        self.mounts.push(bind(libc::MS_BIND | libc::MS_REC));
        if read_only {
            // In a user namespace the flags that the mount has must be told again.
            let kept = self.kept_flags(source);
            self.mounts.push(bind(libc::MS_BIND | libc::MS_REMOUNT | libc::MS_RDONLY | kept));
        }
    }

    fn kept_flags(&self, source: &Path) -> libc::c_ulong {
        use rustix::fs::StatVfsMountFlags as Flags;
        let Ok(stat) = rustix::fs::statvfs(source) else { return 0 };
        let pairs = [
            (Flags::NOSUID, libc::MS_NOSUID),
            (Flags::NODEV, libc::MS_NODEV),
            (Flags::NOEXEC, libc::MS_NOEXEC),
            (Flags::NOATIME, libc::MS_NOATIME),
            (Flags::NODIRATIME, libc::MS_NODIRATIME),
            (Flags::RELATIME, libc::MS_RELATIME),
        ];
        let has = |flag: &Flags| stat.f_flag.contains(*flag);
        pairs.iter().filter(|(flag, _)| has(flag)).fold(0, |all, (_, flag)| all | flag)
    }

    fn mount(&mut self, kind: &str, target: &Path, flags: libc::c_ulong, data: &str) {
        let text = |text: &str| CString::new(text).ok();
        self.mounts.push(Mount {
            source: text(kind),
            target: path_text(target),
            kind: text(kind),
            flags,
            data: if data.is_empty() { None } else { text(data) },
        });
    }
}
