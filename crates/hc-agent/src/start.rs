//! Starting the daemon from the command line.

use crate::client::{Client, ClientError};
use crate::config::AgentConfig;
use crate::error::{AgentError, Context, Result};
use crate::lock;
use crate::unit;
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(5);

/// Makes sure that an agent runs: `exe agent …`, as a unit where systemd is process 1, as a
/// detached process of its own elsewhere. Returns when it answers; says whether it was started.
///
/// # Errors
/// When it does not answer within five seconds, with the end of its log.
pub fn start(config: &AgentConfig) -> Result<bool> {
    let client = Client::new(config.socket());
    if !matches!(client.status(), Err(ClientError::NotRunning { .. })) {
        return Ok(false);
    }
    hc_fs::durable::create_dir_all(&config.state_dir, 0o755)?;
    let begun = Instant::now();
    if unit::is_possible() {
        let arguments = arguments(config);
        loop {
            unit::start(config, &arguments).map_err(|error| with_log(config, error))?;
            if client.status().is_ok() {
                return Ok(true);
            }
            // One that was told to end may not have got there: systemd took it for running.
            if begun.elapsed() > PATIENCE {
                let why = "its unit runs, and it is silent".into();
                let error = AgentError::NotStarted { socket: config.socket(), why };
                return Err(with_log(config, error));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    // One that was told to end still holds the lock for a moment.
    if !lock::wait(&config.lock(), PATIENCE, || client.status().is_ok())? && client.status().is_ok()
    {
        return Ok(true);
    }
    let mut child = detached(config)?;
    loop {
        let answers = client.status().ok().map(|status| status.pid);
        let ended = child.try_wait().ok().flatten();
        // Two starts at once: the other one was first, and that is as good. Ours is waited for, or
        // it would come up as soon as that one is told to end.
        if answers.is_some_and(|pid| pid == child.id() || ended.is_some()) {
            return Ok(true);
        }
        let other = ended.is_some() && !lock::wait(&config.lock(), Duration::ZERO, || true)?;
        if (ended.is_some() && !other) || begun.elapsed() > PATIENCE {
            if client.status().is_ok() {
                return Ok(true);
            }
            let why = ended.map_or("it is silent".into(), |status| format!("it ended: {status}"));
            let error = AgentError::NotStarted { socket: config.socket(), why };
            return Err(with_log(config, error));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Ends the agent, if one runs, and with `machines` the machines too; returns when its process is
/// gone. Without, machines go on running.
///
/// # Errors
/// When it does not end within five seconds.
pub fn stop(config: &AgentConfig, machines: bool) -> std::result::Result<(), ClientError> {
    let lock = config.lock();
    let unreadable =
        |error| ClientError::Io { socket: config.lock(), source: std::io::Error::other(error) };
    let told = lock::holder(&lock).map_err(unreadable)?;
    match Client::new(config.socket()).shutdown(machines) {
        Ok(()) => {}
        // It may be gone before its answer is out.
        Err(ClientError::NotRunning { .. } | ClientError::Broken(_)) if !machines => {}
        Err(error) => return Err(error),
    }
    // Another that somebody starts meanwhile is not the one that was told.
    let another = || lock::holder(&lock).is_ok_and(|holder| holder.is_some() && holder != told);
    match lock::wait(&lock, PATIENCE, another).map_err(unreadable)? {
        true => Ok(()),
        false if another() => Ok(()),
        false => Err(ClientError::Stays { lock }),
    }
}

/// Takes away what [`start`] put into the system, after the agent was told to end.
///
/// # Errors
/// When something is left.
pub fn unregister(config: &AgentConfig) -> Result<()> {
    unit::remove(config)
}

fn with_log(config: &AgentConfig, error: AgentError) -> AgentError {
    let log = log_tail(&config.log());
    match error {
        AgentError::NotStarted { socket, why } if !log.is_empty() => {
            AgentError::NotStarted { socket, why: format!("{why}\n{log}") }
        }
        error => error,
    }
}

fn arguments(config: &AgentConfig) -> Vec<OsString> {
    let mut all: Vec<OsString> = vec!["agent".into()];
    all.extend(["--state-dir".into(), config.state_dir.clone().into()]);
    all.extend(["--run-dir".into(), config.run_dir.clone().into()]);
    all.extend(config.agent_args.iter().cloned());
    all
}

fn detached(config: &AgentConfig) -> Result<Child> {
    let log = hc_fs::plain::append(&config.log(), 0o640)?;
    let again = log.try_clone().on("open", &config.log())?;
    let mut command = Command::new(&config.exe);
    command.args(arguments(config)).current_dir("/");
    command.stdin(Stdio::null()).stdout(log).stderr(again);
    // SAFETY: setsid(2) alone, between fork and exec.
    unsafe {
        command.pre_exec(|| {
            rustix::process::setsid()?;
            Ok(())
        });
    }
    command.spawn().on("execute", &config.exe)
}

fn log_tail(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().rev().take(10).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}
