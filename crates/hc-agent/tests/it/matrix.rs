//! Every step of an activation, failed and killed on both sides, forward and back.

use crate::host::Host;
use hc_agent::STEPS;
use hc_agent::client::ClientError;
use hc_agent::wire::Outcome;
use std::path::PathBuf;

struct Scene {
    host: Host,
    old: PathBuf,
    new: PathBuf,
    keep: i32,
}

/// A host with `old` in effect, and an agent that fails at `point`.
fn scene(point: &str) -> Scene {
    let mut host = Host::started();
    let old =
        host.set_on(&["both", "old"], &[("keep", "ready"), ("change", "ready"), ("gone", "ready")]);
    let new = host
        .set_on(&["both", "new"], &[("keep", "ready"), ("change", "ready 2"), ("fresh", "ready")]);
    host.deploy(&old);
    let keep = host.pid("keep");
    host.end(rustix::process::Signal::TERM);
    host.start(point);
    Scene { host, old, new, keep }
}

impl Scene {
    /// After whatever happened: `new` can be deployed and undone again.
    fn assert_works(&mut self) {
        let Self { host, old, new, keep } = self;
        let current = host.generations().current().unwrap().unwrap();
        if host.generations().set(current).unwrap() == *old {
            host.assert_in_effect(Some(old));
            let done = host.deploy(new);
            assert!(done.generation > Some(1));
        }
        host.assert_in_effect(Some(new));
        assert_eq!(host.activate(new).outcome, Outcome::Unchanged);
        assert_eq!(host.rollback(None).outcome, Outcome::Activated);
        host.assert_in_effect(Some(old));
        assert_eq!(host.pid("keep"), *keep, "a machine that is in both was touched");
        assert_eq!(host.generations().list().unwrap().len(), 2);
    }

    fn start_again(&mut self) {
        self.host.start("");
    }
}

fn points(prefix: &str, action: &str) -> Vec<(usize, String)> {
    let sides = |(i, step): (usize, &&str)| {
        ["before", "after"].map(|when| (i, format!("{prefix}{step}:{when}:{action}")))
    };
    STEPS.iter().enumerate().flat_map(sides).collect()
}

#[test]
fn an_error_at_any_step_goes_back() {
    for (_, point) in points("", "error") {
        eprintln!("{point}");
        let mut scene = scene(&point);
        let done = scene.host.activate(&scene.new);
        assert_eq!((done.outcome, done.generation), (Outcome::RolledBack, Some(1)), "{point}");
        assert!(done.failures[0].reason.starts_with("failpoint "));
        scene.host.assert_in_effect(Some(&scene.old));
        scene.host.end(rustix::process::Signal::TERM);
        scene.start_again();
        scene.assert_works();
    }
}

#[test]
fn a_kill_at_any_step_is_finished_or_undone_by_the_next_agent() {
    let switch = STEPS.iter().position(|s| *s == "switch").unwrap();
    for (step, point) in points("", "kill") {
        eprintln!("{point}");
        let mut scene = scene(&point);
        let broken = scene.host.client().activate(&Host::request(&scene.new), false).unwrap_err();
        assert!(matches!(broken, ClientError::Broken(_)), "{point}: {broken}");
        assert!(!scene.host.ended());
        scene.start_again();
        let switched = step > switch || (step == switch && point.contains(":after:"));
        let expected = if switched { &scene.new } else { &scene.old };
        scene.host.assert_in_effect(Some(expected));
        scene.assert_works();
    }
}

#[test]
fn an_error_while_going_back_is_told_and_mended_by_the_next_agent() {
    for (step, point) in points("undo-", "error") {
        eprintln!("{point}");
        let mut scene = scene(&format!("{point},retire:after:error"));
        let stuck = scene.host.client().activate(&Host::request(&scene.new), false).unwrap_err();
        let ClientError::Refused(stuck) = stuck else { panic!("{point}: {stuck}") };
        assert_eq!(stuck.kind, "stuck");
        assert!(stuck.message.contains(STEPS[step]), "{}", stuck.message);
        assert!(scene.host.client().status().unwrap().problem.is_some());
        scene.host.end(rustix::process::Signal::TERM);
        scene.start_again();
        scene.host.assert_in_effect(Some(&scene.old));
        scene.assert_works();
    }
}

#[test]
fn a_kill_while_going_back_is_undone_by_the_next_agent() {
    for (_, point) in points("undo-", "kill") {
        eprintln!("{point}");
        let mut scene = scene(&format!("{point},retire:after:error"));
        let broken = scene.host.client().activate(&Host::request(&scene.new), false).unwrap_err();
        assert!(matches!(broken, ClientError::Broken(_)), "{point}: {broken}");
        assert!(!scene.host.ended());
        scene.start_again();
        scene.host.assert_in_effect(Some(&scene.old));
        scene.assert_works();
    }
}

#[test]
fn a_rollback_that_is_killed_keeps_both_generations() {
    for point in ["switch:before:kill", "machines:after:kill"] {
        let mut host = Host::started();
        let sets = ["ready 1", "ready 2"].map(|c| host.set(&[("web", c)]));
        sets.iter().for_each(|set| drop(host.deploy(set)));
        host.end(rustix::process::Signal::TERM);
        host.start(point);
        host.client().rollback(&Default::default(), false).unwrap_err();
        assert!(!host.ended());
        host.start("");
        let expected = if point.starts_with("switch") { &sets[1] } else { &sets[0] };
        host.assert_in_effect(Some(expected));
        assert_eq!(host.generations().list().unwrap().len(), 2);
    }
}

#[test]
fn what_got_hopeless_while_the_agent_was_dead_is_undone() {
    let mut host = Host::started();
    let old = host.set(&[("web", "ready")]);
    host.deploy(&old);
    host.end(rustix::process::Signal::TERM);
    host.start("machines:after:kill");
    let new = host.set(&[("web", "silent")]);
    let request = hc_agent::wire::ActivateRequest { timeout_sec: Some(0), ..Host::request(&new) };
    host.client().activate(&request, false).unwrap_err();
    assert!(!host.ended());
    host.start("");
    host.assert_in_effect(Some(&old));
}
