//! One agent per host, how it starts and how it ends.

use crate::host::{Host, until};
use rustix::process::{Pid, Signal, kill_process};
use std::os::unix::fs::PermissionsExt;

#[test]
fn there_is_one_agent_per_run_directory() {
    let host = Host::started();
    let second = host.agent_command("").output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    let output = std::fs::read_to_string(host.state().join("output")).unwrap();
    let pid = host.agent_pid().as_raw_nonzero();
    assert!(output.contains(&format!("already running here (process {pid}")), "{output}");
    // The first one never noticed.
    host.client().status().unwrap();
}

#[test]
fn a_socket_left_by_a_killed_agent_is_replaced_and_is_private() {
    let mut host = Host::started();
    host.end(Signal::KILL);
    let socket = host.run_dir().join("agent.sock");
    assert!(socket.exists());
    host.start("");
    assert_eq!(socket.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    host.end(Signal::TERM);
    assert!(!socket.exists());
}

#[test]
fn shutdown_takes_machines_along_only_when_asked() {
    let mut host = Host::started();
    let set = host.set(&[("web", "ready"), ("db", "ready")]);
    host.deploy(&set);
    let before = host.running();
    host.client().shutdown(false).unwrap();
    assert!(host.ended());
    assert_eq!(host.running(), before);
    host.start("");
    host.client().shutdown(true).unwrap();
    assert!(host.ended());
    assert!(host.running().is_empty());
    // They come back with the next agent: `current` says so.
    host.start("");
    until("they run again", || host.client().status().unwrap().ready == 2);
    host.assert_in_effect(Some(&set));
}

#[test]
fn start_detaches_and_waits_until_it_answers() {
    if std::path::Path::new("/run/systemd/system").is_dir() {
        // There it would be a unit of this very host.
        return;
    }
    let host = Host::new();
    let config = host.config("");
    assert!(hc_agent::start(&config).unwrap());
    assert!(!hc_agent::start(&config).unwrap(), "it runs already");
    let status = host.client().status().unwrap();
    host.client().shutdown(true).unwrap();
    let pid = Pid::from_raw(status.pid.try_into().unwrap()).unwrap();
    until("it has ended", || {
        // A child of this process that nobody waits for stays behind as a zombie.
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", status.pid));
        stat.is_err_or_zombie() || kill_process(pid, Signal::CONT).is_err()
    });
}

trait Zombie {
    fn is_err_or_zombie(&self) -> bool;
}

impl Zombie for std::io::Result<String> {
    fn is_err_or_zombie(&self) -> bool {
        self.as_ref().map_or(true, |text| text.contains(") Z "))
    }
}

#[test]
fn an_agent_that_cannot_start_says_why() {
    if std::path::Path::new("/run/systemd/system").is_dir() {
        return;
    }
    let host = Host::new();
    let mut config = host.config("");
    config.exe = "/bin/false".into();
    let message = hc_agent::start(&config).unwrap_err().to_string();
    assert!(message.contains("it ended: exit status: 1"), "{message}");
}

#[test]
fn a_broken_state_is_told_and_nothing_is_touched() {
    let mut host = Host::started();
    let set = host.set(&[("web", "ready")]);
    host.deploy(&set);
    let before = host.running();
    host.end(Signal::KILL);
    std::fs::write(host.physical(&set).join("host.json"), "{").unwrap();
    host.start("");
    let problem = host.client().status().unwrap().problem.unwrap();
    assert!(problem.contains("host.json"), "{problem}");
    assert_eq!(host.running(), before);
}
