//! Into the root, and on to what runs there.

use crate::agent::port;
use crate::root::ROOT;
use crate::sys::{self, process};
use crate::wire::Payload;
use crate::words::Wanted;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// Name of the virtio-serial port on which the end of a command is told, as one line of JSON:
/// `{"exit":3}` or `{"signal":9}`.
pub const PORT: &str = "hc.status";
const ENVIRONMENT: [&str; 3] = [
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME=/root",
    "TERM=linux",
];
/// What an image's init may be, in the kernel's own order.
const INITS: [&str; 3] = ["/sbin/init", "/etc/init", "/bin/init"];

/// What every root has, and goes along into the machine's.
pub const SPECIAL: [&str; 3] = ["dev", "proc", "sys"];

/// Makes [`ROOT`] the root of everything; these mounts move along.
///
/// # Errors
/// A sentence on what could not be done.
pub fn enter_root(moved: &[&str]) -> Result<(), String> {
    for name in moved {
        let target = format!("{ROOT}/{name}");
        let moved = sys::mkdir(&target)
            .and_then(|()| sys::mount(&format!("/{name}"), &target, "", sys::MS_MOVE, ""));
        moved.map_err(|error| format!("the root has no /{name} to mount at: {error}"))?;
    }
    let _ = sys::unlink("/init");
    sys::chdir(ROOT)
        .and_then(|()| sys::mount(".", "/", "", sys::MS_MOVE, ""))
        .and_then(|()| sys::chroot("."))
        .and_then(|()| sys::chdir("/"))
        .map_err(|error| format!("cannot enter the root: {error}"))
}

/// Becomes the image's init, or what is named as it; says why not.
#[must_use]
pub fn execute_init(wanted: &Wanted, payload: &Payload) -> String {
    let mut environment = ENVIRONMENT.map(String::from).to_vec();
    for (key, value) in &payload.environment {
        let begin = format!("{key}=");
        environment.retain(|other| !other.starts_with(&begin));
        environment.push(begin + value);
    }
    let named = payload.command.first().map(String::as_str).or(wanted.init.as_deref());
    let mut tried = String::new();
    for program in
        named.iter().copied().chain(if named.is_some() { &[][..] } else { &INITS }.iter().copied())
    {
        let own = [program.to_string()];
        let arguments = if payload.command.is_empty() { &own[..] } else { &payload.command };
        let error = process::exec(program, arguments, &environment);
        tried.push_str(&format!("; {program}: {error}"));
        if error != sys::Errno::NOENT {
            break;
        }
    }
    format!("cannot run the image's init{tried}")
}

/// Where a command finds the control groups.
const GROUPS: &str = "/sys/fs/cgroup";

/// Takes the control groups away: an image's init mounts them as it likes.
pub fn unmount_groups() {
    let _ = sys::unmount(GROUPS);
}

/// What programs expect to be there, and an image's init would find mounted already. It is moved into the
/// root with [`SPECIAL`] and `/run`.
///
/// # Errors
/// A sentence on what could not be mounted.
pub fn mount_usual() -> Result<(), String> {
    let private = sys::MS_NOSUID | sys::MS_NODEV;
    let strict = private | sys::MS_NOEXEC;
    // A kernel may have none.
    let _ = sys::mount("hc", GROUPS, "cgroup2", strict, "");
    let terminals = "gid=5,mode=0620,ptmxmode=0666";
    for (kind, target, flags, options) in [
        ("devpts", "/dev/pts", sys::MS_NOSUID | sys::MS_NOEXEC, terminals),
        ("tmpfs", "/dev/shm", private, "mode=1777"),
        ("tmpfs", "/run", private, "mode=0755"),
    ] {
        sys::mkdir(target)
            .and_then(|()| sys::mount("hc", target, kind, flags, options))
            .map_err(|error| format!("cannot mount {target}: {error}"))?;
    }
    for (target, name) in [
        ("/proc/self/fd", "fd"),
        ("/proc/self/fd/0", "stdin"),
        ("/proc/self/fd/1", "stdout"),
        ("/proc/self/fd/2", "stderr"),
    ] {
        let dev = sys::open("/dev", sys::at::DIRECTORY);
        let _ = dev.and_then(|d| sys::at::symlink(target.as_bytes(), &d, name.as_bytes()));
    }
    Ok(())
}

/// Runs one command as a child, tells how it ended and powers off.
///
/// # Errors
/// When there cannot be another process.
pub fn run(command: &[String]) -> Result<(), String> {
    let child = match process::fork().map_err(|error| format!("cannot make a process: {error}"))? {
        Some(child) => child,
        None => execute(command),
    };
    // Every orphan of the machine comes here too.
    loop {
        match process::wait() {
            Ok((ended, status)) if ended == child => {
                report(status);
                crate::boot::end();
            }
            Ok(_) => {}
            Err(error) => return Err(format!("lost the command: {error}")),
        }
    }
}

fn execute(command: &[String]) -> ! {
    process::new_session();
    process::own_terminal();
    let environment: Vec<String> = ENVIRONMENT.map(String::from).to_vec();
    let program = command.first().map_or("", String::as_str);
    let mut error = sys::Errno::NOENT;
    if program.contains('/') {
        error = process::exec(program, command, &environment);
    } else {
        for dir in ENVIRONMENT[0].trim_start_matches("PATH=").split(':') {
            error = process::exec(&format!("{dir}/{program}"), command, &environment);
            if error != sys::Errno::NOENT {
                break;
            }
        }
    }
    sys::say(&format!("hc: cannot run {program}: {error}\n"));
    sys::exit(if error == sys::Errno::NOENT { 127 } else { 126 })
}

/// On the port that is for it, and on the console for those who have none.
fn report(status: i32) {
    let line = ending(status);
    sys::say(&format!("hc: {line}\n"));
    if let Some(path) = port::find(PORT)
        && let Ok(file) = sys::open(&path, sys::READ_WRITE | sys::NO_CTTY)
    {
        let _ = sys::write(&file, format!("{line}\n").as_bytes());
    }
}

/// wait(2)'s status in words.
fn ending(status: i32) -> String {
    match status & 0x7f {
        0 => format!("{{\"exit\":{}}}", (status >> 8) & 0xff),
        signal => format!("{{\"signal\":{signal}}}"),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_status_of_wait_in_words() {
        assert_eq!(super::ending(0), "{\"exit\":0}");
        assert_eq!(super::ending(3 << 8), "{\"exit\":3}");
        assert_eq!(super::ending(9), "{\"signal\":9}");
        assert_eq!(super::ending(11 | 0x80), "{\"signal\":11}", "with a core dump");
    }
}
