//! The last steps before a program of the image runs, for the payload and for `exec`.

use super::account::Account;
use super::{capabilities, files, seccomp};
use crate::error::{Doing, Problem, Res};
use crate::sys::{process, signals};
use hc_guest::account::SHELLS;
use std::collections::BTreeMap;
use std::ffi::{CString, OsStr};
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A program of the image, ready to be executed.
#[derive(Debug)]
pub(crate) struct Payload {
    program: CString,
    argv: Vec<CString>,
    environment: Vec<CString>,
    workdir: CString,
    account: Account,
}

impl Payload {
    /// Looks the program up in the image whose root is `root`, which is this process's own root.
    pub fn find(
        argv: &[String],
        environment: &BTreeMap<String, String>,
        account: Account,
        workdir: &Path,
        root: BorrowedFd<'_>,
    ) -> Res<Self> {
        let mut all: BTreeMap<&str, &str> = BTreeMap::new();
        all.insert("PATH", PATH);
        all.insert("HOME", &account.home);
        all.insert("container", "hc");
        all.extend(environment.iter().map(|(key, value)| (key.as_str(), value.as_str())));
        let command = argv.first().map_or("", String::as_str);
        let program = look_up(command, all["PATH"], workdir, root)?;
        let text = |text: &str| {
            CString::new(text).map_err(|_| Problem::plain("command: holds a NUL byte"))
        };
        Ok(Self {
            program: text(&program.to_string_lossy())?,
            argv: argv.iter().map(|word| text(word)).collect::<Res<_>>()?,
            environment: all
                .iter()
                .map(|(key, value)| text(&format!("{key}={value}")))
                .collect::<Res<_>>()?,
            workdir: text(&workdir.to_string_lossy())?,
            account,
        })
    }

    /// The user's shell as at a login: the one `/etc/passwd` names, or the best the image has.
    pub fn login_shell(
        environment: &BTreeMap<String, String>,
        account: Account,
        workdir: Option<&Path>,
        root: BorrowedFd<'_>,
    ) -> Res<Self> {
        // What locks an account out of logins is no reason to keep the host's root out.
        let named = (!account.shell.is_empty())
            .then(|| account.shell.clone())
            .filter(|shell| !["nologin", "false"].iter().any(|no| shell.ends_with(no)));
        let mut candidates = named.iter().map(String::as_str).chain(SHELLS);
        let there = |shell: &str| files::is_program(root, OsStr::new(shell)) == Ok(true);
        let Some(shell) = candidates.find(|shell| there(shell)).map(str::to_owned) else {
            return Err(Problem::plain(format!(
                "the image has no shell (looked for {}); `hc exec` runs one of its programs, \
                 `hc cp` reaches its files",
                SHELLS.join(", ")
            )));
        };
        let home = PathBuf::from(&account.home);
        let at_home = files::is_directory(root, &home);
        let workdir = workdir.unwrap_or(if at_home { &home } else { Path::new("/") });
        let mut all = environment.clone();
        for (key, value) in [("USER", &account.name), ("LOGNAME", &account.name), ("SHELL", &shell)]
        {
            all.entry(key.into()).or_insert_with(|| value.clone());
        }
        let mut argv = vec![shell.clone()];
        if shell.ends_with("/busybox") {
            argv.push("sh".into());
        }
        let mut payload = Self::find(&argv, &all, account, workdir, root)?;
        let name = if argv.len() > 1 { "sh" } else { shell.rsplit('/').next().unwrap_or("sh") };
        let name = CString::new(format!("-{name}"));
        payload.argv = vec![name.map_err(|_| Problem::plain("the shell holds a NUL byte"))?];
        Ok(payload)
    }

    /// Becomes the program. Only returns to say why not.
    pub fn execute(&self, capabilities: u64, new_session: bool) -> Problem {
        match self.become_it(capabilities, new_session) {
            Err(problem) => problem,
            Ok(never) => match never {},
        }
    }

    fn become_it(&self, capabilities: u64, new_session: bool) -> Res<std::convert::Infallible> {
        let account = &self.account;
        if new_session {
            rustix::process::setsid().doing("start a session")?;
            if rustix::termios::isatty(rustix::stdio::stdin()) {
                rustix::process::ioctl_tiocsctty(rustix::stdio::stdin())
                    .doing("take the terminal")?;
            }
        }
        process::set_ids(account.uid, account.gid, &account.groups)
            .doing_with(|| format!("become user {}", account.uid))?;
        let kept = if account.uid == 0 { capabilities } else { 0 };
        process::set_capabilities(kept).doing("give up capabilities")?;
        if let Err(error) = rustix::process::chdir(self.workdir.as_c_str()) {
            let shown = self.workdir.to_string_lossy();
            return Err(match error {
                rustix::io::Errno::NOENT => {
                    Problem::plain(format!("workdir '{shown}' does not exist in the image"))
                }
                _ => Err::<(), _>(error).doing(format!("enter workdir '{shown}'")).unwrap_err(),
            });
        }
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
        limit_resources();
        signals::reset();
        let pointers = |list: &[CString]| -> Vec<*const libc::c_char> {
            list.iter().map(|text| text.as_ptr()).chain([std::ptr::null()]).collect()
        };
        let (argv, environment) = (pointers(&self.argv), pointers(&self.environment));
        // SAFETY: terminated arrays of terminated strings that live until the call returns.
        unsafe {
            let close_on_exec = libc::CLOSE_RANGE_CLOEXEC;
            libc::syscall(libc::SYS_close_range, 3u32, u32::MAX, close_on_exec);
            libc::execve(self.program.as_ptr(), argv.as_ptr(), environment.as_ptr());
        }
        let error = std::io::Error::last_os_error();
        let shown = self.program.to_string_lossy();
        Err(Problem::plain(match error.raw_os_error() {
            Some(libc::ENOENT) => format!(
                "command '{shown}' cannot be executed: the interpreter or loader it names does \
                 not exist in the image"
            ),
            Some(libc::ENOEXEC) => format!(
                "command '{shown}' cannot be executed: it is no program of this architecture and \
                 names no interpreter"
            ),
            Some(libc::EACCES) => format!(
                "command '{shown}' cannot be executed by user {}: permission denied",
                account.uid
            ),
            _ => format!("command '{shown}' cannot be executed: {error}"),
        }))
    }
}

fn look_up(command: &str, path: &str, workdir: &Path, root: BorrowedFd<'_>) -> Res<PathBuf> {
    let is_program = |path: &Path| {
        files::is_program(root, path.as_os_str())
            // The kernel's links into processes would leave the image.
            .map_err(|error| {
                let shown = path.display();
                Problem::plain(format!("command '{shown}' cannot be found in the image: {error}"))
            })
    };
    if command.contains('/') {
        let found = workdir.join(command);
        if is_program(&found)? {
            return Ok(found);
        }
        return Err(Problem::plain(format!(
            "command '{command}' does not exist in the image, or is not executable"
        )));
    }
    for dir in path.split(':').filter(|dir| dir.starts_with('/')) {
        let found = Path::new(OsStr::from_bytes(dir.as_bytes())).join(command);
        if is_program(&found)? {
            return Ok(found);
        }
    }
    Err(Problem::plain(format!(
        "command '{command}' does not exist in the image; its PATH is {path}"
    )))
}

/// Takes away for good what the machine may not do; the caller keeps what it needs to change ids.
pub(crate) fn confine(kept: u64, filter: &[libc::sock_filter]) -> Res<()> {
    for number in 0..=capabilities::LAST {
        if kept & (1 << number) == 0 {
            match process::drop_bounding(number) {
                // Past the last one this kernel knows.
                Err(error) if error.raw_os_error() == Some(libc::EINVAL) => break,
                done => done.doing("give up capabilities")?,
            }
        }
    }
    process::clear_ambient().doing("give up capabilities")?;
    process::no_new_privileges().doing("give up new privileges")?;
    seccomp::install(filter).doing("filter system calls")
}

/// What a login would give: raised by programs that need more, up to the hard limit.
fn limit_resources() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let at_most = |limit: Option<u64>, most: u64| Some(limit.map_or(most, |limit| limit.min(most)));
    let hard = at_most(getrlimit(Resource::Nofile).maximum, 524_288);
    let files = Rlimit { current: at_most(hard, 1024), maximum: hard };
    let _ = setrlimit(Resource::Nofile, files);
    let cores = Rlimit { current: Some(0), maximum: getrlimit(Resource::Core).maximum };
    let _ = setrlimit(Resource::Core, cores);
}
