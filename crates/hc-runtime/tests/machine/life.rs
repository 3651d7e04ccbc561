//! From start to end: status, readiness, stopping, limits, logs.

use crate::place::Place;
use hc_runtime::{Exit, Phase, logs};
use serde_json::json;

#[test]
fn runs_a_command_and_gives_its_status() {
    let mut place = Place::new();
    let ended = place.run("echo hello; echo oops >&2; echo -n cut; exit 7", &json!({}));
    assert_eq!(ended.status.phase, Phase::Exited, "{}", ended.stderr);
    assert_eq!(ended.status.exit, Some(Exit { code: Some(7), ..Exit::default() }));
    assert_eq!(ended.out(), "hello\ncut\n");
    assert_eq!(ended.stream(logs::Stream::Err), "oops\n");
    assert_eq!(ended.stream(logs::Stream::Hc), "exit status 7\n");
    assert_eq!(ended.status.payload_pid, None);
    assert_eq!(place.cgroups(), Vec::<std::path::PathBuf>::new());
    let mut left: Vec<_> = std::fs::read_dir(place.places().run)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(left, ["lock", "status.json"]);
}

#[test]
fn a_signal_that_kills_the_command_is_told() {
    let ended = Place::new().run("kill -KILL $$", &json!({}));
    assert_eq!(ended.status.exit, Some(Exit { signal: Some(9), ..Exit::default() }));
}

#[test]
fn environment_user_and_workdir_are_those_of_the_description() {
    let more = json!({"user": "web", "workdir": "/home/web", "env": {"A": "1 2", "TERM": "dumb"}});
    let ended = Place::new().run("id; pwd; echo \"$A|$HOME|$container|$TERM\"; echo $PATH", &more);
    let expected = "uid=1000(web) gid=1001(web) groups=4(log),1001(web)\n/home/web\n\
                    1 2|/home/web|hc|dumb\n\
                    /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n";
    let out = ended.out().replace("groups=1001(web),4(log)", "groups=4(log),1001(web)");
    assert_eq!(out, expected, "{}", ended.stderr);
}

#[test]
fn what_cannot_run_says_why() {
    for (more, says) in [
        (json!({"command": ["nginx"]}), "command 'nginx' does not exist in the image; its PATH is"),
        (json!({"command": ["/bin/nginx"]}), "command '/bin/nginx' does not exist in the image"),
        (json!({"command": ["/etc/broken"]}), "the interpreter or loader it names does not exist"),
        (json!({"command": ["/proc/self/exe"]}), "cannot be found in the image"),
        (json!({"workdir": "/none"}), "workdir '/none' does not exist in the image"),
        (json!({"user": "nobody"}), "user 'nobody' does not exist in the image's /etc/passwd"),
        (json!({"stop": {"signal": "NOPE"}}), "stop.signal: 'NOPE' is no signal"),
        (json!({"isolation": {"addCapabilities": ["ALL"]}}), "'ALL' is no capability"),
        (json!({"image": {"rootfs": "/none.erofs"}}), "mount the image /none.erofs"),
        (json!({"files": {"/etc": {"text": ""}}}), "/etc is a directory in the image"),
        (json!({"files": {"/x": {"source": "/none"}}}), "cannot open /none for /x"),
    ] {
        let mut place = Place::new();
        let ended = place.run("true", &more);
        assert_eq!(ended.status.phase, Phase::Failed, "{more}");
        let error = ended.status.exit.clone().and_then(|exit| exit.error).unwrap_or_default();
        assert!(error.contains(says), "{more}: {error}");
        assert!(ended.stderr.contains(says), "{}", ended.stderr);
        assert!(ended.stream(logs::Stream::Hc).contains(says));
        assert!(place.cgroups().is_empty());
    }
}

#[test]
fn started_is_ready_at_once() {
    let mut place = Place::new();
    let status = place.start("sleep 1000", &json!({}), Phase::Ready);
    let pid = status.payload_pid.unwrap();
    assert_eq!(
        std::fs::read_to_string(place.places().run.join("pid")).unwrap(),
        format!("{pid}\n")
    );
    assert!(status.is_supervised());
    place.signal("TERM");
    let exit = place.wait().status.exit.unwrap();
    assert_eq!((exit.signal, exit.requested, exit.killed), (Some(15), true, false));
}

#[test]
fn notify_waits_for_the_command_to_say_so() {
    let mut place = Place::new();
    let script = "test -S $NOTIFY_SOCKET || exit 3; touch /tmp/up; \
                  until test -e /tmp/go; do sleep 0.01; done; \
                  echo hi >/dev/null; exec sleep 1000";
    place.start(script, &json!({"ready": {"when": "notify"}}), Phase::Running);
    let status = place.status().unwrap();
    assert_eq!(status.phase, Phase::Running);
    // busybox has no sd_notify: speak from outside, through the machine's own file system.
    let pid = status.payload_pid.unwrap();
    let socket = format!("/proc/{pid}/root/run/host/notify");
    let say = |text: &str| {
        let from = std::os::unix::net::UnixDatagram::unbound().unwrap();
        from.send_to(text.as_bytes(), &socket).unwrap();
    };
    say("STATUS=warming up\nMAINPID=1\n");
    while place.status().unwrap().text.as_deref() != Some("warming up") {
        std::thread::yield_now();
    }
    assert_eq!(place.status().unwrap().phase, Phase::Running);
    say("READY=1");
    place.wait_for(Phase::Ready);
    say("STOPPING=1");
    place.wait_for(Phase::Stopping);
}

#[test]
fn tcp_waits_for_the_port() {
    let mut place = Place::new();
    let more = json!({"ready": {"when": "tcp", "port": 8080}});
    let script = "until test -e /tmp/go; do sleep 0.01; done; exec httpd -f -p 8080 -h /tmp";
    place.start(script, &more, Phase::Running);
    let done = place.exec(&["touch", "/tmp/go"]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    place.wait_for(Phase::Ready);
}

#[test]
fn the_supervisors_own_manager_is_told() {
    let mut place = Place::new();
    let path = place.dir.path().join("manager");
    let manager = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    let closure = place.closure("sleep 0.2", &json!({}));
    let mut command = place.command(&closure);
    assert!(command.arg("--notify").arg(&path).status().unwrap().success());
    let mut said = [0; 64];
    let length = manager.recv(&mut said).unwrap();
    assert_eq!(&said[..length], b"READY=1\n");
    place.run("true", &json!({}));
}

#[test]
fn stops_with_its_own_signal() {
    let mut place = Place::new();
    let script = "trap 'echo bye; exit 5' USR2; trap 'exit 6' TERM; touch /tmp/up; \
                  while :; do sleep 0.01; done";
    place.start(script, &json!({"stop": {"signal": "USR2"}}), Phase::Ready);
    place.until_up();
    place.signal("TERM");
    let ended = place.wait();
    let exit = ended.status.exit.clone().unwrap();
    assert_eq!((exit.code, exit.requested, exit.killed), (Some(5), true, false));
    assert_eq!(ended.out(), "bye\n");
}

#[test]
fn is_killed_when_it_does_not_stop_in_time() {
    let mut place = Place::new();
    let script = "trap '' TERM; touch /tmp/up; while :; do sleep 0.01; done";
    place.start(script, &json!({"stop": {"timeoutSec": 1}}), Phase::Ready);
    place.until_up();
    place.signal("TERM");
    place.wait_for(Phase::Stopping);
    let exit = place.wait().status.exit.unwrap();
    assert!(exit.killed && exit.requested && exit.signal == Some(9), "{exit:?}");
}

#[test]
fn a_second_request_kills_now() {
    let mut place = Place::new();
    let script = "trap '' TERM; touch /tmp/up; while :; do sleep 0.01; done";
    place.start(script, &json!({"stop": {"timeoutSec": 100_000}}), Phase::Ready);
    place.until_up();
    place.signal("INT");
    place.wait_for(Phase::Stopping);
    place.signal("INT");
    assert!(place.wait().status.exit.unwrap().killed);
}

#[test]
fn memory_is_limited_and_the_reason_is_told() {
    let more = json!({"limits": {"memory": 32 << 20}});
    // tail keeps what has no newline.
    let ended = Place::new().run("exec tail -c 400000000 /dev/zero", &more);
    let exit = ended.status.exit.clone().unwrap();
    assert!(exit.oom && exit.signal == Some(9), "{exit:?} {}", ended.stderr);
    assert!(ended.stream(logs::Stream::Hc).contains("out of memory"));
}

#[test]
fn processes_are_limited() {
    let more = json!({"limits": {"pids": 5}});
    // The shell is one: four more fit.
    let script = "for i in 1 2 3 4; do sleep 1000 & done; echo four; (sleep 0 & wait) ; echo no";
    let ended = Place::new().run(script, &more);
    assert_eq!(ended.out(), "four\n");
    assert!(ended.stream(logs::Stream::Err).contains("can't fork"));
}

#[test]
fn processors_are_limited() {
    let mut place = Place::new();
    let status = place.start("sleep 1000", &json!({"limits": {"cpus": 0.5}}), Phase::Ready);
    let quota = status.cgroups.iter().find_map(|group| {
        let v1 = std::fs::read_to_string(group.join("cpu.cfs_quota_us")).ok();
        v1.or_else(|| {
            let v2 = std::fs::read_to_string(group.join("cpu.max")).ok()?;
            v2.split_once(' ').map(|(quota, _)| quota.to_owned())
        })
    });
    assert_eq!(quota.unwrap().trim(), "50000");
}

#[test]
fn a_second_supervisor_is_refused() {
    let mut place = Place::new();
    let status = place.start("sleep 1000", &json!({}), Phase::Ready);
    let closure = place.dir.path().join("machine.json");
    let second = place.command(&closure).output().unwrap();
    let said = String::from_utf8(second.stderr).unwrap();
    assert!(said.contains("machine 'web' is already running"), "{said}");
    assert_eq!(place.status(), Some(status), "the first one is not touched");
}

#[test]
fn a_chatty_machine_fills_two_files_and_no_more() {
    let mut place = Place::new();
    let script = "yes 0123456789abcdef0123456789abcdef0123456789abcdef | head -n 400000; echo end";
    let ended = place.run(script, &json!({}));
    assert_eq!(ended.code(), Some(0), "{}", ended.stderr);
    assert_eq!(ended.out().lines().last(), Some("end"));
    let log = place.places().log();
    for file in [logs::current(&log), logs::previous(&log)] {
        let size = file.metadata().unwrap().len();
        assert!(size > 0 && size <= 8 << 20, "{size}");
    }
    assert_eq!(std::fs::read_dir(log).unwrap().count(), 2);
}
