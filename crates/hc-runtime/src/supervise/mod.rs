//! The supervisor of one machine.

pub(crate) mod identity;
mod start;
mod watch;

use crate::base::Keep;
use crate::cgroup::{Group, Hierarchies};
use crate::config::{Places, RunConfig};
use crate::description::Description;
use crate::error::{Problem, Res, RunError};
use crate::ids;
use crate::logs::Writer;
use crate::network::Network;
use crate::status::{Exit, Phase, Status};
use crate::sys::signals::Blocked;
use hc_spec::MachineSpec;
use hc_spec::machine::Kind;
pub(crate) use start::Init;
use std::path::{Path, PathBuf};

/// One run of one machine, from nothing to nothing.
pub(crate) struct Run<'a> {
    pub(crate) config: &'a RunConfig,
    pub(crate) spec: &'a MachineSpec,
    /// Store paths that it sees beside its image.
    pub(crate) store: &'a [PathBuf],
    pub(crate) network: &'a dyn Network,
    pub(crate) keep: Keep<'a>,
    pub(crate) places: Places,
    pub(crate) hierarchies: Hierarchies,
    pub(crate) group: Group,
    pub(crate) status: Status,
    pub(crate) log: Writer,
    pub(crate) signals: Blocked,
}

/// Runs one machine in the foreground until it ends, and removes everything it needed. `keep` roots
/// the image of a disk that outlives the machine's closure.
///
/// SIGTERM and SIGINT are blocked meanwhile and mean: stop it as its description says; a second
/// one means: now. When the calling thread is killed, the kernel kills the machine. The caller
/// must have one thread, because the machine's first process begins as a copy of it.
///
/// # Errors
/// When the machine could not be started. The status file then says `failed` and why, except for
/// [`RunError::AlreadyRunning`] and a closure that cannot be read.
pub fn run(config: &RunConfig, network: &dyn Network, keep: Keep<'_>) -> Result<Exit, RunError> {
    let closure = &config.closure;
    let Description { spec, store } = Description::read(closure, config.store_root.as_deref())?;
    let name = spec.name.as_str();
    let threads = std::fs::read_dir("/proc/self/task").map_or(1, Iterator::count);
    if threads > 1 {
        return Err(RunError::Threads { name: name.into(), threads });
    }
    let places = Places::new(&config.run_dir, &config.state_dir, name);
    hc_fs::plain::create_dir_all(&places.run, 0o755)?;
    hc_fs::plain::create_dir_all(&places.state, 0o755)?;
    let lock = ids::lock(&places.run.join("lock")).map_err(|problem| problem.of(name))?;
    let Some(lock) = lock else {
        return Err(RunError::AlreadyRunning { name: name.into() });
    };
    let prepared = (|| {
        use crate::error::Doing;
        let hierarchies = Hierarchies::detect()?;
        let parent = cgroup_parent(config.cgroup_parent.as_deref());
        let group = Group::of(&hierarchies, parent, name);
        let status = Status::starting(&spec.name, closure).doing("read /proc")?;
        let log = Writer::open(&places.log())?;
        let signals = Blocked::new(&[libc::SIGTERM, libc::SIGINT]).doing("take over signals")?;
        let (config, spec, store) = (config, &spec, &store[..]);
        Ok(Run {
            config,
            spec,
            store,
            network,
            keep,
            places,
            hierarchies,
            group,
            status,
            log,
            signals,
        })
    })();
    let ended = prepared.map_err(|problem: Problem| problem.of(name)).and_then(|mut run| run.all());
    drop(lock);
    ended
}

impl Run<'_> {
    fn all(&mut self) -> Result<Exit, RunError> {
        let ran = self.begin().and_then(|()| match self.spec.kind {
            Kind::Container => self.start().and_then(|machine| self.watch(machine)),
            Kind::Microvm | Kind::Q35 => self.run_vm(),
        });
        let name = self.spec.name.as_str();
        let oom = self.group.oom_kills() > 0;
        let gone = self.group.remove();
        let detached = self.network.detach(self.spec);
        let _ = hc_fs::plain::remove_file(&self.places.run.join("pid"));
        if let Err(problem) = gone {
            self.log.say(&format!("hc: {problem}"));
        }
        if let Err(error) = detached {
            self.log.say(&format!("hc: cannot disconnect the network: {error}"));
        }
        self.log.end();
        let (phase, exit, result) = match ran {
            Ok(mut exit) => {
                exit.oom = oom;
                self.log.say(&exit.to_string());
                (Phase::Exited, exit.clone(), Ok(exit))
            }
            Err(error) => {
                let text = error.to_string();
                self.log.say(&text);
                let exit = Exit { error: Some(text), oom, ..Exit::default() };
                (Phase::Failed, exit, Err(error))
            }
        };
        self.status.payload_pid = None;
        self.status.exit = Some(exit);
        self.enter(phase).map_err(|problem| problem.of(name))?;
        crate::fork::discard_old(&self.places).map_err(|problem| problem.of(name))?;
        result
    }

    /// Clears what a supervisor that was killed left.
    fn begin(&mut self) -> Result<(), RunError> {
        let name = self.spec.name.as_str();
        let before = Status::read_file(&self.places.status()).ok().flatten();
        let clear = |run: &mut Self| -> Res<()> {
            run.group.remove()?;
            run.status.cgroups = run.group.dirs();
            run.enter(Phase::Starting)
        };
        clear(self).map_err(|problem| problem.of(name))?;
        if before.is_some_and(|before| !before.phase.is_over()) {
            self.network
                .detach(self.spec)
                .map_err(|source| RunError::Network { machine: name.into(), source })?;
        }
        Ok(())
    }

    fn enter(&mut self, phase: Phase) -> Res<()> {
        self.status.enter(phase);
        Ok(self.status.write(&self.places)?)
    }
}

fn cgroup_parent(asked: Option<&Path>) -> &Path {
    asked.unwrap_or(Path::new(RunConfig::CGROUP_PARENT))
}

/// Removes everything a machine left that no longer runs: control groups, the directory in
/// `run_dir`, and with `state_dir` its fork and log too. Nothing there is fine.
///
/// # Errors
/// [`RunError::AlreadyRunning`] when a supervisor is alive, or what the system refused.
pub fn cleanup(
    name: &hc_spec::Name,
    run_dir: &Path,
    state_dir: Option<&Path>,
    cgroup_parent: Option<&Path>,
) -> Result<(), RunError> {
    let text = name.as_str();
    let places = Places::new(run_dir, state_dir.unwrap_or(Path::new("/nonexistent")), text);
    let lock = match places.run.is_dir() {
        false => None,
        true => match ids::lock(&places.run.join("lock")).map_err(|p| p.of(text))? {
            None => return Err(RunError::AlreadyRunning { name: text.into() }),
            lock => lock,
        },
    };
    let remove = || -> Res<()> {
        let parent = self::cgroup_parent(cgroup_parent);
        Group::of(&Hierarchies::detect()?, parent, text).remove()?;
        hc_fs::tree::remove(&places.run)?;
        if state_dir.is_some() {
            crate::fork::remove(&places)?;
        }
        Ok(())
    };
    let removed = remove().map_err(|problem| problem.of(text));
    drop(lock);
    removed
}
