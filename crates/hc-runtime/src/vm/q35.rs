//! A PC with firmware: what it is given, and what only it has while it runs.

use super::accelerator::{Accelerator, NOBODY, boots_to, choose};
use super::firmware::{self, Firmware};
use super::launch::{Program, launch};
use super::media::{in_memory, is_empty};
use super::pc::Pc;
use super::qmp::Qmp;
use super::spawn::{Qemu, kvm};
use super::stream::{Stream, pair};
use super::tpm::{self, Tpm};
use super::{Machine, Service, identity, limits};
use crate::base::ImageFile;
use crate::cgroup::Group;
use crate::disk::{Disks, Method, Request};
use crate::error::{Doing, Problem, Res, RunError};
use crate::ids::IdRange;
use crate::snapshots::Snapshots;
use crate::supervise::Run;
use hc_spec::Name;
use hc_spec::addr::Mac;
use hc_spec::machine::ReadyWhen;
use hc_spec::q35::Q35;
use rustix::event::PollFlags;
use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

/// Name of the one disk.
pub(super) const DISK: &str = "system";
/// What firmware says on the serial port, whatever it finds to start.
const ALIVE: &[u8] = b"BdsDxe";
/// How long a CD is asked to be started from: Windows' own wants a key.
const PRESSING: Duration = Duration::from_secs(30);
/// What a PC has while it runs.
pub(super) struct Running {
    /// Nobody puts another state in the place of this one.
    _used: File,
    tpm: Option<Tpm>,
    /// QEMU has taken everything it was given, and runs.
    is_on: bool,
    /// Readable as soon as its port answers; nothing where it is ready when it is on.
    answers: Option<OwnedFd>,
    press_until: Option<Instant>,
}

impl Running {
    /// What to poll for.
    pub fn wanted(&self) -> Vec<(BorrowedFd<'_>, PollFlags)> {
        let said = self.tpm.iter().map(|tpm| &tpm.said).filter(|said| said.is_open());
        let said = said.map(|said| (said.as_fd(), PollFlags::IN));
        said.chain(self.answers.iter().map(|fd| (fd.as_fd(), PollFlags::IN))).collect()
    }

    /// What the TPM has said since.
    pub fn said(&mut self) -> Vec<String> {
        let said = self.tpm.as_mut().map(|tpm| tpm.said.read()).unwrap_or_default();
        String::from_utf8_lossy(&said).lines().map(|line| format!("swtpm: {line}")).collect()
    }

    /// QEMU has answered.
    pub fn turned_on(&mut self) {
        self.is_on = true;
    }

    /// Whether the machine is ready.
    pub fn is_ready(&mut self) -> bool {
        if !self.is_on {
            return false;
        }
        let Some(answers) = &self.answers else { return true };
        let mut byte = [0];
        if !matches!(rustix::io::read(answers, &mut byte), Ok(1)) {
            return false;
        }
        self.answers = None;
        true
    }

    /// How long until a key has to be pressed; none when that is over.
    pub fn wait(&self) -> Option<Duration> {
        self.press_until.map(|_| Duration::from_secs(1))
    }

    /// Presses a key, as long as a CD may ask for one.
    pub fn press(&mut self, qmp: &mut Qmp) {
        if self.press_until.is_some_and(|until| until < Instant::now()) {
            self.press_until = None;
        }
        if self.press_until.is_some() {
            let key = serde_json::json!({"keys": [{"type": "qcode", "data": "spc"}]});
            qmp.command("send-key", &key);
        }
    }
}

/// What a PC is turned on with.
struct Parts<'a> {
    qemu: &'a Path,
    accelerator: &'a Accelerator,
    memory: u64,
    vcpus: u32,
    firmware: &'a Firmware,
    variables: File,
    tpm: Option<OwnedFd>,
    disk: File,
    image: Option<File>,
    seed: Option<OwnedFd>,
    cds: Vec<OwnedFd>,
    taps: Vec<(BorrowedFd<'a>, Mac)>,
    id: u32,
    group: &'a Group,
}

impl Parts<'_> {
    fn turn_on(&self) -> Res<Qemu> {
        let ends = || pair().doing("make a socket pair");
        let ((qmp, its_qmp), (console, its_console)) = (ends()?, ends()?);
        let kvm = kvm(self.accelerator)?;
        let code = &self.firmware.code;
        let code = File::open(code).doing_with(|| format!("open {}", code.display()))?;
        let taps: Vec<_> = self.taps.iter().map(|(tap, mac)| (tap.as_raw_fd(), *mac)).collect();
        let cds: Vec<_> = self.cds.iter().map(AsRawFd::as_raw_fd).collect();
        let pc = Pc {
            accelerator: self.accelerator,
            memory: self.memory,
            vcpus: self.vcpus,
            kvm: kvm.as_ref().map(AsRawFd::as_raw_fd),
            qmp: its_qmp.as_raw_fd(),
            console: its_console.as_raw_fd(),
            guarded: self.firmware.guarded,
            firmware: code.as_raw_fd(),
            variables: self.variables.as_raw_fd(),
            tpm: self.tpm.as_ref().map(AsRawFd::as_raw_fd),
            disk: self.disk.as_raw_fd(),
            image: self.image.as_ref().map(AsRawFd::as_raw_fd),
            seed: self.seed.as_ref().map(AsRawFd::as_raw_fd),
            cds: &cds,
            taps: &taps,
        };
        let mut kept = vec![its_qmp.as_fd(), its_console.as_fd(), code.as_fd()];
        kept.extend([self.variables.as_fd(), self.disk.as_fd()]);
        kept.extend(self.image.iter().map(AsFd::as_fd));
        let others = kvm.iter().chain(&self.tpm).chain(&self.seed).chain(&self.cds);
        kept.extend(others.map(AsFd::as_fd));
        kept.extend(self.taps.iter().map(|(tap, _)| *tap));
        let (process, said) = launch(&Program {
            path: self.qemu,
            arguments: pc.arguments(),
            files: Vec::new(),
            kept,
            id: self.id,
            group: self.group,
        })?;
        Ok(Qemu { process, qmp: Qmp::new(qmp), console: Stream::new(console), guest: None, said })
    }
}

impl Run<'_> {
    pub(super) fn start_pc(&mut self) -> Result<Machine, RunError> {
        let spec = self.spec;
        let name = spec.name.as_str();
        let here = |problem: Problem| problem.of(name);
        let q35 = spec.q35.as_ref().ok_or_else(|| here(Problem::plain("q35 is missing")))?;
        let qemu = super::qemu(self.config.qemu.as_deref()).map_err(here)?;
        let firmware = firmware::find(Path::new("/"), q35.secure_boot).map_err(here)?;
        let accelerator = accelerator(&self.config.run_dir, &qemu, &firmware).map_err(here)?;
        self.say_accelerator(&accelerator);
        let ids = IdRange::claim(&self.config.run_dir, spec).map_err(here)?;
        self.group.create(&limits(q35.memory, &accelerator, &spec.limits)).map_err(here)?;
        let (attached, taps) = self
            .network
            .attach_taps(spec)
            .map_err(|source| RunError::Network { machine: name.into(), source })?;
        self.lingering.join(attached.lingering);
        self.status.addresses.clone_from(&attached.addresses);
        let macs = identity::macs(spec);
        let used = self.used().map_err(here)?;
        let parts = || -> Res<_> {
            let (disk, image) = self.disk(q35)?;
            let fresh = image.is_none() && is_empty(&disk);
            let (cds, seed) = self.media(q35, fresh, &taps)?;
            let variables = firmware::variables(&firmware, &self.places.state)?;
            let tpm = q35.tpm.then(|| tpm::start(&self.places.state, ids.base, &self.group));
            let (tpm, control) = tpm.transpose()?.unzip();
            let parts = Parts {
                qemu: &qemu,
                accelerator: &accelerator,
                memory: q35.memory,
                vcpus: q35.vcpus,
                firmware: &firmware,
                variables,
                tpm: control,
                disk,
                image,
                seed,
                cds,
                taps: identity::devices(&taps, &macs),
                id: ids.base,
                group: &self.group,
            };
            let doors =
                self.doors(&[Service::Console, Service::Screen, Service::Still, Service::Disk])?;
            Ok((parts.turn_on()?, doors, tpm, fresh && !q35.media.is_empty()))
        };
        let (qemu, doors, tpm, installs) = parts().map_err(here)?;
        let answers = match (spec.ready.when, spec.ready.port) {
            (ReadyWhen::Tcp, Some(port)) => Some(answers(&attached.addresses, port)),
            _ => None,
        };
        let running = Running {
            _used: used,
            tpm,
            is_on: false,
            answers: answers.transpose().map_err(here)?,
            press_until: installs.then(|| Instant::now() + PRESSING),
        };
        self.greet(qemu, None, doors, Some(running), ids, false).map_err(here)
    }

    /// Takes what the machine has kept for its own use.
    fn used(&self) -> Res<File> {
        let wrong = |error: crate::base::ForkError| Problem::plain(error.to_string());
        let Some(used) = Snapshots::hold(&self.places).map_err(wrong)? else {
            return Err(Problem::plain("a snapshot of it is being made or restored"));
        };
        let (run, state) = (&self.config.run_dir, &self.config.state_dir);
        Snapshots::new(run, state, &self.spec.name).settle().map_err(wrong)?;
        Ok(used)
    }

    /// The machine's disk, made or found, and the image below it where it is an overlay.
    fn disk(&self, q35: &Q35) -> Res<(File, Option<File>)> {
        let disks = Disks::new(&self.config.state_dir);
        let name = Name::new(DISK).map_err(|error| Problem::plain(error.to_string()))?;
        let open = |path: &Path, writes: bool| {
            let how = if writes { OFlags::RDWR } else { OFlags::RDONLY };
            let opened = rustix::fs::open(path, how | OFlags::CLOEXEC, Mode::empty());
            opened.map(File::from).doing_with(|| format!("open {}", path.display()))
        };
        let Some(image) = &self.spec.image.disk else {
            let size = q35.disk_size.unwrap_or_default();
            let made = disks.blank(&self.spec.name, &name, size);
            let path = made.map_err(|error| Problem::plain(error.to_string()))?;
            return Ok((open(&path, true)?, None));
        };
        let image = ImageFile::new(image, self.config.store_root.as_deref())
            .map_err(|error| Problem::plain(error.to_string()))?;
        let request = Request {
            machine: &self.spec.name,
            disk: &name,
            image: &image,
            size: q35.disk_size,
            replace: false,
        };
        let made = disks.fork(&request, self.keep, &|_| ());
        let made = made.map_err(|error| Problem::plain(error.to_string()))?;
        let below = match made.method {
            Method::Overlay => Some(open(&image.physical, false)?),
            Method::Reflink => None,
        };
        Ok((open(&made.path, true)?, below))
    }
}

/// What runs a PC's instructions here.
pub(super) fn accelerator(run_dir: &Path, qemu: &Path, firmware: &Firmware) -> Res<Accelerator> {
    let tried = |with: &Accelerator| boots_to(|| trial(qemu, with, firmware), ALIVE);
    choose(run_dir, qemu, &firmware.code, &tried)
}

/// A PC with firmware and nothing to start.
fn trial(qemu: &Path, with: &Accelerator, firmware: &Firmware) -> Res<Qemu> {
    let template = &firmware.variables;
    let template = std::fs::read(template).doing_with(|| format!("read {}", template.display()))?;
    let (variables, disk) = (in_memory(&template)?.into(), in_memory(&[0; 1 << 20])?.into());
    let parts = Parts {
        qemu,
        accelerator: with,
        memory: 256 << 20,
        vcpus: 1,
        firmware,
        variables,
        tpm: None,
        disk,
        image: None,
        seed: None,
        cds: Vec::new(),
        taps: Vec::new(),
        id: NOBODY,
        group: &Group::default(),
    };
    parts.turn_on()
}

/// A descriptor that can be read as soon as one of the addresses answers on `port`.
fn answers(addresses: &[IpAddr], port: u16) -> Res<OwnedFd> {
    let (ours, theirs) = pair().doing("make a socket pair")?;
    rustix::io::ioctl_fionbio(&ours, true).doing("make a socket pair")?;
    let to: Vec<SocketAddr> = addresses.iter().map(|ip| SocketAddr::new(*ip, port)).collect();
    // The last process was cloned before, so there may be a second thread. It ends with this process.
    let asks = move || {
        let answered =
            |to: &SocketAddr| TcpStream::connect_timeout(to, Duration::from_secs(1)).is_ok();
        while !to.iter().any(answered) {
            std::thread::sleep(Duration::from_millis(200));
        }
        let _ = rustix::io::write(&theirs, b"r");
    };
    let started = std::thread::Builder::new().name("hc-probe".into()).spawn(asks);
    started.doing("start a thread")?;
    Ok(ours)
}
