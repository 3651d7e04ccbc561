//! The builder over a range of mapped ids, as a build runs it: real `dpkg`, real scripts.
use crate::support::{self, Workplace, deb_of_programs, mounted, tiny_deb};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A system small enough to make here: this host's own `dpkg`, with two packages on top.
#[test]
fn packages_are_configured_and_the_bytes_are_the_same_twice() {
    let place = Workplace::new();
    let debs = [
        deb_of_programs(
            place.path(),
            "base",
            &[
                "sh",
                "dash",
                "dpkg",
                "dpkg-deb",
                "dpkg-query",
                "dpkg-split",
                "dpkg-trigger",
                "tar",
                "rm",
                "diff",
                "ldconfig",
                "start-stop-daemon",
                "chown",
                "chmod",
                "mkdir",
                "id",
                "mktemp",
                "touch",
                "date",
                "cat",
            ],
        ),
        tiny_deb(
            place.path(),
            "zz-daemon",
            "Depends: aa-library\n",
            &[
                ("etc/daemon.conf", "a = 1\n", 0o640, 0, 42),
                ("usr/bin/daemon", "#!/bin/sh\n", 0o4755, 0, 0),
                ("etc/skel/.profile", "umask 27\n", 0o644, 0, 0),
            ],
            &[(
                "postinst",
                "#!/bin/sh\nset -e\n[ \"$(id -u)\" = 0 ]\ncat /usr/share/aa/ready\nmkdir -p /var/lib/daemon\n\
                          chown 33:33 /var/lib/daemon\nchmod 2750 /var/lib/daemon\ndate > /var/log/daemon.log\n\
                          mkdir -p /var/cache/apt\nmktemp > /var/cache/apt/random\nmktemp\ntouch /run/x /dev/x\n\
                          echo key > /etc/machine-id\necho > /dev/null\nif /usr/sbin/policy-rc.d; then exit 1; fi\n",
            )],
        ),
        tiny_deb(
            place.path(),
            "aa-library",
            "",
            &[
                ("usr/share/aa/text", "x", 0o644, 0, 0),
                ("usr/share/doc/aa/copyright", "x", 0o644, 0, 0),
                ("usr/share/man/man1/aa.1", "x", 0o644, 0, 0),
            ],
            &[(
                "postinst",
                "#!/bin/sh\necho \"$SOURCE_DATE_EPOCH $DEBIAN_FRONTEND\" > /usr/share/aa/ready\n",
            )],
        ),
    ];
    let files = r#"{"/etc/extra/file": {"text": "extra", "mode": "0600", "uid": 7}}"#;
    let users =
        r#"{"ada": {"uid": 1000, "sshKeys": ["ssh-ed25519 AAAA ada"], "passwordHash": "$y$x"}}"#;
    let more = [("files", files), ("users", users)];
    let one = place.build("one", &debs, &more).unwrap();
    let two = place.build("two", &debs, &more).unwrap();
    assert_eq!(std::fs::read(&one).unwrap(), std::fs::read(&two).unwrap());
    let manifest = std::fs::read_to_string(one.with_file_name("manifest.json")).unwrap();
    assert!(manifest.contains("\"name\": \"zz-daemon\""), "{manifest}");
    let seen = mounted(&one, |root| {
        let stat = |path: &str| support::stat(&root.join(path));
        let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap();
        BTreeMap::from([
            ("conf", stat("etc/daemon.conf")),
            ("setuid", stat("usr/bin/daemon")),
            ("owned", stat("var/lib/daemon")),
            ("extra", stat("etc/extra/file")),
            ("home", stat("home/ada")),
            ("profile", stat("home/ada/.profile")),
            ("key", stat("home/ada/.ssh/authorized_keys")),
            ("shadow", stat("etc/shadow") + " " + &read("etc/shadow")),
            ("passwd", read("etc/passwd")),
            ("log", stat("var/log/daemon.log")),
            ("apt cache", format!("{:?}", root.join("var/cache/apt").read_dir().unwrap().next())),
            ("run", format!("{:?}", root.join("run").read_dir().unwrap().next())),
            ("dev", format!("{:?}", root.join("dev").read_dir().unwrap().next())),
            ("machine-id", read("etc/machine-id")),
            ("ready", read("usr/share/aa/ready")),
            ("policy", root.join("usr/sbin/policy-rc.d").exists().to_string()),
            ("licence", root.join("usr/share/doc/aa/copyright").exists().to_string()),
            ("manual", root.join("usr/share/man/man1/aa.1").exists().to_string()),
            (
                "installed",
                read("var/lib/dpkg/status").matches("install ok installed").count().to_string(),
            ),
        ])
    });
    insta::assert_debug_snapshot!(seen, @r#"
    {
        "apt cache": "None",
        "conf": "100640 0:42 @1000000000",
        "dev": "None",
        "extra": "100600 7:0 @1000000000",
        "home": "40700 1000:1000 @1000000000",
        "installed": "3",
        "key": "100600 1000:1000 @1000000000",
        "licence": "true",
        "log": "100644 0:0 @1000000000",
        "machine-id": "",
        "manual": "false",
        "owned": "42750 33:33 @1000000000",
        "passwd": "root:x:0:0::/root:/bin/sh\nada:x:1000:1000::/home/ada:/bin/bash\n",
        "policy": "false",
        "profile": "100644 1000:1000 @1000000000",
        "ready": "1000000000 noninteractive\n",
        "run": "None",
        "setuid": "104755 0:0 @1000000000",
        "shadow": "100640 0:42 @1000000000 ada:$y$x:11574:0:99999:7:::\n",
    }
    "#);
}

#[test]
fn a_script_that_fails_is_shown() {
    let place = Workplace::new();
    let debs = [
        deb_of_programs(
            place.path(),
            "base",
            &[
                "sh",
                "dpkg",
                "dpkg-deb",
                "dpkg-split",
                "tar",
                "rm",
                "diff",
                "ldconfig",
                "start-stop-daemon",
            ],
        ),
        tiny_deb(
            place.path(),
            "broken",
            "",
            &[],
            &[("postinst", "#!/bin/sh\necho this is why\nexit 3\n")],
        ),
    ];
    let message = place.build("one", &debs, &[]).unwrap_err();
    assert!(message.contains("this is why") && message.contains("broken"), "{message}");
    assert!(message.contains("dpkg --configure"), "{message}");
}

#[test]
fn hostile_packages_stay_inside() {
    let place = Workplace::new();
    let outside = place.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::set_permissions(&outside, std::os::unix::fs::PermissionsExt::from_mode(0o777))
        .unwrap();
    let essential = "Essential: yes\n";
    let absolute = outside.to_str().unwrap().to_owned();
    let cases: Vec<(PathBuf, &str)> = vec![
        (
            support::raw_deb(place.path(), "dots", essential, &[("../../outside/x", 'f', "")]),
            "leads out by `..`",
        ),
        (
            support::raw_deb(place.path(), "root", essential, &[("/tmp/x", 'f', "")]),
            "its path is absolute",
        ),
        (
            support::raw_deb(place.path(), "hard", essential, &[("x", 'h', "../../outside")]),
            "leads out by `..`",
        ),
        // Through a symlink that leads out: it leads to a place inside.
        (
            support::raw_deb(
                place.path(),
                "link",
                essential,
                &[("d", 's', &absolute), ("d/x", 'f', "")],
            ),
            "something else than a directory",
        ),
        (
            support::raw_deb(
                place.path(),
                "rel",
                essential,
                &[("d", 's', "../../../outside"), ("d/x", 'f', "")],
            ),
            "something else than a directory",
        ),
        (
            support::raw_deb(place.path(), "file", essential, &[("d", 'f', ""), ("d/x", 'f', "")]),
            "its directory",
        ),
        (
            support::raw_deb(place.path(), "dev", essential, &[("dev", 's', &absolute)]),
            "something else than a directory",
        ),
    ];
    for (deb, expected) in cases {
        let message = place.build("hostile", std::slice::from_ref(&deb), &[]).unwrap_err();
        assert!(message.contains(expected), "{}: {message}", deb.display());
        assert_eq!(outside.read_dir().unwrap().count(), 0, "{}", deb.display());
    }
}

/// The real thing, from the network: `cargo test -p hc-image --test builder -- --ignored`.
#[test]
#[ignore = "downloads packages; the end-to-end checks run it"]
fn the_locked_debian_image_builds_the_same_twice() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let text = std::fs::read_to_string(root.join("images/debian.lock.json")).unwrap();
    let lock = hc_image::debian::Lock::from_json(&text).unwrap();
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("debs");
    std::fs::create_dir_all(&cache).unwrap();
    let place = Workplace::new();
    let mut debs = Vec::new();
    for package in &lock.packages {
        let cached = cache.join(&package.file);
        if !cached.exists() {
            let done = Command::new("curl")
                .args(["-fsSL", "-o"])
                .arg(&cached)
                .arg(&package.urls[0])
                .status();
            assert!(done.unwrap().success(), "{}", package.urls[0]);
        }
        let bytes = std::fs::read(&cached).unwrap();
        assert_eq!(hc_image::debian::sha256_hex(&bytes), package.sha256, "{}", package.file);
        let deb = place.path().join(&package.file);
        std::fs::write(&deb, bytes).unwrap();
        debs.push(deb);
    }
    let epoch = lock.epoch.to_string();
    let started = std::time::Instant::now();
    let one = place.build("one", &debs, &[("epoch", &epoch)]).unwrap();
    eprintln!("built in {:?}, {} bytes", started.elapsed(), one.metadata().unwrap().len());
    let two = place.build("two", &debs, &[("epoch", &epoch)]).unwrap();
    if std::fs::read(&one).unwrap() != std::fs::read(&two).unwrap() {
        let keep = Path::new(env!("CARGO_TARGET_TMPDIR"));
        std::fs::copy(&one, keep.join("one.erofs")).unwrap();
        std::fs::copy(&two, keep.join("two.erofs")).unwrap();
        panic!("two builds differ; see {}", keep.display());
    }
    if let Ok(keep) = std::env::var("HC_TEST_KEEP_IMAGE") {
        std::fs::copy(&one, keep).unwrap();
    }
    let seen = mounted(&one, |root| {
        let stat = |path: &str| {
            let found = support::stat(&root.join(path));
            format!("{path} {}", found.split(" @").next().unwrap())
        };
        let nginx =
            Command::new("chroot").arg(root).args(["/usr/sbin/nginx", "-v"]).output().unwrap();
        assert!(nginx.status.success(), "{nginx:?}");
        ["usr/bin/su", "usr/sbin/nginx", "var/lib/nginx", "tmp"].map(stat).join("\n")
    });
    insta::assert_snapshot!(seen, @r"
    usr/bin/su 104755 0:0
    usr/sbin/nginx 100755 0:0
    var/lib/nginx 40755 0:0
    tmp 41777 0:0
    ");
}
