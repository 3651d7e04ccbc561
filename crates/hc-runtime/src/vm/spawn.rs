//! QEMU as a process: its user, its root, its namespaces and descriptors.

use super::accelerator::{Accelerator, Kind};
use super::command::{Computer, INITRD, KERNEL, ROOTFS};
use super::jail;
use super::qmp::Qmp;
use super::stream::{Stream, pair};
use crate::cgroup::{self, Group};
use crate::error::{Doing, Hint, Problem, Res};
use crate::supervise::Init;
use crate::sys::{self, process, signals, socket};
use hc_spec::addr::Mac;
use rustix::fs::{Mode, OFlags};
use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// A computer to be made.
pub(super) struct Plan<'a> {
    /// QEMU's program.
    pub qemu: &'a Path,
    pub accelerator: &'a Accelerator,
    pub kernel: PathBuf,
    pub initrd: PathBuf,
    pub rootfs: Option<PathBuf>,
    pub layer: Option<BorrowedFd<'a>>,
    pub taps: Vec<(BorrowedFd<'a>, Mac)>,
    pub memory: u64,
    pub vcpus: u32,
    pub words: &'a [String],
    /// The user and group that QEMU runs as.
    pub id: u32,
    /// The control groups it is in.
    pub group: Option<&'a Group>,
}

/// A computer that is on.
pub(super) struct Qemu {
    pub process: Init,
    pub qmp: Qmp,
    pub console: Stream,
    pub guest: Stream,
    /// What QEMU itself says.
    pub said: Stream,
}

/// Turns the computer on. This process has one thread.
pub(super) fn spawn(plan: &Plan<'_>) -> Res<Qemu> {
    let doors = plan.group.map_or(Ok(Vec::new()), Group::doors)?;
    let ends = || pair().doing("make a socket pair");
    let ((qmp, its_qmp), (console, its_console)) = (ends()?, ends()?);
    let ((guest, its_guest), (said, its_said)) = (ends()?, ends()?);
    let (report, its_report) = socket::pair().doing("make a socket pair")?;
    let kvm = match plan.accelerator.kind {
        Kind::Kvm => {
            let flags = OFlags::RDWR | OFlags::CLOEXEC;
            Some(rustix::fs::open("/dev/kvm", flags, Mode::empty()).doing("open /dev/kvm")?)
        }
        Kind::Tcg => None,
    };
    let taps: Vec<_> = plan.taps.iter().map(|(tap, mac)| (tap.as_raw_fd(), *mac)).collect();
    let computer = Computer {
        accelerator: plan.accelerator,
        memory: plan.memory,
        vcpus: plan.vcpus,
        kvm: kvm.as_ref().map(AsRawFd::as_raw_fd),
        qmp: its_qmp.as_raw_fd(),
        console: its_console.as_raw_fd(),
        guest: its_guest.as_raw_fd(),
        has_root: plan.rootfs.is_some(),
        layer: plan.layer.map(|layer| layer.as_raw_fd()),
        taps: &taps,
        words: plan.words,
    };
    let mut kept = vec![its_qmp.as_fd(), its_console.as_fd(), its_guest.as_fd()];
    kept.extend(kvm.iter().map(AsFd::as_fd).chain(plan.layer));
    kept.extend(plan.taps.iter().map(|(tap, _)| *tap));
    let child = Child {
        plan,
        arguments: strings(plan.qemu, &computer.arguments())?,
        kept,
        said: its_said.as_fd(),
        report: its_report.as_fd(),
        doors: &doors,
    };
    let namespaces = libc::CLONE_NEWNS
        | libc::CLONE_NEWNET
        | libc::CLONE_NEWIPC
        | libc::CLONE_NEWUTS
        | libc::CLONE_NEWPID;
    let flags = u64::from(namespaces.cast_unsigned());
    let group = plan.group.and_then(Group::open);
    // SAFETY: the caller has one thread, and the child never returns.
    let cloned = unsafe {
        match process::clone(flags, group.as_ref().map(AsFd::as_fd), libc::SIGCHLD) {
            Err(_) if group.is_some() => {
                process::clone(flags, None, libc::SIGCHLD).map(|cloned| (cloned, false))
            }
            cloned => cloned.map(|cloned| (cloned, group.is_some())),
        }
    };
    let (cloned, in_v2) = cloned.doing("make QEMU's namespaces").hint("; hc needs to be root")?;
    let Some(cloned) = cloned else { child.run() };
    let process = Init::new(cloned);
    drop((its_qmp, its_console, its_guest, its_said, its_report, doors));
    if let (false, Some(group)) = (in_v2, plan.group) {
        group.join_v2(process.pid)?;
    }
    // Only now, so that a supervisor that was killed meanwhile leaves nobody.
    socket::send(report.as_fd(), b"g", &[]).doing("speak to QEMU's process")?;
    let (problem, _) = socket::receive(report.as_fd(), true).doing("hear from QEMU's process")?;
    if !problem.is_empty() {
        return Err(Problem::plain(String::from_utf8_lossy(&problem).into_owned()));
    }
    let (console, guest, said) = (Stream::new(console), Stream::new(guest), Stream::new(said));
    Ok(Qemu { process, qmp: Qmp::new(qmp), console, guest, said })
}

fn strings(qemu: &Path, arguments: &[String]) -> Res<Vec<CString>> {
    let program = std::iter::once(qemu.as_os_str().as_bytes());
    let words = program.chain(arguments.iter().map(String::as_bytes));
    let strings: Result<_, _> = words.map(CString::new).collect();
    strings.map_err(|_| Problem::plain("a word of QEMU's command line has a NUL byte"))
}

/// What becomes QEMU.
struct Child<'a> {
    plan: &'a Plan<'a>,
    arguments: Vec<CString>,
    kept: Vec<BorrowedFd<'a>>,
    said: BorrowedFd<'a>,
    report: BorrowedFd<'a>,
    doors: &'a [std::fs::File],
}

impl Child<'_> {
    fn run(self) -> ! {
        let ran = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let Err(problem) = self.become_qemu() else { return };
            let _ = socket::send(self.report, problem.to_string().as_bytes(), &[]);
        }));
        process::exit_now(if ran.is_ok() { 127 } else { 70 })
    }

    fn become_qemu(&self) -> Res<()> {
        cgroup::pass(self.doors)?;
        rustix::process::setsid().doing("start a session")?;
        let mut files =
            vec![(KERNEL, self.plan.kernel.clone()), (INITRD, self.plan.initrd.clone())];
        files.extend(self.plan.rootfs.iter().map(|rootfs| (ROOTFS, rootfs.clone())));
        jail::enter(self.plan.qemu, &files)
            .hint("; the machine's closure may not be complete in the store: deploy again")?;
        jail::give_up(self.plan.id)?;
        // The supervisor may have ended before its end meant this one's.
        let (go, _) = socket::receive(self.report, true).doing("hear from the supervisor")?;
        if go.is_empty() {
            process::exit_now(0);
        }
        let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
            .doing("open /dev/null")?;
        for (number, stream) in [(0, null.as_fd()), (1, self.said), (2, self.said)] {
            sys::dup_to(stream, number).doing("connect the standard streams")?;
        }
        for fd in &self.kept {
            sys::dup_to(*fd, fd.as_raw_fd()).doing("hand over a descriptor")?;
        }
        signals::reset();
        let mut arguments: Vec<_> = self.arguments.iter().map(|word| word.as_ptr()).collect();
        arguments.push(std::ptr::null());
        let environment = [c"HOME=/".as_ptr(), std::ptr::null()];
        let program = self.arguments[0].as_ptr();
        // SAFETY: strings and lists end with zeros, and live until the call returns.
        unsafe { libc::execve(program, arguments.as_ptr(), environment.as_ptr()) };
        Err(std::io::Error::last_os_error())
            .doing_with(|| format!("execute {}", self.plan.qemu.display()))
    }
}
