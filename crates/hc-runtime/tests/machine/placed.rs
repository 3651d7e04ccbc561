//! Volumes, files and devices of the host, memory; and limits of disks.

use crate::place::Place;
use hc_runtime::Phase;
use hc_runtime::volumes::{VolumeName, VolumeStore};
use serde_json::{Value, json};
use std::os::unix::fs::{MetadataExt, PermissionsExt};

fn ran(place: &mut Place, script: &str, more: &Value) -> String {
    // The log keeps what earlier runs said.
    let ended = place.run(&format!("exec 2>&1; echo @@; {script}"), more);
    assert_eq!(ended.status.phase, Phase::Exited, "{}", ended.stderr);
    ended.out().rsplit("@@\n").next().unwrap().to_owned()
}

fn refused(more: &Value) -> String {
    let ended = Place::new().run("true", more);
    assert_eq!(ended.status.phase, Phase::Failed, "{}", ended.out());
    ended.stderr
}

fn volume(size: u64) -> Value {
    json!({"volumes": {"data": {"path": "/var/lib/x", "size": size}}})
}

const SIZE: u64 = 300 << 20;

#[test]
fn a_volume_outlives_its_machine_and_grows() {
    let mut place = Place::new();
    let name: VolumeName = "web/data".parse().unwrap();
    let store = VolumeStore::new(&place.state_dir(), &place.run_dir());
    let said =
        ran(&mut place, "echo kept > /var/lib/x/file; stat -c %u /var/lib/x/file", &volume(SIZE));
    assert_eq!(said, "0\n");
    let info = store.info(&name).unwrap();
    assert_eq!((info.size_bytes, info.in_use), (SIZE, false));
    assert!(info.used_bytes < SIZE / 2, "{info:?}");
    let free = "df -k /var/lib/x | tail -1 | awk '{print ($2 > 500000)}'";
    let said = ran(&mut place, &format!("cat /var/lib/x/file; {free}"), &volume(2 * SIZE));
    assert_eq!(said, "kept\n1\n", "its description asks for more");

    let script = format!(
        "touch /tmp/up; while [ -e /tmp/up ]; do sleep 0.02; done; sleep 0.2; {free}; exec sleep 1000"
    );
    place.start(
        "",
        &json!({"command": ["sh", "-c", script], "volumes": volume(SIZE)["volumes"]}),
        Phase::Ready,
    );
    place.until_up();
    assert!(store.info(&name).unwrap().in_use);
    assert!(
        store.remove(&name, true).unwrap_err().to_string().contains("stop machine 'web' first")
    );
    let room = |place: &Place| {
        let out = place.exec(&["sh", "-c", "df -k /var/lib/x | tail -1 | awk '{print $2}'"]).stdout;
        String::from_utf8(out).unwrap().trim().parse::<u64>().unwrap()
    };
    let before = room(&place);
    store.grow(&name, 4 * SIZE).unwrap();
    assert!(room(&place) > before + SIZE / 1024, "it grows while it is in use");
    let error = store.grow(&name, SIZE).unwrap_err().to_string();
    assert!(error.contains("does not shrink"), "{error}");
    // Killed without a word, it is there again for the next.
    place.signal("KILL");
    place.wait();
    assert_eq!(ran(&mut place, "cat /var/lib/x/file", &volume(SIZE)), "kept\n");
    store.remove(&name, false).unwrap();
    assert_eq!(store.names().unwrap(), []);
}

#[test]
fn a_new_volume_is_whose_its_directory_was() {
    let more = json!({"user": "web", "volumes": {"data": {"path": "/home/web", "size": SIZE}}});
    let mut place = Place::new();
    let said = ran(&mut place, "touch ~/x && stat -c '%u:%g' ~ ~/x", &more);
    assert_eq!(said, "1000:1001\n1000:1001\n");
    let more = json!({"volumes": {"data": {"path": "/home/web", "size": SIZE, "readOnly": true}}});
    let said = ran(&mut place, "ls /home/web; touch /home/web/y 2>/dev/null || echo no", &more);
    assert_eq!(said, "x\nno\n");
    let more = json!({"volumes": {"data": {"path": "/d", "size": SIZE}}, "isolation": {"userNamespace": false}});
    assert_eq!(ran(&mut place, "ls /d", &more), "x\n");
}

#[test]
fn snapshots_without_reflinks_are_no_silent_copies() {
    let mut place = Place::new();
    ran(&mut place, "echo one > /var/lib/x/file", &volume(SIZE));
    let store = VolumeStore::new(&place.state_dir(), &place.run_dir());
    let name: VolumeName = "web/data".parse().unwrap();
    let refused = store.snapshot(&name, Some("s"), false);
    // Where the test's directory has reflinks, it is a snapshot.
    if let Err(error) = refused {
        assert!(error.to_string().contains("would be a copy of all its data"), "{error}");
        store.snapshot(&name, Some("s"), true).unwrap();
    }
    ran(&mut place, "echo two > /var/lib/x/file", &volume(SIZE));
    let before = store.restore(&name, "s", true).unwrap();
    assert_eq!(ran(&mut place, "cat /var/lib/x/file", &volume(SIZE)), "one\n");
    store.restore(&name, &before, true).unwrap();
    assert_eq!(ran(&mut place, "cat /var/lib/x/file", &volume(SIZE)), "two\n");
    for wrong in ["none", "../image", ".."] {
        assert!(store.restore(&name, wrong, true).is_err(), "{wrong}");
    }
    assert!(store.info(&name).unwrap().snapshots.len() >= 3);
}

#[test]
fn a_bind_shows_the_hosts_owners() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("share");
    std::fs::create_dir(&source).unwrap();
    let reach = |mode| std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(mode));
    reach(0o750).unwrap();
    std::fs::write(source.join("file"), "of the host").unwrap();
    std::os::unix::fs::chown(source.join("file"), Some(1000), Some(1001)).unwrap();
    let binds = |more: Value| {
        let mut bind = json!({"source": source});
        for (key, value) in more.as_object().unwrap() {
            bind[key] = value.clone();
        }
        json!({"binds": {"/srv/share": bind, "/srv/one": {"source": source.join("file")}}})
    };
    let said = ran(
        &mut Place::new(),
        "cat /srv/share/file; stat -c ' %u:%g' /srv/share/file; touch /srv/share/x || echo no; cat /srv/one",
        &binds(json!({})),
    );
    assert!(
        said.starts_with("of the host 1000:1001\n") && said.contains("no\nof the host"),
        "{said}"
    );
    let script = "echo new > /srv/share/new; chmod 4755 /srv/share/new; chown web /srv/share/new";
    ran(&mut Place::new(), script, &binds(json!({"readOnly": false})));
    assert_eq!(std::fs::metadata(source.join("new")).unwrap().uid(), 1000);

    reach(0o755).unwrap();
    let said = refused(&binds(json!({"readOnly": false})));
    assert!(said.contains("set-id bits included") && said.contains("chmod o-x"), "{said}");
}

#[test]
fn what_gives_the_host_away_is_not_shown() {
    let link = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("/etc/ssh", link.path().join("innocent")).unwrap();
    for source in
        ["/", "/etc", "/proc/1", "/dev", "/run", link.path().join("innocent").to_str().unwrap()]
    {
        let said = refused(&json!({"binds": {"/x": {"source": source}}}));
        assert!(said.contains("binds.\"/x\"") && said.contains("host"), "{source}: {said}");
    }
    let said = refused(&json!({"binds": {"/x": {"source": "/no/such/path"}}}));
    assert!(said.contains("open /no/such/path") && said.contains("No such file"), "{said}");
}

#[test]
fn devices_are_those_that_are_declared() {
    let more = json!({"devices": {"/dev/fuse": {}, "/dev/net/tun": {"access": "r", "group": 4}}});
    let script = "ls -ln /dev/fuse /dev/net/tun | awk '{print $1, $3, $4}'; \
                  (exec 3<>/dev/fuse) && echo fuse; \
                  (exec 3</dev/net/tun) 2>/dev/null || echo closed; \
                  chmod 666 /dev/net/tun 2>/dev/null || echo not mine; \
                  mknod /tmp/x c 10 229 2>/dev/null || echo no node";
    let said = ran(&mut Place::new(), script, &more);
    assert_eq!(
        said,
        "crw-rw-rw- 65534 65534\ncr--r----- 65534 4\nfuse\nclosed\nnot mine\nno node\n"
            .replace("cr--r-----", "c---r-----")
    );
    let said = ran(
        &mut Place::new(),
        "(exec 3</dev/net/tun) && echo open; (exec 3>/dev/net/tun) 2>/dev/null || echo shut",
        &json!({"devices": {"/dev/net/tun": {"access": "r"}}}),
    );
    assert_eq!(said, "open\nshut\n");
    for (devices, says) in [
        (json!({"/dev/mem": {}}), "host's memory"),
        (json!({"/dev/nowhere": {}}), "find the device"),
        (json!({"/dev/shm/x": {}}), "machine's own"),
    ] {
        if devices.get("/dev/mem").is_some() && !std::path::Path::new("/dev/mem").exists() {
            continue;
        }
        let closure = json!({ "devices": devices });
        let mut place = Place::new();
        let path = place.closure("true", &closure);
        let said = String::from_utf8(place.command(&path).output().unwrap().stderr).unwrap();
        assert!(said.contains(says), "{said}");
        place.run("true", &json!({}));
    }
    let own =
        json!({"isolation": {"userNamespace": false}, "devices": {"/dev/fuse": {"access": "r"}}});
    assert!(refused(&own).contains("without a user namespace"));
}

#[test]
fn memory_has_the_size_that_is_asked_for() {
    let more = json!({"tmpfs": {
        "/tmp": {"size": 1 << 20, "mode": "1750"}, "/run": {"size": 2 << 20}, "/dev/shm": {"size": 3 << 20},
        "/new/place": {},
    }});
    let script = "df -k /tmp /run /dev/shm | awk 'NR>1 {print $2}'; stat -c %a /tmp; echo x > /new/place/x; \
                  head -c 2000000 /dev/zero > /tmp/x 2>/dev/null || echo full; grep -c nosuid,nodev /proc/mounts";
    let said = ran(&mut Place::new(), script, &more);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[..5], ["1024", "2048", "3072", "1750", "full"], "{said}");
}

#[test]
fn disks_are_limited_where_they_are() {
    let mut place = Place::new();
    let more = json!({"limits": {"io": {place.dir.path().to_str().unwrap(): {"writeBytes": 1 << 20}}, "cpuWeight": 200}});
    place.start("sleep 1000", &more, Phase::Ready);
    let groups = place.cgroups();
    let read =
        |file: &str| groups.iter().find_map(|dir| std::fs::read_to_string(dir.join(file)).ok());
    let limit = read("blkio.throttle.write_bps_device").or_else(|| read("io.max")).unwrap();
    assert!(limit.contains("1048576"), "{limit}");
    let weight = read("cpu.weight").or_else(|| read("cpu.shares")).unwrap();
    assert!(["200", "2048"].contains(&weight.trim()), "{weight}");
    place.signal("TERM");
    place.wait();
    let said = refused(&json!({"limits": {"io": {"/proc": {"writeBytes": 1}}}}));
    assert!(said.contains("on no single disk"), "{said}");
}
