//! A program of the host as a machine's own process: its user, its root, its namespaces and descriptors.

use super::jail::{self, Shown};
use super::stream::{Stream, pair};
use crate::cgroup::{self, Group};
use crate::error::{Doing, Hint, Problem, Res};
use crate::supervise::Init;
use crate::sys::{self, process, signals, socket};
use rustix::fs::{Mode, OFlags};
use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// A program to be run.
pub(super) struct Program<'a> {
    /// Its file on the host.
    pub path: &'a Path,
    pub arguments: Vec<String>,
    /// What it sees besides its libraries.
    pub files: Vec<Shown>,
    /// Descriptors that it has by the same numbers.
    pub kept: Vec<BorrowedFd<'a>>,
    /// The user and group that it runs as.
    pub id: u32,
    /// The control groups it is in.
    pub group: &'a Group,
}

/// Starts it, and gives what it says besides. This process has one thread.
pub(super) fn launch(program: &Program<'_>) -> Res<(Init, Stream)> {
    let doors = program.group.doors()?;
    let (said, its_said) = pair().doing("make a socket pair")?;
    let (report, its_report) = socket::pair().doing("make a socket pair")?;
    let child = Child {
        program,
        arguments: strings(program.path, &program.arguments)?,
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
    let group = program.group.open();
    // SAFETY: the caller has one thread, and the child never returns.
    let cloned = unsafe {
        match process::clone(flags, group.as_ref().map(AsFd::as_fd), libc::SIGCHLD) {
            Err(_) if group.is_some() => {
                process::clone(flags, None, libc::SIGCHLD).map(|cloned| (cloned, false))
            }
            cloned => cloned.map(|cloned| (cloned, group.is_some())),
        }
    };
    let (cloned, in_v2) =
        cloned.doing("make a process's namespaces").hint("; hc needs to be root")?;
    let Some(cloned) = cloned else { child.run() };
    let process = Init::new(cloned);
    drop((its_said, its_report, doors));
    if !in_v2 {
        program.group.join_v2(process.pid)?;
    }
    // Only now, so that a supervisor that was killed meanwhile leaves nobody.
    socket::send(report.as_fd(), b"g", &[]).doing("speak to the new process")?;
    let (problem, _) = socket::receive(report.as_fd(), true).doing("hear from the new process")?;
    if !problem.is_empty() {
        return Err(Problem::plain(String::from_utf8_lossy(&problem).into_owned()));
    }
    Ok((process, Stream::new(said)))
}

fn strings(program: &Path, arguments: &[String]) -> Res<Vec<CString>> {
    let program = std::iter::once(program.as_os_str().as_bytes());
    let words = program.chain(arguments.iter().map(String::as_bytes));
    let strings: Result<_, _> = words.map(CString::new).collect();
    strings.map_err(|_| Problem::plain("a word of a command line has a NUL byte"))
}

/// What becomes the program.
struct Child<'a> {
    program: &'a Program<'a>,
    arguments: Vec<CString>,
    said: BorrowedFd<'a>,
    report: BorrowedFd<'a>,
    doors: &'a [std::fs::File],
}

impl Child<'_> {
    fn run(self) -> ! {
        let ran = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let Err(problem) = self.become_it() else { return };
            let _ = socket::send(self.report, problem.to_string().as_bytes(), &[]);
        }));
        process::exit_now(if ran.is_ok() { 127 } else { 70 })
    }

    fn become_it(&self) -> Res<()> {
        let program = self.program;
        cgroup::pass(self.doors)?;
        rustix::process::setsid().doing("start a session")?;
        jail::enter(program.path, &program.files)
            .hint("; the machine's closure may not be complete in the store: deploy again")?;
        jail::give_up(program.id)?;
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
        for fd in &program.kept {
            sys::dup_to(*fd, fd.as_raw_fd()).doing("hand over a descriptor")?;
        }
        signals::reset();
        let mut arguments: Vec<_> = self.arguments.iter().map(|word| word.as_ptr()).collect();
        arguments.push(std::ptr::null());
        let environment = [c"HOME=/".as_ptr(), std::ptr::null()];
        let path = self.arguments[0].as_ptr();
        // SAFETY: strings and lists end with zeros, and live until the call returns.
        unsafe { libc::execve(path, arguments.as_ptr(), environment.as_ptr()) };
        Err(std::io::Error::last_os_error())
            .doing_with(|| format!("execute {}", program.path.display()))
    }
}
