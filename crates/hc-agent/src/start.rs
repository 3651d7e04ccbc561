//! Starting the daemon from the command line.

use crate::client::{Client, ClientError};
use crate::config::AgentConfig;
use crate::error::{AgentError, Context, Result};
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(5);

/// Makes sure that an agent runs: `exe agent …`, as a transient unit where systemd is PID 1, as a
/// detached process of its own elsewhere. Returns when it answers; says whether it was started.
///
/// # Errors
/// When it does not answer within five seconds, with the end of its log.
pub fn start(config: &AgentConfig) -> Result<bool> {
    let client = Client::new(config.socket());
    match client.status() {
        Err(ClientError::NotRunning { .. }) => {}
        // Whatever else it says: somebody listens.
        _ => return Ok(false),
    }
    hc_fs::durable::create_dir_all(&config.state_dir, 0o755)?;
    let mut child = if Path::new("/run/systemd/system").is_dir() {
        as_unit(config)?
    } else {
        Some(detached(config)?)
    };
    let begun = Instant::now();
    loop {
        if client.status().is_ok() {
            return Ok(true);
        }
        let ended = child.as_mut().and_then(|c| c.try_wait().ok().flatten());
        if ended.is_some() || begun.elapsed() > PATIENCE {
            // Two starts at once: the other one was first, and that is as good.
            if client.status().is_ok() {
                return Ok(true);
            }
            let how = ended.map_or("it is silent".into(), |status| format!("it ended: {status}"));
            let log = log_tail(&config.log());
            let why = if log.is_empty() { how } else { format!("{how}\n{log}") };
            return Err(AgentError::NotStarted { socket: config.socket(), why });
        }
        std::thread::sleep(Duration::from_millis(5));
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

/// Gives no child: what is waited for is the unit's process, and that is systemd's.
fn as_unit(config: &AgentConfig) -> Result<Option<Child>> {
    let log = config.log();
    let mut append = OsString::from("append:");
    append.push(&log);
    let property = |key: &str| {
        let mut text = OsString::from(format!("--property={key}="));
        text.push(&append);
        text
    };
    let mut command = Command::new("systemd-run");
    command.args(["--unit=hc-agent", "--collect", "--quiet"]);
    command.args(["--property=Delegate=yes", "--property=KillMode=process"]);
    command.arg("--property=Restart=on-failure");
    command.args([property("StandardOutput"), property("StandardError")]);
    command.arg("--").arg(&config.exe).args(arguments(config));
    let output = command.stdin(Stdio::null()).output().on("execute", Path::new("systemd-run"))?;
    if output.status.success() {
        return Ok(None);
    }
    let why = format!("systemd-run: {}", String::from_utf8_lossy(&output.stderr).trim());
    Err(AgentError::NotStarted { socket: config.socket(), why })
}

fn log_tail(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().rev().take(10).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}
