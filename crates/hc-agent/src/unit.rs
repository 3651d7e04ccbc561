//! The agent as a unit of systemd, where that is process 1.
//!
//! A unit file in `/run`, not a transient unit: as long as a machine's supervisor is in its
//! control group systemd keeps a stopped unit loaded, and refuses a transient one of its name. A
//! file can be started, stopped and restarted by hand as well, and replaced by a newer hc.

use crate::config::AgentConfig;
use crate::error::{AgentError, Context, Result};
use std::ffi::OsStr;
use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const UNITS: &str = "/run/systemd/system";

/// Whether systemd is process 1, as sd_booted(3) finds out.
pub(crate) fn is_possible() -> bool {
    Path::new(UNITS).is_dir()
}

/// Starts the unit and waits until the agent has said that it is ready.
pub(crate) fn start(config: &AgentConfig, arguments: &[impl AsRef<OsStr>]) -> Result<()> {
    let name = name(&config.run_dir);
    let (path, text) = (path(&name), text(config, arguments));
    let failed = |why| AgentError::NotStarted { socket: config.socket(), why };
    if std::fs::read(&path).ok().as_deref() != Some(text.as_bytes()) {
        hc_fs::plain::write(&path, text.as_bytes(), 0o644)?;
        systemctl(&["daemon-reload"])?.map_err(failed)?;
    }
    // Who asks for it by hand is not to be told that it failed too often before. A unit that was
    // never started is not known yet, which is as good.
    let _ = systemctl(&["reset-failed", &name])?;
    systemctl(&["start", &name])?.map_err(failed)
}

/// Stops the unit and takes its file away; no unit is fine.
pub(crate) fn remove(config: &AgentConfig) -> Result<()> {
    let name = name(&config.run_dir);
    let path = path(&name);
    if !is_possible() || !path.exists() {
        return Ok(());
    }
    let _ = systemctl(&["stop", &name])?;
    hc_fs::plain::remove_file(&path)?;
    let _ = systemctl(&["reset-failed", &name])?;
    let part = |why: String| AgentError::Part { what: "remove the unit", source: why.into() };
    systemctl(&["daemon-reload"])?.map_err(part)
}

/// What it says when it fails is the inner error.
fn systemctl(arguments: &[&str]) -> Result<Result<(), String>> {
    let mut command = Command::new("systemctl");
    let output = command.args(arguments).stdin(Stdio::null()).output();
    let output = output.on("execute", Path::new("systemctl"))?;
    if output.status.success() {
        return Ok(Ok(()));
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Ok(Err(format!("systemctl {}: {}", arguments.join(" "), said.trim())))
}

fn path(name: &str) -> PathBuf {
    Path::new(UNITS).join(name)
}

/// One unit per run directory, as there is one agent: `hc-agent.service` for the usual one.
fn name(run_dir: &Path) -> String {
    if run_dir == Path::new("/run/hc") {
        return "hc-agent.service".into();
    }
    let mut name = String::from("hc-agent");
    for part in run_dir.components().skip(1) {
        name.push('-');
        for &byte in part.as_os_str().as_bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'.' => name.push(byte.into()),
                other => escape(&mut name, other),
            }
        }
    }
    name + ".service"
}

fn escape(text: &mut String, byte: u8) {
    let _ = write!(text, "\\x{byte:02x}");
}

fn text(config: &AgentConfig, arguments: &[impl AsRef<OsStr>]) -> String {
    let mut command = quoted(config.exe.as_os_str());
    for argument in arguments {
        command.push(' ');
        command.push_str(&quoted(argument.as_ref()));
    }
    let log = config.log();
    let log = log.to_string_lossy().replace('%', "%%");
    // KillMode: machines outlive the agent. Delegate: on version 1 systemd would sort processes
    // of the unit into its own groups again when it is changed. TasksMax, OOMPolicy: supervisors
    // of machines are in its group, and there can be many of them.
    format!(
        "# Written by hc; `hc destroy` takes it away.\n\
         [Unit]\n\
         Description=hc, which runs the machines of this host\n\
         \n\
         [Service]\n\
         Type=notify\n\
         ExecStart=:{command}\n\
         Restart=on-failure\n\
         TimeoutStartSec=30\n\
         KillMode=process\n\
         Delegate=yes\n\
         TasksMax=infinity\n\
         OOMPolicy=continue\n\
         StandardOutput=append:{log}\n\
         StandardError=append:{log}\n"
    )
}

/// One word of `ExecStart=:`, where only quotes, escapes and `%` mean something.
fn quoted(word: &OsStr) -> String {
    let mut text = String::from("\"");
    for chunk in word.as_bytes().utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' | '\\' => text.extend(['\\', c]),
                '%' => text.push_str("%%"),
                '\0'..='\x1f' | '\x7f' => escape(&mut text, c as u8),
                c => text.push(c),
            }
        }
        for byte in chunk.invalid() {
            escape(&mut text, *byte);
        }
    }
    text + "\""
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_unit_per_run_directory() {
        assert_eq!(name(Path::new("/run/hc")), "hc-agent.service");
        assert_eq!(name(Path::new("/tmp/a-b/run")), "hc-agent-tmp-a\\x2db-run.service");
    }

    #[test]
    fn words_arrive_as_they_are() {
        let word = OsStr::from_bytes(b"/a b/\"%n\\$HOME\n\xff");
        assert_eq!(quoted(word), r#""/a b/\"%%n\\$HOME\x0a\xff""#);
        let mut config = AgentConfig::new("/opt/h c/hc");
        config.state_dir = "/srv/100%".into();
        let text = text(&config, &["agent", "--x"]);
        assert!(text.contains("\nExecStart=:\"/opt/h c/hc\" \"agent\" \"--x\"\n"), "{text}");
        assert!(text.contains("\nStandardError=append:/srv/100%%/agent.log\n"), "{text}");
    }
}
