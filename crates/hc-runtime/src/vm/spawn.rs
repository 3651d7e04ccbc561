//! QEMU for a microVM.

use super::accelerator::{Accelerator, Kind};
use super::command::{Computer, INITRD, KERNEL, Memory, RAM, ROOTFS, Written};
use super::jail::Shown;
use super::launch::{Program, launch};
use super::qmp::Qmp;
use super::stream::{Stream, pair};
use crate::cgroup::Group;
use crate::error::{Doing, Res};
use crate::supervise::Init;
use hc_spec::addr::Mac;
use rustix::fs::{Mode, OFlags};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// A computer to be made.
pub(super) struct Plan<'a> {
    /// QEMU's program.
    pub qemu: &'a Path,
    pub accelerator: &'a Accelerator,
    pub kernel: PathBuf,
    pub initrd: PathBuf,
    pub rootfs: Option<PathBuf>,
    pub layer: Option<Written<BorrowedFd<'a>>>,
    /// Disks that outlive it, and whether they can only be read.
    pub volumes: Vec<(BorrowedFd<'a>, bool)>,
    pub taps: Vec<(BorrowedFd<'a>, Mac)>,
    /// Bytes of memory.
    pub size: u64,
    pub memory: Memory,
    /// The file that it is, if it is one, and the descriptor that `memory` names, if it names one.
    pub ram: Option<(PathBuf, Option<BorrowedFd<'a>>)>,
    pub vcpus: u32,
    pub words: &'a [String],
    /// The user and group that QEMU runs as.
    pub id: u32,
}

impl<'a> Plan<'a> {
    /// The same computer with a file for memory.
    pub fn with<'b>(&self, file: PathBuf, memory: Memory, state: Option<BorrowedFd<'b>>) -> Plan<'b>
    where
        'a: 'b,
    {
        Plan {
            kernel: self.kernel.clone(),
            initrd: self.initrd.clone(),
            rootfs: self.rootfs.clone(),
            taps: self.taps.clone(),
            volumes: self.volumes.clone(),
            memory,
            ram: Some((file, state)),
            ..*self
        }
    }
}

/// A computer that is on.
pub(super) struct Qemu {
    pub process: Init,
    pub qmp: Qmp,
    pub console: Stream,
    /// The port `hc.guest`, where there is one.
    pub guest: Option<Stream>,
    /// What QEMU itself says.
    pub said: Stream,
}

/// Turns the computer on, in these control groups. This process has one thread.
pub(super) fn spawn(plan: &Plan<'_>, group: &Group) -> Res<Qemu> {
    let ends = || pair().doing("make a socket pair");
    let ((qmp, its_qmp), (console, its_console)) = (ends()?, ends()?);
    let (guest, its_guest) = ends()?;
    let kvm = kvm(plan.accelerator)?;
    let taps: Vec<_> = plan.taps.iter().map(|(tap, mac)| (tap.as_raw_fd(), *mac)).collect();
    let volumes: Vec<_> =
        plan.volumes.iter().map(|(file, only)| (file.as_raw_fd(), *only)).collect();
    let computer = Computer {
        accelerator: plan.accelerator,
        size: plan.size,
        memory: plan.memory,
        vcpus: plan.vcpus,
        kvm: kvm.as_ref().map(AsRawFd::as_raw_fd),
        qmp: its_qmp.as_raw_fd(),
        console: its_console.as_raw_fd(),
        guest: its_guest.as_raw_fd(),
        has_root: plan.rootfs.is_some(),
        layer: plan.layer.map(|layer| Written {
            file: layer.file.as_raw_fd(),
            below: layer.below.map(|image| image.as_raw_fd()),
            is_root: layer.is_root,
        }),
        volumes: &volumes,
        taps: &taps,
        words: plan.words,
    };
    let mut kept = vec![its_qmp.as_fd(), its_console.as_fd(), its_guest.as_fd()];
    kept.extend(kvm.iter().map(AsFd::as_fd));
    kept.extend(plan.layer.iter().flat_map(|layer| [Some(layer.file), layer.below]).flatten());
    kept.extend(plan.taps.iter().map(|(tap, _)| *tap));
    kept.extend(plan.volumes.iter().map(|(file, _)| *file));
    kept.extend(plan.ram.as_ref().and_then(|(_, state)| *state));
    let show = |at, file: &Path| Shown { at, file: file.into(), writable: false };
    let mut files = vec![show(KERNEL, &plan.kernel), show(INITRD, &plan.initrd)];
    files.extend(plan.rootfs.iter().map(|rootfs| show(ROOTFS, rootfs)));
    files.extend(plan.ram.iter().map(|(ram, _)| {
        let writable = plan.memory == Memory::Kept;
        Shown { writable, ..show(RAM, ram) }
    }));
    let (process, said) = launch(&Program {
        path: plan.qemu,
        arguments: computer.arguments(),
        files,
        kept,
        id: plan.id,
        group,
    })?;
    let (console, guest) = (Stream::new(console), Some(Stream::new(guest)));
    Ok(Qemu { process, qmp: Qmp::new(qmp), console, guest, said })
}

/// The kernel's help, where it is used.
pub(super) fn kvm(accelerator: &Accelerator) -> Res<Option<OwnedFd>> {
    match accelerator.kind {
        Kind::Kvm => {
            let flags = OFlags::RDWR | OFlags::CLOEXEC;
            let device = rustix::fs::open("/dev/kvm", flags, Mode::empty());
            Ok(Some(device.doing("open /dev/kvm")?))
        }
        Kind::Tcg => Ok(None),
    }
}
