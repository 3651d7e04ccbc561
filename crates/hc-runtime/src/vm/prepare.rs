//! What a virtual machine's first start would have to wait for, made ahead of time: what runs its
//! instructions is found out, the base of its disk copied, and memory saved that it begins with.

use super::accelerator::{self, Accelerator, NOBODY};
use super::channel::{Channel, Told};
use super::command::{self, Memory, Written};
use super::resume::{self, Ram};
use super::saved::{self, Saving, Slot};
use super::spawn::{self, Plan};
use super::start::words;
use super::{firmware, identity, layer, q35, said};
use crate::base::{Bases, Copying, ImageFile, copy_data};
use crate::cgroup::Group;
use crate::config::RunConfig;
use crate::description::Description;
use crate::disk;
use crate::error::{Doing, Problem, Res, RunError};
use crate::network::Network;
use hc_guest::wire::{MACHINE, MOUNTS, ToGuest};
use hc_spec::machine::Kind;
use hc_spec::{MachineSpec, Vm};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

/// Longest a kernel may take to come up.
const PATIENCE: Duration = Duration::from_secs(180);
/// What most commands read as they begin, where an image has it; the command's own program besides.
const READ: [&str; 5] = [
    "/lib64/ld-linux-x86-64.so.2",
    "/lib/x86_64-linux-gnu/libc.so.6",
    "/etc/ld.so.cache",
    "/etc/passwd",
    "/etc/group",
];
/// Longest it may take to mount its root.
const MOUNTING: Duration = Duration::from_secs(30);

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
    match &spec.image.disk {
        Some(image) => base(config, image, say)?,
        None => drop(layer::template(&config.state_dir, vm.layer_size)?),
    }
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
    let written = match &spec.image.disk {
        Some(image) => layer::size_of_disk(config, spec, image)?,
        None => vm.layer_size,
    };
    let path = directory.join("written");
    // One that can be mounted, where the machine has a layer of its own.
    let layer = spec.image.disk.is_none();
    let disk = empty_disk(&path, written, false)?;
    if layer {
        let empty = File::open(layer::template(&config.state_dir, written)?);
        let copied = empty.and_then(|from| copy_data(&from, &disk, &mut |_| ()));
        copied.doing("make a disk")?;
    }
    let mut volumes = Vec::new();
    for (index, (name, volume)) in spec.volumes.iter().enumerate() {
        let bytes = crate::volumes::size(&config.state_dir, spec, name, volume);
        let disk = empty_disk(&directory.join(command::volume(index)), bytes, volume.read_only)?;
        volumes.push((disk, volume.read_only));
    }
    let plan = Plan {
        qemu,
        accelerator,
        kernel: config.physical(&vm.kernel),
        initrd: config.physical(&vm.initrd),
        rootfs: spec.image.rootfs.as_ref().map(|file| config.physical(file)),
        layer: Some(Written {
            file: disk.as_fd(),
            below: None,
            is_root: spec.image.disk.is_some(),
        }),
        volumes: volumes.iter().map(|(disk, read_only)| (disk.as_fd(), *read_only)).collect(),
        taps: identity::devices(&taps, &identity::macs(spec)),
        size: vm.memory,
        memory: Memory::Plain,
        ram: None,
        vcpus: vm.vcpus,
        words: &words,
        id: NOBODY,
    };
    let slot = saved::slot(config, spec, (qemu, accelerator, &words), &volumes, written)?;
    let mounted = (layer && slot.may_mount()).then(|| slot.mounted());
    if slot.verify() && mounted.as_ref().is_none_or(Slot::verify) {
        return Ok(());
    }
    let Some(ram) = Ram::make(directory, vm.memory, NOBODY)? else {
        return Err(Problem::plain(format!("{} is not in memory", config.run_dir.display())));
    };
    say("saving the memory it starts with");
    let saving = slot.begin()?;
    let mut mounted = mounted.map(|slot| slot.begin()).transpose()?;
    if let Some(mounted) = &mut mounted {
        mounted.layer = Some(path);
    }
    let plan = plan.with(ram.path.clone(), Memory::Kept, None);
    let qemu = spawn::spawn(&plan, &Group::default())?;
    let read: Vec<_> =
        spec.command.first().into_iter().cloned().chain(READ.map(String::from)).collect();
    let root = boot(qemu, &ram, &saving, mounted.as_ref(), &read)?;
    saving.finish(root == Root::Unmountable)?;
    match mounted {
        Some(mounted) if root == Root::Mounted => mounted.finish(false),
        _ => Ok(()),
    }
}

/// A disk with nothing on it: nothing is read of it before the machine is somebody.
fn empty_disk(path: &Path, bytes: u64, read_only: bool) -> Res<File> {
    let action = "make a disk";
    let file = hc_fs::plain::create_new(path, 0o600)?;
    rustix::fs::ftruncate(&file, bytes).doing(action)?;
    let how = if read_only { OFlags::RDONLY } else { OFlags::RDWR };
    Ok(rustix::fs::open(path, how | OFlags::CLOEXEC, Mode::empty()).doing(action)?.into())
}

/// How far a computer came that was saved.
#[derive(PartialEq, Eq)]
enum Root {
    /// It waits for its disk.
    Waits,
    /// It was saved once more with its root mounted.
    Mounted,
    /// Its guest is older than that.
    Unmountable,
}

/// Saves a computer when it asks who it is, and, if that is wanted, once more when its root is mounted and
/// the files `read` are in its memory.
fn boot(
    mut qemu: spawn::Qemu,
    ram: &Ram,
    saving: &Saving,
    mounted: Option<&Saving>,
    read: &[String],
) -> Res<Root> {
    let guest = qemu.guest.take().ok_or_else(|| Problem::plain("it has no channel"))?;
    let mut channel = Channel::open(guest).map_err(said)?;
    let (mut until, mut complaint) = (Instant::now() + PATIENCE, Vec::new());
    let mut mounting = None;
    loop {
        for told in channel.pass() {
            match (told, mounting) {
                (Told::Hello(version), None) => {
                    resume::save(&mut qemu.qmp, saving, ram)?;
                    let Some(mounted) = mounted else { return Ok(Root::Waits) };
                    if version < MOUNTS {
                        return Ok(Root::Unmountable);
                    }
                    channel.send(MACHINE, &ToGuest::Mount(read.to_vec())).map_err(said)?;
                    (mounting, until) = (Some(mounted), Instant::now() + MOUNTING);
                }
                (Told::Mounted, Some(mounted)) => {
                    let saved = resume::save(&mut qemu.qmp, mounted, ram);
                    return Ok(if saved.is_ok() { Root::Mounted } else { Root::Waits });
                }
                (Told::Failed(_), Some(_)) => return Ok(Root::Waits),
                _ => {}
            }
        }
        complaint.extend(qemu.said.read());
        let _ = qemu.console.read();
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() && mounting.is_some() {
            return Ok(Root::Waits);
        }
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
