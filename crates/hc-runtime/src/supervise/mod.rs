//! The supervisor of one machine.

pub(crate) mod health;
pub(crate) mod identity;
mod question;
mod start;
mod watch;

use crate::base::Keep;
use crate::cgroup::{Group, Hierarchies};
use crate::config::{Places, RunConfig, Streams};
use crate::description::Description;
use crate::error::{Problem, Res, RunError};
use crate::exec::terminal::Relay;
use crate::ids;
use crate::logs::Writer;
use crate::network::{Network, NetworkError};
use crate::status::{Exit, Phase, Status};
use crate::sys::signals::Blocked;
use crate::timing::{Clock, Stage, Step};
use crate::volumes::Volumes;
use hc_fs::Lingering;
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
    /// Between the machine's streams and this process's, where they are not the log's.
    pub(crate) relay: Relay,
    /// Held from before the start until the last of them is written out.
    pub(crate) volumes: Volumes,
    /// What takes long to close: nobody waits for it, not even where this process ends.
    pub(crate) lingering: Lingering,
    /// It is on no network any more.
    pub(crate) detached: bool,
    pub(crate) clock: Clock,
    /// When the payload could have been executed, and when it was.
    pub(crate) marks: [u64; 2],
}

/// Runs one machine in the foreground until it ends, and removes everything it needed. `keep` roots
/// the image of a disk that outlives the machine's closure.
///
/// SIGTERM and SIGINT are blocked meanwhile and mean: stop it as its description says; a second
/// one means: now. When the calling thread is killed, the kernel kills the machine. The caller
/// must have one thread, because the machine's first process begins as a copy of it, and ends soon: what
/// takes long to close is held until then.
///
/// # Errors
/// When the machine could not be started. The status file then says `failed` and why, except for
/// [`RunError::AlreadyRunning`] and a closure that cannot be read.
pub fn run(config: &RunConfig, network: &dyn Network, keep: Keep<'_>) -> Result<Exit, RunError> {
    let clock = Clock::new(config.requested_ns);
    let began = clock.us();
    let closure = &config.closure;
    let Description { spec, store } = Description::read(closure, config.store_root.as_deref())?;
    let name = spec.name.as_str();
    let threads = std::fs::read_dir("/proc/self/task").map_or(1, Iterator::count);
    if threads > 1 {
        return Err(RunError::Threads { name: name.into(), threads });
    }
    let read = clock.us();
    let places = Places::new(&config.run_dir, &config.state_dir, name);
    hc_fs::plain::create_dir_all(&places.run, 0o755)?;
    hc_fs::plain::create_dir_all(&places.state, 0o755)?;
    let lock = ids::lock(&places.run.join("lock")).map_err(|problem| problem.of(name))?;
    let Some(lock) = lock else {
        return Err(RunError::AlreadyRunning { name: name.into() });
    };
    if config.throwaway {
        hc_fs::plain::write(&places.throwaway(), b"", 0o644)?;
    }
    let prepared = (|| {
        use crate::error::Doing;
        let hierarchies = Hierarchies::detect()?;
        let parent = cgroup_parent(config.cgroup_parent.as_deref());
        let group = Group::of(&hierarchies, parent, name).for_limits(&spec.limits);
        let mut status = Status::starting(&spec.name, closure).doing("read /proc")?;
        status.timing = vec![
            Stage { step: Step::Execute, from_us: 0, to_us: began },
            Stage { step: Step::Read, from_us: began, to_us: read },
            clock.stage(Step::Lock, read),
        ];
        let log = Writer::open(&places.log())?;
        let mut signals = vec![libc::SIGTERM, libc::SIGINT];
        if config.streams != Streams::Log {
            signals.extend([libc::SIGHUP, libc::SIGWINCH]);
        }
        let signals = Blocked::new(&signals).doing("take over signals")?;
        let (config, spec, store) = (config, &spec, &store[..]);
        let (marks, volumes) = ([0; 2], Volumes::default());
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
            relay: Relay::default(),
            volumes,
            lingering: Lingering::default(),
            detached: false,
            clock,
            marks,
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
        let detached = if self.detached { Ok(()) } else { self.detach() };
        let released = self.volumes.release();
        let _ = hc_fs::plain::remove_file(&self.places.run.join("pid"));
        if let Err(problem) = gone {
            self.log.say(&format!("hc: {problem}"));
        }
        if let Err(problem) = released {
            self.log.say(&format!("hc: {problem}"));
        }
        if let Err(error) = detached {
            self.log.say(&format!("hc: cannot disconnect the network: {error}"));
        }
        self.log.end();
        let (phase, exit, result) = match ran {
            Ok(mut exit) => {
                exit.oom |= oom;
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
        std::mem::take(&mut self.lingering).leave();
        result
    }

    /// Takes the machine off its networks.
    pub(crate) fn detach(&mut self) -> Result<(), NetworkError> {
        self.lingering.join(self.network.detach(self.spec)?);
        Ok(())
    }

    /// Clears what a supervisor that was killed left.
    fn begin(&mut self) -> Result<(), RunError> {
        let name = self.spec.name.as_str();
        let before = Status::read_file(&self.places.status()).ok().flatten();
        let clear = |run: &mut Self| -> Res<()> {
            // One that was killed may have had other limits.
            let parent = cgroup_parent(run.config.cgroup_parent.as_deref());
            Group::of(&run.hierarchies, parent, run.spec.name.as_str()).remove()?;
            run.status.cgroups = run.group.dirs();
            run.enter(Phase::Starting)
        };
        clear(self).map_err(|problem| problem.of(name))?;
        if before.is_some_and(|before| !before.phase.is_over()) {
            self.detach().map_err(|source| RunError::Network { machine: name.into(), source })?;
        }
        Ok(())
    }

    /// Runs one step of the start and writes down how long it took.
    pub(crate) fn timed<T>(&mut self, step: Step, work: impl FnOnce(&mut Self) -> T) -> T {
        let from = self.clock.us();
        let done = work(self);
        self.status.timing.push(self.clock.stage(step, from));
        done
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
        if let Some(state_dir) = state_dir {
            crate::fork::remove(&places)?;
            let removed = crate::volumes::remove_forked(state_dir, Some(name));
            removed.map_err(|error| Problem::plain(error.to_string()))?;
        }
        Ok(())
    };
    let removed = remove().map_err(|problem| problem.of(text));
    drop(lock);
    removed
}

/// Removes everything of throw-away machines whose supervisor was killed, and names them. One that
/// cannot be removed now is left to the next time.
///
/// # Errors
/// When it cannot be found out which there are.
pub fn sweep(
    run_dir: &Path,
    state_dir: &Path,
    cgroup_parent: Option<&Path>,
    network: &dyn Network,
) -> std::io::Result<Vec<hc_spec::Name>> {
    let mut gone = Vec::new();
    // Those of forks that went with the host are in no directory of this boot.
    let _ = crate::volumes::remove_forked(state_dir, None);
    let entries = match std::fs::read_dir(run_dir.join("machines")) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(gone),
        entries => entries?,
    };
    for entry in entries {
        let Ok(name) = hc_spec::Name::new(entry?.file_name().to_string_lossy()) else { continue };
        let places = Places::new(run_dir, state_dir, name.as_str());
        let marked = places.throwaway().exists();
        let status = Status::read_file(&places.status()).ok().flatten();
        if !marked || status.as_ref().is_some_and(Status::is_supervised) {
            continue;
        }
        let text = status.and_then(|status| std::fs::read(status.closure).ok());
        if let Some(spec) = text.and_then(|text| MachineSpec::from_json(&text).ok()) {
            // On the spot: whoever sweeps may be about to start a machine, which takes one thread.
            let _ = network.detach(&spec).map(Lingering::close);
        }
        if cleanup(&name, run_dir, Some(state_dir), cgroup_parent).is_ok() {
            gone.push(name);
        }
    }
    Ok(gone)
}
