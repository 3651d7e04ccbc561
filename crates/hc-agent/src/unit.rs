//! The agent as a unit of systemd, where that is process 1.
//!
//! A unit file, not a transient unit: as long as a machine's supervisor is in its control group
//! systemd keeps a stopped unit loaded, and refuses a transient one of its name. A file can be
//! started, stopped and restarted by hand as well, and replaced by a newer hc. It lies in `/etc` and
//! is wanted by the boot, so that a host that starts again runs what it ran; where `/etc` is not to
//! be written to (NixOS, whose module has a unit of its own), and for agents of other directories, it
//! lies in `/run`.

use crate::config::AgentConfig;
use crate::error::{AgentError, Context, Result};
use std::ffi::OsStr;
use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Units until the next boot.
const UNITS: &str = "/run/systemd/system";
/// Units of the host's administrator.
const LASTING: &str = "/etc/systemd/system";
/// The unit of the agent of `/run/hc`.
const USUAL: &str = "hc-agent.service";

/// Whether systemd is process 1, as sd_booted(3) finds out.
pub(crate) fn is_possible() -> bool {
    Path::new(UNITS).is_dir()
}

/// Starts the unit and waits until the agent has said that it is ready.
pub(crate) fn start(config: &AgentConfig, arguments: &[impl AsRef<OsStr>]) -> Result<()> {
    let name = name(&config.run_dir);
    let text = text(config, arguments);
    let failed = |why| AgentError::NotStarted { socket: config.socket(), why };
    let is = |path: &Path| std::fs::read(path).ok().as_deref() == Some(text.as_bytes());
    let places = places(&config.run_dir, &name);
    if !places.iter().any(|path| is(path)) {
        put(&places, text.as_bytes())?;
        systemctl(&["daemon-reload"])?.map_err(failed)?;
    }
    // Who asks for it by hand is not to be told that it failed too often before. A unit that was
    // never started is not known yet, which is as good.
    let _ = systemctl(&["reset-failed", &name])?;
    systemctl(&["start", &name])?.map_err(failed)
}

/// Where the file may lie, the best place first.
fn places(run_dir: &Path, name: &str) -> Vec<PathBuf> {
    let volatile = Path::new(UNITS).join(name);
    match name == USUAL && run_dir == Path::new("/run/hc") {
        true => vec![Path::new(LASTING).join(name), volatile],
        false => vec![volatile],
    }
}

/// What makes the boot start a unit of that path.
fn wish(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?;
    path.starts_with(LASTING).then(|| Path::new(LASTING).join("multi-user.target.wants").join(name))
}

/// Writes the file to the first place that takes it.
fn put(places: &[PathBuf], text: &[u8]) -> Result<()> {
    let mut refused = None;
    for path in places {
        let written = (|| {
            hc_fs::plain::write(path, text, 0o644)?;
            if let Some(wish) = wish(path) {
                hc_fs::plain::create_dir_all(wish.parent().unwrap_or(path), 0o755)?;
                hc_fs::plain::remove_file(&wish)?;
                hc_fs::plain::symlink(path, &wish)?;
            }
            hc_fs::Result::Ok(())
        })();
        match written {
            Ok(()) => return Ok(()),
            Err(error) => refused = Some(error),
        }
    }
    refused.map_or(Ok(()), |error| Err(error.into()))
}

/// Stops the unit and takes its file away; no unit is fine.
pub(crate) fn remove(config: &AgentConfig) -> Result<()> {
    let name = name(&config.run_dir);
    let mut places = places(&config.run_dir, &name);
    places.retain(|path| path.exists());
    if !is_possible() || places.is_empty() {
        return Ok(());
    }
    let _ = systemctl(&["stop", &name])?;
    for path in places {
        if let Some(wish) = wish(&path) {
            hc_fs::plain::remove_file(&wish)?;
        }
        hc_fs::plain::remove_file(&path)?;
    }
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

/// One unit per run directory, as there is one agent: `hc-agent.service` for the usual one.
fn name(run_dir: &Path) -> String {
    if run_dir == Path::new("/run/hc") {
        return USUAL.into();
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
         After=network.target local-fs.target\n\
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
         StandardError=append:{log}\n\
         \n\
         [Install]\n\
         WantedBy=multi-user.target\n"
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
