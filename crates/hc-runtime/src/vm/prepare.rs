//! What a virtual machine's first start would have to wait for, made ahead of time: what runs its
//! instructions is found out, the base of its disk copied, and memory saved that it begins with.

use super::accelerator::{self, Accelerator, NOBODY};
use super::channel::{Channel, Told};
use super::command::{Memory, Written};
use super::resume::{self, Ram};
use super::saved::{self, Saving};
use super::spawn::{self, Plan};
use super::{firmware, identity, layer, q35, said, words};
use crate::base::{Bases, Copying, ImageFile};
use crate::cgroup::Group;
use crate::config::RunConfig;
use crate::description::Description;
use crate::disk;
use crate::error::{Doing, Problem, Res, RunError};
use crate::network::Network;
use hc_spec::machine::Kind;
use hc_spec::{MachineSpec, Vm};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;
use std::time::{Duration, Instant};

/// Longest a kernel may take to come up.
const PATIENCE: Duration = Duration::from_secs(180);

/// Makes ready for the first start of the machine that `config.closure` describes, and says what it is
/// at. What is there already is looked at, and costs little. Nothing of the machine is touched. The
/// calling process has one thread.
///
/// # Errors
/// What the start would fail with. That no memory can be saved is none: the machine then starts cold.
pub fn prepare(
    config: &RunConfig,
    network: &dyn Network,
    say: &mut dyn FnMut(&str),
) -> Result<(), RunError> {
    let spec = Description::read(&config.closure, config.store_root.as_deref())?.spec;
    let prepared = match spec.kind {
        Kind::Container => Ok(()),
        Kind::Microvm => microvm(config, &spec, network, say),
        Kind::Q35 => pc(config, &spec, say),
    };
    prepared.map_err(|problem| problem.of(spec.name.as_str()))
}

fn pc(config: &RunConfig, spec: &MachineSpec, say: &mut dyn FnMut(&str)) -> Res<()> {
    let q35 = spec.q35.as_ref().ok_or_else(|| Problem::plain("q35 is missing"))?;
    let qemu = super::qemu(config.qemu.as_deref())?;
    let firmware = firmware::find(Path::new("/"), q35.secure_boot)?;
    say("finding out what runs it");
    q35::accelerator(&config.run_dir, &qemu, &firmware)?;
    match &spec.image.disk {
        Some(image) => base(config, image, say),
        None => Ok(()),
    }
}

/// Copies a disk's image to the state directory's file system, where that is what forks share.
fn base(config: &RunConfig, image: &Path, say: &mut dyn FnMut(&str)) -> Res<()> {
    let plain = |error: crate::base::ForkError| Problem::plain(error.to_string());
    let store = config.physical(Path::new("/nix/store"));
    let findings = disk::probe(&config.state_dir, &store).map_err(plain)?;
    let copies = disk::plan(&findings).is_ok_and(|plan| plan.of_copy);
    if !copies {
        return Ok(());
    }
    let image = ImageFile::new(image, config.store_root.as_deref())
        .map_err(|error| Problem::plain(error.to_string()))?;
    say("copying its image, once");
    let bases = Bases::new(&config.state_dir);
    bases.make_disk(&image, &|_: Copying<'_>| ()).map(drop).map_err(plain)
}

fn microvm(
    config: &RunConfig,
    spec: &MachineSpec,
    network: &dyn Network,
    say: &mut dyn FnMut(&str),
) -> Res<()> {
    let vm = spec.vm.as_ref().ok_or_else(|| Problem::plain("vm is missing"))?;
    let qemu = super::qemu(config.qemu.as_deref())?;
    let (kernel, initrd) = (config.physical(&vm.kernel), config.physical(&vm.initrd));
    say("finding out what runs it");
    let accelerator = accelerator::choose(&config.run_dir, &qemu, &kernel, &|with| {
        accelerator::boots(with, &qemu, &kernel, &initrd)
    })?;
    if let Some(image) = &spec.image.disk {
        return base(config, image, say);
    }
    layer::template(&config.state_dir, vm.layer_size)?;
    if !vm.resume {
        return Ok(());
    }
    let directory = config.run_dir.join(format!("prepare-{}", std::process::id()));
    hc_fs::plain::create_dir_all(&directory, 0o755)?;
    let saved = save(config, spec, vm, &qemu, &accelerator, &directory, network, say);
    let removed = hc_fs::tree::remove(&directory);
    if let Err(problem) = saved {
        say(&format!("it will start cold: {problem}"));
    }
    Ok(removed?)
}

/// Boots a machine like it until it asks who it is, and saves that.
#[allow(clippy::too_many_arguments)]
fn save(
    config: &RunConfig,
    spec: &MachineSpec,
    vm: &Vm,
    qemu: &Path,
    accelerator: &Accelerator,
    directory: &Path,
    network: &dyn Network,
    say: &mut dyn FnMut(&str),
) -> Res<()> {
    let count = spec.networks.len() + spec.lan.len();
    let taps = network.loose_taps(count).map_err(|error| Problem::plain(error.to_string()))?;
    let words = words(spec, vm, accelerator);
    // Nothing is on it, and nothing is read of it before the machine is somebody.
    let disk = directory.join("layer");
    hc_fs::plain::create_new(&disk, 0o600)?;
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    let disk = rustix::fs::open(disk, flags, Mode::empty()).doing("make a disk")?;
    rustix::fs::ftruncate(&disk, vm.layer_size).doing("make a disk")?;
    let plan = Plan {
        qemu,
        accelerator,
        kernel: config.physical(&vm.kernel),
        initrd: config.physical(&vm.initrd),
        rootfs: Some(config.physical(spec.image.rootfs())),
        layer: Some(Written { file: disk.as_fd(), below: None, is_root: false }),
        volumes: Vec::new(),
        taps: identity::devices(&taps, &identity::macs(spec)),
        size: vm.memory,
        memory: Memory::Plain,
        ram: None,
        vcpus: vm.vcpus,
        words: &words,
        id: NOBODY,
    };
    let slot = saved::slot(config, spec, vm, &plan)?;
    if slot.verify() {
        return Ok(());
    }
    let Some(ram) = Ram::make(directory, vm.memory, NOBODY)? else {
        return Err(Problem::plain(format!("{} is not in memory", config.run_dir.display())));
    };
    say("saving the memory it starts with");
    let saving = slot.begin()?;
    let state = saving.state.as_fd();
    let plan = plan.with(ram.path.clone(), Memory::Kept(state.as_raw_fd()), state);
    boot(spawn::spawn(&plan, &Group::default())?, &saving, &ram)?;
    saving.finish()
}

fn boot(mut qemu: spawn::Qemu, saving: &Saving, ram: &Ram) -> Res<()> {
    let guest = qemu.guest.take().ok_or_else(|| Problem::plain("it has no channel"))?;
    let mut channel = Channel::open(guest).map_err(said)?;
    let (until, mut complaint) = (Instant::now() + PATIENCE, Vec::new());
    loop {
        if channel.pass().contains(&Told::Hello) {
            return resume::save(&mut qemu.qmp, saving, ram);
        }
        complaint.extend(qemu.said.read());
        let _ = qemu.console.read();
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Problem::plain(format!("it did not come up in {} s", PATIENCE.as_secs())));
        }
        if !qemu.console.is_open() {
            let complaint = String::from_utf8_lossy(&complaint);
            let last = complaint.lines().last().unwrap_or("it went down");
            return Err(Problem::plain(last.trim()));
        }
        let mut wanted: Vec<_> = channel.wanted().into_iter().collect();
        wanted.extend([&qemu.console, &qemu.said].map(|stream| (stream.as_fd(), PollFlags::IN)));
        let mut wanted: Vec<_> =
            wanted.into_iter().map(|(fd, events)| PollFd::from_borrowed_fd(fd, events)).collect();
        let left = Timespec::try_from(left).unwrap_or(Timespec { tv_sec: 1, tv_nsec: 0 });
        let _ = poll(&mut wanted, Some(&left));
    }
}
