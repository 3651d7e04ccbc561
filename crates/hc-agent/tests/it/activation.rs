//! Deploy, rollback, and going back by itself.

use crate::host::{Host, until};
use hc_agent::client::ClientError;
use hc_agent::wire::{Outcome, RollbackRequest};
use hc_agent::{Exit, Phase};

#[test]
fn a_change_touches_what_changed_only() {
    let host = Host::started();
    let one = host.set(&[("keep", "ready"), ("change", "ready"), ("gone", "ready")]);
    let done = host.deploy(&one);
    assert_eq!((done.generation, done.changed, done.kept), (Some(1), 3, 0));
    host.assert_in_effect(Some(&one));
    let before = host.running();
    let two = host.set(&[("keep", "ready"), ("change", "ready 2"), ("fresh", "ready")]);
    let done = host.deploy(&two);
    insta::assert_debug_snapshot!((done.started, done.restarted, done.stopped, done.kept), @r#"
    (
        [
            Name(
                "fresh",
            ),
        ],
        [
            Name(
                "change",
            ),
        ],
        [
            Name(
                "gone",
            ),
        ],
        1,
    )
    "#);
    host.assert_in_effect(Some(&two));
    assert_eq!(host.pid("keep"), before["keep"].pid);
    assert_ne!(host.pid("change"), before["change"].pid);
    // Everything may leave.
    let none = host.set(&[]);
    host.deploy(&none);
    host.assert_in_effect(Some(&none));
}

#[test]
fn the_same_set_again_touches_nothing_and_is_not_even_read() {
    let host = Host::started();
    let set = host.set(&[("web", "ready")]);
    host.deploy(&set);
    let before = host.running();
    std::fs::remove_dir_all(host.physical(&set)).unwrap();
    let again = host.activate(&set);
    assert_eq!((again.outcome, again.changed, again.kept), (Outcome::Unchanged, 0, 1));
    assert_eq!(again.generation, Some(1));
    assert_eq!(host.generations().list().unwrap().len(), 1);
    assert_eq!(host.running(), before);
}

#[test]
fn rollback_goes_to_the_recorded_generation_and_back_again() {
    let host = Host::started();
    let missing = host.client().rollback(&RollbackRequest::default(), false).unwrap_err();
    assert!(matches!(missing, ClientError::Refused(e) if e.kind == "no-previous-generation"));
    let sets = ["ready 1", "ready 2", "ready 3"].map(|c| host.set(&[("web", c)]));
    sets.iter().for_each(|set| drop(host.deploy(set)));
    let to = |to, expected: u64| {
        let done = host.rollback(to);
        assert_eq!((done.outcome, done.generation), (Outcome::Activated, Some(expected)));
        host.assert_in_effect(Some(&sets[usize::try_from(expected).unwrap() - 1]));
    };
    to(Some(1), 1);
    // Not "the one before the newest": the one that was in effect before.
    to(None, 3);
    to(None, 1);
    assert_eq!(host.rollback(Some(1)).outcome, Outcome::Unchanged);
    let missing = RollbackRequest { to: Some(9), ..RollbackRequest::default() };
    let missing = host.client().rollback(&missing, false).unwrap_err();
    assert!(matches!(missing, ClientError::Refused(e) if e.kind == "no-generation"));
    // A set that an older generation has is a new generation all the same.
    assert_eq!(host.deploy(&sets[1]).generation, Some(4));
}

#[test]
fn what_does_not_get_ready_is_rolled_back_with_its_reason() {
    let host = Host::started();
    let good = host.set(&[("web", "ready"), ("db", "ready")]);
    host.deploy(&good);
    let db = host.pid("db");
    for (command, options, says, exit) in [
        ("broken", serde_json::json!({}), "cannot be started: no such program", None),
        ("crash 3", serde_json::json!({}), "5 times", Some(Exit::code(3))),
        (
            "crash 3",
            serde_json::json!({"restart": {"policy": "never"}}),
            "before it was ready",
            Some(Exit::code(3)),
        ),
        (
            "silent",
            serde_json::json!({"ready": {"when": "notify", "timeoutSec": 0}}),
            "still",
            None,
        ),
    ] {
        // The database keeps its options, and with them its closure.
        let db_only = host.set(&[("db", "ready")]);
        let bad = host.set_with(&[("web", command)], &options);
        let link = std::fs::read_link(host.physical(&db_only).join("db")).unwrap();
        let at = host.physical(&bad).join("db");
        if !at.exists() {
            std::os::unix::fs::symlink(link, at).unwrap();
        }
        let done = host.activate(&bad);
        assert_eq!((done.outcome, done.generation), (Outcome::RolledBack, Some(1)), "{command}");
        let [failure] = &done.failures[..] else { panic!("{:#?}", done.failures) };
        assert_eq!(failure.machine.as_ref().map(AsRef::as_ref), Some("web"));
        assert!(failure.reason.contains(says), "{failure:#?}");
        if let Some(exit) = exit {
            assert_eq!(failure.exit.as_ref(), Some(&exit));
            assert_eq!(failure.log, ["about to crash"]);
        }
        host.assert_in_effect(Some(&good));
        assert_eq!(host.pid("db"), db);
        assert_eq!(host.generations().list().unwrap().len(), 1, "the failed generation is gone");
    }
}

#[test]
fn a_first_deploy_that_fails_leaves_nothing() {
    let host = Host::started();
    let done = host.activate(&host.set(&[("good", "ready"), ("bad", "broken")]));
    assert_eq!((done.outcome, done.generation, done.set), (Outcome::RolledBack, None, None));
    host.assert_in_effect(None);
    assert!(host.running().is_empty() && host.generations().list().unwrap().is_empty());
}

#[test]
fn a_set_that_cannot_be_used_is_refused_before_anything_is_touched() {
    let host = Host::started();
    let good = host.set(&[("web", "ready")]);
    host.deploy(&good);
    let bad = host.set(&[("web", "ready"), ("db", "ready")]);
    std::fs::write(
        host.physical(&bad.join("db")).canonicalize().unwrap_or_else(|_| {
            host.physical(&std::fs::read_link(host.physical(&bad).join("db")).unwrap())
        }),
        "{}",
    )
    .unwrap();
    let refused = host.client().activate(&Host::request(&bad), false).unwrap_err();
    assert!(matches!(&refused, ClientError::Refused(e) if e.kind == "invalid-set"), "{refused}");
    host.assert_in_effect(Some(&good));
}

#[test]
fn two_activations_one_waits_or_is_told() {
    let mut host = Host::new();
    host.start("ready:before:pause");
    let first = host.set(&[("web", "ready")]);
    let client = host.client();
    let request =
        hc_agent::wire::ActivateRequest { by: Some("alice".into()), ..Host::request(&first) };
    let pending = std::thread::spawn(move || client.activate(&request, false));
    until("the first one is under way", || host.client().status().unwrap().activation.is_some());
    let second = host.set(&[("web", "ready 2")]);
    let told = host.client().activate(&Host::request(&second), false).unwrap_err();
    let ClientError::Refused(told) = told else { panic!("{told}") };
    assert_eq!(told.kind, "busy");
    assert!(told.message.starts_with("alice is activating /nix/store/"), "{}", told.message);
    let client = host.client();
    let waiting = std::thread::spawn(move || client.activate(&Host::request(&second), true));
    // SIGTERM ends an agent in the middle of it; the next one finishes.
    until("the machine runs", || host.running().len() == 1);
    let pid = host.pid("web");
    host.end(rustix::process::Signal::TERM);
    assert!(pending.join().unwrap().is_err() && waiting.join().unwrap().is_err());
    assert_eq!(host.pid("web"), pid);
    host.start("");
    host.assert_in_effect(Some(&first));
    assert_eq!(host.pid("web"), pid);
    // Without anything in its way, waiting is just activating.
    let third = host.set(&[("web", "ready 3")]);
    let done = host.client().activate(&Host::request(&third), true).unwrap();
    assert_eq!(done.outcome, Outcome::Activated);
}

#[test]
fn two_activations_at_once_that_wait_both_happen() {
    let host = Host::started();
    let sets: Vec<_> = (0..4).map(|i| host.set(&[("web", &format!("ready {i}"))])).collect();
    std::thread::scope(|scope| {
        for set in &sets {
            let client = host.client();
            scope.spawn(move || client.activate(&Host::request(set), true).unwrap());
        }
    });
    let all = host.generations().list().unwrap();
    assert_eq!(all.iter().map(|g| g.number).collect::<Vec<_>>(), [1, 2, 3, 4]);
    host.assert_in_effect(Some(&all[3].set));
}

#[test]
fn names_are_published_with_their_readiness() {
    let host = Host::started();
    let names = || std::fs::read_to_string(host.state().join("names")).unwrap();
    let set = host.set_on(&["lan"], &[("web", "ready"), ("db", "ready")]);
    host.deploy(&set);
    // Readable as soon as the deploy is done, not some time later.
    assert_eq!(names(), "db true\nweb true\n");
    host.client().stop("web").unwrap();
    assert_eq!(names(), "db true\nweb false\n");
    let pid = host.pid("db");
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(pid).unwrap(),
        rustix::process::Signal::KILL,
    )
    .unwrap();
    until("it runs again", || host.running().get("db").is_some_and(|r| r.pid != pid));
    until("its name is back", || names() == "db true\nweb false\n");
    host.deploy(&host.set_on(&["wan"], &[]));
    assert_eq!(names(), "");
    host.assert_in_effect(Some(&host.set_on(&["wan"], &[])));
}

#[test]
fn the_listing_tells_what_a_person_asks() {
    let host = Host::started();
    host.deploy(&host.set(&[("web", "ready")]));
    let machines = host.client().machines().unwrap();
    let web = &machines[0];
    assert_eq!((web.phase, web.ready, web.restarts), (Phase::Ready, true, 0));
    assert_eq!((web.pid, web.supervisor_pid), (Some(host.pid("web")), Some(host.pid("web"))));
    assert!(web.uptime_ms.is_some() && web.exit.is_none());
    assert_eq!(web.addresses, ["fd00::2".parse::<std::net::IpAddr>().unwrap()]);
    assert_eq!(web.text.as_deref(), Some("serving"));
    let status = host.client().status().unwrap();
    assert_eq!((status.machines, status.ready, status.generation), (1, 1, Some(1)));
}
