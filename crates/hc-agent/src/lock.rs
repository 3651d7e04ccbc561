//! The lock of a run directory: one agent each.
//!
//! A record lock (fcntl(2)), not flock(2): a child that was forked to start a machine must not
//! inherit it. The system lets it go with the process, so it also says when an agent has ended.

use crate::error::{AgentError, Context, Result};
use rustix::fs::FlockOperation;
use rustix::process::{Flock, FlockType, fcntl_getlk};
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::path::Path;
use std::time::{Duration, Instant};

/// Takes the lock for as long as the file is open.
pub(crate) fn own(lock: &Path) -> Result<File> {
    let mut file = hc_fs::plain::append(lock, 0o644)?;
    match rustix::fs::fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
        Err(rustix::io::Errno::AGAIN | rustix::io::Errno::ACCESS) => {
            let mut pid = String::new();
            let _ = File::open(lock).and_then(|mut f| f.read_to_string(&mut pid));
            let pid = pid.trim().to_owned();
            return Err(AgentError::AlreadyRunning { pid, lock: lock.into() });
        }
        locked => locked.on("lock", lock)?,
    }
    file.set_len(0).and_then(|()| file.rewind()).on("write", lock)?;
    writeln!(file, "{}", std::process::id()).on("write", lock)?;
    Ok(file)
}

/// The process that holds the lock.
pub(crate) fn holder(lock: &Path) -> Result<Option<i32>> {
    let file = match File::open(lock) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        file => file.on("open", lock)?,
    };
    let held = fcntl_getlk(&file, &Flock::from(FlockType::WriteLock)).on("look at", lock)?;
    Ok(held.map(|held| held.pid.map_or(0, |pid| pid.as_raw_nonzero().get())))
}

/// Waits for the process that holds the lock to end, or to do what `enough` asks for. Says
/// whether the lock is free.
pub(crate) fn wait(lock: &Path, patience: Duration, enough: impl Fn() -> bool) -> Result<bool> {
    let until = Instant::now() + patience;
    while holder(lock)?.is_some() {
        if enough() || Instant::now() > until {
            return Ok(false);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn the_lock_is_free_once_its_process_has_ended() {
        let dir = tempfile::tempdir().unwrap();
        let lock = dir.path().join("agent.lock");
        assert!(wait(&lock, Duration::ZERO, || false).unwrap());
        // Another process: its own record locks never hold a process up.
        let mut child = Command::new("python3")
            .args(["-c", "import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.lockf(f, fcntl.LOCK_EX); print('held', flush=True); sys.stdin.read()"])
            .arg(&lock)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = [0; 5];
        child.stdout.as_mut().unwrap().read_exact(&mut said).unwrap();
        assert!(!wait(&lock, Duration::ZERO, || false).unwrap());
        assert!(!wait(&lock, Duration::from_secs(60), || true).unwrap());
        assert!(matches!(own(&lock), Err(AgentError::AlreadyRunning { .. })));
        drop(child.stdin.take());
        assert!(wait(&lock, Duration::from_secs(60), || false).unwrap());
        own(&lock).unwrap();
        child.wait().unwrap();
    }
}
