//! Processes and signals.

use super::{Errno, File, Result, c, call};
use alloc::string::String;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering};

/// Signal numbers.
pub const SIGHUP: u8 = 1;
/// As above.
pub const SIGKILL: u8 = 9;
/// As above.
pub const SIGTERM: u8 = 15;
/// As above.
const SIGCHLD: u8 = 17;
/// As above.
const SIGIO: u8 = 29;

/// Becomes another program; comes back only when it cannot.
#[must_use]
pub fn exec(program: &str, arguments: &[String], environment: &[String]) -> Errno {
    let texts =
        |list: &[String]| list.iter().map(|text| c(text.as_bytes())).collect::<Vec<Vec<u8>>>();
    let pointers = |list: &[Vec<u8>]| {
        list.iter().map(|t| t.as_ptr() as usize).chain([0]).collect::<Vec<usize>>()
    };
    let (arguments, environment) = (texts(arguments), texts(environment));
    let (arguments_at, environment_at) = (pointers(&arguments), pointers(&environment));
    let program = c(program.as_bytes());
    let all = [
        program.as_ptr() as usize,
        arguments_at.as_ptr() as usize,
        environment_at.as_ptr() as usize,
    ];
    call(59, all).err().unwrap_or(Errno(0))
}

/// A copy of this process: its number, or nothing in the copy itself.
///
/// # Errors
/// What the kernel said.
pub fn fork() -> Result<Option<i32>> {
    let child = call(57, [])?;
    Ok((child != 0).then(|| i32::try_from(child).unwrap_or(i32::MAX)))
}

/// The same in the control group (version 2) whose directory that is.
///
/// # Errors
/// What the kernel said; not every one can.
pub fn fork_into(group: &File) -> Result<Option<i32>> {
    const INTO_CGROUP: u64 = 0x2_0000_0000;
    // struct clone_args: flags, three places for numbers, the signal of its end, stack and its size, thread
    // storage, chosen numbers and how many, the control group.
    let mut how = [0u64; 11];
    (how[0], how[4], how[10]) = (INTO_CGROUP, SIGCHLD.into(), group.0 as u64);
    let child = call(435, [how.as_ptr() as usize, size_of_val(&how)])?;
    Ok((child != 0).then(|| i32::try_from(child).unwrap_or(i32::MAX)))
}

/// This process's number.
#[must_use]
pub fn id() -> i32 {
    call(39, []).map_or(0, |id| i32::try_from(id).unwrap_or(0))
}

/// A session of its own, without a terminal.
pub fn new_session() {
    let _ = call(112, []);
}

/// Takes the terminal on standard input for this process's session.
pub fn own_terminal() {
    let _ = call(16, [0, 0x540e, 1]); // TIOCSCTTY
}

/// Waits for any child: its number and the status of wait(2).
///
/// # Errors
/// When there is none.
pub fn wait() -> Result<(i32, i32)> {
    wait_with(0)
}

/// Waits for this child.
pub fn wait_for(child: i32) {
    let _ = call(61, [child as usize, 0, 0, 0]);
}

/// One of the children that have ended; nothing when none has.
#[must_use]
pub fn reap() -> Option<(i32, i32)> {
    wait_with(1).ok().filter(|(child, _)| *child != 0)
}

fn wait_with(flags: usize) -> Result<(i32, i32)> {
    let mut status = 0i32;
    let child = call(61, [usize::MAX, &raw mut status as usize, flags, 0])?;
    Ok((i32::try_from(child).unwrap_or(0), status))
}

/// Sends a signal: to a process, to a group when negative, to every process but this for -1.
///
/// # Errors
/// What the kernel said.
pub fn kill(process: i32, signal: u8) -> Result<()> {
    call(62, [process as usize, usize::from(signal)]).map(drop)
}

/// Becomes a user for good.
///
/// # Errors
/// What the kernel said.
pub fn set_ids(uid: u32, gid: u32, groups: &[u32]) -> Result<()> {
    let (uid, gid) = (uid as usize, gid as usize);
    call(116, [groups.len(), groups.as_ptr() as usize])?;
    call(119, [gid, gid, gid])?;
    call(117, [uid, uid, uid]).map(drop)
}

/// Sets which permissions new files lack.
pub fn umask(mask: usize) {
    let _ = call(95, [mask]);
}

/// Makes an open file standard input, output or error.
///
/// # Errors
/// What the kernel said.
pub fn become_stream(file: &File, stream: usize) -> Result<()> {
    call(33, [file.0 as usize, stream]).map(drop)
}

/// Closes every file but standard input, output and error.
pub fn close_all_but_streams() {
    let _ = call(436, [3, u32::MAX as usize, 0]);
}

/// Sets how many files a program may open to what a login gives: raised by those that need more.
pub fn allow_files() {
    const FILES: usize = 7;
    let limit = [1024u64, 524_288];
    let _ = call(302, [0, FILES, limit.as_ptr() as usize, 0]);
}

/// A pipe: the end to read from, and the end to write to.
///
/// # Errors
/// What the kernel said.
pub fn pipe() -> Result<(File, File)> {
    let mut ends = [0i32; 2];
    call(293, [ends.as_mut_ptr() as usize, super::CLOEXEC])?;
    Ok((File(ends[0]), File(ends[1])))
}

/// Where the first argument lies, as the kernel put it on the stack: behind their count.
static NAME: AtomicUsize = AtomicUsize::new(0);

/// Remembers the stack that the kernel entered with.
pub fn remember_name(stack: usize) {
    NAME.store(stack + size_of::<usize>(), Ordering::Relaxed);
}

/// Makes this a process that an image's init lets be: of a session of its own, without the console, and
/// with the `@` in front of its name that systemd's last round of signals passes over
/// (systemd's `ROOT_STORAGE_DAEMONS`).
pub fn stand_aside() {
    new_session();
    let name = NAME.load(Ordering::Relaxed) as *const *mut u8;
    if !name.is_null() {
        // SAFETY: the kernel put the address of the name's text there; there is one thread.
        unsafe { (*name).write(b'@') };
    }
    let _ = spare(true);
    for (path, stream) in [("/dev/null", 0), ("/dev/null", 1), ("/dev/kmsg", 2)] {
        if let Ok(file) = super::open(path, super::READ_WRITE) {
            let _ = become_stream(&file, stream);
        }
    }
}

/// Whether the kernel lets this process be when memory runs out, and those that it will make.
///
/// # Errors
/// What the kernel said.
pub fn spare(spared: bool) -> Result<()> {
    let file = super::open("/proc/self/oom_score_adj", super::at::WRITE)?;
    super::write(&file, if spared { b"-1000" } else { b"0" })
}

fn mask(set: u64) {
    const SETMASK: usize = 2;
    let _ = call(14, [SETMASK, &raw const set as usize, 0, 8]);
}

/// Holds every signal back, and gives a file that can be read when a child ended or the port changed.
///
/// # Errors
/// What the kernel said.
pub fn signals() -> Result<File> {
    mask(u64::MAX);
    let set = 1u64 << (SIGCHLD - 1) | 1 << (SIGIO - 1);
    let flags = super::CLOEXEC | super::at::NONBLOCK;
    File::from(call(289, [usize::MAX, &raw const set as usize, 8, flags]))
}

/// Lets every signal through again, as a program expects it.
pub fn unmask() {
    mask(0);
}

/// How many processes the kernel has killed because memory had run out, since the machine began.
#[must_use]
pub fn out_of_memory() -> u64 {
    let counters = super::read("/proc/vmstat").unwrap_or_default();
    killed(&String::from_utf8_lossy(&counters))
}

fn killed(counters: &str) -> u64 {
    let count = counters.lines().find_map(|line| line.strip_prefix("oom_kill ")?.parse().ok());
    count.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_kernel_counts_what_it_killed() {
        assert_eq!(super::killed("nr_free_pages 5\noom_kill 3\noom_kill_x 9\n"), 3);
        assert_eq!(super::killed("drop_pagecache 0\n"), 0);
    }
}
