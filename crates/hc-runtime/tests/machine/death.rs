//! Supervisors that die, and what is left.

use crate::place::Place;
use hc_runtime::{Phase, start_time};
use serde_json::json;
use std::path::Path;

#[test]
fn a_killed_supervisor_takes_the_machine_along_and_the_next_one_cleans_up() {
    let mut place = Place::new();
    let status = place.start("trap '' TERM; sleep 1000 & sleep 1000", &json!({}), Phase::Ready);
    let pid = status.payload_pid.unwrap();
    assert!(start_time(pid).is_some() && !place.cgroups().is_empty());
    place.signal("KILL");
    place.wait();
    while start_time(pid).is_some() {
        std::thread::yield_now();
    }
    let left = place.status().unwrap();
    assert_eq!(left.phase, Phase::Ready, "nobody was there to say otherwise");
    assert!(!left.is_supervised());
    assert!(!place.cgroups().is_empty());
    let ended = place.run("echo second", &json!({}));
    assert_eq!((ended.out().as_str(), ended.code()), ("second\n", Some(0)), "{}", ended.stderr);
    assert!(place.cgroups().is_empty());
}

#[test]
fn what_a_killed_supervisor_left_can_be_removed() {
    let mut place = Place::new();
    place.start("sleep 1000", &json!({}), Phase::Ready);
    let name = hc_spec::Name::new("web").unwrap();
    let (run, state) = (place.run_dir(), place.state_dir());
    let parent = place.cgroup_parent.clone();
    let clean = || hc_runtime::cleanup(&name, &run, Some(&state), Some(Path::new(&parent)));
    let refused = clean().unwrap_err().to_string();
    assert!(refused.contains("already running"), "{refused}");
    place.signal("KILL");
    place.wait();
    clean().unwrap();
    clean().unwrap();
    assert!(!place.places().run.exists() && !place.places().state.exists());
    assert!(place.cgroups().is_empty());
}

/// What could leak on the host. Other tests run at the same time, so it is counted by what is
/// this machine's own.
#[test]
fn a_hundred_runs_leave_nothing() {
    let mut place = Place::new();
    let closure = place.closure("sleep 1000 & echo run", &json!({"limits": {"pids": 20}}));
    let dir = place.dir.path().to_str().unwrap().to_owned();
    let mut namespaces = Vec::new();
    for _ in 0..100 {
        assert!(place.command(&closure).status().unwrap().success());
        namespaces.push(place.status().unwrap().supervisor_pid);
    }
    assert!(place.cgroups().is_empty());
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(&dir));
    for process in std::fs::read_dir("/proc").unwrap().flatten() {
        let maps = std::fs::read_to_string(process.path().join("mountinfo")).unwrap_or_default();
        assert!(!maps.contains(&dir), "{:?} has a mount of it", process.path());
        let command = std::fs::read_to_string(process.path().join("cmdline")).unwrap_or_default();
        assert!(!command.contains(&dir), "{command} runs");
    }
    let loops = std::fs::read_dir("/sys/block").unwrap().flatten().filter(|device| {
        let backing = device.path().join("loop/backing_file");
        std::fs::read_to_string(backing).is_ok_and(|file| file.contains(&dir))
    });
    assert_eq!(loops.count(), 0);
    assert_eq!(std::fs::read_dir(place.run_dir().join("ids")).unwrap().count(), 0);
    assert_eq!(std::fs::read_dir(place.places().run).unwrap().count(), 2);
    let ended = place.run("echo last", &json!({}));
    assert_eq!(ended.out().lines().count(), 101);
}
