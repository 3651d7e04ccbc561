//! Virtual machines: QEMU as the machine's one process on the host, and the channel into its guest.
//!
//! | part | what |
//! |---|---|
//! | [`accelerator`] | what runs the guest's instructions on this host |
//! | [`layer`] | the disk that keeps what is written |
//! | [`identity`] | who the guest is told it is |
//! | [`command`], [`spawn`] | QEMU as a microVM: its words, its process |
//! | [`q35`], [`pc`], [`firmware`], [`tpm`] | QEMU as a PC, its words, and what a PC has besides |
//! | [`launch`], [`jail`] | a process of the machine's own, and what it sees |
//! | [`qmp`], [`channel`], [`console`] | what is said to QEMU and to the guest, and the console |
//! | [`watch`] | all of that, until it ends |
//! | [`client`] | `hc exec`, `hc console` and `hc screen` |

mod accelerator;
mod channel;
pub(crate) mod client;
mod command;
mod console;
mod door;
mod firmware;
mod identity;
mod jail;
mod launch;
mod layer;
mod pc;
mod q35;
mod qmp;
mod spawn;
mod stream;
mod tpm;
mod watch;

pub use accelerator::{Accelerator, Kind, accelerators};

use crate::error::{Problem, Res, RunError};
use crate::ids::IdRange;
use crate::network::Tap;
use crate::status::Exit;
use crate::supervise::Run;
use channel::Channel;
use console::Console;
use door::Door;
use hc_guest::wire;
use hc_spec::Vm;
use hc_spec::machine::Limits;
use qmp::Qmp;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
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
    /// What a PC has besides.
    pc: Option<q35::Running>,
    _ids: IdRange,
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
}

impl Service {
    /// Opens its socket in the machine's run directory.
    fn open(self, run: &Path) -> Res<(Self, Door)> {
        let name = match self {
            Self::Sessions => client::CHANNEL,
            Self::Console => client::CONSOLE,
            Self::Screen => client::SCREEN,
        };
        Ok((self, Door::open(run.join(name))?))
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
        let accelerator = accelerator::choose(&self.config.run_dir, &qemu, &kernel, &|with| {
            accelerator::boots(with, &qemu, &kernel, &initrd)
        })
        .map_err(here)?;
        self.say_accelerator(&accelerator);
        let ids = IdRange::claim(&self.config.run_dir, spec).map_err(here)?;
        self.group.create(&limits(vm.memory, &accelerator, &spec.limits)).map_err(here)?;
        // The network is connected while the disk is made.
        let (attached, layer) = std::thread::scope(|scope| {
            let attach = scope.spawn(|| self.network.attach_taps(spec));
            let (closure, state) = (&self.config.closure, &self.config.state_dir);
            let layer = layer::open(&self.places, closure, state, vm.layer_size);
            let attached = attach.join().unwrap_or_else(|_| Err("the network code failed".into()));
            (attached, layer)
        });
        let layer = layer.map_err(here)?;
        let (attached, taps) =
            attached.map_err(|source| RunError::Network { machine: name.into(), source })?;
        self.status.addresses = attached.addresses;
        let plan = spawn::Plan {
            qemu: &qemu,
            accelerator: &accelerator,
            kernel,
            initrd,
            rootfs: Some(self.config.physical(spec.image.rootfs())),
            layer: Some(layer.as_fd()),
            taps: self.taps(&taps),
            memory: vm.memory,
            vcpus: vm.vcpus,
            words: &words(vm, &accelerator),
            id: ids.base,
            group: Some(&self.group),
        };
        let identity = identity::of(self.config, spec, &taps).map_err(here)?;
        let doors = self.doors(&[Service::Sessions, Service::Console]).map_err(here)?;
        let qemu = spawn::spawn(&plan).map_err(here)?;
        self.greet(qemu, Some(identity), doors, None, ids).map_err(here)
    }

    fn say_accelerator(&mut self, accelerator: &Accelerator) {
        if let Some(why) = &accelerator.passed_over {
            self.log.say(&format!("hc: without hardware virtualisation ({why})"));
        }
    }

    fn doors(&self, services: &[Service]) -> Res<Vec<(Service, Door)>> {
        services.iter().map(|service| service.open(&self.places.run)).collect()
    }

    fn taps<'t>(&self, taps: &'t [Tap]) -> Vec<(std::os::fd::BorrowedFd<'t>, hc_spec::addr::Mac)> {
        let places = crate::supervise::identity::places(self.spec);
        let mac = |(place, tap): (hc_spec::addr::Place<'_>, &'t Tap)| {
            (tap.descriptor.as_fd(), place.mac(&self.spec.name))
        };
        places.zip(taps).map(mac).collect()
    }

    fn greet(
        &mut self,
        qemu: spawn::Qemu,
        identity: Option<wire::Identity>,
        doors: Vec<(Service, Door)>,
        pc: Option<q35::Running>,
        ids: IdRange,
    ) -> Res<Machine> {
        self.status.payload_pid = Some(qemu.process.pid);
        let pid = format!("{}\n", qemu.process.pid);
        hc_fs::plain::write(&self.places.run.join("pid"), pid.as_bytes(), 0o644)?;
        self.status.write(&self.places)?;
        let channel = qemu.guest.zip(identity).map(|(guest, who)| Channel::open(guest, who));
        let channel = channel.transpose();
        Ok(Machine {
            process: qemu.process,
            qmp: qemu.qmp,
            said: qemu.said,
            channel: channel.map_err(|error| Problem::plain(error.to_string()))?,
            console: Console::open(qemu.console, &self.places)?,
            doors,
            pc,
            _ids: ids,
        })
    }
}

/// What the machine's control group may use: the guest's memory and QEMU's own.
fn limits(memory: u64, accelerator: &Accelerator, said: &Limits) -> Limits {
    let translated = match accelerator.kind {
        Kind::Kvm => 0,
        Kind::Tcg => command::TRANSLATED,
    };
    Limits { memory: Some(memory + OVERHEAD + translated), cpus: said.cpus, pids: None }
}

/// The kernel's command line.
fn words(vm: &Vm, accelerator: &Accelerator) -> Vec<String> {
    let own = ["console=ttyS0", "quiet", "panic=-1", "root=serial:root", "hc.layer=serial:layer"];
    let mut words: Vec<String> = own.map(String::from).to_vec();
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
