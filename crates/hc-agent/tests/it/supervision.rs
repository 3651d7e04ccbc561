//! Restarting, stopping by hand, and agents that come and go.

use crate::host::{Host, until};
use hc_agent::client::ClientError;
use hc_agent::{Exit, Phase};
use rustix::process::{Pid, Signal, kill_process};

fn kill(pid: i32) {
    kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
}

#[test]
fn an_agent_that_is_killed_leaves_machines_alone_and_finds_them_again() {
    let mut host = Host::started();
    let set = host.set(&[("web", "ready"), ("db", "ready"), ("gone", "ready")]);
    host.deploy(&set);
    let before = host.running();
    for signal in [Signal::KILL, Signal::TERM, Signal::KILL] {
        host.end(signal);
        assert_eq!(host.running(), before);
        host.start("");
        host.assert_in_effect(Some(&set));
        assert_eq!(host.running(), before);
        until("all are known to be ready", || host.client().status().unwrap().ready == 3);
    }
    // What ended meanwhile is started again, the others are not touched.
    host.end(Signal::KILL);
    kill(before["web"].pid);
    host.start("");
    until("it runs again", || host.running().len() == 3);
    assert_eq!(host.pid("db"), before["db"].pid);
    // Adopted machines are stopped like any other.
    let fewer = host.set(&[("web", "ready"), ("db", "ready")]);
    host.deploy(&fewer);
    host.assert_in_effect(Some(&fewer));
}

#[test]
fn a_machine_that_runs_without_being_current_is_stopped() {
    let mut host = Host::started();
    host.deploy(&host.set(&[("web", "ready"), ("stray", "ready")]));
    host.end(Signal::KILL);
    let only = host.set(&[("web", "ready")]);
    host.generations().add(2, &only).unwrap();
    host.generations().switch(Some(2)).unwrap();
    std::fs::write(host.state().join("roots/2"), "").unwrap();
    let web = host.pid("web");
    host.start("");
    host.assert_in_effect(Some(&only));
    assert_eq!(host.pid("web"), web);
}

#[test]
fn what_ends_is_started_again_by_its_policy() {
    let host = Host::started();
    let options = |policy: &str| {
        serde_json::json!({"ready": {"when": "started"},
            "restart": {"policy": policy, "delayMs": 10, "maxDelayMs": 20}})
    };
    host.deploy(&host.set_with(&[("web", "ready"), ("job", "done")], &options("on-failure")));
    let view = |name: &str| {
        let machines = host.client().machines().unwrap();
        machines.into_iter().find(|m| m.name.as_str() == name).unwrap()
    };
    until("the job is done", || view("job").phase == Phase::Exited);
    assert_eq!((view("job").exit, view("job").restarts), (Some(Exit::code(0)), 0));
    for times in 1..=2 {
        let pid = host.pid("web");
        kill(pid);
        until("it runs again", || host.running().get("web").is_some_and(|r| r.pid != pid));
        until("it is ready again", || view("web").ready);
        assert_eq!(view("web").restarts, times);
    }
    let exit = view("web").exit.unwrap().to_string();
    assert_eq!(exit, "its supervisor ended without a word (signal 9 (SIGKILL))");
    // With the policy to always restart, a job is done again and again.
    host.deploy(&host.set_with(&[("job", "done")], &options("always")));
    until("it was restarted", || view("job").restarts > 2);
}

#[test]
fn a_job_that_is_done_is_not_done_again_by_the_next_agent() {
    let mut host = Host::started();
    let options = serde_json::json!({"ready": {"when": "started"}, "restart": {"policy": "never"}});
    host.deploy(&host.set_with(&[("job", "done")], &options));
    let phase = |host: &Host| host.client().machines().unwrap()[0].phase;
    until("the job is done", || phase(&host) == Phase::Exited);
    let ran = std::fs::read_to_string(host.run_dir().join("supervisors/job")).unwrap();
    host.end(Signal::KILL);
    host.start("");
    until("it is known to be done", || phase(&host) == Phase::Exited);
    assert_eq!(std::fs::read_to_string(host.run_dir().join("supervisors/job")).unwrap(), ran);
    // Unless somebody asks.
    host.client().start("job").unwrap();
    assert_ne!(std::fs::read_to_string(host.run_dir().join("supervisors/job")).unwrap(), ran);
}

#[test]
fn a_crashing_machine_backs_off_and_is_started_on_demand() {
    let host = Host::started();
    let options = serde_json::json!({"ready": {"when": "started"},
        "restart": {"policy": "always", "delayMs": 600_000, "maxDelayMs": 600_000}});
    host.deploy(&host.set_with(&[("web", "done")], &options));
    let view = || host.client().machines().unwrap().remove(0);
    until("it backs off", || view().phase == Phase::Backoff);
    let ran = std::fs::read_to_string(host.run_dir().join("supervisors/web")).unwrap();
    host.client().start("web").unwrap();
    assert_ne!(std::fs::read_to_string(host.run_dir().join("supervisors/web")).unwrap(), ran);
    until("it backs off again", || view().phase == Phase::Backoff);
    // A machine in back-off is stopped at once.
    assert_eq!(host.client().stop("web").unwrap().phase, Phase::Stopped);
}

#[test]
fn what_is_stopped_stays_stopped_until_it_is_started_or_changes() {
    let mut host = Host::started();
    let one = host.set(&[("web", "ready"), ("db", "ready")]);
    host.deploy(&one);
    let db = host.pid("db");
    let stopped = host.client().stop("web").unwrap();
    assert_eq!((stopped.phase, stopped.pid, stopped.ready), (Phase::Stopped, None, false));
    host.client().stop("web").unwrap();
    host.end(Signal::KILL);
    host.start("");
    assert_eq!(host.running().keys().collect::<Vec<_>>(), ["db"]);
    // Another machine's change is none of its own.
    let two = host.set(&[("web", "ready"), ("db", "ready 2")]);
    host.deploy(&two);
    assert_eq!(host.running().keys().collect::<Vec<_>>(), ["db"]);
    // Its own change starts it; if that is undone, it is stopped as before.
    let failed = host.activate(&host.set(&[("web", "ready 3"), ("db", "broken")]));
    assert_eq!(failed.outcome, hc_agent::wire::Outcome::RolledBack);
    assert_eq!(host.running().keys().collect::<Vec<_>>(), ["db"]);
    let three = host.set(&[("web", "ready 3"), ("db", "ready 2")]);
    host.deploy(&three);
    host.assert_in_effect(Some(&three));
    // Changed and changed back: it is not stopped any more.
    host.rollback(None);
    host.assert_in_effect(Some(&two));
    host.client().stop("web").unwrap();
    assert!(host.client().start("web").unwrap().ready);
    let web = host.pid("web");
    assert!(host.client().start("web").unwrap().ready);
    assert_eq!(host.pid("web"), web, "starting what runs does nothing");
    assert!(host.client().restart("web").unwrap().ready);
    assert_ne!(host.pid("web"), web);
    assert_ne!(host.pid("db"), db);
    host.assert_in_effect(Some(&two));
}

#[test]
fn verbs_say_what_is_wrong() {
    let host = Host::started();
    let missing = host.client().stop("web").unwrap_err();
    assert!(matches!(missing, ClientError::Refused(e) if e.kind == "no-machine"));
    let options = serde_json::json!({"restart": {"policy": "never"}, "ready": {"when": "started"}});
    host.deploy(&host.set_with(&[("web", "done")], &options));
    host.client().restart("web").unwrap();
    assert!(host.client().stop("web").is_ok());
}
