//! The image that has nothing in it but its builder.
use crate::support::{Workplace, mounted};
use std::process::Command;

#[test]
fn it_holds_its_builder_and_the_bytes_are_the_same_twice() {
    let place = Workplace::new();
    let build = |name: &str| {
        let mut command = Command::new(place.path().join("builder"));
        command.arg("minimal-rootfs").env_clear().env("out", place.path().join(name));
        let done = command.output().unwrap();
        assert!(done.status.success(), "{done:?}");
        place.path().join(name).join("rootfs.erofs")
    };
    let (one, two) = (build("one"), build("two"));
    assert_eq!(std::fs::read(&one).unwrap(), std::fs::read(&two).unwrap());
    mounted(&one, |root| {
        let hc = std::fs::read(root.join("bin/hc")).unwrap();
        assert_eq!(hc, std::fs::read(place.path().join("builder")).unwrap());
        // It is static: it starts with nothing else there.
        let done =
            Command::new("chroot").arg(root).args(["/sbin/init", "no-such"]).output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(said.contains("names the builder `no-such`"), "{said}");
        let mut names: Vec<_> = root
            .read_dir()
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names.join(" "), "bin dev etc home proc root run sbin sys tmp var");
    });
}

#[test]
fn a_build_without_a_range_of_ids_is_told_so() {
    let place = Workplace::new();
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user"]).arg(place.path().join("builder"));
    command.arg("debian-rootfs").env_clear().env("PATH", "/usr/bin");
    command.env("out", "/x").env("TMPDIR", "/x").env("debs", "/x.deb");
    let done = command.output().unwrap();
    insta::assert_snapshot!(String::from_utf8(done.stderr).unwrap(), @"the builder's attribute `requiredSystemFeatures` is not honoured: this build must be root over 65536 ids (`uid-range`) and is user 0 over 1");
}

#[test]
fn what_is_missing_is_named() {
    let place = Workplace::new();
    let work = place.path().to_str().unwrap();
    let run = |what: &str, env: &[(&str, &str)]| {
        let mut command = Command::new(place.path().join("builder"));
        let done = command.arg(what).env_clear().envs(env.iter().copied()).output().unwrap();
        assert!(!done.status.success());
        String::from_utf8(done.stderr).unwrap()
    };
    let lines = [
        run("minimal-rootfs", &[]),
        run("minimal-rootfs", &[("out", "relative")]),
        run("minimal-rootfs", &[("out", "/x"), ("epoch", "now")]),
        run("debian-rootfs", &[("out", "/x")]),
        run("debian-rootfs", &[("debs", "/a"), ("files", "{\"/x\": 1}")]),
        run("debian-rootfs", &[("debs", "/nonexistent.deb"), ("out", "/x"), ("TMPDIR", work)]),
    ];
    insta::assert_snapshot!(lines.concat(), @r"
    the builder's attribute `out` is missing
    the builder's attribute `out` is not an absolute path
    the builder's attribute `epoch` is `now`, not a number of seconds
    the builder's attribute `debs` is missing
    the builder's attribute `files` is not what is expected: invalid type: integer `1`, expected struct ExtraFile at line 1 column 8
    cannot open /nonexistent.deb: No such file or directory (os error 2)
    ");
}
