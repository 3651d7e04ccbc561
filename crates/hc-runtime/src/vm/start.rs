//! A microVM from its description to a computer that is on.

use super::accelerator::{self, Accelerator};
use super::channel::Channel;
use super::command::Memory;
use super::console::Console;
use super::desk::Desk;
use super::door::Door;
use super::mounted::Mounted;
use super::own::Own;
use super::resume::{self, Ram};
use super::saved::Slot;
use super::still::Still;
use super::{
    Machine, Origin, Service, Unsaved, fork, identity, layer, limits, q35, qemu, said, saved, spawn,
};
use crate::error::{Doing, Problem, Res, RunError};
use crate::ids::IdRange;
use crate::supervise::Run;
use crate::timing::Step;
use crate::volumes::Volumes;
use hc_guest::wire;
use hc_spec::{MachineSpec, Vm};
use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;

impl Run<'_> {
    pub(super) fn start_vm(&mut self) -> Result<Machine, RunError> {
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
        let state = &self.config.state_dir;
        self.volumes = match &incoming {
            Some(of) => Volumes::hold_blank(state, spec, of.volumes()),
            None => Volumes::hold_files(state, spec),
        }
        .map_err(here)?;
        let volumes = volumes(&self.volumes, spec).map_err(here)?;
        let words = words(spec, vm, &accelerator);
        let slot = |written| {
            let computer = (&*qemu, &accelerator, &*words);
            saved::slot(self.config, spec, computer, &volumes, written)
        };
        let has_layer = incoming.is_none() && spec.image.disk.is_none();
        let mounted = match vm.resume && has_layer {
            true => Mounted::of(&slot(vm.layer_size).map_err(here)?),
            false => None,
        };
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
                (None, None) => {
                    let mounted = mounted.as_ref().map(Mounted::layer);
                    layer::open_as(&self.places, closure, state, vm.layer_size, mounted.as_deref())
                }
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
        let always = [Service::Sessions, Service::Console, Service::Memory, Service::Disk];
        let services: Vec<_> = always.into_iter().chain(forks).collect();
        let doors = self.doors(&services).map_err(here)?;
        let copied = incoming.is_some();
        let (qemu, memory, unsaved) = match incoming {
            Some(incoming) => {
                plan.memory = incoming.memory();
                let qemu = self.take_in(&plan, incoming, &layer.path).map_err(here)?;
                (qemu, plan.memory, None)
            }
            None if vm.resume => {
                let slot = slot(layer.size).map_err(here)?;
                let mounted = mounted.filter(|_| layer.mounted);
                self.turn_on_as_saved(plan, &slot, mounted).map_err(here)?
            }
            None => (self.spawn(&plan).map_err(here)?, plan.memory, None),
        };
        self.marks[0] = self.clock.us();
        let machine = self.greet(qemu, Some(identity), doors, None, ids, copied).map_err(here)?;
        let volumes = volumes.into_iter().map(|(file, _)| file).collect();
        let origin = Some(Origin { layer, volumes, macs, block: memory.block() });
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
        let taken = self.timed(Step::Memory, |run| {
            let disks: Vec<_> = std::iter::once(disk).chain(run.volumes.images()).collect();
            incoming.take(&mut qemu, &disks)
        })?;
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

    pub(super) fn say_accelerator(&mut self, accelerator: &Accelerator) {
        if let Some(why) = &accelerator.passed_over {
            self.log.say(&format!("hc: without hardware virtualisation ({why})"));
        }
    }

    pub(super) fn doors(&self, services: &[Service]) -> Res<Vec<(Service, Door)>> {
        services.iter().map(|service| service.open(&self.places.run)).collect()
    }

    /// Turns the computer on as it was saved.
    fn go_on(
        &mut self,
        plan: &spawn::Plan<'_>,
        slot: &Slot,
        state: &File,
    ) -> Res<(spawn::Qemu, Memory, Option<Unsaved>)> {
        let copied = Memory::Copied(state.as_raw_fd());
        let plan = plan.with(slot.ram(), copied, Some(state.as_fd()));
        let resumed = self.spawn(&plan).and_then(|mut qemu| {
            self.timed(Step::Memory, |_| resume::go_on(&mut qemu.qmp))?;
            Ok(qemu)
        });
        match resumed {
            Ok(qemu) => Ok((qemu, copied, None)),
            Err(problem) => {
                slot.discard()?;
                Err(problem)
            }
        }
    }

    /// Turns the computer on: as it was saved, or cold; then it may have to be saved. `mounted`: its layer
    /// is a copy of that one's.
    fn turn_on_as_saved(
        &mut self,
        plan: spawn::Plan<'_>,
        slot: &Slot,
        mounted: Option<Mounted>,
    ) -> Res<(spawn::Qemu, Memory, Option<Unsaved>)> {
        if let Some((mounted, state)) = mounted.and_then(|m| m.state().map(|state| (m, state))) {
            match self.go_on(&plan, &mounted.slot, &state) {
                Ok(on) => return Ok(on),
                Err(why) => self.log.say(&format!("hc: its root is mounted as it starts: {why}")),
            }
        }
        let cold = match slot.find() {
            Ok(state) => match self.go_on(&plan, slot, &state) {
                Ok(on) => return Ok(on),
                Err(problem) => problem.to_string(),
            },
            Err(why) => why.into(),
        };
        self.log.say(&format!("hc: it starts cold, not as it was saved: {cold}"));
        self.status.cold = Some(cold);
        let Some(ram) = Ram::make(&self.places.run, plan.size, plan.id)? else {
            let place = self.places.run.display();
            self.log.say(&format!("hc: it cannot be saved: {place} is not in memory"));
            return Ok((self.spawn(&plan)?, plan.memory, None));
        };
        let saving = slot.begin()?;
        let plan = plan.with(ram.path.clone(), Memory::Kept, None);
        let qemu = self.spawn(&plan)?;
        Ok((qemu, plan.memory, Some(Unsaved { saving, ram })))
    }

    pub(super) fn greet(
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
            memory: Desk::default(),
            disks: Desk::default(),
            pc,
            own: None,
            identity,
            unsaved: None,
            origin: None,
            forking: None,
            _ids: ids,
        })
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

/// The kernel's command line.
pub(super) fn words(spec: &MachineSpec, vm: &Vm, accelerator: &Accelerator) -> Vec<String> {
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
