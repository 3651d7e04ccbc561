//! Machines whose command is process 1.

use crate::place::Place;
use hc_runtime::Phase;
use serde_json::json;

const LOOP: &str = "touch /tmp/up; while :; do sleep 0.01; done";

#[test]
fn the_command_is_process_1_and_gets_its_signal() {
    let mut place = Place::new();
    let more = json!({"init": true, "stop": {"signal": "USR2", "timeoutSec": 30}});
    let script = format!("echo $$; trap 'echo bye; exit 5' USR2; {LOOP}");
    place.start(&script, &more, Phase::Ready);
    place.until_up();
    place.signal("TERM");
    let ended = place.wait();
    assert_eq!((ended.out().as_str(), ended.code()), ("1\nbye\n", Some(5)), "{}", ended.stderr);
    assert!(place.cgroups().is_empty());
}

#[test]
fn it_is_ready_when_its_port_answers() {
    let mut place = Place::new();
    let more = json!({"init": true, "ready": {"when": "tcp", "port": 8080}});
    let script = "until test -e /tmp/go; do sleep 0.01; done; exec httpd -f -p 8080 -h /tmp";
    place.start(script, &more, Phase::Running);
    assert!(place.exec(&["touch", "/tmp/go"]).status.success());
    place.wait_for(Phase::Ready);
}

#[test]
fn one_that_does_not_care_is_killed() {
    let mut place = Place::new();
    let more = json!({"init": true, "stop": {"timeoutSec": 0}});
    place.start(LOOP, &more, Phase::Ready);
    place.until_up();
    place.signal("TERM");
    let exit = place.wait().status.exit.unwrap();
    assert_eq!((exit.signal, exit.killed), (Some(libc::SIGKILL), true));
}

#[test]
fn what_it_left_ends_with_it() {
    let mut place = Place::new();
    let ended = place.run("sleep 1000 & echo made; exit 3", &json!({"init": true}));
    assert_eq!((ended.out().as_str(), ended.code()), ("made\n", Some(3)));
}

#[test]
fn one_that_cannot_be_executed_is_told() {
    let mut place = Place::new();
    let more = json!({"init": true, "command": ["/etc/broken"]});
    let ended = place.run("", &more);
    assert!(ended.stderr.contains("interpreter or loader it names does not exist"));
    assert_eq!(ended.status.phase, Phase::Failed);
}
