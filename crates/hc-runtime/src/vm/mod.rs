//! Virtual machines: QEMU as the machine's one process on the host, and the channel into its guest.
//!
//! | part | what |
//! |---|---|
//! | [`accelerator`] | what runs the guest's instructions on this host |
//! | [`layer`] | the disk that keeps what is written |
//! | [`identity`] | who the guest is told it is |
//! | [`start`], [`command`], [`spawn`] | a microVM's start; QEMU as one: its words, its process |
//! | [`q35`], [`pc`], [`firmware`], [`tpm`], [`media`] | QEMU as a PC, its words, and what a PC has besides |
//! | [`resume`], [`saved`], [`mounted`], [`prepare`] | a computer that has come up once for many, ahead of time |
//! | [`fork`] | a computer that begins as what another is now |
//! | [`launch`], [`jail`] | a process of the machine's own, and what it sees |
//! | [`qmp`], [`channel`], [`console`], [`own`] | what is said to QEMU and to the guest, the console, the command's streams |
//! | [`still`] | a machine that stands still while its disks are kept |
//! | [`desk`]: [`balloon`], [`resize`] | what is asked of its supervisor in a line: how much memory it may use, a larger disk |
//! | [`watch`], [`ask`], [`ending`] | all of that until it ends: whether it works, and what brought it down |
//! | [`session`], [`client`], [`copy`] | `hc exec`, `hc console` and `hc screen`, `hc cp`: outside the supervisor |

mod accelerator;
mod ask;
mod balloon;
mod channel;
pub(crate) mod client;
mod command;
mod console;
pub(crate) mod copy;
mod desk;
mod door;
mod ending;
mod firmware;
mod fork;
mod identity;
mod jail;
mod launch;
pub(crate) mod layer;
mod media;
mod mounted;
mod own;
mod pc;
mod prepare;
mod q35;
mod qmp;
mod resize;
mod resume;
pub(crate) mod saved;
pub(crate) mod session;
mod spawn;
mod start;
pub(crate) mod still;
mod stream;
mod tpm;
mod watch;

pub use accelerator::{Accelerator, Kind, accelerators};
pub use balloon::balloon;
pub use fork::Disk as ForkedDisk;

use crate::error::{Problem, Res, RunError};
use crate::ids::IdRange;
use crate::status::Exit;
use crate::supervise::Run;
use crate::timing::Step;
use channel::Channel;
use command::Block;
use console::Console;
use desk::Desk;
use door::Door;
use fork::Forking;
use hc_guest::wire;
use hc_spec::addr::Mac;
use hc_spec::machine::Limits;
use layer::Layer;
use own::Own;
pub use prepare::prepare;
use qmp::Qmp;
pub use resize::grow_disk;
use resume::Ram;
use saved::Saving;
use std::fs::File;
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
    /// Who says how much memory it may use, and who wants a larger disk.
    memory: Desk,
    disks: Desk,
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
    /// Its volumes, in the order of their names.
    volumes: Vec<File>,
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
    /// More or less memory.
    Memory,
    /// A larger disk.
    Disk,
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
            Self::Memory => balloon::MEMORY,
            Self::Disk => resize::DISK,
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

    /// Tells a machine that listens who it is, and before that saves it, if that is to be.
    fn save_and_tell(&mut self, machine: &mut Machine) -> Res<()> {
        if let Some(unsaved) = machine.unsaved.take() {
            match resume::save(&mut machine.qmp, &unsaved.saving, &unsaved.ram) {
                // Flushing takes longer than the machine would wait for.
                Ok(()) => drop(std::thread::spawn(move || unsaved.saving.finish(false))),
                Err(problem) => self.log.say(&format!("hc: it could not be saved: {problem}")),
            }
        }
        self.status.timing.push(self.clock.stage(Step::Guest, self.marks[0]));
        self.marks[0] = self.clock.us();
        machine.tell()
    }
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
