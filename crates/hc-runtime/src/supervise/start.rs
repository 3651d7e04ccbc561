//! From nothing to a payload about to be executed.

use super::Run;
use crate::base::{Bases, ImageFile};
use crate::cgroup::CgroupMode;
use crate::config::Streams;
use crate::error::{Doing, Hint, Problem, Res, RunError};
use crate::fork::Fork;
use crate::ids::{self, IdRange};
use crate::inside::mounts::Cgroups;
use crate::inside::{self, capabilities, seccomp};
use crate::placed::Sources;
use crate::protocol::{Order, Report};
use crate::sys::{process, signals, socket};
use crate::timing::Step;
use crate::volumes::Volumes;
use rustix::fs::{Mode, OFlags};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// A machine whose init waits for the word to execute the payload, or has got it.
pub(super) struct Machine {
    pub init: Init,
    pub control: OwnedFd,
    /// Its standard output and error, where they go to the log.
    pub output: Option<[OwnedFd; 2]>,
    /// Its terminal, where it has one.
    pub terminal: Option<OwnedFd>,
    pub notify: Option<OwnedFd>,
    _ids: Option<IdRange>,
}

/// The first process of a machine. Killing it kills every other one, and this kills it on drop.
pub(crate) struct Init {
    pub pid: i32,
    pidfd: OwnedFd,
    waited: bool,
}

impl Init {
    pub fn new(cloned: process::Cloned) -> Self {
        Self { pid: cloned.pid, pidfd: cloned.pidfd, waited: false }
    }

    pub fn kill(&self) {
        self.signal(libc::SIGKILL);
    }

    pub fn signal(&self, signal: i32) {
        let _ = signals::kill_fd(self.pidfd.as_fd(), signal);
    }

    /// Another descriptor of it.
    pub fn again(&self) -> std::io::Result<OwnedFd> {
        self.pidfd.try_clone()
    }

    /// Readable when it has ended.
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// Waits until the last process of the machine is gone.
    pub fn wait(&mut self) -> std::io::Result<process::Ended> {
        let ended = process::wait(self.pid);
        self.waited = true;
        ended
    }
}

impl Drop for Init {
    fn drop(&mut self) {
        if !self.waited {
            self.kill();
            let _ = self.wait();
        }
    }
}

impl Run<'_> {
    pub(super) fn start(&mut self) -> Result<Machine, RunError> {
        let name = self.spec.name.as_str();
        if !self.spec.volumes.is_empty() {
            let held =
                self.timed(Step::Volumes, |run| Volumes::hold(&run.config.state_dir, run.spec));
            self.volumes = held.map_err(|problem| problem.of(name))?;
        }
        let prepared = self.timed(Step::Clone, Self::clone_init);
        let (init, control, ids) = prepared.map_err(|problem| problem.of(name))?;
        self.status.payload_pid = Some(init.pid);
        let forking = self.clock.us();
        let (fork, root) = {
            let bases = Bases::new(&self.config.state_dir);
            let rootfs = self.spec.image.rootfs();
            let image = ImageFile::new(rootfs, self.config.store_root.as_deref()).ok();
            let image = image.as_ref().map(|image| (&bases, image));
            let size = self.spec.limits.root_size.map(|size| (&*self.config.state_dir, size));
            let fork = Fork::prepare(&self.places, &self.config.closure, image, size);
            let fork = fork.map_err(|problem| problem.of(name))?;
            (fork, self.config.physical(self.spec.image.rootfs()))
        };
        let namespace = |kind: &str| {
            let path = format!("/proc/{}/ns/{kind}", init.pid);
            rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
                .doing_with(|| format!("open the machine's {kind} namespace"))
        };
        let netns = namespace("net").map_err(|problem| problem.of(name))?;
        let userns = match &ids {
            Some(ids) => Some((namespace("user").map_err(|problem| problem.of(name))?, ids.base)),
            None => None,
        };
        if fork.goes_by_itself() && self.spec.volumes.is_empty() && self.spec.binds.is_empty() {
            // Its mounts go some moments after the machine, where nothing of theirs is anybody else's.
            self.lingering.hold(namespace("mnt").map_err(|problem| problem.of(name))?);
        }
        self.status.timing.push(self.clock.stage(Step::Fork, forking));
        let mounted = self.timed(Step::Mount, |run| -> Res<()> {
            let ids = userns.as_ref().map(|(fd, base)| (fd.as_fd(), *base));
            let root = fork.mount(&root, ids, &mut run.lingering)?;
            tell(&control, &Order::Root(root))?;
            run.show_store(&control, userns.as_ref())?;
            run.place(&control, userns.as_ref())
        });
        mounted.map_err(|problem| problem.of(name))?;
        // The network is connected while init puts everything in its place.
        let attached = self.timed(Step::Network, |run| run.network.attach(netns.as_fd(), run.spec));
        let attached =
            attached.map_err(|source| RunError::Network { machine: name.into(), source })?;
        self.lingering.join(attached.lingering);
        self.status.addresses = attached.addresses;
        self.marks[0] = self.clock.us();
        if fork.is_volatile() {
            self.log.say(
                "hc: the state directory is on an overlay, which cannot carry another: what this \
                 machine writes is kept in memory and lost when it stops",
            );
        }
        let begin = || -> Res<Machine> {
            let (output, terminal, notify) = streams(&control, self.config.streams)?;
            tell(&control, &Order::Go)?;
            let pid = format!("{}\n", init.pid);
            hc_fs::plain::write(&self.places.run.join("pid"), pid.as_bytes(), 0o644)?;
            self.status.write(&self.places)?;
            Ok(Machine { init, control, output, terminal, notify, _ids: ids })
        };
        begin().map_err(|problem| problem.of(name))
    }

    /// Hands over the store, for init to take from it what this machine may see.
    fn show_store(&mut self, control: &OwnedFd, userns: Option<&(OwnedFd, u32)>) -> Res<()> {
        if self.store.is_empty() {
            return Ok(());
        }
        let store = self.config.physical(Path::new(inside::STORE));
        let userns = userns.map(|(fd, base)| (fd.as_fd(), *base));
        tell(control, &Order::Store(crate::fork::store(&store, userns, &mut self.lingering)?))
    }

    /// Hands over what the machine sees besides its image.
    fn place(&self, control: &OwnedFd, userns: Option<&(OwnedFd, u32)>) -> Res<()> {
        let sources = Sources {
            userns: userns.map(|(fd, _)| fd.as_fd()),
            base: userns.map(|(_, base)| *base),
            state_dir: &self.config.state_dir,
            run_dir: &self.config.run_dir,
            own: &self.places.run,
            volumes: &self.volumes,
        };
        for (path, what) in crate::placed::all(self.spec) {
            if let Some(mount) = sources.mount(path, what)? {
                tell(control, &Order::Placed(mount))?;
            }
        }
        Ok(())
    }

    /// Makes the machine's first process in its namespaces and control groups.
    fn clone_init(&mut self) -> Res<(Init, OwnedFd, Option<IdRange>)> {
        let spec = self.spec;
        let capabilities = capabilities::set(&spec.isolation)?;
        if crate::signal::number(spec.stop.signal()).is_none() {
            let name = spec.stop.signal();
            return Err(Problem::plain(format!("stop.signal: '{name}' is no signal")));
        }
        let filter = seccomp::filter(capabilities);
        let files = super::identity::files(self.config, spec)?;
        let with_userns = spec.isolation.user_namespace;
        let ids = with_userns.then(|| IdRange::claim(&self.config.run_dir, spec)).transpose()?;
        self.timed(Step::Cgroup, |run| run.group.create(&run.spec.limits))?;
        let cgroups = match self.hierarchies.mode() {
            CgroupMode::Unified | CgroupMode::Hybrid if spec.is_init() => Cgroups::Delegated,
            CgroupMode::Unified => Cgroups::Shown,
            _ => Cgroups::Hidden,
        };
        if cgroups == Cgroups::Delegated {
            self.group.delegate(ids.as_ref().map_or(0, |ids| ids.base))?;
        }
        let doors = self.group.doors()?;
        let streams = match self.config.streams {
            Streams::Own => Some(self.relay.streams()?),
            Streams::Log | Streams::Terminal => None,
        };
        let (control, theirs) = socket::pair().doing("make a socket pair")?;
        let mut flags = libc::CLONE_NEWPID
            | libc::CLONE_NEWNS
            | libc::CLONE_NEWIPC
            | libc::CLONE_NEWUTS
            | libc::CLONE_NEWNET;
        if with_userns {
            flags |= libc::CLONE_NEWUSER;
        }
        let flags = u64::from(flags.cast_unsigned());
        let group = self.group.open();
        // SAFETY: `run` has made sure of one thread, and `inside::main` never returns.
        let cloned = unsafe {
            match process::clone(flags, group.as_ref().map(AsFd::as_fd), libc::SIGCHLD) {
                // A hybrid host may not let processes into its version 2 tree.
                Err(_) if group.is_some() => {
                    process::clone(flags, None, libc::SIGCHLD).map(|cloned| (cloned, false))
                }
                cloned => cloned.map(|cloned| (cloned, group.is_some())),
            }
        };
        let (cloned, in_v2) = cloned.doing("make the machine's namespaces").hint(
            "; hc needs to be root on a kernel with namespaces, user namespaces among them",
        )?;
        let Some(cloned) = cloned else {
            inside::main(&inside::Inputs {
                spec,
                store: self.store,
                control: theirs.as_fd(),
                capabilities,
                filter: &filter,
                files: &files,
                doors: &doors,
                streams: streams.as_ref().map(|all| all.each_ref().map(AsFd::as_fd)),
                terminal: self.config.streams == Streams::Terminal,
                cgroups,
            })
        };
        drop((theirs, doors, streams));
        let init = Init::new(cloned);
        if let Some(ids) = &ids {
            map_ids(init.pid, ids.base)?;
        }
        if !in_v2 {
            self.group.join_v2(init.pid)?;
        }
        tell(&control, &Order::Mapped)?;
        Ok((init, control, ids))
    }
}

/// Makes `base` the root of the namespace, before anything runs in it.
fn map_ids(pid: i32, base: u32) -> Res<()> {
    let map = format!("0 {base} {}", ids::COUNT);
    for file in ["uid_map", "gid_map"] {
        let write = || -> std::io::Result<()> {
            let path = format!("/proc/{pid}/{file}");
            let file = rustix::fs::open(path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
            std::io::Write::write_all(&mut std::fs::File::from(file), map.as_bytes())
        };
        write().doing_with(|| format!("write the machine's {file}"))?;
    }
    Ok(())
}

/// Sends an order; when nobody hears it, what init said last is the reason.
fn tell(control: &OwnedFd, order: &Order) -> Res<()> {
    let Err(error) = order.send(control.as_fd()) else { return Ok(()) };
    match Report::receive(control.as_fd(), true) {
        Ok(Some(Report::Failed(problem))) => Err(Problem::Plain(problem)),
        _ => Err(error).doing("speak to the machine's init"),
    }
}

type Ends = (Option<[OwnedFd; 2]>, Option<OwnedFd>, Option<OwnedFd>);

/// This side's ends of what the payload has: output, terminal, notify socket.
fn streams(control: &OwnedFd, kind: Streams) -> Res<Ends> {
    match Report::receive(control.as_fd(), true).doing("hear from the machine's init")? {
        Some(Report::Streams(fds)) => {
            let mut fds = fds.into_iter();
            let missing = || Problem::plain("the machine's init has no standard streams");
            let mut next = || fds.next().ok_or_else(missing);
            let (output, terminal) = match kind {
                Streams::Log => (Some([next()?, next()?]), None),
                Streams::Own => (None, None),
                Streams::Terminal => (None, Some(next()?)),
            };
            Ok((output, terminal, fds.next()))
        }
        Some(Report::Failed(problem)) => Err(Problem::Plain(problem)),
        _ => Err(Problem::plain("the machine's init ended before the command was executed")),
    }
}
