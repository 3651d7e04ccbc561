//! Virtual machines: QEMU as the machine's one process on the host, and the channel into its guest.
//!
//! | part | what |
//! |---|---|
//! | [`accelerator`] | what runs the guest's instructions on this host |
//! | [`layer`] | the disk that keeps what is written |
//! | [`identity`] | who the guest is told it is |
//! | [`command`], [`spawn`] | QEMU as a microVM: its words, its process |
//! | [`q35`], [`pc`], [`firmware`], [`tpm`], [`media`] | QEMU as a PC, its words, and what a PC has besides |
//! | [`resume`], [`saved`], [`prepare`] | a computer that has come up once for many, ahead of time |
//! | [`fork`] | a computer that begins as what another is now |
//! | [`launch`], [`jail`] | a process of the machine's own, and what it sees |
//! | [`qmp`], [`channel`], [`console`], [`own`] | what is said to QEMU and to the guest, the console, the command's streams |
//! | [`still`] | a machine that stands still while its disks are kept |
//! | [`watch`], [`ask`], [`ending`] | all of that until it ends: whether it works, and what brought it down |
//! | [`session`], [`client`], [`copy`] | `hc exec`, `hc console` and `hc screen`, `hc cp`: outside the supervisor |

mod accelerator;
mod ask;
mod channel;
pub(crate) mod client;
mod command;
mod console;
pub(crate) mod copy;
mod door;
mod ending;
mod firmware;
mod fork;
mod identity;
mod jail;
mod launch;
mod layer;
mod media;
mod own;
mod pc;
mod prepare;
mod q35;
mod qmp;
mod resume;
pub(crate) mod saved;
pub(crate) mod session;
mod spawn;
pub(crate) mod still;
mod stream;
mod tpm;
mod watch;

pub use accelerator::{Accelerator, Kind, accelerators};
pub use fork::Disk as ForkedDisk;

use crate::error::{Doing, Problem, Res, RunError};
use crate::ids::IdRange;
use crate::status::Exit;
use crate::supervise::Run;
use crate::timing::Step;
use crate::volumes::Volumes;
use channel::Channel;
use command::{Block, Memory};
use console::Console;
use door::Door;
use fork::Forking;
use hc_guest::wire;
use hc_spec::addr::Mac;
use hc_spec::machine::Limits;
use hc_spec::{MachineSpec, Vm};
use layer::Layer;
use own::Own;
pub use prepare::prepare;
use qmp::Qmp;
use resume::Ram;
use rustix::fs::{Mode, OFlags};
use saved::Saving;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};
use still::Still;
use stream::Stream;

/// Name of QEMU's program, and where it is looked for when nobody says.
const QEMU: &str = "qemu-system-x86_64";
const PLACES: [&str; 4] = ["/usr/bin", "/usr/local/bin", "/run/current-system/sw/bin", "/bin"];
/// Bytes that QEMU needs besides the guest's memory and what it translates.
const OVERHEAD: u64 = 128 << 20;

/// A virtual machine that is on.
struct Machine {
    process: crate::supervise::Init,
    qmp: Qmp,
    said: Stream,
    /// Into the guest, where hc's `/init` is there.
    channel: Option<Channel>,
    console: Console,
    /// Where others come in.
    doors: Vec<(Service, Door)>,
    /// Who it stands still for.
    still: Still,
    /// What a PC has besides.
    pc: Option<q35::Running>,
    /// This process's streams, where they are the command's.
    own: Option<Own>,
    /// What its guest is told once it listens, but for what is new each time.
    identity: Option<wire::Identity>,
    /// It is to be saved before.
    unsaved: Option<Unsaved>,
    /// What a fork of it needs; nothing where it cannot be forked.
    origin: Option<Origin>,
    /// A fork of it that is being made.
    forking: Option<Forking>,
    _ids: IdRange,
}

/// A machine that knows nothing of itself yet.
struct Unsaved {
    saving: Saving,
    ram: Ram,
}

/// What forks of a machine begin with.
struct Origin {
    /// Its disk.
    layer: Layer,
    macs: Vec<Mac>,
    block: Block,
}

/// What others come in for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Service {
    /// Sessions in the guest.
    Sessions,
    /// The serial console.
    Console,
    /// The screen.
    Screen,
    /// A fork of the machine.
    Fork,
    /// Standing still.
    Still,
}

impl Service {
    /// Opens its socket in the machine's run directory.
    fn open(self, run: &Path) -> Res<(Self, Door)> {
        let name = match self {
            Self::Sessions => session::CHANNEL,
            Self::Console => client::CONSOLE,
            Self::Screen => client::SCREEN,
            Self::Fork => fork::SOCKET,
            Self::Still => client::STILL,
        };
        Ok((self, Door::open(run.join(name))?))
    }
}

impl Machine {
    /// Tells its guest who it is.
    fn tell(&mut self) -> Res<()> {
        match (&self.identity, &mut self.channel) {
            (Some(identity), Some(channel)) => {
                channel.identify(identity::now(identity.clone())?).map_err(said)
            }
            _ => Ok(()),
        }
    }
}

impl Run<'_> {
    /// Runs a virtual machine until it ends.
    pub(crate) fn run_vm(&mut self) -> Result<Exit, RunError> {
        let name = self.spec.name.as_str();
        let machine = match self.spec.kind {
            hc_spec::machine::Kind::Q35 => self.start_pc()?,
            _ => self.start_vm()?,
        };
        self.watch_vm(machine).map_err(|problem| problem.of(name))
    }

    fn start_vm(&mut self) -> Result<Machine, RunError> {
        let spec = self.spec;
        let name = spec.name.as_str();
        let here = |problem: Problem| problem.of(name);
        let vm = spec.vm.as_ref().ok_or_else(|| here(Problem::plain("vm is missing")))?;
        let qemu = qemu(self.config.qemu.as_deref()).map_err(here)?;
        let (kernel, initrd) = (self.config.physical(&vm.kernel), self.config.physical(&vm.initrd));
        let incoming = match &self.config.fork_of {
            Some(of) => Some(fork::Incoming::ask(&self.config.run_dir, of).map_err(here)?),
            None => None,
        };
        let accelerator = self.timed(Step::Accelerator, |run| {
            accelerator::choose(&run.config.run_dir, &qemu, &kernel, &|with| {
                accelerator::boots(with, &qemu, &kernel, &initrd)
            })
        });
        let accelerator = accelerator.map_err(here)?;
        self.say_accelerator(&accelerator);
        let ids = IdRange::claim(&self.config.run_dir, spec).map_err(here)?;
        let limits = limits(vm.memory, &accelerator, &spec.limits);
        self.timed(Step::Cgroup, |run| run.group.create(&limits)).map_err(here)?;
        self.volumes = Volumes::hold_files(&self.config.state_dir, spec).map_err(here)?;
        let volumes = volumes(&self.volumes, spec).map_err(here)?;
        // The network is connected while the disk is made.
        let (clock, began) = (self.clock, self.clock.us());
        let (attached, connecting, layer, forking) = std::thread::scope(|scope| {
            let attach = scope.spawn(|| {
                let attached = self.network.attach_taps(spec);
                (attached, clock.stage(Step::Network, began))
            });
            let (closure, state) = (&self.config.closure, &self.config.state_dir);
            let layer = match (&incoming, &spec.image.disk) {
                (Some(of), _) => layer::blank(&self.places, closure, of.size()),
                (None, Some(image)) => layer::of_disk(self.config, spec, image, self.keep),
                (None, None) => layer::open(&self.places, closure, state, vm.layer_size),
            };
            let forking = clock.stage(Step::Fork, began);
            let failed = |_| (Err("the network code failed".into()), forking);
            let (attached, connecting) = attach.join().unwrap_or_else(failed);
            (attached, connecting, layer, forking)
        });
        self.status.timing.extend([forking, connecting]);
        let layer = layer.map_err(here)?;
        let (attached, taps) =
            attached.map_err(|source| RunError::Network { machine: name.into(), source })?;
        self.lingering.join(attached.lingering);
        self.status.addresses = attached.addresses;
        let words = words(spec, vm, &accelerator);
        let macs = incoming.as_ref().map_or_else(|| identity::macs(spec), fork::Incoming::macs);
        let mut plan = spawn::Plan {
            qemu: &qemu,
            accelerator: &accelerator,
            kernel,
            initrd,
            rootfs: spec.image.rootfs.as_ref().map(|file| self.config.physical(file)),
            layer: Some(layer.written(spec.image.disk.is_some())),
            volumes: volumes.iter().map(|(file, read_only)| (file.as_fd(), *read_only)).collect(),
            taps: identity::devices(&taps, &macs),
            size: vm.memory,
            memory: Memory::Plain,
            ram: None,
            vcpus: vm.vcpus,
            words: &words,
            id: ids.base,
        };
        let mut identity = identity::of(self.config, spec, &taps, &macs).map_err(here)?;
        let own = Own::of(self.config.streams);
        if let Some(own) = &own {
            own.describe(&mut identity.payload);
        }
        // Streams of somebody's terminal are not had twice.
        let forks = own.is_none().then_some(Service::Fork);
        let services: Vec<_> =
            [Service::Sessions, Service::Console].into_iter().chain(forks).collect();
        let doors = self.doors(&services).map_err(here)?;
        let copied = incoming.is_some();
        let (qemu, memory, unsaved) = match incoming {
            Some(incoming) => {
                plan.memory = incoming.memory();
                let qemu = self.take_in(&plan, incoming, &layer.path).map_err(here)?;
                (qemu, plan.memory, None)
            }
            None => self.turn_on(plan, vm).map_err(here)?,
        };
        self.marks[0] = self.clock.us();
        let machine = self.greet(qemu, Some(identity), doors, None, ids, copied).map_err(here)?;
        let origin = Some(Origin { layer, macs, block: memory.block() });
        Ok(Machine { unsaved, origin, own, ..machine })
    }

    /// Turns the computer on with what is in another.
    fn take_in(
        &mut self,
        plan: &spawn::Plan<'_>,
        incoming: fork::Incoming,
        disk: &Path,
    ) -> Res<spawn::Qemu> {
        let mut qemu = self.spawn(plan)?;
        let taken = self.timed(Step::Memory, |_| incoming.take(&mut qemu, disk))?;
        self.status.fork = Some(taken);
        Ok(qemu)
    }

    /// Turns the computer on, and waits until QEMU answers.
    fn spawn(&mut self, plan: &spawn::Plan<'_>) -> Res<spawn::Qemu> {
        self.timed(Step::Qemu, |run| {
            let mut qemu = spawn::spawn(plan, &run.group)?;
            // Should it end instead, what it said on the way is told with its end.
            let _ = qemu.qmp.ask("query-status", &serde_json::json!({}));
            Ok(qemu)
        })
    }

    fn say_accelerator(&mut self, accelerator: &Accelerator) {
        if let Some(why) = &accelerator.passed_over {
            self.log.say(&format!("hc: without hardware virtualisation ({why})"));
        }
    }

    fn doors(&self, services: &[Service]) -> Res<Vec<(Service, Door)>> {
        services.iter().map(|service| service.open(&self.places.run)).collect()
    }

    /// Turns the computer on: as it was saved, or cold; then it may have to be saved.
    fn turn_on(
        &mut self,
        plan: spawn::Plan<'_>,
        vm: &Vm,
    ) -> Res<(spawn::Qemu, Memory, Option<Unsaved>)> {
        if !vm.resume {
            return Ok((self.spawn(&plan)?, plan.memory, None));
        }
        let slot = saved::slot(self.config, self.spec, vm, &plan)?;
        let cold = match slot.find() {
            Ok(state) => {
                let copied = Memory::Copied(state.as_raw_fd());
                let plan = plan.with(slot.ram(), copied, state.as_fd());
                let resumed = self.spawn(&plan).and_then(|mut qemu| {
                    self.timed(Step::Memory, |_| resume::go_on(&mut qemu.qmp))?;
                    Ok(qemu)
                });
                match resumed {
                    Ok(qemu) => return Ok((qemu, plan.memory, None)),
                    Err(problem) => {
                        slot.discard()?;
                        problem.to_string()
                    }
                }
            }
            Err(why) => why.into(),
        };
        self.log.say(&format!("hc: it starts cold, not as it was saved: {cold}"));
        self.status.cold = Some(cold);
        let Some(ram) = Ram::make(&self.places.run, vm.memory, plan.id)? else {
            let place = self.places.run.display();
            self.log.say(&format!("hc: it cannot be saved: {place} is not in memory"));
            return Ok((self.spawn(&plan)?, plan.memory, None));
        };
        let saving = slot.begin()?;
        let (path, state) = (ram.path.clone(), saving.state.as_fd());
        let plan = plan.with(path, Memory::Kept(state.as_raw_fd()), state);
        let qemu = self.spawn(&plan)?;
        Ok((qemu, plan.memory, Some(Unsaved { saving, ram })))
    }

    fn greet(
        &mut self,
        qemu: spawn::Qemu,
        identity: Option<wire::Identity>,
        doors: Vec<(Service, Door)>,
        pc: Option<q35::Running>,
        ids: IdRange,
        copied: bool,
    ) -> Res<Machine> {
        let open = if copied { Channel::open_to_copy } else { Channel::open };
        self.status.payload_pid = Some(qemu.process.pid);
        let pid = format!("{}\n", qemu.process.pid);
        hc_fs::plain::write(&self.places.run.join("pid"), pid.as_bytes(), 0o644)?;
        self.status.write(&self.places)?;
        Ok(Machine {
            process: qemu.process,
            qmp: qemu.qmp,
            said: qemu.said,
            channel: qemu.guest.map(open).transpose().map_err(said)?,
            console: Console::open(qemu.console, &self.places)?,
            doors,
            still: Still::default(),
            pc,
            own: None,
            identity,
            unsaved: None,
            origin: None,
            forking: None,
            _ids: ids,
        })
    }

    /// Tells a machine that listens who it is, and before that saves it, if that is to be.
    fn save_and_tell(&mut self, machine: &mut Machine) -> Res<()> {
        if let Some(unsaved) = machine.unsaved.take() {
            match resume::save(&mut machine.qmp, &unsaved.saving, &unsaved.ram) {
                // Flushing takes longer than the machine would wait for.
                Ok(()) => drop(std::thread::spawn(move || unsaved.saving.finish())),
                Err(problem) => self.log.say(&format!("hc: it could not be saved: {problem}")),
            }
        }
        self.status.timing.push(self.clock.stage(Step::Guest, self.marks[0]));
        self.marks[0] = self.clock.us();
        machine.tell()
    }
}

/// The images of volumes, opened as they may be used, in the order of their names.
fn volumes(held: &Volumes, spec: &MachineSpec) -> Res<Vec<(File, bool)>> {
    let open = |(image, read_only): (&Path, bool)| {
        let how = if read_only { OFlags::RDONLY } else { OFlags::RDWR };
        let opened = rustix::fs::open(image, how | OFlags::CLOEXEC, Mode::empty());
        Ok((opened.doing_with(|| format!("open {}", image.display()))?.into(), read_only))
    };
    held.images().zip(spec.volumes.values().map(|volume| volume.read_only)).map(open).collect()
}

fn said(error: wire::WireError) -> Problem {
    Problem::plain(error.to_string())
}

/// What the machine's control group may use: the guest's memory and QEMU's own.
fn limits(memory: u64, accelerator: &Accelerator, said: &Limits) -> Limits {
    let translated = match accelerator.kind {
        Kind::Kvm => 0,
        Kind::Tcg => command::TRANSLATED,
    };
    Limits { memory: Some(memory + OVERHEAD + translated), pids: None, ..said.clone() }
}

/// The kernel's command line.
fn words(spec: &MachineSpec, vm: &Vm, accelerator: &Accelerator) -> Vec<String> {
    let own = ["console=ttyS0", "quiet", "panic=-1", "root=serial:root"];
    let layer = spec.image.disk.is_none().then_some("hc.layer=serial:layer");
    // A microVM has no PCI bus; what else would be waited for while it comes up is not.
    let quick = ["pci=off", "rcupdate.rcu_expedited=1", "cryptomgr.notests"];
    let mut words: Vec<String> =
        own.into_iter().chain(layer).chain(quick).map(String::from).collect();
    words.extend(accelerator.words());
    words.extend(vm.kernel_params.iter().cloned());
    words
}

/// QEMU's program: the one that is named, or the one this host has.
pub(crate) fn qemu(named: Option<&Path>) -> Res<PathBuf> {
    let found = match named {
        Some(named) => Some(named.to_path_buf()),
        None => PLACES.iter().map(|dir| Path::new(dir).join(QEMU)).find(|path| path.exists()),
    };
    let found = found.and_then(|path| path.canonicalize().ok());
    found.ok_or_else(|| {
        let named = named.map_or_else(|| QEMU.into(), |path| path.display().to_string());
        Problem::plain(format!("there is no {named}: install the package 'qemu-system-x86'"))
    })
}
