//! What a machine sees and may do, asked from inside.

use crate::place::Place;
use hc_runtime::{Phase, logs};
use serde_json::{Value, json};

fn inside(script: &str, more: &Value) -> String {
    let ended = Place::new().run(script, more);
    assert_eq!(ended.status.phase, Phase::Exited, "{}", ended.stderr);
    ended.out() + &ended.stream(logs::Stream::Err)
}

fn without_userns() -> Value {
    json!({"isolation": {"userNamespace": false}})
}

#[test]
fn privileges_are_gone() {
    for more in [json!({}), without_userns()] {
        let said = inside("grep -E '^(Cap|NoNew|Seccomp:)' /proc/self/status", &more);
        let fields: Vec<(&str, &str)> = said.lines().filter_map(|l| l.split_once(":\t")).collect();
        let expected = [
            ("CapInh", "0000000000000000"),
            ("CapPrm", "00000000200405fb"),
            ("CapEff", "00000000200405fb"),
            ("CapBnd", "00000000200405fb"),
            ("CapAmb", "0000000000000000"),
            ("NoNewPrivs", "1"),
            ("Seccomp", "2"),
        ];
        assert_eq!(fields, expected);
    }
    let user = json!({"user": "web"});
    let said = inside("grep -E '^Cap(Prm|Eff|Inh)' /proc/self/status", &user);
    assert!(said.lines().count() == 3 && said.lines().all(|l| l.ends_with("0000000000000000")));
}

#[test]
fn dropped_and_added_capabilities_count() {
    let more =
        json!({"isolation": {"dropCapabilities": ["CHOWN"], "addCapabilities": ["NET_ADMIN"]}});
    let said = inside(
        "grep CapEff /proc/self/status; chown 1 /tmp; ip link set lo mtu 1400; cat /sys/class/net/lo/mtu",
        &more,
    );
    assert!(said.contains("00000000200415fa"), "{said}");
    assert!(said.contains("chown: /tmp: Operation not permitted"), "{said}");
    assert!(said.contains("\n1400\n"), "{said}");
}

#[test]
fn nothing_can_be_mounted_or_unshared() {
    for more in [json!({}), without_userns()] {
        for command in [
            "mount -t tmpfs none /tmp",
            "mount -o remount,rw /proc/sys",
            "umount /proc/acpi",
            "umount /dev/null",
            "unshare -U true",
            "unshare -m true",
            "nsenter -t 1 -m true",
            "mknod /tmp/disk b 254 0",
            "echo 1 > /proc/sys/kernel/panic",
            "echo h > /proc/sysrq-trigger",
            "echo 1 > /sys/kernel/mm/ksm/run",
            "hostname other",
            "date -s 2000-01-01 2>/tmp/error; test ! -s /tmp/error",
            "ip link add x type dummy",
            "swapon /dev/null",
            "cat /proc/1/environ",
            "ls /proc/1/root/",
            "readlink /proc/1/exe",
            "readlink /proc/1/fd/0",
            "cat /proc/1/maps",
            "cat /proc/kcore | head -c 1 | grep -q . && false",
        ] {
            let said = inside(&format!("({command}) >/dev/null 2>&1; echo $?"), &more);
            assert_ne!(said, "0\n", "{command} worked");
        }
    }
}

#[test]
fn kernel_files_are_masked() {
    let script = "for file in kcore keys timer_list kmsg interrupts; do \
                    test -e /proc/$file && wc -c < /proc/$file; done; \
                  for dir in /proc/acpi /proc/scsi /sys/firmware; do \
                    test -e $dir && ls -A $dir | wc -l; done; true";
    let said = inside(script, &json!({}));
    assert!(!said.is_empty() && said.lines().all(|line| line == "0"), "{said}");
    let mounts = inside("cat /proc/mounts", &json!({}));
    for (at, option) in [("/proc/sys", "ro"), ("/sys", "ro"), ("/proc", "rw"), ("/", "rw")] {
        let line = mounts.lines().find(|line| line.split(' ').nth(1) == Some(at)).unwrap();
        assert_eq!(line.split([' ', ',']).nth(3), Some(option), "{line}");
    }
    assert!(
        !mounts.contains(std::env::temp_dir().to_str().unwrap()),
        "paths of the host: {mounts}"
    );
}

#[test]
fn only_its_own_processes_and_devices_are_there() {
    let said = inside("ls /proc | grep -c '^[0-9]'; ls /dev; cat /proc/1/cmdline", &json!({}));
    let expected = "core\nfd\nfull\nmqueue\nnull\nptmx\npts\nrandom\nshm\nstderr\nstdin\nstdout\n\
                    tty\nurandom\nzero\nhc-init";
    let (count, rest) = said.split_once('\n').unwrap();
    assert!(["3", "4"].contains(&count), "{count}");
    assert_eq!(rest.trim_end_matches(['\0', '\n']), expected);
    let said = inside("echo x > /dev/null && head -c 4 /dev/urandom | wc -c", &json!({}));
    assert_eq!(said, "4\n");
}

#[test]
fn no_descriptor_leaks_in() {
    let said = inside("ls /proc/self/fd | tr '\\n' ' '; readlink /proc/self/fd/0", &json!({}));
    // 3 is the directory being listed.
    assert_eq!(said, "0 1 2 3 /dev/null\n");
    let said = inside("echo again > /dev/stdout; echo bad > /dev/stderr", &json!({"user": "web"}));
    assert_eq!(said, "again\nbad\n", "standard streams can be opened again");
}

#[test]
fn root_inside_is_nobody_outside() {
    let mut place = Place::new();
    let status = place.start(
        "id -u; cat /proc/self/uid_map; touch /tmp/up; sleep 1000",
        &json!({}),
        Phase::Ready,
    );
    let outside = std::fs::read_to_string(format!("/proc/{}/status", status.payload_pid.unwrap()));
    let uid = outside.unwrap();
    let uid: u32 = uid
        .lines()
        .find_map(|l| l.strip_prefix("Uid:\t")?.split('\t').next()?.parse().ok())
        .unwrap();
    assert!((0x1000_0000..0x7000_0000).contains(&uid) && uid.is_multiple_of(65536), "{uid}");
    place.until_up();
    place.signal("TERM");
    let out = place.wait().out();
    let words: Vec<&str> = out.split_whitespace().collect();
    assert_eq!(words, ["0", "0", &uid.to_string(), "65536"]);
}

#[test]
fn a_machine_without_a_user_namespace_has_the_ids_of_the_host() {
    assert_eq!(inside("tr -s ' ' < /proc/self/uid_map", &without_userns()), " 0 0 4294967295\n");
}

#[test]
fn the_network_is_its_own_and_low_ports_are_free() {
    let script =
        "ip -o link | wc -l; (nc -l -p 80 & sleep 0.2; nc 127.0.0.1 80 </dev/null && echo met)";
    let said = inside(script, &json!({}));
    assert!(said.starts_with("1\n") && said.contains("met"), "{said}");
}

#[test]
fn a_dead_payload_takes_its_children_along() {
    let mut place = Place::new();
    let ended = place.run("setsid sleep 1000 & (sleep 1000 &) ; exit 4", &json!({}));
    assert_eq!(ended.code(), Some(4));
    assert!(place.cgroups().is_empty());
}
