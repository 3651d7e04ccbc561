//! Programs of the image, and hc's own work beside them, in processes of their own.

use super::freezer::Freezer;
use crate::account::{self, Account, SHELLS};
use crate::ask::ask;
use crate::sys::{self, File, at, io, process};
use crate::wire::{Question, Size};
use crate::{mounts, tar};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// Where programs are looked for when nothing else is said.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How shells end that are none.
const LOCKED: [&str; 2] = ["nologin", "false"];

/// A program of the image, ready to be executed.
#[derive(Debug)]
pub struct Program {
    path: String,
    arguments: Vec<String>,
    environment: Vec<String>,
    account: Account,
    directory: String,
}

impl Program {
    /// Looks the program and the user up; without a program it is the user's shell, as at a login. Of
    /// the same variable the last one counts.
    ///
    /// # Errors
    /// A sentence on what does not exist in the image.
    pub fn find<'a>(
        arguments: &[String],
        variables: impl Iterator<Item = &'a (String, String)>,
        user: Option<&str>,
        directory: Option<&str>,
    ) -> Result<Self, String> {
        let account = account::of_image(user.unwrap_or("root"))?;
        if arguments.is_empty() {
            return Self::login_shell(variables, account, directory);
        }
        let directory = directory.unwrap_or("/");
        Self::of(arguments, variables, account, directory)
    }

    fn of<'a>(
        arguments: &[String],
        variables: impl Iterator<Item = &'a (String, String)>,
        account: Account,
        directory: &str,
    ) -> Result<Self, String> {
        let mut all = alloc::vec![("PATH", PATH), ("HOME", account.home.as_str())];
        for (key, value) in variables {
            all.retain(|(other, _)| *other != key.as_str());
            all.push((key, value));
        }
        let path = all.iter().find(|(key, _)| *key == "PATH").map_or("", |(_, path)| path);
        let command = arguments.first().map_or("", String::as_str);
        Ok(Self {
            path: look_up(command, path, directory)?,
            arguments: arguments.to_vec(),
            environment: all.iter().map(|(key, value)| format!("{key}={value}")).collect(),
            directory: directory.into(),
            account,
        })
    }

    /// The shell that `/etc/passwd` names, or the best the image has.
    fn login_shell<'a>(
        variables: impl Iterator<Item = &'a (String, String)>,
        account: Account,
        directory: Option<&str>,
    ) -> Result<Self, String> {
        // What locks an account out of logins is no reason to keep the host's root out.
        let locked = |shell: &str| shell.is_empty() || LOCKED.iter().any(|no| shell.ends_with(no));
        let named = Some(account.shell.clone()).filter(|shell| !locked(shell));
        let mut candidates = named.iter().map(String::as_str).chain(SHELLS);
        let Some(shell) = candidates.find(|shell| is_program(shell)).map(String::from) else {
            return Err(format!(
                "the image has no shell (looked for {}); `hc exec` runs one of its programs, \
                 `hc cp` reaches its files",
                SHELLS.join(", ")
            ));
        };
        let is_busybox = shell.ends_with("/busybox");
        let name = if is_busybox { "sh" } else { shell.rsplit('/').next().unwrap_or("sh") };
        let arguments = alloc::vec![format!("-{name}")];
        let own = [("USER", &account.name), ("LOGNAME", &account.name), ("SHELL", &shell)]
            .map(|(key, value)| (String::from(key), value.clone()));
        let home = account.home.clone();
        let at_home = sys::open(&home, at::DIRECTORY).is_ok();
        let directory = directory.unwrap_or(if at_home { &home } else { "/" });
        let variables: Vec<_> = own.into_iter().chain(variables.cloned()).collect();
        let shell = Self::of(&[shell], variables.iter(), account, directory)?;
        Ok(Self { arguments, ..shell })
    }

    fn execute(&self) -> String {
        let account = &self.account;
        if let Err(error) = process::set_ids(account.uid, account.gid, &account.groups) {
            return format!("cannot become user {}: {error}", account.uid);
        }
        if let Err(error) = sys::chdir(&self.directory) {
            return format!("cannot enter the directory '{}': {error}", self.directory);
        }
        process::umask(0o022);
        let error = process::exec(&self.path, &self.arguments, &self.environment);
        let path = &self.path;
        if error == sys::Errno::NOENT {
            return format!("'{path}' names an interpreter or loader that the image does not have");
        }
        format!("cannot execute '{path}': {error}")
    }
}

fn is_program(path: &str) -> bool {
    let found = sys::open(path, at::PATH).and_then(|file| at::stat(&file));
    found.is_ok_and(|s| s.mode & at::TYPE == at::TYPE_FILE && s.mode & 0o111 != 0)
}

fn look_up(command: &str, path: &str, directory: &str) -> Result<String, String> {
    if command.contains('/') {
        let found = if command.starts_with('/') {
            command.to_string()
        } else {
            format!("{directory}/{command}")
        };
        return if is_program(&found) {
            Ok(found)
        } else {
            Err(format!("'{command}' does not exist in the image, or is not executable"))
        };
    }
    path.split(':')
        .filter(|dir| dir.starts_with('/') && !command.is_empty())
        .map(|dir| format!("{dir}/{command}"))
        .find(|found| is_program(found))
        .ok_or_else(|| format!("'{command}' does not exist in the image; its PATH is {path}"))
}

/// What a process is made for.
#[derive(Debug)]
pub enum Work {
    /// A program.
    Run(Program),
    /// The tree at a path to standard output.
    Pack(String),
    /// Standard input to a path.
    Unpack(String),
    /// A service of the machine is asked.
    Ask(Question),
    /// Everything is written out.
    Flush,
    /// The file system at a path becomes as large as the disk with a serial number, which has so many bytes.
    Grow(String, String, u64),
}

/// A process, and this side's ends of its standard streams.
#[derive(Debug)]
pub struct Started {
    /// Its number, which is its session's and group's too.
    pub id: i32,
    /// To its standard input.
    pub input: Option<File>,
    /// From its standard output and error; the second is absent with a terminal.
    pub outputs: [Option<File>; 2],
}

/// Makes a process of its own session, and waits until it is what it is to be.
///
/// # Errors
/// A sentence: what could not be done.
pub fn start(
    work: &Work,
    terminal: Option<Size>,
    input: bool,
    freezer: &Freezer,
) -> Result<Started, String> {
    let fail = |error: sys::Errno| format!("cannot make a process: {error}");
    let (failure, report) = process::pipe().map_err(fail)?;
    let (ours, theirs): ([Option<File>; 3], [File; 3]) = if let Some(size) = terminal {
        let pair = io::terminal(size.rows, size.columns);
        let (shown, peer) = pair.map_err(|error| format!("cannot make a terminal: {error}"))?;
        if let Work::Run(program) = work {
            let _ = at::chown(&peer, b"", program.account.uid, u32::MAX);
        }
        let again = |file: &File| file.again().map_err(fail);
        let streams = [again(&peer)?, again(&peer)?, peer];
        ([Some(again(&shown)?), Some(shown), None], streams)
    } else {
        let (stdin, to) = if input {
            let (stdin, to) = process::pipe().map_err(fail)?;
            (stdin, Some(to))
        } else {
            (sys::open("/dev/null", sys::READ).map_err(fail)?, None)
        };
        let (from, stdout) = process::pipe().map_err(fail)?;
        let (errors, stderr) = process::pipe().map_err(fail)?;
        ([to, Some(from), Some(errors)], [stdin, stdout, stderr])
    };
    for file in ours.iter().flatten() {
        io::set_waiting(file, false, false).map_err(fail)?;
    }
    let Some(id) = freezer.fork().map_err(fail)? else {
        process::unmask();
        process::new_session();
        for (number, stream) in theirs.iter().enumerate() {
            let _ = process::become_stream(stream, number);
        }
        if terminal.is_some() {
            process::own_terminal();
        }
        process::allow_files();
        let _ = process::spare(false);
        let done = match work {
            Work::Run(program) => {
                let _ = sys::write(&report, program.execute().as_bytes());
                sys::exit(127)
            }
            Work::Pack(path) => {
                process::close_all_but_streams();
                tar::pack(path)
            }
            Work::Unpack(path) => {
                process::close_all_but_streams();
                tar::unpack(path)
            }
            Work::Ask(question) => {
                process::close_all_but_streams();
                ask(question)
            }
            Work::Flush => {
                process::close_all_but_streams();
                sys::sync();
                Ok(())
            }
            Work::Grow(path, serial, bytes) => {
                process::close_all_but_streams();
                mounts::grow(path, serial, *bytes)
            }
        };
        if let Err(why) = &done {
            sys::say(&format!("{why}\n"));
        }
        sys::exit(usize::from(done.is_err()))
    };
    drop((theirs, report));
    let why = sys::read_all(&failure).map_err(fail)?;
    if !why.is_empty() {
        return Err(String::from_utf8_lossy(&why).into_owned());
    }
    let [input, output, errors] = ours;
    Ok(Started { id, input, outputs: [output, errors] })
}
